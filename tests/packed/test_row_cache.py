"""Rows of a cache: found in the version of their file only, within a hard size, and never wrong after a crash or a fault."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.programs import run_program
from tests.properties import FULL

import bitesize as bs
from bitesize.files.atomic import replacing
from bitesize.packed import row_cache
from bitesize.packed.cache_folder import MARKER, CacheFolder, clear, disk_bytes
from bitesize.packed.fields import ShardField
from bitesize.packed.row_cache import RowCache

FIELDS = {"x": ShardField("fixed", (5,), np.dtype(np.float32)), "blob": ShardField("blob")}


@pytest.fixture(autouse=True)
def _fills_at_once(monkeypatch):
    monkeypatch.setattr(row_cache, "_REST", 0.0)


def opened(path: Path, limit: int = 1 << 20, rows: int = 100, need: int = 0) -> RowCache:
    return RowCache(CacheFolder(path, limit, "key", {}), FIELDS, rows, need)


def values(rows):
    rows = np.asarray(rows)
    return {"x": np.repeat(rows[:, None], 5, 1).astype(np.float32), "blob": [b"%d" % row for row in rows.tolist()]}


def versions(rows, version=7):
    return np.full(len(rows), version, np.uint64)


def test_rows_are_found_after_the_cache_was_closed(tmp_path):
    rows = np.array([5, 3, 99])
    cache = opened(tmp_path / "cache")
    cache.add(rows, versions(rows), values(rows))
    assert not cache.find(rows, versions(rows)).any()
    cache.close()
    again = opened(tmp_path / "cache")
    assert again.find(np.array([3, 4, 5, 99, 3]), versions(range(5))).tolist() == [True, False, True, True, True]
    again.close()


def test_rows_of_another_version_are_not_found_and_wanted_again(tmp_path):
    rows = np.arange(10)
    cache = opened(tmp_path / "cache")
    cache.add(rows, versions(rows), values(rows))
    cache.close()
    again = opened(tmp_path / "cache")
    assert not again.wanted(rows).any()
    changed = versions(rows)
    changed[4] = 8
    assert again.find(rows, changed).tolist() == [row != 4 for row in range(10)]
    assert again.wanted(rows).tolist() == [row == 4 for row in range(10)]
    again.add(rows[4:5], changed[4:5], values(rows[4:5]))
    again.close()
    third = opened(tmp_path / "cache")
    assert third.find(rows, changed).all()
    third.close()


def test_rows_whose_file_is_gone_are_not_found(tmp_path):
    rows = np.arange(3)
    cache = opened(tmp_path / "cache")
    cache.add(rows, versions(rows, 0), values(rows))
    cache.close()
    again = opened(tmp_path / "cache")
    assert not again.find(rows, versions(rows, 0)).any()
    again.close()


def test_a_row_is_kept_once(tmp_path):
    rows = np.array([1, 1, 2, 1])
    cache = opened(tmp_path / "cache")
    for _ in range(3):
        cache.add(rows, versions(rows), values(rows))
    cache.end_epoch()
    cache.close()
    (shard,) = (tmp_path / "cache" / "key").glob("*/shard.json")
    assert json.loads(shard.read_text())["rows"] == 2


def test_rows_that_are_added_one_by_one_take_little_memory_until_their_shard_is_sealed(tmp_path):
    count = 20_000
    cache = opened(tmp_path / "cache", 64 << 20, count)
    tracemalloc.start()
    for row in range(count):
        cache.add(np.array([row]), versions([row]), values([row]))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    cache.close()
    assert grown < 40 * count
    again = opened(tmp_path / "cache", 64 << 20, count)
    assert again.find(np.arange(count), versions(range(count))).all()
    again.close()


def test_a_forked_process_leaves_the_shards_to_its_parent(tmp_path, monkeypatch):
    rows = np.arange(10)
    cache = opened(tmp_path / "cache")
    cache.add(rows, versions(rows), values(rows))
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: -1)
        cache.close()
    assert not list((tmp_path / "cache" / "key").glob("*/shard.json"))
    cache.close()
    again = opened(tmp_path / "cache")
    assert again.find(rows, versions(rows)).all()
    again.close()


def test_rows_that_cost_a_request_are_always_added(tmp_path, monkeypatch):
    """Also if there are more threads than shards that are being filled, and a shard is in use."""
    append = RowCache._append

    def slow(*args):
        time.sleep(0.002)
        append(*args)

    monkeypatch.setattr(RowCache, "_append", slow)
    cache = RowCache(CacheFolder(tmp_path / "cache", 1 << 20, "key", {}), FIELDS, 120, writers=2, always=True)

    def add(first):
        for row in range(first, 120, 6):
            cache.add(np.array([row]), versions([row]), values([row]))

    threads = [threading.Thread(target=add, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.close()
    assert cache.find(np.arange(120), versions(range(120))).all()


def test_another_process_finds_sealed_rows_when_its_epoch_begins(tmp_path):
    rows = np.arange(4)
    reader, writer = opened(tmp_path / "cache"), opened(tmp_path / "cache")
    writer.add(rows, versions(rows), values(rows))
    writer.close()
    assert not reader.find(rows, versions(rows)).any()
    reader.refresh()
    assert reader.find(rows, versions(rows)).all()
    reader.close()


def test_a_partial_cache_keeps_a_part_chosen_by_row_number(tmp_path):
    rows = np.arange(100_000)
    cache = opened(tmp_path / "cache", 10 << 20, len(rows), need=40 << 20)
    wanted = cache.wanted(rows)
    assert 0.2 < wanted.mean() < 0.26
    smaller = opened(tmp_path / "cache", 5 << 20, len(rows), need=40 << 20)
    assert (smaller.wanted(rows) <= wanted).all()  # the part of a smaller cache is within it
    cache.close()
    smaller.close()


def test_the_folder_never_takes_more_than_its_size(tmp_path):
    path, limit, most = tmp_path / "cache", 1 << 20, []
    ended = threading.Event()

    def watch():
        while not ended.is_set():
            most.append(used(path))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for round_ in range(3):
            caches = [opened(path, limit, 20_000) for _ in range(2)]
            for start in range(0, 10_000, 50):
                rows = np.arange(start, start + 50) + 10_000 * (round_ % 2)
                for cache in caches:
                    cache.add(rows, versions(rows), {**values(rows), "blob": [os.urandom(300) for _ in rows]})
            for cache in caches:
                cache.close()
    finally:
        ended.set()
        watcher.join()
    assert max(most) <= limit
    assert max(most) > limit // 2


def used(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in [".", *names]:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def test_rows_of_a_key_that_is_used_no_more_give_way(tmp_path):
    path, rows = tmp_path / "cache", np.arange(100)
    old = RowCache(CacheFolder(path, 1 << 20, "old", {}), FIELDS, 100)
    old.add(rows, versions(rows), {**values(rows), "blob": [bytes(5000)] * 100})
    old.close()
    assert disk_bytes(path / "old") > 500_000
    for kept in (True, False):  # not while a process uses them
        other = RowCache(CacheFolder(path, 1 << 20, "old", {}), FIELDS, 100) if kept else None
        new = RowCache(CacheFolder(path, 1 << 20, "new", {}), FIELDS, 100)
        new.add(rows, versions(rows), {**values(rows), "blob": [bytes(6000)] * 100})
        new.close()
        if other is not None:
            assert not list((path / "new").glob("*/shard.json"))
            other.close()
    assert not (path / "old").exists()
    assert list((path / "new").glob("*/shard.json"))


def test_processes_that_start_together_make_the_folder_together(tmp_path):
    path = tmp_path / "cache"
    path.mkdir()
    with replacing(path / MARKER) as temporary:  # another process is at this point
        temporary.write_text("{}")
        cache = opened(path)
        assert not cache.folder.reason
    cache.close()


@pytest.mark.parametrize("damage", ["truncated", "foreign", "other fields", "no json", "missing file"])
def test_a_damaged_shard_is_one_warning_and_made_again(tmp_path, caplog, damage):
    rows = np.arange(10)
    cache = opened(tmp_path / "cache")
    cache.add(rows, versions(rows), values(rows))
    cache.close()
    (shard,) = [path.parent for path in (tmp_path / "cache" / "key").glob("*/shard.json")]
    if damage == "truncated":
        os.truncate(shard / "x.npy", (shard / "x.npy").stat().st_size - 1)
    elif damage == "missing file":
        (shard / "x.npy").unlink()
    elif damage == "no json":
        (shard / "shard.json").write_text("{")
    else:
        value = json.loads((shard / "shard.json").read_text())
        if damage == "foreign":
            value["format"] = "another program"
        else:
            value["fields"]["x"]["shape"] = [1]
        (shard / "shard.json").write_text(json.dumps(value))
    again = opened(tmp_path / "cache")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "decoded again" in caplog.text
    assert not again.find(rows, versions(rows)).any()
    assert again.wanted(rows).all()
    again.add(rows, versions(rows), values(rows))
    again.close()
    third = opened(tmp_path / "cache")
    assert third.find(rows, versions(rows)).all()
    third.close()
    assert len(caplog.records) == 1


def photographs(folder: Path, count: int = 24) -> bs.Source:
    numbers = np.random.default_rng(0)
    folder.mkdir()
    for i in range(count):
        Image.fromarray(numbers.integers(0, 256, (20 + i, 30, 3), np.uint8)).save(folder / f"{i}.png")
    return bs.open(folder)


SMALL = (bs.Resize(16), bs.Normalize("imagenet"))


def batches(source, cache, epochs=2, transforms=SMALL):
    with bs.Loader(source, batch_size=8, transforms=transforms, memory="64 MiB", threads=2, cache=cache) as loader:
        found = [[batch["x"].copy() for batch in loader] for _ in range(epochs)]
        return found, loader.stats.cache_hits


def test_a_shard_that_is_truncated_while_it_is_used_is_one_warning(tmp_path, caplog):
    source = photographs(tmp_path / "data")
    plain, _ = batches(source, None)
    cache = bs.Cache(tmp_path / "cache", "8 MiB")
    batches(source, cache, 1)
    with bs.Loader(
        source, batch_size=8, transforms=[bs.Resize(16), bs.Normalize("imagenet")], memory="64 MiB", cache=cache
    ) as loader:
        for path in (tmp_path / "cache").glob("*/*/x.npy"):
            os.truncate(path, 200)
        found = [[batch["x"].copy() for batch in loader] for _ in range(2)]
    np.testing.assert_array_equal(found, plain)
    shards = len({record.getMessage() for record in caplog.records if record.levelname == "WARNING"})
    assert 1 <= shards <= 2  # one for each shard that was truncated


@pytest.mark.parametrize("how", [clear, shutil.rmtree])
def test_a_folder_that_is_removed_while_it_is_used_is_one_warning_for_each_shard_and_training_goes_on(tmp_path, caplog, how):
    source = photographs(tmp_path / "data")
    plain, _ = batches(source, None)
    cache = bs.Cache(tmp_path / "cache", "8 MiB")
    batches(source, cache, 1)
    with bs.Loader(source, batch_size=8, transforms=SMALL, memory="64 MiB", cache=cache) as loader:
        found = []
        for epoch in range(2):
            found.append([])
            for number, batch in enumerate(loader):
                found[-1].append(batch["x"].copy())
                if epoch == number == 0:
                    how(tmp_path / "cache")
    np.testing.assert_array_equal(found, plain)
    assert all(record.levelname == "WARNING" for record in caplog.records)
    assert len(caplog.records) <= 3


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_is_one_warning_and_training_goes_on(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("bitesize.packed.cache_folder._SPARE", 0)
    source, small = photographs(tmp_path / "data", 56), tmp_path / "small"
    transforms = (bs.Resize(96), bs.Normalize("imagenet"))  # 110 kB a row
    plain, _ = batches(source, None, 2, transforms)
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        # Free space is checked when a shard is claimed, so another program takes it afterwards.
        monkeypatch.setattr("shutil.disk_usage", lambda path: os.statvfs_result and _Plenty())
        found, _ = batches(source, bs.Cache(small / "cache", "64 MiB"), 2, transforms)
    finally:
        subprocess.run(["umount", small], check=True)
    np.testing.assert_array_equal(found, plain)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "no space" in warnings[0]


class _Plenty:
    free = total = 1 << 40
    used = 0


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a small file system")
def test_space_that_is_lacking_is_noticed_before_a_shard_is_written(tmp_path, caplog):
    source, small = photographs(tmp_path / "data", 56), tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        _, hits = batches(source, bs.Cache(small / "cache", "64 MiB"), 2)
    finally:
        subprocess.run(["umount", small], check=True)
    assert hits == 0
    assert [record.levelname for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_read_only_cache_is_read(tmp_path, caplog):
    source = photographs(tmp_path / "data")
    plain, _ = batches(source, None)
    cache = bs.Cache(tmp_path / "cache", "8 MiB")
    batches(source, cache, 1)
    with read_only(tmp_path / "cache"):
        found, hits = batches(source, cache)
    np.testing.assert_array_equal(found, plain)
    assert hits >= 48
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "cannot be written" in warnings[0]


class read_only:
    """A folder that cannot be written, also for root where a file system can be mounted again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        if sys.platform == "linux" and os.geteuid() == 0:
            subprocess.run(["mount", "--bind", self.folder, self.folder], check=True)
            subprocess.run(["mount", "-o", "remount,ro,bind", self.folder], check=True)
        elif sys.platform == "win32":
            pytest.skip("a folder of Windows has no read-only mode")
        else:
            for folder in [self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())]:
                folder.chmod(0o555)

    def __exit__(self, *error: object) -> None:
        if sys.platform == "linux" and os.geteuid() == 0:
            subprocess.run(["umount", self.folder], check=True)
        else:
            for folder in [self.folder, *self.folder.rglob("*")]:
                if folder.is_dir():
                    folder.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="rounds are forked, because starting Python takes longer than a round")
@pytest.mark.parametrize(
    "kills", [40, pytest.param(1000 if FULL else 120, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_killed_processes_lose_no_sealed_shard_and_return_no_wrong_row(tmp_path, kills):
    run_program("killed_cache", tmp_path, kills, 1, timeout=800)


def test_log_lines_are_no_warnings(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    batches(photographs(tmp_path / "data"), bs.Cache(tmp_path / "cache", "8 MiB"))
    assert caplog.records == []


def test_a_file_system_without_locks_is_only_read(tmp_path, caplog, monkeypatch):
    source = photographs(tmp_path / "data")
    plain, _ = batches(source, None)
    cache = bs.Cache(tmp_path / "cache", "8 MiB")
    batches(source, cache, 1)

    def no_locks(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("bitesize.storage.locking._lock", no_locks)
    found, hits = batches(source, cache)
    np.testing.assert_array_equal(found, plain)
    assert hits >= 48
    assert "cannot be locked" in caplog.text
