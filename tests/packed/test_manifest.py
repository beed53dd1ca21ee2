"""A manifest or a record of a shard that anyone has edited is read as what it says, or refused with a typed error."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import survives
from tests.properties import examples

import bitesize as bs
from bitesize.sources.combine.wrapper import SourceWrapper

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, -1, 2**31, 2**62, 2**63, 1e308, float("nan"), "", "x", "..", "/", "blob", "fixed", "pixels", "O", "V2", "<f4", "bfloat16"]),
    st.lists(st.integers(-1, 2**62), max_size=4),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
    st.text(max_size=20),
)  # fmt: skip


def places(value, path=()):
    """Return the paths of all values within a value."""
    found = [path] if path else []
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found += places(value[key], (*path, key))
    return found


@pytest.mark.parametrize("target", ["manifest", "shard_json"])
@examples(2000)
@given(data=st.data())
def test_any_value_in_any_place(target, data):
    whole = json.loads(seeds(target)[0])
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(places(whole)))
        value = whole
        for key in parents:
            value = value[key]
        how = data.draw(st.sampled_from(["set", "delete", "copy"]))
        if how == "set":
            value[last] = data.draw(ODD)
        elif how == "copy":
            other = whole
            for key in data.draw(st.sampled_from(places(whole))):
                other = other[key]
            value[last] = copy.deepcopy(other)
        else:
            del value[last]
        if not places(whole):
            break
    survives(target, json.dumps(whole, indent=1).encode())


@pytest.mark.parametrize("target", ["manifest", "shard_json"])
@examples(1000)
@given(data=st.data())
def test_any_bytes_in_any_place(target, data):
    good = bytearray(seeds(target)[0])
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    survives(target, bytes(good))


def test_names_of_targets_are_kept_and_stores_of_earlier_versions_have_none(tmp_path):
    source = WithTargets(bs.open(np.zeros((6, 2)), np.arange(12).reshape(6, 2) / 8))
    bs.pack(source, tmp_path / "store")
    store = bs.open(tmp_path / "store")
    assert store.target_names == ("price", "energy")
    file = tmp_path / "store" / "manifest.json"
    value = json.loads(file.read_text())
    assert value["splits"][""].pop("targets") == ["price", "energy"]
    file.write_text(json.dumps(value))
    earlier = bs.open(tmp_path / "store")
    assert earlier.target_names is None
    assert earlier[1]["y"].tolist() == store[1]["y"].tolist() == [0.25, 0.375]
    for odd in (["price"], "price", [1, 2], {}):
        value["splits"][""]["targets"] = odd
        file.write_text(json.dumps(value))
        with pytest.raises(bs.PackedError, match="is damaged"):
            bs.open(tmp_path / "store")


class WithTargets(SourceWrapper):
    """A source whose labels have names."""

    def __init__(self, base):
        super().__init__(base)
        self.target_names = ("price", "energy")
