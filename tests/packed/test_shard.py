"""Shards: what is written is read, by NumPy alone too; and nothing but whole shards is opened."""

from __future__ import annotations

import errno
import itertools
import json
import os
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

import bitesize as bs
from bitesize.packed.column import FileInfo
from bitesize.packed.shard import ShardField, ShardWriter, open_shard, remove_partials, verify

FIELDS = {
    "x": ShardField("fixed", (4, 2), np.dtype(np.float32)),
    "label": ShardField("fixed", (), np.dtype(np.int64)),
    "file": ShardField("blob"),
    "photo": ShardField("pixels", dtype=np.dtype(np.uint16)),
}


def rows_of(count: int, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.random((count, 4, 2), np.float32),
        "label": rng.integers(0, 9, count),
        "file": [rng.bytes(int(n)) for n in rng.integers(0, 50, count)],
        "photo": [rng.integers(0, 65_536, tuple(rng.integers(1, 6, 3)), np.uint16) for _ in range(count)],
    }


def write(folder, parts, expected=0, origin=None):
    with ShardWriter(folder, FIELDS, expected) as writer:
        for part in parts:
            writer.append(part)
        bound = writer.nbytes
        info = writer.seal(origin)
    assert sum(path.stat().st_size for path in folder.iterdir()) == info.nbytes <= bound
    return info


@pytest.mark.parametrize("expected", [0, 7, 10**9], ids=["unknown", "right", "wrong"])
def test_rows_come_back_as_they_were_appended(tmp_path, expected):
    parts = [rows_of(3, 0), rows_of(0, 1), rows_of(4, 2)]
    info = write(tmp_path / "00000", parts, expected, {"key": "of the data", "rows": [0, 7]})
    opened = open_shard(tmp_path / "00000")
    assert opened == info
    assert opened.rows == 7
    assert opened.origin == {"key": "of the data", "rows": [0, 7]}
    verify(opened)
    for name in ("x", "label"):
        mapped = np.load(opened.path(name), mmap_mode="r")
        np.testing.assert_array_equal(mapped, np.concatenate([part[name] for part in parts]))
        path, offset, nbytes = opened.fixed(name)
        with open(path, "rb") as file:
            file.seek(offset + 5 * nbytes)
            assert file.read(nbytes) == mapped[5].tobytes()
    blob, ends = opened.path("file").read_bytes(), opened.offsets("file")
    assert [blob[a:b] for a, b in itertools.pairwise(ends)] == parts[0]["file"] + parts[2]["file"]
    pixels, ends, shapes = opened.path("photo").read_bytes(), opened.offsets("photo"), opened.shapes("photo")
    for i, image in enumerate(parts[0]["photo"] + parts[2]["photo"]):
        np.testing.assert_array_equal(np.frombuffer(pixels[ends[i] : ends[i + 1]], np.uint16).reshape(shapes[i]), image)


def test_checksums_are_those_of_whole_files(tmp_path):
    import xxhash

    info = write(tmp_path / "s", [rows_of(5)])
    for name, file in info.files.items():
        data = (tmp_path / "s" / name).read_bytes()
        assert file == FileInfo(len(data), xxhash.xxh3_128_hexdigest(data))


@pytest.mark.parametrize("dtype", ["<f2", "<c8", "|b1", "<U3", "|S2", "<M8[s]", ">i4", "bfloat16"])
def test_fields_of_every_dtype_are_stored_in_little_endian_order(tmp_path, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    values = np.arange(6).astype(dtype)
    field = ShardField("fixed", (), values.dtype)
    with ShardWriter(tmp_path / "s", {"x": field}) as writer:
        writer.append({"x": values})
        writer.seal()
    info = open_shard(tmp_path / "s")
    loaded = np.load(info.path("x"))
    assert info.fields["x"].dtype == values.dtype.newbyteorder("<")
    assert (loaded.view(info.fields["x"].dtype) == values).all()


def test_nothing_exists_under_the_name_before_it_is_sealed(tmp_path):
    with ShardWriter(tmp_path / "s", FIELDS) as writer:
        writer.append(rows_of(3))
        assert not (tmp_path / "s").exists()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(bs.NotFound):
        open_shard(tmp_path / "s")


def test_a_shard_is_never_replaced(tmp_path):
    first = ShardWriter(tmp_path / "s", FIELDS)
    write(tmp_path / "s", [rows_of(2)])
    first.append(rows_of(3))
    with first, pytest.raises(bs.PackedError, match="already exists"):
        first.seal()
    with pytest.raises(bs.PackedError, match="already exists"):
        ShardWriter(tmp_path / "s", FIELDS)
    assert open_shard(tmp_path / "s").rows == 2
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_rows_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    good = rows_of(2)
    wrong = [
        good | {"x": good["x"].astype(np.float64)},
        good | {"x": good["x"][:, :3]},
        good | {"label": good["label"][:1]},
        good | {"photo": [np.zeros((2, 2), np.uint16)] * 2},
        good | {"photo": [np.zeros((2, 0, 3), np.uint16)] * 2},
        {"x": good["x"]},
    ]
    with ShardWriter(tmp_path / "s", FIELDS) as writer:
        for values in wrong:
            with pytest.raises(bs.BadSetting):
                writer.append(values)
        writer.append(good)
        assert writer.seal().rows == 2
    verify(open_shard(tmp_path / "s"))


def test_a_shard_whose_rows_could_not_be_written_is_abandoned(tmp_path, monkeypatch):
    from bitesize.packed import column

    writer = ShardWriter(tmp_path / "s", FIELDS)
    writer.append(rows_of(2))

    def full(fd, views):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(column, "_write_all", full)  # in the place of a full disk
    with pytest.raises(bs.DiskFull, match="no space"):
        writer.append(rows_of(5000))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AssertionError):
        writer.seal()


