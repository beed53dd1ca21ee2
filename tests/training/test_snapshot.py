"""Checkpoints on disk: every kind of array comes back, and every flipped byte is noticed."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

from bitesize import BadFile
from bitesize.training.snapshot import read_snapshot, write_snapshot

STATE = {"epoch": 3, "loss": [0.1, float("inf")], "name": "ä", "nothing": None}


def test_every_kind_of_array_comes_back(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    arrays = {
        "weights/0": np.arange(12, dtype=np.float32).reshape(3, 4),
        "scalar": np.array(7, np.int64),
        "empty": np.empty((0, 3), np.float16),
        "transposed": np.arange(6).reshape(2, 3).T,
        "narrow": np.arange(5).astype(ml_dtypes.bfloat16),
        "narrower": np.arange(4).reshape(2, 2).astype(ml_dtypes.float8_e4m3fn),
        "truth": np.array([True, False]),
    }
    write_snapshot(tmp_path / "a.npz", STATE, arrays)
    state, back = read_snapshot(tmp_path / "a.npz")
    assert state == STATE
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert np.array_equal(back[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    with np.load(tmp_path / "a.npz") as archive:
        assert np.array_equal(archive["0"], arrays["weights/0"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshot") / "whole.npz"
    write_snapshot(path, STATE, {"a": np.arange(50, dtype=np.float32), "b": np.arange(3)})
    return path


def test_no_flipped_byte_changes_what_is_read(whole, tmp_path):
    """At any place: an error, or exactly what was written (dates in the archive mean nothing)."""
    data, expected = whole.read_bytes(), read_snapshot(whole)
    noticed = 0
    for i in range(len(data)):
        path = tmp_path / "damaged.npz"
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x41]) + data[i + 1 :])
        try:
            state, arrays = read_snapshot(path)
        except BadFile as error:
            noticed += 1
            assert str(path) in str(error)
            continue
        assert state == expected[0]
        assert all(np.array_equal(arrays[name], expected[1][name]) for name in expected[1])
    assert noticed > 0.7 * len(data)


@examples(60)
@given(st.data())
def test_what_is_cut_short_or_no_checkpoint_is_refused(whole, tmp_path_factory, data):
    content = whole.read_bytes()
    path = tmp_path_factory.mktemp("cut") / "cut.npz"
    path.write_bytes(
        data.draw(st.one_of(st.binary(max_size=100), st.integers(0, len(content) - 1).map(lambda n: content[:n])))
    )
    with pytest.raises(BadFile, match=r"cut\.npz is"):
        read_snapshot(path)


def test_a_pickle_is_never_read(tmp_path):
    import zipfile

    import xxhash

    write_snapshot(tmp_path / "a.npz", {}, {"a": np.arange(3)})
    with zipfile.ZipFile(tmp_path / "evil.npz", "w") as archive:
        content = json.dumps({"schema": 1, "arrays": [["a", "object", [1], "0" * 32]], "state": {}})
        archive.writestr(
            "state.json", json.dumps({"xxh3_128": xxhash.xxh3_128_hexdigest(content.encode()), "content": content})
        )
        with archive.open("0.npy", "w") as member:
            np.lib.format.write_array(member, np.array([{"x": 1}], object), allow_pickle=True)
    with pytest.raises(BadFile, match="evil"):
        read_snapshot(tmp_path / "evil.npz")


def test_a_failed_write_leaves_what_was_there(tmp_path):
    write_snapshot(tmp_path / "a.npz", {"n": 1}, {"a": np.arange(3)})
    with pytest.raises(TypeError):
        write_snapshot(tmp_path / "a.npz", {"n": object()}, {"a": np.arange(3)})
    assert read_snapshot(tmp_path / "a.npz")[0] == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
