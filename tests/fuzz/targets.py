"""What is fuzzed: each target takes any bytes, and may end in no error but those of bitesize.

Each checks what it got, too: a reader that gives a wrong array for damaged bytes is as bad as one that crashes.
"""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from bitesize.decode.decode import decode, decode_nbytes, pixels_nbytes
from bitesize.decode.header import read_info
from bitesize.decode.tiff import of_bytes, tiff_facts
from bitesize.decode.tiff_codec import decode_page
from bitesize.decode.tiff_header import tiff_info
from bitesize.errors import BadFile, BitesizeError
from bitesize.files.nifti import read_nifti, read_nifti_header
from bitesize.files.npy import read_header, read_payload
from bitesize.files.parquet import pages, row_groups
from bitesize.files.pread import open_file
from bitesize.files.tar_index import SUFFIX, tar_index
from bitesize.lazy.parts import members
from bitesize.lazy.select import whole
from bitesize.packed.manifest import Manifest, Part, write_manifest
from bitesize.packed.shard import ShardField, ShardWriter, open_shard
from bitesize.sources.base import OpenOptions
from bitesize.sources.packed import PackedStore
from bitesize.sources.sinks import new_buffers
from bitesize.sources.tar import Tar
from bitesize.sources.zarr_codecs import decompress
from bitesize.spec import Encoded, Field
from bitesize.training.snapshot import read_snapshot

_CHUNK = 4096  # bytes that a chunk becomes
_CHUNK_CODECS = (None, "zstd", "gzip", "zlib", "blosc", "lz4")
# Images that would take more are left to the budget, as a loader leaves them.
_MOST = 16 << 20


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="bitesize-fuzz-"))


def _file(name: str, data: bytes) -> str:
    path = _folder() / name
    path.write_bytes(data)
    return str(path)


def npy(data: bytes) -> None:
    """A `.npy` file: what is read is what NumPy reads."""
    path = os.fsencode(_file("a.npy", data))
    fd = open_file(path)
    try:
        header = read_header(fd, path)
        out = np.empty(header.shape, header.dtype.newbyteorder("="))
        read_payload(fd, header, out, path)
    finally:
        os.close(fd)
    expected = np.load(path.decode(), allow_pickle=False)
    assert expected.shape == out.shape
    assert expected.astype(out.dtype).tobytes() == out.tobytes()


def npz(data: bytes) -> None:
    """An archive: no member becomes larger than its file allows."""
    for node in members(os.fsencode(_file("a.npz", data))).values():
        if isinstance(node, BitesizeError):
            continue
        nbytes = int(np.prod(node.shape, dtype=object)) * node.dtype.itemsize
        assert nbytes <= 1100 * len(data) + 1100  # what deflate can make of so many bytes
        if nbytes <= _MOST:
            out = np.empty(node.shape, node.dtype)
            node.read(whole(node.shape), out)


def image(data: bytes) -> None:
    """An image: its header tells the size of what is decoded."""
    view = memoryview(data)
    info = read_info(view)
    for mode in ("RGB", "L", "unchanged"):
        if decode_nbytes(info, mode, 8, len(data)) <= _MOST:
            pixels = decode(view, info, mode, 8, np.empty(pixels_nbytes(info, mode, 8), np.uint8))
            assert pixels.shape[:2] == (info.height, info.width)


def tiff(data: bytes) -> None:
    """A TIFF for tifffile: its pages take no more memory than was charged for them."""
    read, nbytes = of_bytes(memoryview(data)), len(data)
    facts = tiff_facts(read)
    if facts is None:
        raise BadFile("no TIFF")
    info = tiff_info(facts, nbytes, only=True)
    if decode_nbytes(info, "unchanged", 8, nbytes) > _MOST:
        return
    out = np.zeros((info.height, info.width, info.channels), info.dtype)
    tracemalloc.start()
    try:
        decode_page(read, nbytes, facts.offsets[0], out, info.overhead)
    except (BitesizeError, MemoryError):
        raise
    except Exception as error:  # as `decode` does
        raise BadFile(f"damaged TIFF: {error}") from error
    finally:
        reached = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert reached <= info.overhead + (1 << 20)


