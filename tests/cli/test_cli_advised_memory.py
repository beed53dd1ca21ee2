"""A refused budget names figures with which the same command works, from `train` and `plan` alike."""

import re

import numpy as np
import pytest
from PIL import Image
from tests.cli.test_cli import run
from tests.conftest import noise, write_jpeg

MLP = ("--model", "mlp", "--image-size", 32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """JPEG files of many sizes, one large PNG file among small ones, and arrays: two classes each."""
    root = tmp_path_factory.mktemp("data")
    for i in range(20):
        kind = ("cat", "dog")[i % 2]
        write_jpeg(root / "photos" / kind / f"{i:02}.jpg", noise(100 + 15 * i, 120 + 20 * i, seed=i))
        side = 1400 if i == 7 else 80
        (root / "large" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(side, side, seed=i)).save(root / "large" / kind / f"{i:02}.png")
        (root / "arrays" / kind).mkdir(parents=True, exist_ok=True)
        np.save(root / "arrays" / kind / f"{i:02}.npy", noise(32, 32, seed=i) / 255)
    return root


def refusal(*arguments):
    error = run(*arguments, code=1).stderr
    return error[error.index("error:") :].strip()


@pytest.mark.slow  # up to eight commands each
@pytest.mark.parametrize(
    ("kind", "budget"),
    [
        ("photos", "5"),
        ("photos", "a little less"),
        ("large", "51KiB"),
        ("large", "24MiB"),
        ("arrays", "5"),
        ("arrays", "571KiB"),
    ],
)
def test_a_command_that_obeys_the_refusal_works_at_once(data, kind, budget, tmp_path):
    if budget == "a little less":  # than enough
        planned = run("plan", data / kind, *MLP, "--memory", "40MiB").stdout
        least = re.search(r"needs at least --memory ([\d.]+)MiB", planned)
        assert least, planned
        budget = f"{float(least[1]) - 0.2:.1f}MiB"
    said = refusal("plan", data / kind, *MLP, "--memory", budget)
    assert said == refusal("train", data / kind, *MLP, "--memory", budget, "--out", tmp_path / "run")
    advised = re.search(r"ive --memory (\S+?)(?:\.|, or (\S+) with --batch-size (\d+)\.)$", said)
    assert advised, said
    ways = [(advised[1], "32")] + ([(advised[2], advised[3])] if advised[2] else [])
    if lower := re.search(r"Lower --batch-size to (\d+) ", said):
        ways.append((budget, lower[1]))
    for i, (memory, rows) in enumerate(ways):
        options = (*MLP, "--memory", memory, "--batch-size", rows)
        run("plan", data / kind, *options)
        run("train", data / kind, *options, "--epochs", 1, "--out", tmp_path / f"run{i}")


def test_where_no_batch_fits_both_the_whole_need_and_that_of_smaller_batches_are_named(data):
    said = refusal("plan", data / "photos", *MLP, "--memory", "6.5MiB")
    assert re.search(r"32 rows, and .* No batch fits: give --memory \S+, or \S+ with --batch-size 4\.$", said)


def test_a_budget_of_a_few_bytes_is_no_damaged_file(data):
    for options in ((), ("--split", "none")):
        said = refusal("plan", data / "photos", *options, *MLP, "--memory", "5")
        assert "check" not in said
        assert said.count("\n") == 0
