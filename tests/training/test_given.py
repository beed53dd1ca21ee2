"""Predictions of files, folders and arrays equal those of the opened source, whatever the axes, pages and mode of a run."""

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import run

import bitesize as bs
from bitesize.sources.slices import write_example

pytest.importorskip("sklearn")
pytest.importorskip("skops")
tifffile, nibabel, pydicom = (pytest.importorskip(name) for name in ("tifffile", "nibabel", "pydicom"))
ROWS = 12


def tiff(path, x, **options):
    tifffile.imwrite(path.with_suffix(".tif"), x, photometric="minisblack", **options)


def npy(path, x):
    np.save(path.with_suffix(".npy"), x)


def nifti(path, x):
    nibabel.Nifti1Image(x, np.diag([-2.0, -1.0, 3.0, 1.0])).to_filename(f"{path}.nii.gz")


def png(path, x):
    Image.fromarray(x).save(path.with_suffix(".png"))


def bands(path, x):
    tiff(path, x, planarconfig="contig")


# Name: how a file is written, shape and dtype of its array, settings of bs.open, other options.
CASES = {
    "channels of 8 bits": (tiff, (3, 6, 5), "uint8", {"pages": "channels"}, ()),
    "channels": (tiff, (5, 6, 5), "uint16", {"pages": "channels"}, ()),
    "depth": (tiff, (4, 6, 5), "uint16", {"pages": "depth"}, ()),
    "depth by metadata": (lambda p, x: tiff(p, x, imagej=True, metadata={"axes": "ZYX"}), (4, 6, 5), "uint16", {}, ()),
    "first of several": (tiff, (3, 6, 5), "uint16", {"pages": "first"}, ("--image-size", 5)),
    "bands": (bands, (6, 5, 5), "uint8", {}, ("--image-size", 5)),
    "four bands": (bands, (6, 5, 4), "uint8", {}, ("--image-size", 5)),
    "floats": (tiff, (6, 5), "float32", {}, ("--image-size", 5)),
    "signed": (tiff, (6, 5), "int16", {}, ("--image-size", 5)),
    "volumes": (npy, (4, 6, 5), "int16", {"axes": "DHW"}, ()),
    "volumes of channels": (npy, (4, 6, 5, 2), "float32", {"axes": "DHWC"}, ()),
    "volumes that are resized": (npy, (4, 6, 5), "int16", {"axes": "DHW"}, ("--image-size", 4)),
    "arrays of bands": (npy, (6, 7, 5), "float32", {"axes": "HWC"}, ("--image-size", 5)),
    "nifti": (nifti, (4, 6, 5), "int16", {}, ()),
    "nifti as stored": (nifti, (4, 6, 5), "int16", {"orient": False}, ()),
    "16 bits": (png, (6, 5), "uint16", {}, ("--image-size", 5)),
    "16 bits as 8": (png, (6, 5), "uint16", {"mode": "L"}, ("--image-size", 5)),
}


def arrays(shape, dtype):
    random = np.random.default_rng(0)
    most = 200 if dtype == "uint8" else 3000
    least = -1000 if np.dtype(dtype).kind in "if" else 0
    return random.uniform(least, most, (ROWS, *shape)).astype(dtype)


def trained(folder, settings, *options):
    """Train a network, whose probabilities differ as soon as one value does."""
    names = sorted(path.name for path in (folder / "data").iterdir())
    lines = [f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(names)]
    (folder / "labels.csv").write_text("path,label\n" + "".join(lines))
    words = [f"--{name}={value}" if value is not False else f"--no-{name}" for name, value in settings.items()]
    words += ["--labels", folder / "labels.csv", "--model", "sklearn:MLPClassifier", "--epochs", 1]
    run("train", folder / "data", *words, "--normalize", "data", "--out", folder / "run", *options)
    return bs.load(folder / "run")


