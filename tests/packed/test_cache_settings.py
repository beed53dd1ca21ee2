import shutil
from pathlib import Path

import pytest

import bitesize as bs
from bitesize.packed.cache_settings import cache_setting, default_folder


def test_sizes_are_bytes_or_text():
    assert bs.Cache(size="40 GiB").limit == 40 << 30
    assert bs.Cache(size=12_345).limit == 12_345


def test_auto_is_half_of_the_space_that_is_free(tmp_path):
    limit = bs.Cache(tmp_path / "not" / "there").limit
    assert limit == pytest.approx(shutil.disk_usage(tmp_path).free / 2, rel=0.2)


def test_a_relative_folder_stays_the_same_if_the_current_folder_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = bs.Cache("cache").path
    assert path.is_absolute()
    assert path == tmp_path / "cache"


def test_the_default_folder_is_for_caches_and_not_beside_the_data():
    assert bs.Cache().path == default_folder()
    assert "bitesize" in str(default_folder())
    assert not default_folder().is_relative_to(Path.cwd())


@pytest.mark.parametrize(
    "settings",
    [
        {"size": "much"},
        {"size": -1},
        {"size": True},
        {"size": 1.5},
        {"kind": "jpeg"},
        {"max_side": 0},
        {"max_side": 1.5},
        {"folder": 3},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(bs.BadSetting):
        bs.Cache(**settings)


def test_a_loader_takes_a_folder_a_cache_or_auto(tmp_path):
    cache = bs.Cache(tmp_path, "1 MiB")
    assert cache_setting(cache) is cache
    assert cache_setting(tmp_path) == bs.Cache(tmp_path)
    assert cache_setting("auto") == bs.Cache()
    assert cache_setting(None) is None
