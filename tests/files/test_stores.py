"""Folders of packed stores are recognized by the start of a file, whatever else they hold."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.files.stores import is_store, is_unfinished


def test_a_complete_store_is_recognized(tmp_path):
    bs.pack(bs.open(np.zeros((3, 2))), tmp_path / "store", memory="64 MiB")
    assert is_store(tmp_path / "store")
    assert is_store(bytes(tmp_path / "store"))
    assert not is_unfinished(tmp_path / "store")
    assert not is_store(tmp_path / "store" / "00000")


@pytest.mark.parametrize(
    "text", ["", "{}", '{"format": "other"}', '{"format": "bitesize packing"}', " " * 500 + '"format": "bitesize store"']
)
def test_other_manifests_are_not(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    assert not is_store(tmp_path)


def test_what_is_no_folder_is_not(tmp_path):
    assert not is_store(tmp_path / "nothing")
    assert not is_unfinished(__file__)