def predicted(model, data):
    return np.asarray(model.predict(data, on_error="raise").probabilities)[:, 0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_files_are_read_as_the_training_data_were(name, tmp_path):
    write, shape, dtype, settings, options = CASES[name]
    (tmp_path / "data").mkdir()
    x = arrays(shape, dtype)
    for i, row in enumerate(x):
        write(tmp_path / "data" / f"{i:02}", row)
    model = trained(tmp_path, settings, *options)
    files = sorted(map(str, (tmp_path / "data").iterdir()))
    expected = predicted(model, bs.open(tmp_path / "data", labels=False, **settings))
    assert len(np.unique(expected)) == ROWS
    for data in (files, tmp_path / "data", str(tmp_path / "data" / "*")):
        np.testing.assert_array_equal(predicted(model, data), expected)
    np.testing.assert_allclose(predicted(model, files[7:8]), expected[7:8], rtol=1e-5)
    if write is npy:
        np.testing.assert_array_equal(predicted(model, x), expected)
        np.testing.assert_allclose(predicted(model, x[7]), expected[7:8], rtol=1e-5)
    other = model.evaluate(tmp_path / "data", labels=str(tmp_path / "labels.csv"))
    opened = bs.open(tmp_path / "data", labels=str(tmp_path / "labels.csv"), **settings)
    assert dict(other) == dict(model.evaluate(opened))


@pytest.mark.filterwarnings("ignore")
def test_pages_that_are_rows_are_predicted_one_by_one(tmp_path):
    (tmp_path / "data").mkdir()
    for i, stack in enumerate(arrays((3, 6, 5), "uint16")):
        tiff(tmp_path / "data" / f"{i:02}", stack)
    model = trained(tmp_path, {"pages": "rows"})
    files = sorted(map(str, (tmp_path / "data").iterdir()))
    expected = predicted(model, bs.open(tmp_path / "data", labels=False, pages="rows"))
    assert len(expected) == 3 * ROWS
    for data in (files, tmp_path / "data"):
        np.testing.assert_array_equal(predicted(model, data), expected)
    (tmp_path / "00.tif").write_bytes(b"damaged")
    found = model.predict([tmp_path / "00.tif", files[0]])
    np.testing.assert_allclose(found.probabilities[1:, 0], expected[:3], rtol=1e-5)
    assert list(found.errors) == [0]


def test_arrays_without_pages_are_taken_by_a_run_of_pages(tmp_path):
    (tmp_path / "data").mkdir()
    x = arrays((3, 6, 5), "uint16")
    for i, stack in enumerate(x):
        tiff(tmp_path / "data" / f"{i:02}", stack)
    model = trained(tmp_path, {"pages": "channels"})
    channels_last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    np.save(tmp_path / "x.npy", channels_last)
    expected = predicted(model, tmp_path / "data")
    np.testing.assert_array_equal(predicted(model, tmp_path / "x.npy"), expected)
    labels = ["ab"[i % 2] for i in range(len(x))]
    assert model.evaluate(tmp_path / "x.npy", labels)["rows"] == len(x)
    assert "(6, 5, 3)" in run("inspect", tmp_path / "x.npy", "--run", tmp_path / "run", "--out", tmp_path / "x.png").stdout


def test_files_of_several_shapes_are_predicted_by_their_shape(tmp_path):
    (tmp_path / "data").mkdir()
    for i, row in enumerate(arrays((3, 6, 5), "uint16")):
        tiff(tmp_path / "data" / f"{i:02}", row)
    model = trained(tmp_path, {"pages": "channels"}, "--image-size", 4)
    (tmp_path / "more").mkdir()
    x = arrays((3, 9, 7), "uint16")[:2]
    for i, row in enumerate(x):
        tiff(tmp_path / "more" / str(i), row)
    tiff(tmp_path / "more" / "2", x[0, :2])  # of two pages
    files = [str(tmp_path / "more" / f"{i}.tif") for i in range(3)]
    (tmp_path / "whole").mkdir()
    for i in range(2):
        tiff(tmp_path / "whole" / str(i), x[i])
    expected = predicted(model, bs.open(tmp_path / "whole", pages="channels"))
    first = str(tmp_path / "data" / "00.tif")
    found = model.predict([files[0], first, files[1], files[2]])
    np.testing.assert_allclose(found.probabilities[[0, 2], 0], expected, rtol=1e-5)
    assert list(found.errors) == [3]


@pytest.mark.filterwarnings("ignore")
def test_folders_of_a_dicom_series_are_volumes(tmp_path):
    write_example(tmp_path / "all", ROWS, 4)
    for i in range(ROWS):
        (tmp_path / "data" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / f"p{i}").rename(tmp_path / "data" / "ab"[i % 2] / f"p{i}")
    run("train", tmp_path / "data", "--model", "sklearn:MLPClassifier", "--normalize", "data", "--out", tmp_path / "run")
    model = bs.load(tmp_path / "run")
    source = bs.open(tmp_path / "data")
    expected = predicted(model, source)
    assert len(np.unique(expected)) == ROWS
    np.testing.assert_array_equal(predicted(model, tmp_path / "data"), expected)
    folders = [source.path(row).decode() for row in range(ROWS)]
    np.testing.assert_allclose(predicted(model, folders), expected, rtol=1e-5)
    np.testing.assert_allclose(predicted(model, folders[3]), expected[3:4], rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pages", [2, 5])
def test_a_picture_of_what_a_run_sees_has_its_pages(tmp_path, pages):
    (tmp_path / "data").mkdir()
    for i, row in enumerate(arrays((pages, 6, 5), "uint8")):
        tiff(tmp_path / "data" / f"{i:02}", row)
    trained(tmp_path, {"pages": "channels"})
    shown = run("inspect", tmp_path / "data", "--run", tmp_path / "run", "--out", tmp_path / "grid.png").stdout
    assert f"(6, 5, {pages}) uint8" in shown
    assert (tmp_path / "grid.png").exists()