def tar(data: bytes) -> None:
    """A tar file: no member lies outside of it."""
    path = _file("a.tar", data)
    Path(path + SUFFIX).unlink(missing_ok=True)
    index = tar_index(path)
    assert (index.offsets + index.sizes <= len(data)).all()
    again = tar_index(path)
    assert all(np.array_equal(a, b) for a, b in zip(index, again, strict=True))
    Tar([path], OpenOptions())


def tar_index_file(data: bytes) -> None:
    """The index beside a tar file, whoever wrote it: it is right, or made anew."""
    path = _file("b.tar", _TAR)
    Path(path + SUFFIX).write_bytes(data)
    index = tar_index(path)
    assert (index.offsets >= 0).all()
    assert (index.offsets + index.sizes <= len(_TAR)).all()
    assert len(index.name(len(index.ends) - 1)) >= 0 if len(index.ends) else True


def parquet_pages(data: bytes) -> None:
    """Headers of the pages of a Parquet column: none leads out of it."""
    with open(_file("a.parquet", data), "rb") as file:
        for page in pages(file.fileno(), 0, len(data), b"a.parquet"):
            assert page.offset + page.stored <= len(data)
            assert min(page) >= 0


def parquet_metadata(data: bytes) -> None:
    """The metadata of a Parquet file: no column leads out of it."""
    with open(_file("b.parquet", data), "rb") as file:
        for group in row_groups(file.fileno(), len(data), b"b.parquet"):
            assert all(chunk.start + chunk.stored <= len(data) and min(chunk[3:7]) >= 0 for chunk in group.chunks)


def chunk(data: bytes) -> None:
    """A compressed chunk of Zarr, of the codec that the first byte tells: it becomes what it must, or is refused."""
    codec = _CHUNK_CODECS[data[0] % len(_CHUNK_CODECS)] if data else None
    out = np.zeros(_CHUNK + 64, np.uint8)
    out[_CHUNK:] = 7
    stored = np.frombuffer(data[1:], np.uint8).copy()
    if data and data[0] >= 128:  # lengths as they should be, so that the decoder itself gets to see the rest
        if codec == "blosc" and len(stored) >= 16:
            stored[4:8], stored[12:16] = _bytes(_CHUNK), _bytes(len(stored))
        elif codec == "lz4" and len(stored) >= 4:
            stored[:4] = _bytes(_CHUNK)
    decompress(stored, codec, out[:_CHUNK])
    assert (out[_CHUNK:] == 7).all()


def _bytes(number: int) -> np.ndarray:
    return np.frombuffer(number.to_bytes(4, "little"), np.uint8)


def snapshot(data: bytes) -> None:
    """A checkpoint."""
    state, arrays = read_snapshot(Path(_file("a.snapshot", data)))
    assert isinstance(state, dict)
    assert sum(array.nbytes for array in arrays.values()) <= len(data)


@cache
def _store() -> Path:
    """A packed store of two shards, with a field of each kind."""
    fields = {
        "x": ShardField("pixels", dtype=np.dtype(np.uint8)),
        "file": ShardField("blob"),
        "y": ShardField("fixed", (), np.dtype(np.int64)),
    }
    spec = {"x": Encoded(), "file": Encoded("mask", "L"), "y": Field((), np.dtype(np.int64))}
    folder, shards = _folder() / "store", []
    folder.mkdir()
    for number in range(2):
        with ShardWriter(folder / f"{number:05}", fields) as writer:
            pixels = [np.full((2, 1 + i, 3), i, np.uint8) for i in range(3)]
            writer.append({"x": pixels, "file": [b"a", b"", b"bc"], "y": np.arange(3)})
            shards.append(writer.seal({"start": 3 * number}))
    part = Part(spec, fields, "x", "y", None, None, ("a", "b", "c"), {}, shards=tuple(shards))
    write_manifest(Manifest(folder, {"kind": "pixels", "transforms": []}, {"": part}))
    return folder


