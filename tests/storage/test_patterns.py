"""Patterns of objects match what `glob` matches in a folder."""

import glob
import os
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given

from bitesize.storage.patterns import matches
from tests.storage.memory import memory_storage

NAMES = st.sampled_from(["a", "b", "ab", ".h", "a.x", "b.x", "[a]"])
PARTS = st.sampled_from(["a", "*", "?", "a*", "*.x", "[ab]", "[!a]*", "**", ".*", "[a]", "[[]a]"])
KEYS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(tuple), min_size=1, max_size=6)


@given(KEYS, st.lists(PARTS, min_size=1, max_size=3).filter(lambda parts: any(map(glob.has_magic, parts))))
def test_a_pattern_matches_as_glob_does(keys, parts):
    folders = {key[:i] for key in keys for i in range(1, len(key))}
    keys = {key for key in keys if key not in folders}
    with tempfile.TemporaryDirectory() as top:
        for key in keys:
            path = Path(top, *key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"1")
        memory_storage({"/".join(("top", *key)): b"1" for key in keys})
        # Parts that are names of folders are literal, as in `files.scan.matching`.
        literal = list(parts)
        for i in range(len(parts)):
            if not os.path.isdir(os.path.join(top, *parts[: i + 1])):
                break
            literal[i] = glob.escape(parts[i])
        local = glob.glob(os.path.join(top, *literal), recursive=True)
        expected = {os.path.relpath(path, top).replace(os.sep, "/") for path in local}
        found = {
            path.removeprefix("memory://bucket/top").lstrip("/") or "."
            for path in matches("/".join(("memory://bucket/top", *parts)))
        }
        assert found == expected
