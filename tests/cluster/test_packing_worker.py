"""What a worker checks before it packs."""

import os

import numpy as np
import pytest

import bitesize as bs
from bitesize.cluster.packing_worker import check_visible


def test_a_worker_that_does_not_see_the_data_says_where_to_put_it(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.zeros(3))
    source = bs.open(tmp_path)
    check_visible(source)
    check_visible(bs.open(np.zeros((3, 2))))
    os.remove(tmp_path / "a.npy")
    with pytest.raises(bs.NotFound, match=r"a\.npy: put the data into a folder that all machines share"):
        check_visible(source)
