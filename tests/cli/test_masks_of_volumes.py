"""Train on volumes with masks, evaluate, and predict masks as NIfTI files and arrays."""

import json
import os

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import lines_of, run

import bitesize as bs
from bitesize.training.score import Scorer
from bitesize.training.trained import open_run

nibabel = pytest.importorskip("nibabel")

# z, x and y of the patient are the axes of a file, one of them reversed: no row has the order of its file.
AFFINE = np.array([[0, -1.0, 0, 9], [0, 0, 1, -3], [2, 0, 0, 4], [0, 0, 0, 1]])
SHAPE = (16, 32, 32)
TRAINING = ("--batch-size", "2", "--learning-rate", "0.004", "--val-split", "0.25", "--early-stopping", "0")


def scan(seed, shape=SHAPE):
    """Return noise with a bright ball and a dark box, and the mask, (depth, height, width)."""
    random = np.random.default_rng(seed)
    values, mask = random.normal(100, 30, shape), np.zeros(shape, np.uint8)
    for number, shift in ((1, 120), (2, -120)):
        center = [random.uniform(min(5, side / 2), max(side - 5, side / 2)) for side in shape]
        away = np.stack([axis - middle for axis, middle in zip(np.indices(shape), center, strict=True)])
        reach = random.uniform(3, 5)
        inside = np.linalg.norm(away, axis=0) < reach if number == 1 else abs(away).max(axis=0) < reach
        values[inside] += shift
        mask[inside] = number
    return values.astype(np.int16), mask


def stored(row):
    """Return a row in the order of the axes of its file."""
    return np.flip(row.transpose(0, 2, 1), 1)


