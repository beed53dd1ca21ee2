"""Opening and joining read nothing of the data's size: not into memory, and not from the disk."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.opening import WAYS

_MIB = 1 << 20
MOST = 40 * _MIB  # of data of 320 MiB


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    if sys.platform != "linux":
        pytest.skip("the kernel's figures are read from /proc")
    for package in ("h5py", "zarr", "pyarrow"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("opening")
    program = [sys.executable, "-m", "tests.contract.opening", str(folder)]
    top = Path(__file__).parents[2]
    subprocess.run([*program, "make"], check=True, timeout=200, cwd=top)  # in a process of its own: it holds much
    return json.loads(subprocess.run(program, check=True, capture_output=True, text=True, timeout=200, cwd=top).stdout)


@pytest.mark.slow  # the data alone takes half a minute
@pytest.mark.parametrize("way", WAYS)
def test_opening_holds_and_reads_little_however_large_the_data(way, measured):
    found = measured[way]
    assert "error" not in found, found["error"]
    assert max(found["own"], found["most"], found["read"]) < MOST, {name: f"{n / _MIB:.1f} MiB" for name, n in found.items()}
