"""Images of any type, medical images and volumes open from addresses as from the disk: the same spec, choices, rows and fingerprint."""

import itertools
from contextlib import closing

import numpy as np
import pytest
from PIL import Image
from tests.storage.memory import memory_storage

import bitesize as bs
from bitesize.sources.slices import write_example
from bitesize.storage import stores

tifffile, nibabel, pydicom = (pytest.importorskip(name) for name in ("tifffile", "nibabel", "pydicom"))
imagecodecs, fsspec = (pytest.importorskip(name) for name in ("imagecodecs", "fsspec"))
_numbers = itertools.count()
RANDOM = np.random.default_rng(0)


def whole(shape, dtype=np.uint16):
    return RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype)


def each(write):
    """Return a function that writes three files in each of two class folders."""

    def write_all(folder):
        for i in range(6):
            (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
            write(folder / "ab"[i % 2] / f"{i}")

    return write_all


def tiff(*shape, dtype=np.uint16, **options):
    options = {"photometric": "minisblack", **options}
    return each(lambda path: tifffile.imwrite(f"{path}.tif", whole(shape, dtype), **options))


def nifti(suffix, dtype=np.int16):
    affine = np.array([[0, -2.0, 0, 0], [1, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
    return each(lambda path: nibabel.Nifti1Image(whole((4, 6, 5), dtype), affine).to_filename(f"{path}{suffix}"))


def with_masks(folder):
    for i in range(3):
        for kind, most in (("images", 900), ("labels", 3)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            values = RANDOM.integers(0, most, (6, 5, 4)).astype(np.int16)
            nibabel.Nifti1Image(values, np.diag([-1.0, 2.0, 3.0, 1.0])).to_filename(folder / kind / f"{i}.nii.gz")


def dicom_images(folder):
    """Slices without anything in common."""
    write_example(folder / "all", 6, 1)
    for i, path in enumerate(sorted((folder / "all").rglob("*.dcm"))):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        path.rename(folder / "ab"[i % 2] / f"{i}.dcm")
        path.parent.rmdir()
    (folder / "all").rmdir()


def series_of_classes(folder):
    write_example(folder, 4, 3)
    for i in range(4):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        (folder / f"p{i}").rename(folder / "ab"[i % 2] / f"p{i}")


def mixed(folder):
    each(lambda path: Image.fromarray(whole((6, 7), np.uint8)).save(f"{path}.png"))(folder)
    Image.fromarray(whole((6, 7))).save(folder / "b" / "7.png")


CASES = {
    "png of 16 bits": (each(lambda path: Image.fromarray(whole((6, 7))).save(f"{path}.png")), {}),
    "png of 16 bits and colors": (
        each(lambda path: path.with_suffix(".png").write_bytes(imagecodecs.png_encode(whole((6, 7, 3))))),
        {},
    ),
    "png of 8 and 16 bits": (mixed, {}),
    "tiff of 16 bits": (tiff(6, 7), {}),
    "tiff of 16 bits as 8": (tiff(6, 7), {"mode": "RGB"}),
    "tiff of bands": (tiff(6, 7, 5, dtype=np.uint8, planarconfig="contig"), {}),
    "tiff of floats": (each(lambda path: tifffile.imwrite(f"{path}.tif", RANDOM.random((6, 7)).astype(np.float32))), {}),
    "tiff in tiles": (tiff(40, 50, 3, photometric="rgb", tile=(16, 16), compression="zstd"), {}),
    "pages": (tiff(4, 6, 7), {}),
    "pages, of which the first": (tiff(4, 6, 7), {"pages": "first"}),
    "pages that are channels": (tiff(4, 6, 7), {"pages": "channels"}),
    "pages that are slices": (tiff(4, 6, 7), {"pages": "depth"}),
    "pages that are rows": (tiff(4, 6, 7), {"pages": "rows"}),
    "pages by their metadata": (tiff(4, 6, 7, imagej=True, metadata={"axes": "ZYX"}), {}),
    "nifti": (nifti(".nii"), {}),
    "nifti, compressed": (nifti(".nii.gz"), {}),
    "nifti as stored": (nifti(".nii.gz"), {"orient": False}),
    "nifti with masks": (with_masks, {}),
    "dicom": (dicom_images, {}),
    "dicom as 8 bits": (dicom_images, {"mode": "L"}),
    "dicom series": (lambda folder: write_example(folder, 3, 3), {}),
    "dicom series of classes": (series_of_classes, {}),
    "dicom series with labels": (lambda folder: write_example(folder, 3, 3), {"labels": {"p0": "x", "p1": "y", "p2": "x"}}),
    "dicom slices as images": (lambda folder: write_example(folder, 3, 3), {"pages": "rows"}),
    "volumes": (each(lambda path: np.save(path, whole((4, 6, 7)))), {"axes": "DHW"}),
}


@pytest.fixture(params=["bitesize", "fsspec"])
def put(request, monkeypatch, tmp_path):
    """Put the files of a folder into a storage in memory, and return the address of the folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = f"images-{next(_numbers)}"
    if request.param == "fsspec":
        monkeypatch.delitem(stores._openers, "memory", raising=False)  # that of other tests

    def put_files(folder):
        files = {
            path.relative_to(folder.parent).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        if request.param == "bitesize":
            memory_storage(files)
            return f"memory://bucket/{folder.name}"
        for name, data in files.items():
            fsspec.filesystem("memory").pipe(f"/{bucket}/{name}", data)
        return f"memory://{bucket}/{folder.name}"

    yield put_files
    if request.param == "fsspec":
        fsspec.filesystem("memory").rm(f"/{bucket}", recursive=True)
        stores._storages.pop(f"memory://{bucket}", None)


def facts(data, top, **settings):
    """Return what is known of opened data, with the folder of it cut from names, and its rows."""
    with closing(bs.open(data, **settings)) as source:
        said = [str(choice).replace(top, "") for choice in source.choices]
        rows = [row_of(source, i) for i in range(len(source))]
        return {
            "spec": source.spec,
            "choices": [line for line in said if not line.startswith("listed ") and "fsspec" not in line],
            "left out": dict(source.left_out),
            "names": [source.describe(i).replace(top, "").replace("\\", "/") for i in range(len(source))],
            "classes": source.classes,
            "fingerprint": source.fingerprint(),
        }, rows


def row_of(source, i):
    """Return the fields of a row, or the kind of its error."""
    try:
        return {name: source[i][name] for name in source.spec}
    except bs.BitesizeError as error:
        return {"error": type(error).__name__}


@pytest.mark.parametrize("name", CASES)
def test_data_at_an_address_are_those_on_the_disk(name, put, tmp_path):
    write, settings = CASES[name]
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder)
    address = put(folder)
    expected, rows = facts(folder, str(folder), **settings)
    found, there = facts(address, address, **settings)
    assert found == expected
    assert len(rows) == len(there)
    for own, other in zip(rows, there, strict=True):
        np.testing.assert_equal(own, other)
    names = sorted(path for path in folder.rglob("*") if path.is_file())[:2]
    if settings.get("labels") is None and not expected["names"][0].endswith("p0"):  # a list of a few of the files
        own, own_rows = facts(names, str(folder), **settings)
        other, other_rows = facts(
            [f"{address}/{path.relative_to(folder).as_posix()}" for path in names], address, **settings
        )
        assert other == own
        for row, there_row in zip(own_rows, other_rows, strict=True):
            np.testing.assert_equal(row, there_row)