def scans(folder, rows, shape=SHAPE):
    """Write volumes and their masks as nnU-Net does; a part of each third mask is void."""
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    for i in range(rows):
        values, mask = scan(i, shape)
        if i % 3 == 0:
            mask[:2] = 255
        nibabel.Nifti1Image(stored(values), AFFINE).to_filename(folder / "imagesTr" / f"case_{i:02}_0000.nii.gz")
        nibabel.Nifti1Image(stored(mask), AFFINE).to_filename(folder / "labelsTr" / f"case_{i:02}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with data, and a run that was trained for one epoch on it."""
    folder = tmp_path_factory.mktemp("volumes")
    scans(folder / "data", 8)
    run("train", folder / "data", *TRAINING, "--image-size", 16, "--epochs", 1, "--out", folder / "run")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_training_beats_the_background_by_a_wide_margin(tmp_path):
    scans(tmp_path / "data", 24)
    printed = run("train", tmp_path / "data", *TRAINING, "--epochs", 5, "--out", tmp_path / "run").stdout
    assert "model: unet" in printed
    result = json.loads(run("evaluate", tmp_path / "run", tmp_path / "data", "--part", "val", "--json").stdout)
    assert result["mean_iou"] > 2 * result["baseline"]["mean_iou"]
    assert sum(map(sum, result["confusion"])) == sum(each["pixels"] for each in result["per_class"])
    last = lines_of(tmp_path / "run" / "history.csv")[-1]
    assert result["loss"] == pytest.approx(float(last["val_loss"]), abs=1e-3)
    values, mask = scan(99)
    found = bs.load(tmp_path / "run").predict(values[None])[0].mask
    assert (found[mask > 0] == mask[mask > 0]).mean() > 0.6


def test_masks_of_scans_lie_over_them(trained, tmp_path):
    out = tmp_path / "found.csv"
    printed = run("predict", trained / "run", trained / "data" / "imagesTr", "--out", out).stdout
    assert ".nii.gz with the affine and the orientation of its file" in " ".join(printed.split())
    in_memory = bs.load(trained / "run").predict(trained / "data" / "imagesTr")
    assert in_memory.masks.shape == (8, 16, 16, 16)
    for line, (path, mask) in zip(lines_of(out), in_memory, strict=True):
        name = os.path.basename(line["path"])
        assert line["mask"] == str(tmp_path / "found-masks" / name)
        volume, written = nibabel.load(path), nibabel.load(line["mask"])
        assert (written.affine == volume.affine).all()
        assert written.get_data_dtype() == np.uint8
        assert mask.shape == SHAPE
        assert (np.asarray(written.dataobj) == stored(mask)).all()
        assert sum(float(line[f"share_{name}"]) for name in "012") == pytest.approx(1, abs=1e-3)


def test_written_masks_open_as_the_masks_of_the_scans(trained, tmp_path):
    run("predict", trained / "run", trained / "data" / "imagesTr", "--out", tmp_path / "p.csv", "--masks", tmp_path / "m")
    source = bs.open(str(trained / "data" / "imagesTr"), labels=str(tmp_path / "m"))
    first = bs.load(trained / "run").predict(trained / "data" / "imagesTr")[0].mask
    mask = np.empty((1, *SHAPE), source.spec["y"].dtype)
    source.read(np.array([0]), {"y": mask})
    assert (mask[0] == first).all()


def test_other_volumes_get_arrays_in_their_own_size(trained, tmp_path):
    values = scan(50, (12, 20, 24))[0]
    np.save(tmp_path / "small.npy", values)
    printed = run("predict", trained / "run", tmp_path / "small.npy", "--out", tmp_path / "p.csv").stdout
    assert ".npy (depth, height, width); values are class numbers" in " ".join(printed.split())
    mask = np.load(tmp_path / "p-masks" / "small.npy")
    assert (mask.dtype, mask.shape) == (np.uint8, (12, 20, 24))
    assert (bs.load(trained / "run").predict(values[None])[0].mask == mask).all()


def test_arrays_and_files_of_volumes_give_the_same_masks_in_any_size(trained, tmp_path):
    model, values = bs.load(trained / "run"), np.stack([scan(i, (12, 20, 24))[0] for i in range(2)])
    np.save(tmp_path / "two.npy", values)
    expected = model.predict(values)
    assert expected[1].mask.shape == (12, 20, 24)
    for given in (list(values), str(tmp_path / "two.npy")):
        assert (model.predict(given).masks == expected.masks).all()
    assert (model.predict(values[1])[0].mask == expected[1].mask).all()


def test_masks_do_not_replace_the_scans(trained, tmp_path):
    scans(tmp_path / "data", 1)
    folder = tmp_path / "data" / "imagesTr"
    before = (folder / "case_00_0000.nii.gz").read_bytes()
    command = ["predict", trained / "run", folder, "--out", tmp_path / "p.csv", "--masks", folder, "--overwrite"]
    assert "would replace it" in " ".join(run(*command, code=1).stderr.split())
    assert (folder / "case_00_0000.nii.gz").read_bytes() == before


def test_a_scan_that_cannot_be_read_has_a_reason_and_no_mask(trained, tmp_path):
    scans(tmp_path / "data", 2)
    (tmp_path / "data" / "imagesTr" / "case_01_0000.nii.gz").write_bytes(b"no scan")
    run("predict", trained / "run", tmp_path / "data" / "imagesTr", "--out", tmp_path / "p.csv")
    fine, bad = lines_of(tmp_path / "p.csv")
    assert fine["mask"]
    assert (bad["mask"], bad["share_0"]) == ("", "")
    assert bad["error"]


def test_inspect_shows_what_a_run_was_trained_on(trained, tmp_path):
    printed = run("inspect", trained / "data", "--run", trained / "run", "--rows", 2, "--out", tmp_path / "grid.png").stdout
    assert "volumes: the slice in the middle of the depth is shown" in printed
    with Image.open(tmp_path / "grid.png") as picture:
        colors = np.asarray(picture.convert("RGB")).astype(int)
    assert (abs(colors - colors.mean(axis=2, keepdims=True)) > 30).any()  # masks are colored over gray slices


def test_volumes_that_do_not_fit_are_refused_before_training(tmp_path):
    scans(tmp_path / "flat", 4, (3, 12, 12))
    failed = run("train", tmp_path / "flat", "--val-split", 0, "--out", tmp_path / "a", code=1)
    assert "needs volumes of at least 4 voxels along each axis" in " ".join(failed.stderr.split())
    scans(tmp_path / "data", 4)
    failed = run("train", tmp_path / "data", "--memory", "100KiB", "--val-split", 0, "--out", tmp_path / "b", code=1)
    assert "Loading for training needs" in " ".join(failed.stderr.split())
    failed = run("train", tmp_path / "data", "--model", "cnn", "--val-split", 0, "--out", tmp_path / "c", code=1)
    assert "predicts one class per row" in " ".join(failed.stderr.split())


def test_masks_beyond_the_budget_name_the_command_that_writes_files(trained):
    with pytest.raises(bs.DoesNotFit, match=r"bitesize predict .* --masks FOLDER"):
        bs.load(trained / "run").predict(trained / "data" / "imagesTr", memory="8 KiB")


def test_batches_are_smaller_if_their_scores_do_not_fit(trained):
    scorer = Scorer(open_run(trained / "run"))
    source = bs.open(str(trained / "data" / "imagesTr"))
    row = 16**3 * (4 * 4 * 3 + 48)  # three classes: outputs and scores in float32, and the classes that are compared
    sizes = []
    for size in ("8 MiB", "16 MiB"):
        budget = bs.Budget(size)
        with scorer.loader(source, budget, 8, "raise") as loader:
            sizes.append(loader.batch_size)
            before, batches = budget.granted, scorer.batches(loader, lambda rows: None)
            assert next(batches).scores.shape == (loader.batch_size, 16, 16, 16, 3)
            assert budget.granted - before >= loader.batch_size * row
            batches.close()
            assert budget.granted <= before
    assert sizes[0] < sizes[1] == 8
