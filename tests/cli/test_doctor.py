"""`bitesize doctor`."""

import json
import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from tests.cli.running import run

from bitesize.cli.doctor_machine import disk
from bitesize.cli.doctor_packages import EXTRAS, problems_of_packages
from bitesize.packages import is_installed

PARTS = {"problems", "machine", "limits", "environment", "backend", "gpus", "disk", "extras"}
keras = pytest.mark.skipif(not is_installed("keras"), reason="no Keras")
posix = pytest.mark.skipif(sys.platform == "win32", reason="programs of shells, and folders that cannot be written")


def found(*words, code=0):
    done = json.loads(run("doctor", *words, "--json", code=code).stdout)
    assert done.keys() == PARTS
    return done


@pytest.fixture
def installed():
    try:
        requires("bitesize")
    except PackageNotFoundError:
        pytest.skip("bitesize is not installed as a package")


@pytest.fixture
def no_gpu(tmp_path, monkeypatch):
    """Let this machine have no GPU, and no variables that choose a backend."""
    for name in ("CUDA_VISIBLE_DEVICES", "KERAS_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def test_each_extra_is_explained():
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert {*declared["project"]["optional-dependencies"]} - {"dev", "docs"} <= {*EXTRAS}


def test_it_shows_versions_limits_the_disk_and_what_is_missing(tmp_path, installed, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("RAY_ADDRESS", "ray://host:1")
    done = run("doctor", tmp_path / "data").stdout
    report = json.loads(run("doctor", tmp_path / "data", "--json").stdout)
    assert report["machine"]["versions"]["python"] == sys.version.split()[0]
    assert report["machine"]["usable_processors"] >= 1
    rooms = [limit["room"] for limit in report["limits"]]
    assert rooms == sorted(rooms)
    assert report["disk"]["write"] > 0
    assert report["environment"]["RAY_ADDRESS"] == "ray://host:1"
    assert not any(
        each["missing"] or each["old"] for each in report["extras"] if each["name"] in ("sklearn", "hdf5", "zarr")
    )
    assert not [*(tmp_path / "data").iterdir()]
    assert f"the limit that applies is {report['limits'][0]['name']}" in " ".join(done.split())
    assert done.endswith("\nno problems found\n")


@posix
@keras
def test_the_backend_is_named_with_who_chose_it(tmp_path, no_gpu, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    backend = found(tmp_path)["backend"]
    assert (backend["name"], backend["chosen_by"], backend["problem"]) == ("jax", "KERAS_BACKEND", None)
    monkeypatch.setenv("KERAS_BACKEND", "nothing")
    problem = "KERAS_BACKEND sets the Keras backend to nothing, which is not installed"
    assert found(tmp_path, code=3)["problems"] == [problem]
    assert f"problem: {problem}" in run("doctor", tmp_path, code=3).stdout


@posix
@keras
def test_a_backend_that_ends_its_process_is_a_problem(tmp_path, no_gpu, monkeypatch):
    (tmp_path / "broken" / "keras").mkdir(parents=True)
    (tmp_path / "broken" / "keras" / "__init__.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    (problem,) = found(tmp_path, code=3)["problems"]
    assert "cannot be loaded: its process ended with code -6" in problem


@posix
@keras
def test_a_gpu_that_the_backend_cannot_use_is_a_problem(tmp_path, no_gpu, monkeypatch):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this GPU can be used")
    (no_gpu / "nvidia-smi").write_text("#!/bin/sh\necho NVIDIA H200, 570.1\n")
    (no_gpu / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    report = found(tmp_path, code=3)
    assert report["gpus"] == ["NVIDIA H200, driver 570.1"]
    assert report["problems"][0].startswith(f"NVIDIA H200, driver 570.1 is not used: torch {torch.__version__}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    assert found(tmp_path)["problems"] == []


def test_a_package_that_is_too_old_is_a_problem(tmp_path, installed, monkeypatch):
    folder = tmp_path / "h5py-0.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: h5py\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "h5py 0.1 is installed, but bitesize needs h5py>=3.11: pip install --upgrade h5py" in problems_of_packages()


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    assert "does not exist" in run("doctor", tmp_path / "gone", code=1).stderr


@posix
def test_a_disk_that_cannot_be_written_is_said():
    assert disk("/proc")["problem"]


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="only Linux has a disk in memory there")
def test_the_speed_of_memory_is_not_that_of_a_disk():
    found = disk("/dev/shm")
    if found["system"] == "tmpfs":
        assert found["read"] is None
