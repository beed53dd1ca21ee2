"""One target under atheris: `python -m tests.programs.fuzz_target TARGET FOLDER [libFuzzer's options]`."""

from __future__ import annotations

import sys
import warnings

import atheris

with atheris.instrument_imports(include=["bitesize", "PIL", "tarfile", "zipfile", "numpy.lib._format_impl"]):
    from tests.fuzz.targets import survives

warnings.simplefilter("ignore")
name = sys.argv.pop(1)


def one(data: bytes) -> None:
    """Run the target on what the fuzzer made."""
    survives(name, bytes(data))


atheris.Setup(sys.argv, one)
atheris.Fuzz()
