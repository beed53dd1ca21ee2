"""Whole files, in each of the three ways."""

import os

import numpy as np
import pytest
from tests.files.door import choose_door

from bitesize.errors import BadFile, FileChanged
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