@cache
def store_seed(name: str) -> bytes:
    """Give a file of a good store."""
    return (_store() / name).read_bytes()


def manifest(data: bytes) -> None:
    """The manifest of a packed store, whoever wrote it: rows are those of its files, or it is refused."""
    store_seed("manifest.json")
    (_store() / "manifest.json").write_bytes(data)
    source = PackedStore.opened(str(_store()), OpenOptions())
    into = new_buffers(source.spec, len(source))
    source.read(np.arange(len(source)), into)
    held = sum(path.stat().st_size for path in _store().glob("*/*"))
    assert 0 < len(source) <= held
    str(source.explain(measure=False))


def shard_json(data: bytes) -> None:
    """The record of a shard, whoever wrote it: its rows lie within its files, or it is refused."""
    store_seed("00000/shard.json")
    (_store() / "00000" / "shard.json").write_bytes(data)
    info = open_shard(_store() / "00000")
    for name, field in info.fields.items():
        size = info.path(name).stat().st_size
        if field.kind == "fixed":
            _, offset, nbytes = info.fixed(name)
            assert offset + info.rows * nbytes == size
        else:
            assert info.offsets(name)[-1] == size
        if field.kind == "pixels":
            assert (info.shapes(name) > 0).all()


def nifti(data: bytes) -> None:
    """A NIfTI file: what is read is what nibabel reads."""
    import nibabel

    path = os.fsencode(_file("a.nii", data))
    fd = open_file(path)
    try:
        header = read_nifti_header(fd, path)
        if header.nbytes > _MOST:
            return
        out = np.empty(header.row_shape, header.row_dtype)
        read_nifti(fd, header, out, path)
    finally:
        os.close(fd)
    if data[:2] == b"\x1f\x8b" or len(header.shape) < 3 or header.components:
        return
    if int.from_bytes(data[:4], "little") == 348:
        try:
            known = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_bytes(data))
        except nibabel.spatialimages.HeaderDataError:  # such as of an extension, which is not read here
            return
        expected = known.get_fdata(dtype=np.float32) if header.scale else np.asanyarray(known.dataobj)
        expected = expected.transpose(2, 1, 0, *range(3, expected.ndim)).reshape(out.shape)
        assert np.array_equal(expected, out, equal_nan=True)


def dicom(data: bytes) -> None:
    """A DICOM file: its header tells the size of what is decoded."""
    view = memoryview(data)
    if data[128:132] != b"DICM":
        raise BadFile("another format, which the target image is for")
    info = read_info(view)
    if decode_nbytes(info, "unchanged", 8, len(data)) <= _MOST:
        pixels = decode(view, info, "unchanged", 8, np.empty(pixels_nbytes(info, "unchanged", 8), np.uint8))
        assert pixels.shape == (info.height, info.width, info.channels)
        assert pixels.dtype == info.dtype


TARGETS: dict[str, Callable[[bytes], None]] = {
    "npy": npy, "npz": npz, "image": image, "tiff": tiff, "tar": tar, "tar_index": tar_index_file, "snapshot": snapshot,
    "parquet_pages": parquet_pages, "parquet_metadata": parquet_metadata, "chunk": chunk,
    "manifest": manifest, "shard_json": shard_json, "nifti": nifti, "dicom": dicom,
}  # fmt: skip


def survives(target: str, data: bytes) -> bool:
    """Run a target; True if it read something, False if it refused with an error of bitesize; another error is raised."""
    try:
        TARGETS[target](data)
    except BitesizeError:
        return False
    return True


def _tar() -> bytes:
    import io
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for name, contents in (("a.jpg", b"jpeg"), ("a.cls", b"1"), ("b.jpg", b"jpeg"), ("b.cls", b"0")):
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            made.addfile(member, io.BytesIO(contents))
    return stream.getvalue()


_TAR = _tar()
