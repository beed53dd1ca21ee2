"""Whole files, in each of the three ways."""

import errno
import os

import numpy as np
import pytest
from tests.files.door import choose_door

import bitesize as bs
from bitesize.errors import BadFile, FileChanged, NotFound
from bitesize.files import pread


@pytest.fixture(params=["compiled", "preadv", "seek and read"], autouse=True)
def door(request, monkeypatch):
    choose_door(request.param, monkeypatch)


def _read(paths, limit=1 << 20):
    held = {}

    def put(i, nbytes):
        if nbytes > limit:
            raise BadFile(f"{nbytes} bytes are too many")
        held[i] = bytearray(nbytes)
        return memoryview(held[i])

    failed = pread.read_files([os.fsencode(path) for path in paths], put)
    return held, failed


def test_every_file_is_read_whole_in_its_place(tmp_path):
    paths = [tmp_path / f"{i} ä.bin" for i in range(20)]
    data = [np.random.default_rng(i).bytes(i * 997) for i in range(20)]
    for path, content in zip(paths, data, strict=True):
        path.write_bytes(content)
    held, failed = _read(paths)
    assert not failed
    assert [bytes(held[i]) for i in range(20)] == data


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path):
    paths = [tmp_path / name for name in ("a", "gone", "folder", "large", "b")]
    paths[0].write_bytes(b"first")
    paths[2].mkdir()
    paths[3].write_bytes(bytes(2000))
    paths[4].write_bytes(b"last")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    held, failed = _read(paths, limit=1500)
    assert set(failed) >= {1, 3}
    assert isinstance(failed[1], FileChanged)
    assert "gone" in str(failed[1])
    assert "too many" in str(failed[3])
    assert 2 in failed  # a folder is no file, whatever size the system gives it
    assert (bytes(held[0]), bytes(held[4])) == (b"first", b"last")
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_an_error_of_the_caller_leaves_no_file_open(tmp_path):
    paths = [tmp_path / str(i) for i in range(5)]
    for path in paths:
        path.write_bytes(b"1234")

    def put(i, nbytes):
        raise KeyError(i)

    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(KeyError):
        pread.read_files([os.fsencode(path) for path in paths], put)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("where", ["open", "read"])
@pytest.mark.parametrize("times", [2, 3])
def test_a_stale_handle_is_opened_again_three_times_at_most(tmp_path, monkeypatch, where, times):
    """As a network file system does it: opening, or reading what was opened, fails until the file is opened anew."""
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"678")
    tried = []
    name = "open" if where == "open" else "preadv" if pread.HAS_PREADV else "read"
    known = getattr(os, name)

    def stale(first, *rest):
        mine = first == os.fsencode(tmp_path / "a") if where == "open" else os.fstat(first).st_size == 5
        if mine and len(tried) < times:
            tried.append(first)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return known(first, *rest)

    monkeypatch.setattr(pread, "compiled", lambda: None)  # which gives way to Python for whatever it cannot read
    monkeypatch.setattr(os, name, stale)
    monkeypatch.setattr(pread, "_PAUSES", (0.0, 0.0))
    held, failed = _read([tmp_path / "a", tmp_path / "b"])
    assert bytes(held[1]) == b"678"
    assert len(tried) == times
    if times == 2:
        assert not failed
        assert bytes(held[0]) == b"12345"
    else:
        assert isinstance(failed[0], FileChanged)
        assert str(tmp_path / "a") in str(failed[0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"678")
    held, failed = _read([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert bytes(held[1]) == b"678"
    assert 0 in failed or not held.get(0)
    with pytest.raises(NotFound, match=r"a\.jpg is not a regular file"):
        bs.open([tmp_path / "a.jpg", tmp_path / "b.jpg"])
