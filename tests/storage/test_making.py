"""When objects are listed, and when a list on disk is used: never an old one without a word."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bitesize.errors import BadFile, DiskFull
from bitesize.storage import making, stores
from bitesize.storage.listing import place, walking
from bitesize.storage.lists import list_folder
from bitesize.storage.local import LocalStorage
from tests.storage.simulated import SimulatedStorage, requests

TOP = Path(__file__).parents[2]
ADDRESS = "sim://bucket/photos/"


@pytest.fixture
def lists(tmp_path):
    return tmp_path / "lists"


@pytest.fixture
def use(monkeypatch):
    """Use a storage for addresses of its scheme."""

    def register(storage):
        stores.register_storage(storage.root.partition("://")[0], lambda root, options: storage)
        return storage

    monkeypatch.setattr(stores, "_openers", dict(stores._openers))
    monkeypatch.setattr(stores, "_lists", {})
    return register


@pytest.fixture
def large(use, monkeypatch):
    """Three classes of 2,000 images, which count as many."""
    monkeypatch.setattr(making, "SMALL", 5000)
    return use(SimulatedStorage("sim://bucket", 3, 2000))


def grow(use, storage):
    return use(SimulatedStorage(storage.root, storage.classes, storage.images + 1))


def test_a_small_prefix_is_listed_each_time(use, lists):
    storage = use(SimulatedStorage("sim://bucket", 3, 10))
    first = list_folder(ADDRESS, folder=lists)
    assert len(first) == 30
    assert len(list_folder(ADDRESS, folder=lists)) == 30
    assert storage.requests == 6
    again = list_folder(ADDRESS, folder=lists) if grow(use, storage) else None
    assert len(again) == 33
    assert len(first) == 30, "an open list does not change"
    assert first.object(29).key == "photos/class_0002/img_0000009.jpg"


def test_a_large_list_is_used_again_and_says_so(large, use, lists, caplog):
    list_folder(ADDRESS, folder=lists)
    grow(use, large)
    with caplog.at_level(logging.INFO, "bitesize"):
        again = list_folder(ADDRESS, folder=lists)
    assert len(again) == 6000
    assert not again.made_new
    assert again.statement() == 'list of 6,000 objects made less than a minute ago; listing="new" lists again'
    assert [record.getMessage() for record in caplog.records] == [f"{ADDRESS}: {again.statement()}"]


def test_a_large_list_is_made_again_if_wanted(large, use, lists):
    list_folder(ADDRESS, folder=lists)
    grow(use, large)
    again = list_folder(ADDRESS, folder=lists, listing="new")
    assert len(again) == 6003
    assert again.statement() == "list of 6,003 objects made now"


@pytest.mark.parametrize(("shift", "made_new"), [(3 * 3600, False), (25 * 3600, True), (-3600, True)])
def test_a_large_list_is_used_for_a_day(large, lists, monkeypatch, shift, made_new):
    list_folder(ADDRESS, folder=lists)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + shift)
    again = list_folder(ADDRESS, folder=lists)
    assert again.made_new == made_new
    if not made_new:
        assert "made 3 hours ago" in again.statement()


def test_prefixes_have_lists_of_their_own(large, lists):
    whole, one = list_folder(ADDRESS, folder=lists), list_folder(f"{ADDRESS}class_0001", folder=lists)
    assert (len(whole), len(one), one.prefix) == (6000, 2000, "photos/class_0001/")
    assert stores.listed(f"{ADDRESS}class_0001/a.jpg") is one
    assert stores.listed(f"{ADDRESS}class_0002/a.jpg") is whole


def test_a_list_that_another_process_replaces_has_its_folders(use, lists):
    use(SimulatedStorage("sim://bucket", 3, 10))
    old = list_folder(ADDRESS, folder=lists)
    new = list_folder(ADDRESS, folder=lists)  # a small list is made again, and replaces the first, as another process does
    assert old.folder != new.folder
    assert not os.path.exists(old.folder)
    of_old, of_new = dict(old.folders.arrays()), dict(new.folders.arrays())
    assert {name: values.tolist() for name, values in of_old.items()} == {name: of_new[name].tolist() for name in of_new}
    assert list(old.children("photos")) == list(new.children("photos"))


def test_lists_of_long_ago_are_removed(large, lists):
    list_folder(ADDRESS, folder=lists)
    list_folder(f"{ADDRESS}class_0000/", folder=lists)
    first = next(path for path in lists.rglob("current.json") if '"prefix": "photos/"' in path.read_text())
    (lists / ("0" * 32)).mkdir()
    other = lists / ("0" * 32) / "current.json"
    other.write_text("of another program")
    for path in (first, other):
        os.utime(path, (0, 0))
    list_folder(f"{ADDRESS}class_0001/", folder=lists)
    assert not first.parent.exists()
    assert other.exists()
    assert len(list(lists.iterdir())) == 3


def test_many_folders_are_listed_in_parallel(use, lists):
    storage = SimulatedStorage("sim://bucket", 40, 500)
    listing, together = storage.list, threading.Barrier(9)
    folders = iter(range(40))

    def waiting(prefix):
        if prefix != "photos/" and next(folders) < 18:  # two rounds of nine: each goes on when nine are under way
            together.wait(60)
        yield from listing(prefix)

    storage.list = waiting
    use(storage)
    found = list_folder(ADDRESS, folder=lists)
    assert len(found) == 20_000
    assert found.facts["pages"] == 41
    assert [found.object(i).key for i in (0, 499, 500, 19_999)] == [
        "photos/class_0000/img_0000000.jpg", "photos/class_0000/img_0000499.jpg", "photos/class_0001/img_0000000.jpg",
        "photos/class_0039/img_0000499.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("deep", [False, True])
def test_parallel_listing_finds_what_one_thread_finds(use, lists, tmp_path, monkeypatch, deep):
    storage = LocalStorage(tmp_path, "shelf://photos")
    for i in range(120):
        storage.write(f"{'x/' * deep}{i % 5}/{i % 3}/{i}.jpg" if i % 7 else f"top{i}.jpg", [b"." * i])
    use(storage)
    monkeypatch.setattr(walking, "FEW", 0)
    found = {entry.key: entry for page in walking.pages(storage, "") for entry in page}
    assert sum(len(page) for page in walking.pages(storage, "")) == 120
    assert found == {entry.key: entry for page in storage.list("") for entry in page}


def test_progress_ends_with_all_objects(large, lists):
    calls = []
    found = list_folder(ADDRESS, lambda *counts: calls.append(counts), folder=lists)
    assert calls[-1] == (6000, found.total_size)
    assert calls == sorted(calls)


@pytest.mark.parametrize("classes", [3, 40])
def test_an_error_of_any_thread_is_raised_once_and_leaves_no_list(use, lists, classes):
    storage = use(SimulatedStorage("sim://bucket", classes, 5000, fail_at=14))
    with pytest.raises(PermissionError, match="expired"):
        list_folder(ADDRESS, folder=lists)
    storage.fail_at = 0
    assert len(list_folder(ADDRESS, folder=lists)) == classes * 5000


def test_it_can_be_interrupted(use, lists):
    use(SimulatedStorage("sim://bucket", 40, 5000))
    calls = []

    def stop(objects, nbytes):
        calls.append(objects)
        if objects > 20_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list_folder(ADDRESS, stop, folder=lists)
    assert not [path for path in lists.rglob("*") if path.is_dir() and path.name.startswith("list-")]


def processes(count, lists, counter, classes, images, seconds, start=""):
    arguments = [ADDRESS, str(lists), str(classes), str(images), str(seconds), str(counter), *([start] if start else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TOP / "src"), str(TOP)])}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.programs.lister", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=TOP,
            env=environment,
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(("classes", "images"), [(3, 4000), (3, 1000)])
def test_of_four_processes_one_lists(lists, tmp_path, classes, images):
    """Also a small prefix, which is listed each time, is listed once by processes that wait for each other."""
    counter = tmp_path / "requests"
    started = processes(4, lists, counter, classes, images, 0.2, str(time.time() + 4))
    said = [child.communicate(timeout=60)[0].split("\n")[1].split() for child in started]
    assert [child.returncode for child in started] == [0] * 4
    assert len({fingerprint for fingerprint, _, _ in said}) == 1
    assert {count for _, count, _ in said} == {str(classes * images)}
    assert sorted(made for _, _, made in said) == ["False"] * 3 + ["True"]
    pages = classes * images // 1000
    assert requests(counter) <= pages + walking.FEW + 6


@pytest.mark.parametrize("pause", [0.3, 0.8, 1.5])
def test_a_killed_process_leaves_the_old_list_or_none(lists, tmp_path, pause, use):
    counter = tmp_path / "requests"
    (child,) = processes(1, lists, counter, 3, 20_000, 0.02)
    assert child.stdout.readline() == "ready\n"
    time.sleep(pause)
    child.kill()
    child.wait()
    child.stdout.close()
    storage = use(SimulatedStorage("sim://bucket", 3, 20_000))
    found = list_folder(ADDRESS, folder=lists)
    assert len(found) == 60_000
    assert found.made_new == (storage.requests > 0)
    assert len(list(lists.glob("*/list-*"))) == 1


def damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


ARRAYS = ["offsets.npy", "checks.npy", "keys.npy", "key_ends.npy", "hollow.npy"]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *[(name, how) for name in ["current.json", *ARRAYS] for how in (damaged, cut)],
        *[(name, Path.unlink) for name in ARRAYS],
    ],
)
def test_a_damaged_list_is_made_again_with_one_warning(large, lists, caplog, name, how):
    fingerprint = list_folder(ADDRESS, folder=lists).fingerprint
    (path,) = lists.rglob(name)
    how(path)
    again = list_folder(ADDRESS, folder=lists)
    assert again.made_new
    assert again.fingerprint == fingerprint
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


def test_a_list_that_is_too_short_is_made_again(large, lists, caplog):
    list_folder(ADDRESS, folder=lists)
    (path,) = lists.rglob("objects.bin")
    os.truncate(path, path.stat().st_size - 1)
    assert list_folder(ADDRESS, folder=lists).made_new
    assert "wrong size" in caplog.text


def test_a_damaged_block_is_noticed_and_made_again_later(large, lists):
    list_folder(ADDRESS, folder=lists)
    (path,) = lists.rglob("objects.bin")
    damaged(path)
    found = list_folder(ADDRESS, folder=lists)
    assert not found.made_new
    with pytest.raises(BadFile, match=r"objects\.bin is damaged; it is made again"):
        list(found.keys())
    again = list_folder(ADDRESS, folder=lists)
    assert again.made_new
    assert len(list(again.keys())) == 6000


def test_without_a_writable_folder_a_list_is_for_this_process(large, tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    found = list_folder(ADDRESS, folder=blocked)
    assert found.object(5999).key == "photos/class_0002/img_0001999.jpg"
    assert "is kept for this process only" in caplog.text


def test_a_full_disk_is_named(large, lists, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place, "write_blocks", full)
    with pytest.raises(DiskFull, match="free some, or choose another folder"):
        list_folder(ADDRESS, folder=lists)
    assert not list(lists.glob("*/list-*"))


@pytest.mark.remote
def test_buckets_of_the_same_name_on_two_servers_have_two_lists(s3_server, proxy, bucket, tmp_path):
    folders = []
    for address in (s3_server.address, proxy.address):
        stores.configure(f"s3://{bucket}", s3_server.options(address))
        s3_server.put(bucket, "a.txt", b"a")
        making.make_list(f"s3://{bucket}", "", making.Making(folder=tmp_path))
        folders.append({path.name for path in tmp_path.iterdir()})
    assert len(folders[1] - folders[0]) == 1
