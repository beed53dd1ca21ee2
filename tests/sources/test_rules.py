"""The table of rules, and the documentation that is made of it."""

from pathlib import Path

import bitesize as bs
from bitesize.sources.rules import RULES, table

DOCS = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_documentation_has_the_table_of_rules_as_it_is():
    text = DOCS.read_text(encoding="utf-8")
    assert text.partition("<!-- rules -->\n")[2].partition("\n<!-- /rules -->")[0] == table()


def test_every_rule_that_chooses_names_what_decides_otherwise():
    assert [rule.name for rule in RULES if not rule.otherwise] == ["nothing", "numbers", "an array", "numbers"]


def test_a_source_knows_the_rule_that_opened_it(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"")
    source = bs.open(tmp_path)
    assert source.layout == "a folder of files"
    assert source.subset([0]).layout == source.layout
