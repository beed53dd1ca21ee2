"""Series of DICOM files are volumes: slices in the order of space, values as pydicom rescales them."""

import shutil

import numpy as np
import pytest

import bitesize as bs
from bitesize.sources.dicom_series import DicomSeries
from bitesize.sources.slices import write_example
from bitesize.testing import check_bad_rows, check_source

pydicom = pytest.importorskip("pydicom")


def series(folder, rows=8, slices=5):
    write_example(folder, rows, slices)
    return folder


def change(path, **tags):
    """Change, or with None remove, elements of a file."""
    file = pydicom.dcmread(path)
    for name, value in tags.items():
        if value is None:
            delattr(file, name)
        else:
            setattr(file, name, value)
    file.save_as(path)


def expected(folder, key=lambda file: float(file.ImagePositionPatient[2])):
    files = sorted(map(pydicom.dcmread, folder.iterdir()), key=key)
    return np.stack([pydicom.pixels.apply_rescale(file.pixel_array, file) for file in files])


def test_the_contract_of_sources_holds(tmp_path):
    check_source(DicomSeries.example(tmp_path, 12))


def test_slices_are_in_the_order_of_their_positions(tmp_path):
    source = bs.open(series(tmp_path))
    assert isinstance(source, DicomSeries)
    assert (len(source), source.spec["x"].axes, source.spec["x"].dtype) == (8, "DHW", np.int16)
    for i in range(8):
        assert np.array_equal(source[i]["x"], expected(tmp_path / f"p{i}"))
    said = [str(choice) for choice in source.choices]
    assert any('pages="rows"' in each for each in said)
    assert any("position along the normal" in each for each in said)


def test_slices_of_oblique_planes_are_ordered_along_their_normal(tmp_path):
    series(tmp_path)
    for path in tmp_path.rglob("*.dcm"):
        number = pydicom.dcmread(path).InstanceNumber
        change(path, ImageOrientationPatient=[0, 1, 0, 0, 0, 1], ImagePositionPatient=[-3.0 * number, 5, 7])
    source = bs.open(tmp_path)
    assert np.array_equal(source[2]["x"], expected(tmp_path / "p2", key=lambda file: float(file.ImagePositionPatient[0])))


def test_without_positions_slices_are_in_the_order_of_instance_numbers(tmp_path):
    series(tmp_path)
    for path in tmp_path.rglob("*.dcm"):
        change(path, ImageOrientationPatient=None, InstanceNumber=99 - int(pydicom.dcmread(path).InstanceNumber))
    source = bs.open(tmp_path)
    assert any("InstanceNumber" in choice.chosen for choice in source.choices)
    assert np.array_equal(source[1]["x"], expected(tmp_path / "p1", key=lambda file: int(file.InstanceNumber)))


def test_folders_with_several_series_are_classes_and_labels_name_series(tmp_path):
    series(tmp_path / "ill", 3)
    series(tmp_path / "well", 2)
    source = bs.open(tmp_path)
    assert (source.classes, source.labels.tolist()) == (("ill", "well"), [0, 0, 0, 1, 1])
    assert bs.open(tmp_path, labels=False).labels is None
    named = bs.open(tmp_path, labels={f"{kind}/p{i}": str(i) for kind in ("ill", "well") for i in range(3)})
    assert named.labels.tolist() == [0, 1, 2, 0, 1]
    train, val = source.split(0.6, by=r"(p\d)")
    assert {train.path(i)[-2:] for i in range(len(train))}.isdisjoint({val.path(i)[-2:] for i in range(len(val))})


def test_series_of_one_folder_are_told_apart(tmp_path):
    series(tmp_path / "apart", 3)
    (tmp_path / "together").mkdir()
    for path in (tmp_path / "apart").rglob("*.dcm"):
        shutil.copy(path, tmp_path / "together" / f"{path.stem}-{path.parent.name}.dcm")
    apart, together = bs.open(tmp_path / "apart"), bs.open(tmp_path / "together")
    assert len(together) == 3
    assert sorted(apart[i]["x"].tobytes() for i in range(3)) == sorted(together[i]["x"].tobytes() for i in range(3))


def test_damaged_and_other_slices_make_bad_rows(tmp_path):
    series(tmp_path, 10)
    (tmp_path / "p1" / "2.dcm").unlink()
    (tmp_path / "p3" / "1.dcm").write_bytes(b"no image")
    change(tmp_path / "p4" / "3.dcm", Rows=5)
    change(tmp_path / "p6" / "3.dcm", SeriesInstanceUID="1.2.3")
    change(tmp_path / "p7" / "2.dcm", ImagePositionPatient=[0, 0, 0])
    change(tmp_path / "p8" / "2.dcm", RescaleSlope=0.5)
    source = bs.open(tmp_path)
    assert any("1 of 10 series have another number of slices" in choice.chosen for choice in source.choices)
    check_bad_rows(source, [1, 3, 4, 6, 7, 8])


def test_files_of_several_frames_are_volumes(tmp_path):
    series(tmp_path, 4, slices=1)
    for i, path in enumerate(sorted(tmp_path.rglob("*.dcm"))):
        change(path, NumberOfFrames=3, PixelData=np.full((3, 6, 5), i, np.uint16).tobytes())
    for path in sorted(tmp_path.rglob("*.dcm")):
        shutil.move(path, tmp_path / f"{path.parent.name}.dcm")
        path.parent.rmdir()
    found = DicomSeries.example  # noqa: F841 - the class is public
    from bitesize.sources.series_files import series_in

    volumes = DicomSeries(series_in(str(tmp_path)).series)
    assert volumes.spec["x"].shape == (3, 6, 5)
    assert sorted(int(volumes[i]["x"].max()) for i in range(4)) == [-1024, -1023, -1022, -1021]
