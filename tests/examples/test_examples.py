"""Every example trains for real: on the demo's pictures, from raw files, to an accuracy above 0.9."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bitesize.cli.demo_data import write_photos

FOLDER = Path(__file__).parents[2] / "examples"
MODEL = "own_model"  # a file that `bitesize train --model` takes
FORECAST = "timeseries_forecast"  # it makes its own data
PATCHES = "patches_segment"  # makes its own data
NEEDS = {
    "numpy_only": [],
    "sklearn_partial_fit": ["sklearn"],
    "jax_loop": ["jax"],
    "keras_fit": ["keras", "jax"],
    "tensorflow_fit": ["keras", "tensorflow"],
    "torch_loop": ["torch"],
    "torch_ddp": ["torch"],
    "lightning_fit": ["torch", "lightning"],
}
# Lightning imports torchvision where there is one, which needs help beside a torch without CUDA.
RUN = """
import importlib.util, runpy, sys
sys.argv = sys.argv[1:]
sys.path[:0] = [sys.argv.pop(1), sys.argv.pop(1)]
if importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision"):
    from tests.transforms.torchvision_here import import_v2
    import_v2()
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "photos"
    write_photos(folder, 1600, lambda rows: None, height=72, width=80)
    return folder


def test_there_is_an_example_of_each_kind_and_each_is_short():
    assert {path.stem for path in FOLDER.glob("*.py")} == {*NEEDS, MODEL, FORECAST, PATCHES}
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 50, path


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.framework] * (name != "numpy_only")
            + [pytest.mark.slow] * (name in ("keras_fit", "jax_loop")),
        )
        for name in NEEDS
    ],
)
def test_the_example_learns(name, photos):
    for package in NEEDS[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    script = FOLDER / f"{name}.py"
    if name == "torch_ddp":
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node=2",
            str(script),
            str(photos),
        ]
    else:
        command = [sys.executable, "-c", RUN, str(script), str(FOLDER), str(FOLDER.parent), str(photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(re.findall(r"validation accuracy ([\d.]+)", done.stdout)[-1]) > 0.9, done.stdout


@pytest.mark.framework
@pytest.mark.slow
def test_the_forecast_is_better_than_the_values_of_a_day_and_of_a_week_before(tmp_path):
    for package in NEEDS["keras_fit"]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, str(FOLDER / f"{FORECAST}.py"), str(tmp_path / "series.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    day, week, model = map(float, re.findall(r"(?:before|model) ([\d.]+)", done.stdout)[-3:])
    assert model < 0.7 * min(day, week), done.stdout


@pytest.mark.slow
def test_the_model_of_the_example_learns(photos, tmp_path):
    for package in NEEDS["keras_fit"]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, "-m", "bitesize", "train", str(photos), "--model", str(FOLDER / f"{MODEL}.py:make")]
    options = ["--image-size", "48", "--epochs", "5", "--learning-rate", "0.01", "--out", str(tmp_path / "run"), "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["epochs"][-1]["val_accuracy"] > 0.9


@pytest.mark.framework
def test_the_example_of_patches_learns(tmp_path):
    for package in ("torch", "tifffile", "imagecodecs"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, str(FOLDER / f"{PATCHES}.py")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(re.findall(r"accuracy of pixels ([\d.]+)", done.stdout)[-1]) > 0.9, done.stdout
