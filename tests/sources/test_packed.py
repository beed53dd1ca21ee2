"""Packed stores are opened only if every file is there, of the right size, and of this version."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.packed.manifest import read_manifest
from bitesize.packing.verify import damaged_shards
from bitesize.sources.packed import PackedStore
from bitesize.testing import check_bad_rows, check_source


@pytest.fixture
def store(tmp_path):
    """A store of photographs of varying size, with labels, in a few shards."""
    for i in range(24):
        write_jpeg(tmp_path / "data" / "ab"[i % 2] / f"{i:02}.jpg", noise(20 + i, 30, seed=i))
    bs.pack(bs.open(tmp_path / "data"), tmp_path / "store", kind="pixels", memory="64 MiB", shard_size="20 KiB")
    return tmp_path / "store"


def edit(store, path, new):
    file = store / "manifest.json"
    value = whole = json.loads(file.read_text())
    *parents, last = path
    for key in parents:
        value = value[key]
    value[last] = new
    file.write_text(json.dumps(whole, indent=1))


def test_rows_of_varying_shape_keep_the_contract(store):
    check_source(bs.open(store))


@pytest.mark.parametrize("file", ["x.bin", "x.offsets.npy", "x.shapes.npy", "y.npy"])
def test_a_truncated_file_is_named_when_the_store_is_opened(store, file):
    path = store / "00001" / file
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(bs.PackedError, match=rf"00001.{file} has"):
        bs.open(store)


def test_a_missing_file_or_shard_is_named(store):
    (store / "00001" / "y.npy").unlink()
    with pytest.raises(bs.PackedError, match=r"y\.npy is missing"):
        bs.open(store)
    shutil.rmtree(store / "00001")
    with pytest.raises(bs.PackedError, match=r"00001.*missing"):
        bs.open(store)


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (["schema"], 2),
        (["schema"], None),
        (["splits"], {}),
        (["splits"], []),
        (["splits", ""], None),
        (["splits", "", "rows"], 5),
        (["splits", "", "shards"], []),
        (["splits", "", "shards", 0, "folder"], "../00000"),
        (["splits", "", "shards", 0, "folder"], "/etc"),
        (["splits", "", "shards", 0, "rows"], 1),
        (["splits", "", "shards", 0, "rows"], 1 << 70),
        (["splits", "", "shards", 0, "files"], {}),
        (["splits", "", "shards", 0, "files", "x.bin", "bytes"], 5),
        (["splits", "", "shards", 0, "files", "x.bin", "bytes"], -5),
        (["splits", "", "shards", 0, "files", "y.npy", "bytes"], 10),
        (["splits", "", "shards", 0, "files", "x.bin", "xxh3_128"], None),
        (["splits", "", "fields", "x", "kind"], "blob"),
        (["splits", "", "fields", "y", "dtype"], "<f4"),
        (["splits", "", "spec", "x", "mode"], "CMYK"),
        (["splits", "", "spec", "x", "kind"], "video"),
        (["splits", "", "spec", "y", "dtype"], "O"),
        (["splits", "", "spec", "y", "shape"], [-1]),
        (["splits", "", "primary"], "z"),
        (["splits", "", "label"], "z"),
        (["splits", "", "classes"], "ab"),
        (["splits", "", "classes"], [1, 2]),
        (["splits", "", "classes_of"], {"z": ["a"]}),
        (["splits", "", "skipped"], [{}]),
        (["made_by"], []),
        (["splits", "../x"], {}),
    ],
    ids=str,
)
def test_an_edited_manifest_is_a_typed_error_before_work_starts(store, path, new):
    edit(store, path, new)
    with pytest.raises(bs.PackedError):
        bs.open(store)


def test_a_foreign_manifest_is_no_store(store):
    (store / "manifest.json").write_text('{"format": "other", "name": "an app"}')
    assert not PackedStore.takes(str(store))
    with pytest.raises(bs.PackedError, match="not of a store"):
        read_manifest(store)


@pytest.mark.parametrize("text", ["", "[", "[" * 200_000, "\x00\xff"])
def test_what_is_no_json_is_a_typed_error(store, text):
    head = '{"format": "bitesize store", '
    (store / "manifest.json").write_bytes(head.encode() + text.encode("latin-1"))
    with pytest.raises(bs.PackedError):
        bs.open(store)


def test_a_changed_byte_is_found_by_verification_only(store):
    path = store / "00000" / "x.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 255
    path.write_bytes(data)
    source = bs.open(store)
    with pytest.raises(bs.PackedError, match=r"x\.bin is damaged"):
        source.verify()
    assert len(damaged_shards(store)) == 1


def test_edited_checksums_are_found_by_verification(store):
    edit(store, ["splits", "", "shards", 0, "files", "y.npy", "xxh3_128"], "0" * 32)
    assert "y.npy" in damaged_shards(store)[0]


def test_offsets_that_lead_out_of_their_file_are_refused(store):
    path = store / "00000" / "x.offsets.npy"
    offsets = np.load(path)
    for wrong in (offsets[::-1], offsets + 1, np.where(np.arange(len(offsets)) == 1, 1 << 60, offsets)):
        np.save(path, wrong)
        with pytest.raises(bs.PackedError, match="damaged"):
            bs.open(store)


def test_a_file_that_is_replaced_while_it_is_open_is_noticed(store):
    source = bs.open(store)
    path = store / "00000" / "x.bin"
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))
    with pytest.raises(bs.FileChanged):
        source.check_unchanged()


def test_rows_of_a_shard_that_vanishes_are_bad_rows(store):
    source = bs.open(store)
    rows = source._part.shards[0].rows
    (store / "00000" / "x.bin").unlink()
    with pytest.raises(bs.BadRows) as caught:
        source.read(np.arange(24), bs.sources.new_buffers(source.spec, 24))
    assert sorted(caught.value.causes) == list(range(rows))


def test_damage_within_an_encoded_row_is_a_bad_row(tmp_path):
    for i in range(24):
        write_jpeg(tmp_path / "data" / f"{i:02}.jpg", noise(20, 30, seed=i))
    (tmp_path / "data" / "07.jpg").write_bytes(b"no image")
    bs.pack(bs.open(tmp_path / "data"), tmp_path / "store", kind="bytes", memory="64 MiB")
    check_bad_rows(bs.open(tmp_path / "store"), [7])


def test_a_store_moves_with_its_folder(store, tmp_path):
    before = bs.open(store)
    shutil.move(store, tmp_path / "moved")
    after = bs.open(tmp_path / "moved")
    assert after.fingerprint() == before.fingerprint()
    np.testing.assert_array_equal(after[3]["x"], pickle.loads(pickle.dumps(after))[3]["x"])


def test_stores_of_different_rows_have_different_fingerprints(store, tmp_path):
    part = bs.open(tmp_path / "data").subset(range(20))
    bs.pack(part, tmp_path / "part", kind="pixels", memory="64 MiB")
    assert bs.open(tmp_path / "part").fingerprint() != bs.open(store).fingerprint()
    assert bs.open(store, labels=False).fingerprint() != bs.open(store).fingerprint()


def test_it_says_what_it_was_made_from(store):
    text = str(bs.open(store).explain())
    assert "packed from 24 rows: images" in text
    assert "kind pixels" in text


def test_rows_are_named_by_the_paths_of_the_files_that_were_packed(store, tmp_path):
    source, made = bs.open(store), bs.open(tmp_path / "data")
    names = [os.fsdecode(made.path(row)).replace(os.sep, "/").split("/data/")[1] for row in range(24)]
    assert source.describe(5).endswith(f"row 5 ({names[5]})")
    assert source.column("path").tolist() == names
    assert "path" in source.column_names
    assert "path" not in source.spec
    assert source.path(0) is None
    train, val = source.split(0.5, by=np.array([name[:1] for name in source.column("path")]))
    assert {name[:1] for name in train.column("path")} | {name[:1] for name in val.column("path")} == {"a", "b"}
    assert len(set(train.labels)) == len(set(val.labels)) == 1


def test_rows_without_paths_are_named_by_their_shard(tmp_path):
    bs.pack(bs.open(np.zeros((9, 2))), tmp_path / "store", memory="64 MiB")
    source = bs.open(tmp_path / "store")
    assert source.describe(3).endswith("row 3 (shard 00000)")
    assert source.column_names == ("x",)


def test_names_of_rows_do_not_hide_a_field_of_that_name(tmp_path):
    for i in range(8):
        write_jpeg(tmp_path / "data" / f"{i}.jpg", noise(20, 30, seed=i))
    data = bs.zip(bs.open(tmp_path / "data"), path=bs.open(np.arange(8)))
    bs.pack(data, tmp_path / "store", kind="bytes", memory="64 MiB")
    source = bs.open(tmp_path / "store")
    assert source.column("path").tolist() == list(range(8))
    assert source.column("path 2").tolist() == [f"{i}.jpg" for i in range(8)]
    assert source.describe(2).endswith("(2.jpg)")