def test_rows_that_were_collected_and_cannot_be_written_are_noticed_when_the_shard_is_sealed(tmp_path, monkeypatch):
    from bitesize.packed import column

    def full(fd, views):
        raise OSError(errno.ENOSPC, "No space left on device")

    with ShardWriter(tmp_path / "s", FIELDS) as writer:
        writer.append(rows_of(2))
        monkeypatch.setattr(column, "_write_all", full)
        with pytest.raises(bs.DiskFull, match="no space"):
            writer.seal()
    assert list(tmp_path.iterdir()) == []


def test_a_shard_without_rows_is_refused(tmp_path):
    with ShardWriter(tmp_path / "s", FIELDS) as writer, pytest.raises(bs.PackedError, match="no rows"):
        writer.seal()


@pytest.mark.parametrize("file", ["x.npy", "label.npy", "file.bin", "file.offsets.npy", "photo.shapes.npy"])
def test_a_file_that_is_missing_or_of_another_size_is_named(tmp_path, file):
    write(tmp_path / "s", [rows_of(5)])
    path = tmp_path / "s" / file
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(bs.PackedError, match=f"{file} has"):
        open_shard(tmp_path / "s")
    path.unlink()
    with pytest.raises(bs.PackedError, match=f"{file} is missing"):
        open_shard(tmp_path / "s")


def test_a_changed_byte_is_found_by_verify(tmp_path):
    write(tmp_path / "s", [rows_of(5)])
    path = tmp_path / "s" / "file.bin"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    with pytest.raises(bs.PackedError, match=r"file\.bin is damaged"):
        verify(open_shard(tmp_path / "s"))


def test_offsets_and_shapes_that_do_not_fit_are_refused(tmp_path):
    info = write(tmp_path / "s", [rows_of(5)])
    for file, read in (("photo.shapes.npy", info.shapes), ("photo.offsets.npy", info.offsets)):
        path = tmp_path / "s" / file
        values = np.load(path)
        values[2] = -values[2]
        np.save(path, values)
        with pytest.raises(bs.PackedError, match="damaged"):
            read("photo")


def changed(value, path, new):
    *parents, last = path
    for key in parents:
        value = value[key]
    value[last] = new


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (["schema"], 2),
        (["schema"], True),
        (["format"], "other"),
        (["rows"], -1),
        (["rows"], 4),
        (["rows"], 1 << 80),
        (["rows"], "5"),
        (["fields"], []),
        (["fields"], {}),
        (["fields", "x", "shape"], [1 << 40, 1 << 40]),
        (["fields", "x", "shape"], [[]]),
        (["fields", "x", "dtype"], "O"),
        (["fields", "x", "dtype"], "V8"),
        (["fields", "x", "dtype"], "06f4"),
        (["fields", "x", "dtype"], "<f4,<f4"),
        (["fields", "x", "dtype"], "<i4"),
        (["fields", "x", "kind"], "blob"),
        (["fields", "../x"], {"kind": "blob"}),
        (["files", "x.npy", "bytes"], None),
        (["files", "x.npy", "bytes"], 10),
        (["files", "../../x.npy"], {"bytes": 1, "xxh3_128": "0" * 32}),
        (["files", "x.npy", "xxh3_128"], 5),
    ],
    ids=str,
)
def test_an_edited_record_is_a_typed_error(tmp_path, path, new):
    write(tmp_path / "s", [rows_of(5)])
    record = tmp_path / "s" / "shard.json"
    value = json.loads(record.read_text())
    changed(value, path, new)
    record.write_text(json.dumps(value))
    with pytest.raises(bs.PackedError, match=r"shard\.json|x\.npy"):
        open_shard(tmp_path / "s")


@pytest.mark.parametrize("text", ["", "[" * 100_000, "null", "5", '"x"', "{", "[]", "\xff"])
def test_what_is_no_record_is_a_typed_error(tmp_path, text):
    write(tmp_path / "s", [rows_of(5)])
    (tmp_path / "s" / "shard.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(bs.PackedError):
        open_shard(tmp_path / "s")


@examples(100)
@given(names=st.lists(st.text(min_size=0, max_size=120), min_size=1, max_size=6, unique=True))
def test_fields_of_any_name_have_files_of_safe_names(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names") / "s"
    with ShardWriter(folder, {name: ShardField("blob") for name in names}) as writer:
        writer.append({name: [str(i).encode()] for i, name in enumerate(names)})
        writer.seal()
    files = [path.name for path in folder.iterdir()]
    assert len({file.casefold() for file in files}) == 2 * len(names) + 1
    assert all(set(file) <= set(string.ascii_letters + string.digits + "_-.%~") and len(file) < 200 for file in files)
    assert not {file.partition(".")[0].lower() for file in files} & {"con", "nul", "aux", "prn", "com1", "lpt1"}
    info = open_shard(folder)
    assert [info.path(name).read_bytes() for name in names] == [str(i).encode() for i in range(len(names))]


def test_partial_shards_of_killed_writers_are_removed(tmp_path):
    import platform
    import subprocess
    import sys

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host = platform.node()[:40]
    for name in (f"00000.partial-{host}-{process.pid}-0a", f"00001.partial-{host}-{os.getpid()}-0b", "00002"):
        (tmp_path / name).mkdir()
    remove_partials(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"00001.partial-{host}-{os.getpid()}-0b", "00002"]
    remove_partials(tmp_path / "no such folder")
