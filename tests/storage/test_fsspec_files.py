"""Schemes that have no storage of their own are read through fsspec."""

from __future__ import annotations

import itertools
import logging
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize import packages
from bitesize.storage import stores
from bitesize.storage.fsspec_files import FsspecStorage
from bitesize.testing import check_source, check_storage, read_rows

fsspec = pytest.importorskip("fsspec")
from fsspec import AbstractFileSystem  # noqa: E402
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

_numbers = itertools.count()


@pytest.fixture
def root(monkeypatch, tmp_path):
    """Return an address of an empty folder in memory; other tests may have replaced what answers for it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delitem(stores._openers, "memory", raising=False)
    name = f"fsspec-{next(_numbers)}"
    yield f"memory://{name}"
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{name}"):
        memory.rm(f"/{name}", recursive=True)
    stores._storages.pop(f"memory://{name}", None)


def put(folder, root):
    """Copy a folder of the disk to an address."""
    fsspec.filesystem("memory").put(f"{folder}/", f"{root}/", recursive=True)


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12 + i % 5, 16, 3), np.uint8)).save(path)
    return tmp_path / "photos"


def batches(source):
    loader = bs.Loader(source, batch_size=8, memory="64 MiB", seed=1, transforms=[bs.Resize((8, 8))])
    with loader:
        return [{name: np.array(value) for name, value in batch.items()} for batch in loader]


def test_it_is_a_storage(root):
    check_storage(FsspecStorage(root, {}))


def test_a_folder_of_images_gives_the_batches_of_the_disk(root, photos):
    put(photos, root)
    local, there = bs.open(photos), bs.open(root)
    assert there.classes == local.classes
    assert there.fingerprint() == local.fingerprint()
    for ours, theirs in zip(batches(local), batches(there), strict=True):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    check_source(there)


@pytest.mark.parametrize("name", ["x.npy", "deep/er/x.npy"])
def test_a_file_of_rows_gives_the_batches_of_the_disk(name, root, tmp_path):
    rows = np.random.default_rng(0).integers(0, 99, (60, 9, 7), np.int32)
    (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
    np.save(tmp_path / "data" / name, rows)
    put(tmp_path / "data", root)
    local, there = bs.open(tmp_path / "data" / name), bs.open(f"{root}/{name}")
    assert there.fingerprint() == local.fingerprint()
    assert read_rows(there, [3, 59, 0, 3]) == read_rows(local, [3, 59, 0, 3])
    with bs.Loader(there, batch_size=20, memory="64 MiB", seed=3) as loader:
        seen = np.concatenate([batch["x"].copy() for batch in loader])
    assert np.array_equal(np.sort(seen, axis=0), np.sort(rows, axis=0))


def test_the_log_and_the_choices_say_that_it_is_slow(root, tmp_path, caplog):
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    fsspec.filesystem("memory").put_file(str(tmp_path / "x.npy"), f"{root}/x.npy")
    with caplog.at_level(logging.INFO, "bitesize"):
        source = bs.open(f"{root}/x.npy")
    said = "memory:// is read through fsspec, which is slower than s3://"
    assert [said in line for line in caplog.messages].count(True) == 1
    assert sum(said in str(choice) for choice in source.choices) == 1


def test_a_replaced_file_is_noticed(root):
    storage = FsspecStorage(root, {})
    before = storage.write("x.bin", [b"one"])
    fsspec.filesystem("memory").pipe_file(f"{root}/x.bin", b"two")
    with pytest.raises(bs.FileChanged, match="was replaced since it was listed"):
        storage.read("x.bin", 0, [memoryview(bytearray(3))], before.version)


def test_writing_to_what_is_read_is_possible(root):
    storage = FsspecStorage(root, {})
    storage.write("a.bin", [b"content"])

    def copied():
        into = bytearray(7)
        storage.read("a.bin", 0, [memoryview(into)])
        yield into

    assert storage.write("b.bin", copied()).size == 7


# --- filesystems of other kinds ---------------------------------------------------------------------------------------


class Plain(MemoryFileSystem):
    """A filesystem with nothing of its own but folders and open files, which no two threads may use at the same time."""

    protocol = "plain"
    store, pseudo_dirs = {}, [""]
    find, cat_file, walk = AbstractFileSystem.find, AbstractFileSystem.cat_file, AbstractFileSystem.walk

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("plain://", "memory://", 1))


class Failing(Plain):
    """A filesystem that fails with an error so many times, each instance with those that are left."""

    protocol = "failing"
    store, pseudo_dirs = {}, [""]
    error, times, made = ConnectionResetError("reset by peer"), Counter(), Counter()

    def __init__(self, **options):
        super().__init__(**options)
        self.made["instances"] += 1

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("failing://", "memory://", 1))

    def _fail(self, name):
        if self.times[name]:
            self.times[name] -= 1
            raise type(self).error

    def info(self, path, **options):
        self._fail("info")
        return super().info(path, **options)

    def ls(self, path, **options):
        self._fail("ls")
        return super().ls(path, **options)

    def cat_file(self, path, start=None, end=None, **options):
        self._fail("cat_file")
        data = super().cat_file(path, start, end, **options)
        if self.times["short"]:
            self.times["short"] -= 1
            return data[:-1]
        return data


fsspec.register_implementation("plain", Plain, clobber=True)
fsspec.register_implementation("failing", Failing, clobber=True)


@pytest.fixture
def failing(monkeypatch):
    monkeypatch.setattr(Failing, "store", {"/place/a/x.bin": None})
    monkeypatch.setattr(Failing, "times", Counter())
    monkeypatch.setattr(Failing, "made", Counter())
    monkeypatch.setattr(Failing, "error", ConnectionResetError("reset by peer"))
    Failing.store.clear()
    storage = FsspecStorage("failing://place", {"deadline": 5})
    storage.write("a/x.bin", [b"0123456789"])
    return storage


def read(storage, key="a/x.bin", version=""):
    into = bytearray(4)
    storage.read(key, 2, [memoryview(into)[:1], memoryview(into)[1:]], version)
    return bytes(into)


def test_a_filesystem_that_has_only_folders_and_open_files_is_a_storage():
    check_storage(FsspecStorage("plain://place", {}))


def test_failed_requests_are_repeated_with_a_new_connection(failing):
    before = Failing.made["instances"]
    Failing.times.update(ls=2, info=2, cat_file=2)
    assert [entry.key for page in failing.list("") for entry in page] == ["a/x.bin"]
    assert read(failing, version=failing.entry("a/x.bin").version) == b"2345"
    assert not +Failing.times
    assert Failing.made["instances"] - before == 6


def test_a_short_answer_is_repeated(failing):
    Failing.times["short"] = 1
    assert read(failing) == b"2345"


def test_a_folder_that_cannot_be_listed_is_not_left_out(failing, monkeypatch):
    monkeypatch.setattr(Failing, "error", OSError("the disk of the server is broken"))
    Failing.times["ls"] = 1
    with pytest.raises(bs.RequestFailed, match="the disk of the server is broken"):
        list(failing.list(""))


def test_retries_end_with_the_deadline(failing):
    storage = FsspecStorage("failing://place", {"deadline": 0.3})
    Failing.times["cat_file"] = 1000
    with pytest.raises(bs.RequestFailed, match=r"failing://place/a/x.bin: ConnectionResetError: reset by peer \(tried"):
        read(storage)


class Answered(Exception):
    """An error with a status, as clients of HTTP have."""

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermissionError("no"), bs.NoPermission),
        (Answered(403), bs.NoPermission),
        (Answered(404), bs.NotFound),
        (IsADirectoryError("a"), bs.NotFound),
        (NotImplementedError(), bs.BadSetting),
        (Answered(418), bs.RequestFailed),
        (KeyError("surprise"), bs.RequestFailed),
    ],
    ids=str,
)
def test_other_errors_are_those_of_bitesize(error, kind, failing, monkeypatch):
    monkeypatch.setattr(Failing, "error", error)
    Failing.times["info"] = 1
    with pytest.raises(kind, match=r"failing://place/a/x\.bin") as raised:
        failing.entry("a/x.bin")
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("key", ["a//x.bin", "a/../x.bin", "./x.bin", "a/x.bin/"])
def test_names_that_would_be_changed_are_refused(key, failing):
    with pytest.raises(bs.BadSetting, match="empty part"):
        failing.entry(key)


# --- what cannot be opened --------------------------------------------------------------------------------------------


def test_an_unknown_scheme_is_refused_with_those_that_are_known():
    with pytest.raises(bs.BadSetting, match=r"nothing:// is not supported: s3://.*through fsspec.*ftp://.*hf://.*sftp://"):
        bs.open("nothing://bucket/x.npy")


def test_files_of_this_machine_are_opened_by_their_path():
    with pytest.raises(bs.BadSetting, match="pass their path"):
        bs.open("file:///data/x.npy")


@pytest.mark.skipif(packages.is_installed("smbprotocol"), reason="smbprotocol is installed")
def test_a_further_package_is_named():
    with pytest.raises(bs.MissingPackage, match='smb://host: SMB requires "smbprotocol"'):
        bs.open("smb://host/share/x.npy")


def test_fsspec_is_named_if_it_is_missing(monkeypatch):
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        bs.MissingPackage, match=r"ftp:// is none of s3://.*fsspec, which is not installed: pip install fsspec"
    ):
        FsspecStorage("ftp://host", {})


def test_wrong_options_are_refused():
    with pytest.raises(bs.BadSetting, match="cannot be opened with these storage_options"):
        FsspecStorage("github://", {"anything": 1})
