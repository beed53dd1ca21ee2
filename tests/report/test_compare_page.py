"""Pages of several runs: links to their reports."""

import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from tests.cli.running import run

pytest.importorskip("sklearn")
NAMES = ["javascript:alert(1)", "a#b", "50%25?x"]


class Links(HTMLParser):
    """Addresses of the links of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.found.append(dict(attributes)["href"])


@pytest.mark.skipif("os.name == 'nt'", reason="Windows has no such names")
def test_links_lead_to_reports_whatever_the_folders_are_called(tmp_path):
    rows = "".join(f"{i % 7},{i % 2},{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "data.csv").write_text(f"x,z,label\n{rows}")
    run("train", "data.csv", "--model", "sklearn:SGDClassifier", "--epochs", 1, "--out", "first", cwd=tmp_path)
    for name in NAMES:
        shutil.copytree(tmp_path / "first", tmp_path / name)
    run("report", *NAMES, "--out", "page.html", cwd=tmp_path)
    links = [link for link in Links((tmp_path / "page.html").read_text()).found if not link.startswith("#")]
    assert [unquote(link) for link in links] == [f"{name}/report.html" for name in NAMES]
    assert not any(mark in link.replace("%", "") for link in links for mark in ":#?")
