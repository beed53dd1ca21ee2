"""`bitesize doctor`."""

import json
import sys
import tomllib
from pathlib import Path

import pytest
from tests.cli.running import run

from bitesize.cli.doctor import EXTRAS


def test_each_extra_is_explained():
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert [*EXTRAS] == [name for name in declared["project"]["optional-dependencies"] if name != "dev"]


def test_it_shows_versions_limits_the_disk_and_what_is_missing(tmp_path):
    found = json.loads(run("doctor", tmp_path, "--json").stdout)
    assert found["machine"]["versions"]["python"] == sys.version.split()[0]
    assert found["machine"]["usable_processors"] >= 1
    assert all(limit["room"] > 0 for limit in found["limits"])
    assert found["disk"]["write"] > 0
    assert [each["name"] for each in found["extras"]] == [*EXTRAS]
    assert not any(each["missing"] for each in found["extras"] if each["name"] in ("sklearn", "hdf5", "zarr"))
    assert not [*tmp_path.iterdir()]
    text = run("doctor", tmp_path).stdout
    assert "usable of" in text
    assert "free, writes" in text


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    assert "does not exist" in run("doctor", tmp_path / "gone", code=1).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="folders are always writable")
def test_a_disk_that_cannot_be_written_is_said():
    assert json.loads(run("doctor", "/proc", "--json").stdout)["disk"]["problem"]
