"""What a release says of itself agrees: version, changelog, citation, requirements. `make dist` builds and installs it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import bitesize as bs
from tests.cli.running import run

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
RELEASES = re.findall(r"^## \[(\d\S*)\] - (\d{4}-\d{2}-\d{2})$", CHANGELOG, re.MULTILINE)


def test_the_version_has_one_place():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert (ROOT / PROJECT["tool"]["hatch"]["version"]["path"]).read_text().count(f'__version__ = "{bs.__version__}"') == 1
    assert run("--version").stdout == f"bitesize {bs.__version__}\n"


def test_the_changelog_has_the_version_and_a_heading_for_the_next():
    assert RELEASES[0][0] == bs.__version__
    assert re.search(r"^## \[Unreleased\]$.*?^## \[", CHANGELOG, re.MULTILINE | re.DOTALL)


def test_the_citation_has_the_version_and_its_day():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], str(citation["date-released"])) == RELEASES[0]
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["authors"] == [{"name": "bitesize maintainers"}]


@pytest.mark.parametrize("name", ["py.typed", "__init__.pyi"])
def test_types_are_part_of_the_package(name):
    assert (Path(bs.__file__).parent / name).is_file()
