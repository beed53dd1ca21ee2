"""The folder of caches: what is listed, and what is removed."""

import json

import pytest

import bitesize as bs
from bitesize.packed.cache_folder import ABOUT, CacheFolder, clear, disk_bytes, entries


def test_caches_are_listed_with_the_last_used_first(tmp_path):
    for key in ("first", "second", "first"):
        CacheFolder(tmp_path / "cache", 1 << 20, key, {"source": key}).close()
    assert [entry.key for entry in entries(tmp_path / "cache")] == ["first", "second"]
    assert entries(tmp_path / "cache")[0].about == {"source": "first"}


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_a_damaged_description_is_no_hindrance(tmp_path, content):
    CacheFolder(tmp_path / "cache", 1 << 20, "key", {}).close()
    (tmp_path / "cache" / "key" / ABOUT).write_text(content)
    assert [entry.about for entry in entries(tmp_path / "cache")] == [{}]


@pytest.mark.parametrize("key", ["", "x"])
def test_an_unknown_key_removes_nothing(tmp_path, key):
    CacheFolder(tmp_path / "cache", 1 << 20, "key", {}).close()
    with pytest.raises(bs.BadSetting, match="has no cache"):
        clear(tmp_path / "cache", key)
    assert len(entries(tmp_path / "cache")) == 1


def test_the_beginning_of_a_key_is_enough(tmp_path):
    for key in ("abc1", "abc2", "b"):
        CacheFolder(tmp_path / "cache", 1 << 20, key, {}).close()
    assert clear(tmp_path / "cache", "abc1") > 0
    assert sorted(entry.key for entry in entries(tmp_path / "cache")) == ["abc2", "b"]


def test_owners_leave_nothing_behind(tmp_path):
    folder = CacheFolder(tmp_path / "cache", 1 << 20, "key", {})
    claim = folder.claim(100_000, 1000)
    assert claim.nbytes == 100_000
    folder.close()
    CacheFolder(tmp_path / "cache", 1 << 20, "key", {}).close()
    assert list((tmp_path / "cache" / "owners").iterdir()) == []
    assert disk_bytes(tmp_path / "cache") < 32_768
    assert json.loads((tmp_path / "cache" / "bitesize-cache.json").read_text())["schema"] == 1


def test_claims_of_all_owners_stay_within_the_limit(tmp_path):
    folders = [CacheFolder(tmp_path / "cache", 1 << 20, f"key{i}", {}) for i in range(3)]
    claims = [folder.claim(300_000, 50_000) for folder in folders for _ in range(3)]
    assert sum(claim.nbytes for claim in claims if claim is not None) <= 1 << 20
    assert None in claims
    claims[0].release()
    assert folders[2].claim(300_000, 50_000) is not None
    for folder in folders:
        folder.close()


def test_an_owner_that_disappears_meanwhile_is_no_hindrance(tmp_path):
    CacheFolder(tmp_path / "cache", 1 << 20, "key", {}).close()
    owner = tmp_path / "cache" / "owners" / "other"
    owner.mkdir()
    (owner / ".lock").symlink_to(tmp_path / "missing" / "lock")  # a lock file that cannot be made, as in a removed folder
    folder = CacheFolder(tmp_path / "cache", 1 << 20, "key", {})
    assert folder.reason == ""
    folder.close()
