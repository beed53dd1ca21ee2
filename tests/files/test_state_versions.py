"""Versions of files: numbers that change with size and time, from compiled code or from Python."""

import os
import sys
from types import ModuleType

import numpy as np
import pytest

from bitesize.files.state import FileState, combined_versions


@pytest.fixture
def files(tmp_path):
    paths = []
    for i in range(5):
        path = tmp_path / f"{i} ä"
        path.write_bytes(bytes(i))
        os.utime(path, ns=(7, 1_700_000_000_123_456_789 + i))
        paths.append(os.fsencode(path))
    return paths


def test_compiled_code_finds_the_versions_that_python_finds(files, monkeypatch):
    statx = pytest.importorskip("bitesize.kernels.statx")
    if sys.platform != "linux":
        pytest.skip("statx is a function of Linux")
    rows = [(path, files[0]) for path in [*files, b"/no/such/file"]]
    monkeypatch.setattr(statx, "LOADED", True)
    compiled = combined_versions(rows)
    monkeypatch.setattr(statx, "LOADED", False)
    assert np.array_equal(compiled, combined_versions(rows))
    assert compiled[-1] == 0
    assert len(set(compiled.tolist())) == 6


def test_one_file_has_the_version_of_its_state(files):
    assert combined_versions([(files[3],)]).tolist() == [FileState.of(files[3]).version]


def test_code_that_another_thread_is_importing_is_not_used(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitesize.kernels.statx", ModuleType("statx"))
    assert combined_versions([(files[3],)]).tolist() == [FileState.of(files[3]).version]


def test_size_and_time_each_change_the_version(files):
    before = combined_versions([(files[3],)])
    os.utime(files[3], ns=(7, 1))
    after = combined_versions([(files[3],)])
    with open(files[3], "ab") as file:
        file.write(b"x")
    os.utime(files[3], ns=(7, 1))
    assert len({int(before[0]), int(after[0]), int(combined_versions([(files[3],)])[0])}) == 3
