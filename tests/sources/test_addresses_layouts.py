"""Every layout of the catalog opens from an address as it does from the folder: the same rows, labels, names, choices and fingerprint."""

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.layouts.catalog import LAYOUTS

import bitesize as bs
from bitesize.sources.addresses import addresses_in
from bitesize.sources.splits import SplitRequired
from bitesize.storage.local import LocalStorage
from bitesize.storage.stores import register_storage

# What is not there at an address: folders without objects.
NO_EMPTY_FOLDERS = "empty_class_folder"


def at_address(given, root):
    """Return data or labels of the user with addresses in place of paths below the folder."""
    if isinstance(given, dict):
        return {key: at_address(value, root) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(at_address(part, root) for part in given)
    if isinstance(given, str | Path) and str(given).startswith(str(root)):
        return address_of(root) + str(given)[len(str(root)) :].replace(os.sep, "/")
    return given


def address_of(root):
    """Return the address of a folder: its parent is the bucket, whose name is used once."""
    return f"disk://{''.join(filter(str.isalnum, str(root)))}/{root.name}"


def facts(data, root, **options):
    """Return what there is to say of opened data, or of its error, with addresses in place of paths."""

    def said(text):
        return text.replace(str(root), address_of(root))

    try:
        source = bs.open(data, **options)
    except SplitRequired as error:
        return {"splits": list(error.splits), "error": said(str(error))}
    except bs.BitesizeError as error:
        return {"error": said(f"{type(error).__name__}: {error}")}
    rows = range(min(len(source), 4))
    with closing(source):
        return {
            "source": said(repr(source)),
            "layout": source.layout,
            "spec": str(source.spec),
            "classes": source.classes,
            "labels": None if source.labels is None else np.asarray(source.labels).tolist(),
            "choices": [said(str(choice)) for choice in source.choices if not choice.chosen.startswith("listed ")],
            "left out": {said(why): count for why, count in source.left_out.items()},
            "fingerprint": source.fingerprint(),
            "rows": [said(source.describe(row)) for row in rows],
            "paths": [path if path is None else said(os.fsdecode(path)) for path in map(source.path, rows)],
        }


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != NO_EMPTY_FOLDERS])
def test_a_layout_opens_from_an_address_as_from_a_folder(name, tmp_path, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    register_storage("disk", lambda root, options: LocalStorage(tmp_path.parent, root))
    given = LAYOUTS[name].make(tmp_path)
    if not any(addresses_in(at_address(given.data, tmp_path))):
        pytest.skip("an array or an object, which has no path")
    splits = [None]
    for split in splits:
        options = given.options if split is None else {**given.options, "split": split}
        expected = facts(given.data, tmp_path, **options)
        found = facts(at_address(given.data, tmp_path), tmp_path, **at_address(options, tmp_path))
        if str(expected.get("error", "")).endswith(" does not exist"):  # at an address, what is there is added
            found["error"] = found["error"][: len(expected["error"])]
        assert found == expected
        if split is None:
            splits += expected.get("splits", [])
