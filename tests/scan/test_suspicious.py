"""`bitesize check` and `info` say when images and volumes of 16 bits use a small part of their range."""

import json

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import run

import bitesize as bs

tifffile, nibabel, pydicom = (pytest.importorskip(name) for name in ("tifffile", "nibabel", "pydicom"))
RANDOM = np.random.default_rng(0)


def png(path, x):
    Image.fromarray(x).save(f"{path}.png")


def tiff(path, x):
    tifffile.imwrite(f"{path}.tif", x, photometric="minisblack")


def npy(path, x):
    np.save(f"{path}.npy", x)


def nifti(path, x):
    nibabel.Nifti1Image(x, np.diag([-2.0, -1.0, 3.0, 1.0])).to_filename(f"{path}.nii.gz")


def dicom(path, x):
    file, meta = pydicom.Dataset(), pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[str(path)])
    file.file_meta, file.SOPClassUID, file.SOPInstanceUID = meta, pydicom.uid.CTImageStorage, meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = *x.shape, 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, int(x.dtype.kind == "i")
    file.PixelData = x.tobytes()
    file.save_as(f"{path}.dcm", enforce_file_format=True)


# Name: how a file is written, shape, dtype, smallest and largest value, settings of bs.open, and whether it is said.
CASES = {
    "png": (png, (20, 24), np.uint16, 0, 4095, {}, True),
    "png of the whole range": (png, (20, 24), np.uint16, 0, 65_535, {}, False),
    "png of an eighth": (png, (20, 24), np.uint16, 0, 8192, {}, False),
    "png of 8 bits": (png, (20, 24), np.uint8, 0, 20, {}, False),
    "tiff": (tiff, (20, 24), np.uint16, 0, 4095, {}, True),
    "tiff of pages": (tiff, (5, 20, 24), np.uint16, 0, 4095, {"pages": "channels"}, True),
    "tiff of slices": (tiff, (5, 20, 24), np.uint16, 0, 4095, {"pages": "depth"}, True),
    "tiff with a sign": (tiff, (20, 24), np.int16, -1024, 3071, {}, False),
    "tiff of floats": (tiff, (20, 24), np.float32, 0, 1, {}, False),
    "dicom": (dicom, (20, 24), np.uint16, 0, 4095, {}, True),
    "dicom with a sign": (dicom, (20, 24), np.int16, -1024, 3071, {}, False),
    "nifti": (nifti, (6, 20, 24), np.uint16, 0, 4095, {}, True),
    "nifti with a sign": (nifti, (6, 20, 24), np.int16, -1024, 3071, {}, False),
    "npy": (npy, (20, 24), np.uint16, 0, 4095, {}, True),
    "npy of bands": (npy, (20, 24, 5), np.uint16, 0, 4095, {"axes": "HWC"}, True),
    "npy of volumes": (npy, (6, 20, 24), np.uint16, 0, 4095, {"axes": "DHW"}, True),
    "npy of features": (npy, (30,), np.uint16, 0, 4095, {}, False),
    "npy of floats": (npy, (20, 24), np.float32, 0, 1, {}, False),
    "npy with a sign": (npy, (20, 24), np.int16, -1024, 3071, {}, False),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_values_in_a_small_part_of_their_range_are_said(name, tmp_path):
    write, shape, dtype, least, most, settings, said = CASES[name]
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(4):
        x = RANDOM.uniform(least, most, shape).astype(dtype)
        x.reshape(-1)[:2] = least, most
        write(folder / str(i), x)
    source = bs.open(folder, labels=False, **settings)
    found = bs.check(source, memory="64 MiB")
    reasons = [row.reason for row in found.suspicious if "of their range" in row.reason]
    assert len(reasons) == said  # one row stands for all
    hints = [hint.chosen for hint in source.explain().hints if "of their range" in hint.chosen]
    assert len(hints) == said
    words = [f"--{name}={value}" for name, value in settings.items()]
    shown = json.loads(run("info", folder, "--labels", "none", "--json", *words).stdout)
    assert [hint["chosen"] for hint in shown["hints"] if "of their range" in hint["chosen"]] == hints
    told = run("check", folder, "--labels", "none", "--json", *words, code=3 if found.suspicious else 0).stdout
    assert ("of their range" in told) is said
    assert ("of their range" in run("info", folder, "--labels", "none", *words).stdout.replace("\n", " ")) is said
    if said:
        assert f"within 0 to {most:,} of 65,535" in reasons[0]
        assert f"bs.Scale(1 / {most})" in hints[0]
