"""Stores that are packed to an address: the same as in a folder, only complete ones are opened, and packing continues."""

import json
import shutil

import numpy as np
import pytest
from tests.buckets import make_bucket
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.packing import destination
from bitesize.packing.verify import damaged_shards

ADDRESS = "disk://bucket/packed"
SMALL = {"kind": "bytes", "shard_size": "4 KiB"}


@pytest.fixture
def data(tmp_path):
    for i in range(24):
        write_jpeg(tmp_path / "data" / "ab"[i % 2] / f"{i:02}.jpg", noise(20, 30, seed=i))
    return tmp_path / "data"


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.setattr(destination, "working_folder", lambda: tmp_path / "cache")
    return make_bucket(tmp_path / "bucket")


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(source):
    with bs.Loader(source, batch_size=8, shuffle=False, last="short", transforms=[bs.Resize(16)], memory="32 MiB") as loader:
        return np.concatenate([batch["x"].copy() for batch in loader])


def files_left(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("splits", [False, True])
def test_a_store_at_an_address_is_that_of_a_folder(data, bucket, tmp_path, splits):
    source = bs.open(data)
    given = {"train": source.subset(np.arange(16)), "val": source.subset(np.arange(16, 24))} if splits else source
    local = bs.pack(given, tmp_path / "local", **SMALL)
    report = bs.pack(given, ADDRESS + "/", verify=True, **SMALL)
    assert report.shards == local.shards > 3
    assert str(report.path) == ADDRESS
    assert contents(bucket.folder / "packed") == contents(tmp_path / "local")
    assert files_left(tmp_path / "cache") == []
    assert damaged_shards(ADDRESS) == []
    at, here = ((bs.open(each, split="val") if splits else bs.open(each)) for each in (ADDRESS, tmp_path / "local"))
    assert at.classes == here.classes
    np.testing.assert_array_equal(rows_of(at), rows_of(here))


def test_the_manifest_is_written_last_and_shards_leave_the_disk(data, bucket, tmp_path):
    most = 0

    def count(number, text):
        nonlocal most
        most = max(most, len({path.parent for path in files_left(tmp_path / "cache") if path.parent.name.isdecimal()}))

    bucket.before = count
    report = bs.pack(bs.open(data), ADDRESS, threads=1, **SMALL)
    assert most == 1 < report.shards
    assert bucket.done[0] == "packed/packing.json"
    assert bucket.done[-2:] == ["packed/manifest.json", "-packed/packing.json"]


@pytest.mark.parametrize("splits", [False, True])
def test_wherever_uploads_fail_no_store_opens_and_the_next_run_continues(data, bucket, tmp_path, splits):
    source = bs.open(data)
    given = {"train": source.subset(np.arange(16)), "val": source.subset(np.arange(16, 24))} if splits else source
    bs.pack(given, tmp_path / "local", **SMALL)
    whole = len(contents(tmp_path / "local")) + 2
    for count in range(0, whole, 3):
        shutil.rmtree(bucket.folder)
        bucket = make_bucket(bucket.folder)
        bucket.fail_after(count)
        with pytest.raises(bs.RequestFailed, match="503 SlowDown"):
            bs.pack(given, ADDRESS, **SMALL)
        assert files_left(tmp_path / "cache") == []
        if count < whole - 1:
            with pytest.raises(bs.BitesizeError):
                bs.open(ADDRESS, split="val" if splits else None)
        complete = sum(key.endswith("shard.json") for key in bucket.done)
        bucket.before = lambda number, text: None
        assert bs.pack(given, ADDRESS, **SMALL).kept == complete
        assert contents(bucket.folder / "packed") == contents(tmp_path / "local")


def test_a_shard_of_other_files_or_of_another_size_is_packed_again(data, bucket, tmp_path):
    source = bs.open(data)
    bucket.fail_after(14)
    with pytest.raises(bs.RequestFailed):
        bs.pack(source, ADDRESS, threads=1, **SMALL)
    bucket.before = lambda number, text: None
    complete = sorted(path.parent for path in bucket.folder.rglob("shard.json"))
    assert len(complete) > 1
    largest = max(complete[0].iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])
    assert bs.pack(source, ADDRESS, **SMALL).kept == len(complete) - 1
    assert damaged_shards(ADDRESS) == []


def test_other_data_and_other_objects_are_refused(data, bucket):
    bs.pack(bs.open(data), ADDRESS, **SMALL)
    before = list(bucket.done)
    again = bs.pack(bs.open(data), ADDRESS, **SMALL)
    assert "the store was complete: nothing was packed" in again.notes
    with pytest.raises(bs.PackedError, match=f"{ADDRESS} is a complete store, but differs"):
        bs.pack(bs.open(data).subset([0, 1]), ADDRESS, **SMALL)
    bucket.write("notes/a.txt", [b"mine"])
    with pytest.raises(bs.BadSetting, match="disk://bucket/notes is not empty"):
        bs.pack(bs.open(data), "disk://bucket/notes", **SMALL)
    assert bucket.done[len(before) :] == ["-packed/packing.json", "notes/a.txt"]


def test_images_stay_as_they_are_at_an_address(data, bucket, tmp_path):
    report = bs.pack(bs.open(data), ADDRESS)
    assert report.kind == "bytes"
    assert any("is read over the network" in note for note in report.notes)
    assert json.loads((bucket.folder / "packed" / "manifest.json").read_text())["made_by"]["kind"] == "bytes"
