"""Train on masks, evaluate, and predict masks as files."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import COMMAND, lines_of, run

import bitesize as bs

TRAINING = ("--image-size", "20", "--batch-size", "8", "--val-split", "0.25", "--early-stopping", "0")


def shapes(folder, rows, size=(20, 26)):
    """Write images with a bright disk and a dark square on noise, and their masks; a part of each third mask is void."""
    for kind in ("images", "masks"):
        (folder / kind / "part").mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[: size[0], : size[1]]
    for i in range(rows):
        random = np.random.default_rng(i)
        image, mask = random.uniform(60, 190, (*size, 3)), np.zeros(size, np.uint8)
        for number, color in ((1, 250), (2, 5)):
            cy, cx, reach = random.uniform(6, size[0] - 6), random.uniform(6, size[1] - 6), random.uniform(3, 5)
            inside = np.hypot(y - cy, x - cx) < reach if number == 1 else np.maximum(abs(y - cy), abs(x - cx)) < reach
            image[inside], mask[inside] = color, number
        if i % 3 == 0:
            mask[:2] = 255
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / "part" / f"{i:03}.png")
        Image.fromarray(mask).save(folder / "masks" / "part" / f"{i:03}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with data, and a run that was trained on it."""
    folder = tmp_path_factory.mktemp("masks")
    shapes(folder / "data", 64)
    run("train", folder / "data", *TRAINING, "--epochs", 12, "--out", folder / "run")
    return folder


def test_training_beats_the_most_frequent_class_and_records_the_metrics(trained):
    last = lines_of(trained / "run" / "history.csv")[-1]
    summary = json.loads((trained / "run" / "summary.json").read_text())
    assert summary["baseline"]["answer"] == "predicting the class '0' everywhere"
    assert float(last["val_mean_iou"]) > 1.5 * summary["baseline"]["value"]
    assert {"val_dice", "val_pixel_accuracy"} <= set(last)


def test_evaluation_agrees_with_the_training_and_prints_classes(trained):
    result = json.loads(run("evaluate", trained / "run", trained / "data", "--part", "val", "--json").stdout)
    last = lines_of(trained / "run" / "history.csv")[-1]
    for name in ("mean_iou", "pixel_accuracy", "loss"):
        assert result[name] == pytest.approx(float(last[f"val_{name}"]), abs=1e-4)
    assert sum(map(sum, result["confusion"])) == sum(each["pixels"] for each in result["per_class"])
    printed = run("evaluate", trained / "run", trained / "data", "--part", "val").stdout
    assert "predicting 0 everywhere gives mean IoU" in printed


def test_evaluation_names_a_mask_with_an_unknown_number(trained, tmp_path):
    shapes(tmp_path, 2)
    Image.fromarray(np.full((20, 26), 9, np.uint8)).save(tmp_path / "masks" / "part" / "001.png")
    failed = run("evaluate", trained / "run", tmp_path, code=1)
    assert "001.png (row 1) has the number 9" in " ".join(failed.stderr.split())


def test_masks_are_written_in_the_sizes_of_the_images(trained, tmp_path):
    shapes(tmp_path / "new", 3, (31, 47))
    out = tmp_path / "found.csv"
    run("predict", trained / "run", tmp_path / "new" / "images", "--out", out)
    lines = lines_of(out)
    assert [os.path.relpath(line["mask"], tmp_path).replace(os.sep, "/") for line in lines] == [
        f"found-masks/part/00{i}.png" for i in range(3)
    ]
    for line in lines:
        with Image.open(line["mask"]) as image:
            mask = np.asarray(image)
            assert (image.mode, mask.shape) == ("L", (31, 47))
        assert set(np.unique(mask)) <= {0, 1, 2}
        assert sum(float(line[f"share_{name}"]) for name in "012") == pytest.approx(1, abs=1e-3)
    in_memory = bs.load(trained / "run").predict(tmp_path / "new" / "images")
    assert (in_memory[2].mask == mask).all()


