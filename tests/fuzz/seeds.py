"""Good files that fuzzing begins with, made here, so that the corpus in the project holds only what was found."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from bitesize.decode.raw import raw_header
from bitesize.files.tar_index import SUFFIX, tar_index
from bitesize.training.snapshot import write_snapshot
from tests.fuzz.targets import _CHUNK, _CHUNK_CODECS, _TAR, store_seed, survives
from tests.hostile.arrays import hostile_npy, hostile_npz
from tests.hostile.images import whole_images, whole_tiffs
from tests.hostile.medical import whole_dicoms, whole_nifti


def seeds(target: str) -> list[bytes]:
    """Give good files of a kind, and some odd ones."""
    random = np.random.default_rng(0)
    if target == "npy":
        return [_npy(np.asarray(array, order=order)) for array in (np.eye(3), np.zeros((2, 3), ">i2")) for order in "CF"] + [
            hostile_npy(random) for _ in range(40)
        ]
    if target == "npz":
        return [_npz(method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)] + [
            each for each in (hostile_npz(random) for _ in range(20)) if len(each) < 4096
        ]
    if target == "image":
        return [*whole_images(), raw_header((2, 3, 3), np.dtype(np.uint8)) + bytes(18)]
    if target == "tiff":
        return list(whole_tiffs())
    if target == "tar":
        return [_TAR]
    if target == "nifti":
        return [whole_nifti(*each) for each in ((), (True,), (False, True), (False, False, True))]
    if target == "dicom":
        return [data for data in whole_dicoms() if survives("dicom", data)]
    if target in ("manifest", "shard_json"):
        return [store_seed({"manifest": "manifest.json", "shard_json": "00000/shard.json"}[target])]
    if target == "chunk":
        return _chunks()
    with tempfile.TemporaryDirectory() as folder:
        if target == "parquet_pages":
            return _columns(Path(folder) / "a.parquet")
        if target == "parquet_metadata":
            return _small_tables(Path(folder) / "a.parquet")
        if target == "tar_index":
            path = Path(folder) / "a.tar"
            path.write_bytes(_TAR)
            tar_index(str(path))
            return [Path(str(path) + SUFFIX).read_bytes()]
        path = Path(folder) / "a.npz"
        write_snapshot(path, {"epoch": 1, "batch": 2}, {"w": np.eye(2), "b": np.zeros(3, np.float32)})
        return [path.read_bytes()]


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def _columns(path: Path) -> list[bytes]:
    """Give the bytes of columns of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for version in ("1.0", "2.0"):
        table = pa.table({"x": np.arange(500) % 7, "text": ["abc" * (i % 3) for i in range(500)], "y": np.arange(500.0)})
        pq.write_table(table, path, compression="gzip", data_page_version=version, data_page_size=512)
        with pq.ParquetFile(path) as file:
            columns = [file.metadata.row_group(0).column(k) for k in range(3)]
        for column in columns:
            start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            found.append(path.read_bytes()[start : start + column.total_compressed_size])
    return found


def _small_tables(path: Path) -> list[bytes]:
    """Give small Parquet files, which are mostly metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for table in (pa.table({"x": np.arange(6)}), pa.table({"x": [[1.0], [2.0, 3.0]], "text": ["a", None]})):
        pq.write_table(table, path, row_group_size=3, store_schema=False)
        found.append(path.read_bytes())
    return found


def _chunks() -> list[bytes]:
    """Give a chunk in each codec."""
    import numcodecs

    data = (np.arange(_CHUNK) // 16 % 251).astype(np.uint8).tobytes()
    found = [b"\0" + data]
    for i, codec in enumerate(_CHUNK_CODECS[1:], 1):
        assert codec is not None
        encoded = bytes(numcodecs.get_codec({"id": codec}).encode(data))
        found += [bytes([i]) + encoded, bytes([i + 132]) + encoded]  # 132 is a multiple of the number of codecs
    return found


def _npz(method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x.npy", _npy(np.arange(6.0).reshape(3, 2)))
        archive.writestr("y.npy", _npy(np.arange(3)))
    return stream.getvalue()
