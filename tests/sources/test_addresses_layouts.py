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

BUCKET = "disk://{}"  # one for each folder, because what is known of objects is remembered


def bucket(root):
    return BUCKET.format(root.name.replace("_", "-"))


def at_address(given, root):
    """Return data or labels of the user with addresses in place of paths below the folder."""
    if isinstance(given, dict):
        return {key: at_address(value, root) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(at_address(part, root) for part in given)
    if isinstance(given, str | Path) and str(given).startswith(str(root)):
        return str(given).replace(str(root), bucket(root)).replace(os.sep, "/")
    return given


def facts(data, root, **options):
    """Return what there is to say of opened data, or of its error, with addresses in place of paths."""
    try:
        source = bs.open(data, **options)
    except SplitRequired as error:
        return {"splits": list(error.splits), "error": as_address(str(error), root)}
    except bs.BitesizeError as error:
        return {"error": as_address(f"{type(error).__name__}: {error}", root)}
    rows = range(min(len(source), 4))
    said = [as_address(str(choice), root) for choice in source.choices if not choice.chosen.startswith("listed ")]
    with closing(source):
        return {
            "source": as_address(repr(source), root),
            "layout": source.layout,
            "spec": str(source.spec),
            "classes": source.classes,
            "labels": None if source.labels is None else np.asarray(source.labels).tolist(),
            "choices": said,
            "left out": {as_address(why, root): count for why, count in source.left_out.items()},
            "fingerprint": source.fingerprint(),
            "rows": [as_address(source.describe(row), root) for row in rows],
            "paths": [path if path is None else as_address(os.fsdecode(path), root) for path in map(source.path, rows)],
        }


def as_address(text, root):
    return text.replace(str(root), bucket(root))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_opens_from_an_address_as_from_a_folder(name, tmp_path):
    register_storage("disk", lambda root, options: LocalStorage(tmp_path, root))
    given = LAYOUTS[name].make(tmp_path)
    if not any(addresses_in(at_address(given.data, tmp_path))):
        pytest.skip("an array or an object, which has no path")
    splits = [None]
    for split in splits:
        options = given.options if split is None else {**given.options, "split": split}
        expected = facts(given.data, tmp_path, **options)
        assert facts(at_address(given.data, tmp_path), tmp_path, **at_address(options, tmp_path)) == expected
        if split is None:
            splits += expected.get("splits", [])
