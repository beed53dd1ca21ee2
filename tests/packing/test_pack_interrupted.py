"""Packing that was interrupted continues, and never mixes rows of different data."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise, write_jpeg
from tests.properties import FULL

import bitesize as bs
from bitesize.packed.info import open_shard
from bitesize.packing import work

SHARDS = "[0-9]" * 5
TOP = Path(__file__).parents[2]


def run_killed(kills):
    done = subprocess.run(
        [sys.executable, "-m", "tests.programs.killed_packing", str(kills)],
        capture_output=True,
        text=True,
        cwd=TOP,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{kills} kills")


@pytest.mark.skipif(sys.platform == "win32", reason="killed processes keep files open for a while")
def test_killed_at_any_moment_it_loses_no_sealed_shard():
    run_killed(10)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="killed processes keep files open for a while")
@pytest.mark.timeout(1800)
def test_killed_at_any_moment_it_loses_no_sealed_shard_however_often():
    run_killed(250 if FULL else 30)


@pytest.fixture
def data(tmp_path):
    for i in range(24):
        write_jpeg(tmp_path / "data" / "ab"[i % 2] / f"{i:02}.jpg", noise(20, 30, seed=i))
    return tmp_path / "data"


class Interrupted(Exception):
    pass


def pack(data, store, **settings):
    settings = {"kind": "bytes", "memory": "64 MiB", "shard_size": "3 KiB", "threads": 1} | settings
    return bs.pack(bs.open(data), store, **settings)


def interrupted(data, store, after=13, **settings):
    """Pack, and end it when this many rows are done."""

    def progress(done, total):
        if done >= after:
            raise Interrupted

    with pytest.raises(Interrupted):
        pack(data, store, progress=progress, **settings)
    return sorted(path.name for path in store.glob(SHARDS))


def test_sealed_shards_are_kept(data, tmp_path):
    store = tmp_path / "store"
    sealed = interrupted(data, store)
    assert sealed
    times = {name: (store / name / "shard.json").stat().st_mtime_ns for name in sealed}
    with pytest.raises(bs.PackedError, match="not complete"):
        bs.open(store)
    report = pack(data, store)
    assert report.kept == len(sealed)
    assert {name: (store / name / "shard.json").stat().st_mtime_ns for name in sealed} == times
    pack(data, tmp_path / "other")
    assert bs.open(store).fingerprint() == bs.open(tmp_path / "other").fingerprint()
    assert not list(store.glob("*partial*"))


def test_what_a_kill_leaves_of_the_plan_is_no_hindrance(data, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".packing.otherhost-1-0.tmp.json").write_text("{")
    assert pack(data, tmp_path / "store").rows == {"": 24}


def test_a_complete_store_is_not_packed_again(data, tmp_path):
    first = pack(data, tmp_path / "store")
    report = pack(data, tmp_path / "store")
    assert report.kept == report.shards == first.shards
    assert any("nothing was packed" in note for note in report.notes)


@pytest.mark.parametrize("complete", [False, True], ids=["begun", "complete"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "pixels"}, "kind is 'bytes' there, 'pixels' now"),
        ({"shard_size": "1 MiB"}, "shard_size"),
        ({"kind": "jpeg", "max_side": 20}, "max_side is None there, 20 now"),
    ],
    ids=str,
)
def test_a_store_made_otherwise_is_refused_with_what_differs(data, tmp_path, complete, settings, message):
    store = tmp_path / "store"
    pack(data, store) if complete else interrupted(data, store)
    before = sorted(store.rglob("*"))
    with pytest.raises(bs.PackedError, match=message):
        pack(data, store, **settings)
    assert sorted(store.rglob("*")) == before


def test_a_store_of_other_data_is_refused(data, tmp_path):
    pack(data, tmp_path / "store")
    write_jpeg(data / "a" / "99.jpg", noise(20, 30))
    with pytest.raises(bs.PackedError, match=r"other data.*rows is 24 there, 25 now"):
        pack(data, tmp_path / "store")


def test_rows_whose_files_have_changed_are_packed_again(data, tmp_path):
    store = tmp_path / "store"
    sealed = interrupted(data, store)
    origin = open_shard(store / sealed[0]).origin
    source = bs.open(data)
    path = Path(os.fsdecode(source.path(origin["start"])))
    write_jpeg(path, noise(20, 30, seed=1000))
    report = pack(data, store)
    assert report.kept == len(sealed) - 1
    packed = bs.open(store)
    for row in range(24):
        np.testing.assert_array_equal(packed[row]["x"], source[row]["x"])
    write_jpeg(path, noise(20, 30, seed=2000))
    with pytest.raises(bs.PackedError, match="have changed since"):
        pack(data, store)


def test_a_mask_that_has_changed_is_packed_again(tmp_path):
    for i in range(24):
        write_jpeg(tmp_path / "data" / "images" / f"{i:02}.jpg", noise(20, 30, seed=i))
        (tmp_path / "data" / "masks").mkdir(exist_ok=True)
        Image.new("L", (30, 20), i).save(tmp_path / "data" / "masks" / f"{i:02}.png")
    sealed = interrupted(tmp_path / "data", tmp_path / "store")
    Image.new("L", (30, 20), 99).save(tmp_path / "data" / "masks" / "00.png")
    report = pack(tmp_path / "data", tmp_path / "store")
    assert report.kept == len(sealed) - 1
    assert (bs.open(tmp_path / "store")[0]["y"] == 99).all()


def test_a_large_file_that_was_replaced_meanwhile_is_packed_again_as_a_whole(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(2000.0).reshape(200, 10))
    store = tmp_path / "store"
    sealed = interrupted(tmp_path / "x.npy", store, after=100)
    assert sealed
    values = np.arange(2000.0).reshape(200, 10) + 1
    np.save(tmp_path / "x.npy", values)
    report = pack(tmp_path / "x.npy", store)
    assert report.kept == 0
    shards = sorted(store.glob(SHARDS))
    np.testing.assert_array_equal(np.concatenate([np.load(shard / "x.npy") for shard in shards]), values)


def test_values_in_memory_are_packed_again_since_they_cannot_be_compared(tmp_path):
    store, values = tmp_path / "store", np.arange(2000.0).reshape(200, 10)
    assert interrupted(values, store, after=100)
    report = pack(values + 1, store)
    assert report.kept == 0
    assert any("in memory" in note for note in report.notes)
    shards = sorted(store.glob(SHARDS))
    np.testing.assert_array_equal(np.concatenate([np.load(shard / "x.npy") for shard in shards]), values + 1)


def test_rows_that_were_skipped_before_are_tried_again_if_none_may_be_skipped_now(data, tmp_path):
    (data / "a" / "04.jpg").write_bytes(b"no image")
    sealed = interrupted(data, tmp_path / "store", kind="pixels", on_error="skip", shard_size="9 KiB")
    assert sealed
    settings = {"kind": "pixels", "shard_size": "9 KiB"}
    with pytest.raises(bs.BadFile, match=r"04\.jpg"):
        pack(data, tmp_path / "store", **settings)
    report = pack(data, tmp_path / "store", on_error="skip", **settings)
    assert [row.row for row in report.skipped[""]] == [2]
    assert len(bs.open(tmp_path / "store")) == 23


def test_splits_that_were_not_begun_are_no_hindrance(data, tmp_path):
    train, val = bs.open(data).split(0.5)
    settings = {"kind": "bytes", "memory": "64 MiB", "shard_size": "3 KiB"}

    def progress(done, total):
        raise Interrupted

    with pytest.raises(Interrupted):
        bs.pack({"train": train, "val": val}, tmp_path / "store", progress=progress, **settings)
    assert bs.pack({"train": train, "val": val}, tmp_path / "store", **settings).rows == {"train": 12, "val": 12}


def test_a_damaged_shard_is_packed_again(data, tmp_path):
    store = tmp_path / "store"
    sealed = interrupted(data, store)
    os.truncate(store / sealed[0] / "x.bin", 10)
    report = pack(data, store)
    assert report.kept == len(sealed) - 1
    assert len(bs.open(store)) == 24


def test_two_processes_do_not_pack_into_one_folder(data, tmp_path):
    reached, go_on = threading.Event(), threading.Event()

    def progress(done, total):
        reached.set()
        assert go_on.wait(30)

    thread = threading.Thread(target=lambda: pack(data, tmp_path / "store", progress=progress))
    thread.start()
    assert reached.wait(30)
    try:
        with pytest.raises(bs.PackedError, match="another process"):
            pack(data, tmp_path / "store")
    finally:
        go_on.set()
        thread.join()
    assert len(bs.open(tmp_path / "store")) == 24


def test_an_error_in_one_thread_ends_all_soon(data, tmp_path):
    (data / "a" / "04.jpg").write_bytes(b"no image")
    begun = time.monotonic()
    with pytest.raises(bs.BadFile, match=r"04\.jpg") as caught:
        pack(data, tmp_path / "store", kind="pixels", threads=4)
    assert caught.value.row == 2
    assert time.monotonic() - begun < 60
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bitesize-pack")]
    write_jpeg(data / "a" / "04.jpg", noise(20, 30, seed=4))
    assert len(bs.open(pack(data, tmp_path / "store", kind="pixels").path)) == 24


@pytest.fixture
def small_disk(tmp_path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small file system is mounted")
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=2m tmpfs {small} 2>/dev/null"):
        pytest.skip("file systems cannot be mounted here")
    try:
        yield small
    finally:
        os.system(f"umount {small}")


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(tmp_path, small_disk):
    with pytest.raises(bs.DiskFull, match="needs about"):
        bs.pack(bs.open(np.zeros((10_000, 100))), small_disk / "store", memory="64 MiB")
    assert not list((small_disk / "store").iterdir())


def test_a_disk_that_fills_up_keeps_sealed_shards_and_the_next_run_continues(data, small_disk, monkeypatch):
    store, ballast = small_disk / "store", small_disk / "ballast"
    real = work.PartWork.pack

    def fill_then_pack(self, number, producer, advance):
        if number == 3:
            ballast.write_bytes(bytes((shutil.disk_usage(small_disk).free // 4096 - 2) * 4096))
        return real(self, number, producer, advance)

    with monkeypatch.context() as patch:
        patch.setattr(work.PartWork, "pack", fill_then_pack)
        with pytest.raises(bs.DiskFull, match="Finished shards stay"):
            pack(data, store)
    sealed = sorted(path.name for path in store.glob(SHARDS))
    assert sealed == ["00000", "00001", "00002"]
    assert not list(store.glob("*partial*"))
    ballast.unlink()
    report = pack(data, store)
    assert report.kept == len(sealed)
    assert len(bs.open(store)) == 24


def test_a_folder_that_cannot_be_written_is_a_typed_error(data, tmp_path, monkeypatch):
    if sys.platform != "win32" and os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(bs.NoPermission):
            pack(data, tmp_path / "closed" / "store")
        return

    def refuse(*arguments, **settings):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write anywhere
    with pytest.raises(bs.NoPermission, match="choose another folder"):
        pack(data, tmp_path / "store")


def test_a_source_that_changes_while_it_is_packed_is_noticed(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.arange(2000.0).reshape(200, 10))
    real = work.PartWork.pack

    def pack_and_replace(self, number, producer, advance):
        if number == 1:
            time.sleep(0.02)
            np.save(tmp_path / "x.npy", np.zeros((200, 10)))
        return real(self, number, producer, advance)

    monkeypatch.setattr(work.PartWork, "pack", pack_and_replace)
    with pytest.raises(bs.FileChanged):
        pack(tmp_path / "x.npy", tmp_path / "store")
    with pytest.raises(bs.PackedError, match="not complete"):
        bs.open(tmp_path / "store")
