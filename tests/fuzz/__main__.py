"""Fuzzes every target, one after the other: `python -m tests.fuzz [--seconds 120] [--keep FOLDER] [TARGET ...]`.

Ends with 1 if a target crashed, hung for more than two seconds, or took too much memory; the bytes that did it are named.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

_HANG_SECONDS = 2
_MOST_MIB = 400  # of the whole process, of which Python and its libraries are about 150
_CORPUS = Path(__file__).parent / "corpus"


def fuzz(target: str, seconds: int, folder: Path) -> bool:
    """Fuzz one target; True if nothing was found."""
    own = folder / target
    own.mkdir(parents=True, exist_ok=True)
    for data in seeds(target):
        (own / hashlib.sha1(data).hexdigest()).write_bytes(data)
    known = [str(_CORPUS / target)] if (_CORPUS / target).is_dir() else []
    options = [f"-max_total_time={seconds}", f"-timeout={_HANG_SECONDS}", f"-rss_limit_mb={_MOST_MIB}", "-max_len=8192",
               "-print_final_stats=1", f"-artifact_prefix={folder}/{target}-"]  # fmt: skip
    command = [sys.executable, "-m", "tests.programs.fuzz_target", target, str(own), *known, *options]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    ran = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    slowest = re.search(r"slowest_unit_time_sec:\s*(\d+)", done.stderr)
    peak = re.search(r"peak_rss_mb:\s*(\d+)", done.stderr)
    figures = [found.group(1) if found else "?" for found in (ran, slowest, peak)]
    print(
        f"{target:10} {figures[0]:>9} runs, slowest {figures[1]} s, {figures[2]} MiB: {'ok' if not done.returncode else 'FOUND'}"
    )
    if done.returncode:
        print(done.stdout[-1000:], done.stderr[-4000:], file=sys.stderr)
    return not done.returncode


def main() -> int:
    """Fuzz all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="for all targets together")
    parser.add_argument("--keep", type=Path, help="where to keep what was tried, to go on from there")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []])
    asked = parser.parse_args()
    names = asked.targets or list(TARGETS)
    with tempfile.TemporaryDirectory() as temporary:
        good = [fuzz(name, max(1, asked.seconds // len(names)), asked.keep or Path(temporary)) for name in names]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
