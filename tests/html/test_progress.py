"""Progress of long calls."""

import io
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import bitesize as bs
from bitesize.html import progress as module
from bitesize.html.progress import Bar, counts, totals

SOURCE = bs.open(np.arange(4000.0).reshape(1000, 4))


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self):
        return True


def test_a_call_reports_to_the_function_it_is_given_and_to_none_without():
    seen = []
    bs.statistics(SOURCE, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (1000, 1000)
    bs.check(SOURCE, progress=seen.append)
    assert sum(count for count in seen if not isinstance(count, tuple)) == 1000
    assert (
        [totals(each, "reading") for each in (None, False)]
        == [counts(each, "reading", 9) for each in (None, False)]
        == [None, None]
    )


def test_true_shows_one_line_that_is_written_over_and_ends_with_the_time(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(module, "_EVERY_SECONDS", 0)
    bar = Bar("reading")
    for done in range(0, 101, 25):
        bar(done, 100)
    bar(100, 100)  # the end is shown once
    lines = sys.stderr.getvalue().removesuffix("\n").split("\r")
    assert len(lines) == 6
    assert lines[1].rstrip() == f"reading [{'.' * 24}] 0/100 rows"
    assert lines[3].startswith(f"reading [{'#' * 12}{'.' * 12}] 50/100 rows, ")
    assert lines[5].startswith(f"reading [{'#' * 24}] 100/100 rows, 0.")
    widths = [len(line) for line in lines[1:]]
    assert all(len(line.rstrip()) <= width for line, width in zip(lines[1:], widths, strict=True))


def test_a_log_has_a_line_at_the_end(capsys, tmp_path):
    bs.statistics(SOURCE, progress=True)
    bs.check({"a": SOURCE, "b": SOURCE}, progress=True)
    bs.pack(SOURCE, tmp_path / "packed", progress=True)
    bs.concatenate([np.zeros(9)]).save(tmp_path / "a.npy", progress=True)
    printed, said = capsys.readouterr()
    assert printed == ""
    assert [line.rpartition(", ")[0] for line in said.splitlines()] == [
        "reading: 1,000/1,000 rows",
        "checking: 2,000/2,000 rows",
        "packing: 1,000/1,000 rows",
        "writing: 72/72 bytes",
    ]


def test_in_a_notebook_one_output_is_updated(tmp_path):
    pytest.importorskip("IPython")
    program = """
        import json
        import numpy as np, bitesize as bs
        from IPython.core.displaypub import CapturingDisplayPublisher
        from IPython.core.interactiveshell import InteractiveShell
        class Shell(InteractiveShell):
            kernel = object()  # as the shell of a notebook has
        shell = Shell.instance(display_pub_class=CapturingDisplayPublisher)
        bs.statistics(bs.open(np.zeros((9, 2))), progress=True)
        bs.check(bs.open(np.zeros((9, 2))), progress=True)
        print(json.dumps([[each["data"], each["update"]] for each in shell.display_pub.outputs]))
    """
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        env=environment,
    )
    shown = json.loads(done.stdout.splitlines()[-1])
    assert [update for _, update in shown] == [False, False, True]
    assert all('<div class="bitesize">' in data["text/html"] for data, _ in shown)
    assert shown[2][0]["text/plain"].startswith("checking: 9/9 rows, ")
    assert "9/9" not in done.stderr
