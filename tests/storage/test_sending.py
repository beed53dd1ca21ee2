"""The size of what is sent to workers, without a copy of it."""

import tracemalloc

import numpy as np
import pytest

import bitesize as bs
from bitesize.storage.sending import check_sendable

pytest.importorskip("ray", reason="its pickler is that of Ray")


def test_values_up_to_the_limit_are_sent(tmp_path):
    assert 8000 < check_sendable({"a": np.zeros(1000)}, most=10_000) < 9000
    with pytest.raises(bs.DoesNotFit, match=r"more than 1\.0 KiB"):
        check_sendable({"a": np.zeros(1000)}, most=1024)
    with pytest.raises(bs.DoesNotFit):
        check_sendable("text" * 1000, most=1024)


def test_a_source_of_files_is_small_and_one_of_arrays_is_not(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((100_000, 10)))
    check_sendable(bs.open(tmp_path / "x.npy"), most=100_000)
    with pytest.raises(bs.DoesNotFit):
        check_sendable(bs.open(np.zeros((100_000, 10))), most=100_000)


def test_nothing_is_copied_for_it():
    values = np.zeros(32 << 20, np.uint8)
    tracemalloc.start()
    try:
        check_sendable(values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
