"""What is remembered of objects: never an answer that a newer one contradicts."""

from __future__ import annotations

import io

import numpy as np
import pytest

import bitesize as bs
from bitesize.errors import NotFound
from bitesize.testing import read_rows
from tests.storage.memory import memory_storage


def npy(value):
    file = io.BytesIO()
    np.save(file, np.full((3, 4), float(value)))
    return file.getvalue()


def test_a_folder_whose_objects_were_removed_is_not_found():
    storage = memory_storage({"rows/1.npy": npy(1), "rows/2.npy": npy(2), "other.npy": npy(3)})
    assert len(bs.open("memory://bucket/rows")) == 2
    del storage.objects["rows/1.npy"], storage.objects["rows/2.npy"]
    with pytest.raises(NotFound):
        bs.open("memory://bucket/rows")


def test_a_folder_whose_objects_were_removed_is_not_found_in_the_list_of_a_folder_above():
    storage = memory_storage({"all/rows/1.npy": npy(1), "all/rows/2.npy": npy(2), "all/more/3.npy": npy(3)})
    assert len(bs.open("memory://bucket/all/")) == 3
    del storage.objects["all/rows/1.npy"], storage.objects["all/rows/2.npy"]
    with pytest.raises(NotFound):
        bs.open("memory://bucket/all/rows")


@pytest.mark.parametrize("value", ["memory://bucket/rows/1.npy", "memory://bucket/rows", ["memory://bucket/rows/1.npy"]])
def test_what_is_opened_again_is_as_it_is_now(value):
    storage = memory_storage({"rows/1.npy": npy(1)})
    assert set(np.frombuffer(read_rows(bs.open(value), [0])["x"][0])) == {1.0}
    storage.objects["rows/1.npy"] = npy(2)
    assert set(np.frombuffer(read_rows(bs.open(value), [0])["x"][0])) == {2.0}
