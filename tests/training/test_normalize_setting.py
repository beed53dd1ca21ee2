"""`bitesize train --normalize`: windows and percentiles are measured on the training rows, recorded, and applied to other data."""

import csv

import numpy as np
import pytest
from tests.cli.running import run

import bitesize as bs
from bitesize.training.normalize_setting import named_step

pytest.importorskip("sklearn")
pytest.importorskip("skops")
ROWS = 24


@pytest.mark.parametrize(
    "text",
    [
        "",
        "window",
        "window=40",
        "window=40,0",
        "window=a,b",
        "window=1,2,3",
        "percentiles=99,1",
        "percentiles=1",
        "data=1,2",
        "Window=1,2",
    ],
)
def test_settings_without_a_meaning_are_refused(text):
    with pytest.raises(bs.BadSetting, match=r"--normalize|Window|Percentiles"):
        named_step(text)


@pytest.fixture(scope="module", params=["images", "volumes", "table"])
def data(request, tmp_path_factory):
    folder, random = tmp_path_factory.mktemp(request.param), np.random.default_rng(0)
    shape = {"images": (6, 7, 5), "volumes": (4, 6, 5), "table": (9,)}[request.param]
    dtype = {"images": np.uint16, "volumes": np.int16, "table": np.float32}[request.param]
    x = random.normal(800, 300, (ROWS, *shape)).astype(dtype)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", np.arange(ROWS) % 2)
    axes = {"images": ["--axes", "HWC"], "volumes": ["--axes", "DHW"], "table": []}[request.param]
    return folder, x, ["--labels", folder / "y.npy", *axes]


def train(data, out, *options):
    folder, _, words = data
    run("train", folder / "x.npy", *words, "--model", "sklearn:MLPClassifier", "--epochs", 1, "--out", out, *options)
    return bs.load(out)


@pytest.mark.parametrize("setting", ["window=800,400", "percentiles", "percentiles=5,90", "row-percentiles=2,98"])
def test_values_are_clipped_to_the_range_and_predictions_are_of_these(data, setting, tmp_path):
    folder, x, _ = data
    model = train(data, tmp_path / "run", "--normalize", setting, "--val-split", 0)
    (saved,) = model.config["scaling"]
    channels = x.shape[-1] if x.ndim == 4 and x.dtype == np.uint16 else 1
    if setting.startswith("percentiles"):
        low, high = (1, 99) if setting == "percentiles" else (5, 90)
        least, most = np.percentile(x.reshape(-1, channels).astype(np.float64), [low, high], axis=0)
        np.testing.assert_allclose(np.ravel(saved["center"]), (least + most) / 2, rtol=1e-6)
        np.testing.assert_allclose(np.ravel(saved["width"]), most - least, rtol=1e-6)
        assert f"percentiles {low} and {high} of the training data" in model.config["values"]
    elif setting.startswith("window"):
        assert saved == bs.Window(800.0, 400.0).to_dict()
    else:
        assert saved == bs.Percentiles(2.0, 98.0).to_dict()
        assert "of each row" in model.config["values"]
    predicted = np.asarray(model.predict(folder / "x.npy").probabilities)
    np.testing.assert_array_equal(np.asarray(model.predict(x).probabilities), predicted)
    assert len(np.unique(predicted[:, 0])) == ROWS


def test_only_the_rows_of_training_are_measured(data, tmp_path):
    _, x, _ = data
    model = train(data, tmp_path / "run", "--normalize", "percentiles=0,100", "--val-split", 0.25)
    with open(tmp_path / "run" / model.config["split"]["file"], newline="", encoding="utf-8-sig") as file:
        rows = [int(line["row"]) for line in csv.DictReader(file) if line["part"] == "train"]
    assert len(rows) == ROWS * 3 // 4
    (saved,) = model.config["scaling"]
    values = x[rows].reshape(-1, len(np.ravel(saved["center"]))).astype(np.float64)
    np.testing.assert_allclose(np.ravel(saved["width"]), values.max(0) - values.min(0), rtol=1e-6)


def test_rows_that_are_skipped_are_not_measured(tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    x = random.integers(0, 5000, (ROWS, 8, 9), np.uint16)
    for i, row in enumerate(x):
        (tmp_path / "data" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(row).save(tmp_path / "data" / "ab"[i % 2] / f"{i:02}.png")
    (tmp_path / "data" / "a" / "99.png").write_bytes(b"damaged")
    words = ["--normalize", "percentiles=2,98", "--val-split", 0, "--on-error", "skip", "--max-bad", 0.1, "--image-size", 8]
    run("train", tmp_path / "data", "--model", "sklearn:MLPClassifier", "--epochs", 1, "--out", tmp_path / "run", *words)
    (saved,) = bs.load(tmp_path / "run").config["scaling"]
    low, high = np.percentile(x, [2, 98])
    np.testing.assert_allclose((saved["center"], saved["width"]), ((low + high) / 2, high - low), rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_each_channel_of_image_files_has_a_mean_and_a_deviation(tmp_path, dtype, channels):
    tifffile = pytest.importorskip("tifffile")
    random = np.random.default_rng(0)
    x = random.uniform(0, 200, (8, 6, 7, channels)).astype(dtype)
    for i, row in enumerate(x):
        (tmp_path / "data" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        planar = "contig" if channels > 1 else None
        tifffile.imwrite(tmp_path / "data" / "ab"[i % 2] / f"{i}.tif", row, photometric="minisblack", planarconfig=planar)
    words = ["--mode", "unchanged", "--normalize", "data", "--val-split", 0, "--image-size", 6]
    run("train", tmp_path / "data", "--model", "sklearn:MLPClassifier", "--epochs", 1, "--out", tmp_path / "run", *words)
    (saved,) = bs.load(tmp_path / "run").config["scaling"]
    unit, axes = 255 if dtype == np.uint8 else 1, (0, 1, 2)
    np.testing.assert_allclose(np.ravel(saved["mean"]), x.astype(np.float64).mean(axes) / unit, rtol=1e-6)
    np.testing.assert_allclose(np.ravel(saved["std"]), x.astype(np.float64).std(axes) / unit, rtol=1e-6)