def test_masks_of_another_run_are_not_replaced_unasked(trained, tmp_path):
    images = trained / "data" / "images" / "part" / "000.png"
    run("predict", trained / "run", images, "--out", tmp_path / "a.csv", "--masks", tmp_path / "m")
    failed = run("predict", trained / "run", images, "--out", tmp_path / "b.csv", "--masks", tmp_path / "m", code=1)
    assert "has files already" in " ".join(failed.stderr.split())
    run("predict", trained / "run", images, "--out", tmp_path / "b.csv", "--masks", tmp_path / "m", "--overwrite")


def test_images_of_the_same_stem_get_masks_of_their_own(trained, tmp_path):
    pixels = np.zeros((20, 20, 3), np.uint8)
    for name in ("a.png", "a.bmp"):
        Image.fromarray(pixels).save(tmp_path / name)
    run("predict", trained / "run", tmp_path / "a.bmp", tmp_path / "a.png", "--out", tmp_path / "p.csv")
    assert sorted(os.listdir(tmp_path / "p-masks")) == ["a.png", "a.png.png"]


def test_a_file_that_cannot_be_read_has_a_reason_and_no_mask(trained, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    good = trained / "data" / "images" / "part" / "000.png"
    run("predict", trained / "run", tmp_path / "bad.png", good, "--out", tmp_path / "p.csv")
    bad, fine = lines_of(tmp_path / "p.csv")
    assert (bad["mask"], bad["share_0"]) == ("", "")
    assert bad["error"]
    assert fine["mask"]
    assert not fine["error"]


def test_masks_beyond_the_budget_name_the_command_that_writes_files(trained):
    with pytest.raises(bs.DoesNotFit, match=r"bitesize predict .* --masks FOLDER"):
        bs.load(trained / "run").predict(trained / "data" / "images", memory="8 KiB")


KILLED = """
import os
from bitesize.cli.app import main
from bitesize.training.loop import Records
batch, count = Records.batch, [0]
def counted(self, *given, **more):
    batch(self, *given, **more)
    count[0] += 1
    if count[0] == 9:
        os._exit(9)
Records.batch = counted
main()
"""


def weights_of(run_folder):
    """Return all weights of a run's model."""
    return bs.load(run_folder).model.get_weights()


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_weights_and_stores_and_caches_train_the_same(tmp_path):
    data, whole, killed = shapes(tmp_path / "data", 48), tmp_path / "whole", tmp_path / "killed"
    options = [*TRAINING, "--epochs", "3"]
    run("train", data, *options, "--out", whole)
    words = ["train", str(data), *options, "--checkpoint-every", "2", "--out", str(killed)]
    child = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, check=False)
    assert child.returncode == 9, child.stderr
    run("train", "--resume", "--out", killed)
    for mine, other in zip(weights_of(whole), weights_of(killed), strict=True):
        assert (mine == other).all()
    run("train", data, *options, "--cache", "64MiB", "--cache-folder", tmp_path / "cache", "--out", tmp_path / "cached")
    run("pack", data, "--kind", "bytes", "--out", tmp_path / "store")
    run("train", tmp_path / "store", *options, "--out", tmp_path / "packed")
    for name in ("cached", "packed"):
        for mine, other in zip(weights_of(whole), weights_of(tmp_path / name), strict=True):
            assert (mine == other).all(), name


@pytest.mark.slow
@pytest.mark.ranks
def test_workers_score_the_same(trained):
    pytest.importorskip("ray", reason="ray is not installed")
    command = ["evaluate", trained / "run", trained / "data", "--json"]
    alone = json.loads(run(*command).stdout)
    done = subprocess.run([*COMMAND, *map(str, command), "--workers", "2"], capture_output=True, text=True, check=True)
    shared = json.loads(done.stdout)
    # Batches of other sizes round outputs otherwise.
    assert shared.pop("loss") == pytest.approx(alone.pop("loss"), rel=1e-6)
    assert shared == alone
