"""Listings that break and go on lose no object, in whatever order the store lists."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

pytest.importorskip("obstore")

import obstore

from bitesize.storage.objects import ObjectStorage

KEYS = [f"a/{i:04}" for i in range(1500)] + [f"a-{i:04}" for i in range(1500)]  # folders first, as hierarchical stores do
OPTIONS = {
    "az://box": {"account_name": "name", "account_key": "a2V5"},
    "s3://box--x-s3": {"access_key_id": "a", "secret_access_key": "b"},
    "s3://box": {"access_key_id": "a", "secret_access_key": "b"},
}


@pytest.mark.parametrize("root", OPTIONS)
def test_a_listing_that_broke_loses_no_object(root, monkeypatch):
    keys = sorted(KEYS) if root == "s3://box" else KEYS
    broken = []

    def listed(store, prefix=None, *, offset=None, chunk_size=1000):
        found = [key for key in keys if offset is None or key > offset]
        for start in range(0, len(found), chunk_size):
            if start == chunk_size and not broken:
                broken.append(offset)
                raise OSError("error decoding response body")
            time = datetime.now(UTC)
            yield [
                {"path": key, "size": 1, "e_tag": "1", "last_modified": time, "version": None}
                for key in found[start : start + chunk_size]
            ]

    monkeypatch.setattr(obstore, "list", listed)
    storage = ObjectStorage(root, OPTIONS[root])
    found = [entry.key for page in storage.list("") for entry in page]
    assert broken
    assert set(found) == set(KEYS)
    if root == "s3://box":
        assert len(found) == len(KEYS)
