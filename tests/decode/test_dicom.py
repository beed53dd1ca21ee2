"""DICOM images: values are those that pydicom's functions give, larger is brighter, colors are RGB."""

import io
from pathlib import Path

import numpy as np
import pytest

import bitesize as bs
from bitesize.decode.decode import decode, decode_nbytes, pixels_nbytes
from bitesize.decode.dicom_stream import check_codestream
from bitesize.decode.header import read_info
from bitesize.errors import BadFile, BitesizeError, UnsupportedFile

pydicom = pytest.importorskip("pydicom")
from pydicom.pixels import apply_color_lut, apply_modality_lut  # noqa: E402 - after the check that it is installed

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, about odd files
DATA = Path(pydicom.__file__).parent / "data" / "test_files"
SHIPPED = sorted(DATA.glob("*.dcm"))
# Files that are refused although pydicom reads their pixels: without a preamble, or deflated.
REFUSED = {"ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "image_dfl.dcm", "no_meta.dcm", "MR_truncated.dcm"}


def decoded(data, mode="unchanged"):
    view = memoryview(data)
    info = read_info(view)
    return decode(view, info, mode, 8, np.empty(pixels_nbytes(info, mode, 8), np.uint8))


def expected(file):
    """Return the values of the first frame, by pydicom."""
    values = file.pixel_array
    values = values[0] if int(file.get("NumberOfFrames") or 1) > 1 else values
    if file.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(values, file)
    return apply_modality_lut(values, file) if file.PhotometricInterpretation.startswith("MONOCHROME") else values


def image(values, *, photometric="MONOCHROME2", bits=None, **tags):
    """Return the bytes of an uncompressed file."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = "1.2.3"
    allocated = 8 * values.dtype.itemsize
    file.Rows, file.Columns = values.shape[:2]
    file.SamplesPerPixel, file.PhotometricInterpretation = (values.shape[2] if values.ndim == 3 else 1), photometric
    file.BitsAllocated, file.BitsStored, file.HighBit = allocated, bits or allocated, (bits or allocated) - 1
    file.PixelRepresentation, file.PlanarConfiguration = int(values.dtype.kind == "i"), 0
    for name, value in tags.items():
        setattr(file, name, value)
    file.PixelData = values.tobytes()
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def readable(path):
    """Return the values by pydicom, or None if it does not read pixels of the file."""
    try:
        return expected(pydicom.dcmread(path))
    except Exception:
        return None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_files_that_pydicom_ships_are_read_equal_to_it(path):
    values = readable(path)
    if values is None or path.name in REFUSED:
        with pytest.raises(BitesizeError):
            decoded(path.read_bytes())
        return
    found = decoded(path.read_bytes())
    assert found.dtype == values.dtype.newbyteorder("=") or (
        values.dtype == np.float64 and found.dtype in (np.float32, np.int16, np.uint16)
    )
    assert np.array_equal(found, values.reshape(found.shape).astype(found.dtype))
    if found.dtype.kind != "f":
        assert np.array_equal(found, values.reshape(found.shape))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_stored_values_keep_their_dtype(dtype):
    values = np.random.default_rng(0).integers(0, 200, (9, 7)).astype(dtype)
    found = decoded(image(values))
    assert found.dtype == dtype
    assert np.array_equal(found[..., 0], values)


@pytest.mark.parametrize(
    ("bits", "slope", "intercept", "dtype"),
    [(12, 1, -1024, np.int16), (12, 1, 1000, np.int16), (15, 1, 30_000, np.uint16), (16, 1, -1024, np.float32), (12, 0.5, 0, np.float32), (12, 1, 0.5, np.float32)],
)  # fmt: skip
def test_rescaled_values_are_whole_where_all_fit(bits, slope, intercept, dtype):
    values = np.random.default_rng(0).integers(0, 2**bits, (9, 7), np.uint16)
    found = decoded(image(values, bits=bits, RescaleSlope=slope, RescaleIntercept=intercept))
    assert found.dtype == dtype
    assert np.array_equal(found[..., 0], (values * np.float64(slope) + intercept).astype(dtype))


def test_monochrome1_is_inverted_within_its_bits():
    values = np.array([[0, 1, 4095]], np.uint16)
    assert decoded(image(values, photometric="MONOCHROME1", bits=12))[..., 0].tolist() == [[4095, 4094, 0]]
    assert decoded(image(values - np.int16(9), photometric="MONOCHROME1", bits=13))[..., 0].tolist() == [[8, 7, -4087]]
    rescaled = image(values, photometric="MONOCHROME1", bits=12, RescaleSlope=-1, RescaleIntercept=4095)
    assert decoded(rescaled)[..., 0].tolist() == [[0, 1, 4095]]


def test_modes_of_8_bits_use_the_bits_that_are_stored():
    values = np.array([[0, 2048, 4095]], np.uint16)
    assert decoded(image(values, bits=12), "L")[..., 0].tolist() == [[0, 128, 255]]
    with pytest.raises(UnsupportedFile, match='mode="unchanged" keeps'):
        decoded(image(values.astype(np.int16)), "L")


def test_a_header_that_declares_more_than_the_file_has_is_refused():
    good = image(np.zeros((9, 7), np.uint16))
    for tags in ({"Rows": 65_535, "Columns": 65_535}, {"NumberOfFrames": 2**31 - 1}):
        file = pydicom.dcmread(io.BytesIO(good))
        for name, value in tags.items():
            setattr(file, name, value)
        stream = io.BytesIO()
        file.save_as(stream)
        with pytest.raises(BadFile, match="bytes for pixels, but"):
            read_info(memoryview(stream.getvalue()))


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "JPGExtended.dcm", "JPEGLSNearLossless_16.dcm"])
def test_a_compressed_frame_of_another_size_is_refused(name):
    file = pydicom.dcmread(DATA / name)
    file.Rows = file.Rows // 2
    stream = io.BytesIO()
    file.save_as(stream)
    with pytest.raises(BadFile, match="but its frame"):
        decoded(stream.getvalue())


def test_a_frame_of_endless_scans_is_refused():
    with pytest.raises(BadFile, match="scans"):
        check_codestream(memoryview(b"\xff\xd8" + b"\xff\xda\0\x02" * 200), 1, 1)


@pytest.mark.parametrize("name", ["CT_small.dcm", "SC_rgb_jpeg_dcmtk.dcm", "examples_palette.dcm", "693_J2KI.dcm", "SC_rgb_rle_16bit.dcm"])  # fmt: skip
def test_decoding_stays_within_the_memory_it_declares(name):
    import tracemalloc

    data = memoryview((DATA / name).read_bytes())
    info = read_info(data)
    decoded(data)  # imports
    tracemalloc.start()
    decoded(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= decode_nbytes(info, "unchanged", 8, len(data)) + (1 << 18)


def test_files_without_pixels_are_named_by_their_kind():
    with pytest.raises(UnsupportedFile, match=r"without pixels \(RT Plan Storage\)"):
        read_info(memoryview((DATA / "rtplan.dcm").read_bytes()))
    with pytest.raises(UnsupportedFile, match="deflated"):
        read_info(memoryview((DATA / "image_dfl.dcm").read_bytes()))


def test_x_rays_of_several_sizes_are_rows(tmp_path):
    random = np.random.default_rng(0)
    for i in range(6):
        values = random.integers(0, 4096, (20 + i, 30), np.uint16)
        path = tmp_path / "ab"[i % 2] / (f"{i}.dcm" if i < 3 else f"IM{i}.dcm")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image(values, bits=12, photometric=f"MONOCHROME{1 + i % 2}", SeriesInstanceUID=f"1.2.{i}"))
    source = bs.open(tmp_path)
    assert source.classes == ("a", "b")
    with bs.Loader(source, batch_size=3, memory="64 MiB", transforms=[bs.Resize(8)]) as loader:
        for batch in loader:
            assert batch["x"].shape == (3, 8, 8, 1)
            assert batch["x"].dtype == np.uint16
    for path in list(tmp_path.rglob("*.dcm")):
        path.rename(path.with_suffix(""))
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert [len(bs.open(tmp_path)), bs.open(tmp_path).classes] == [6, ("a", "b")]
