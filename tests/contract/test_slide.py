"""Patches of a slide of 700 MB, and a stitched prediction of it, stay within 128 MiB under a memory cgroup."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.contract.measure import MARGIN, small_group, why_not
from tests.programs.limited_slide import TILE, kind_of, predict, tiles, write_slide

pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
zarr = pytest.importorskip("zarr")

SIDE = 60  # tiles
BUDGET = 128 << 20


@pytest.fixture(autouse=True, scope="module")
def open_event_loop(tmp_path_factory):
    """Zarr opens an event loop at its first use, and keeps it."""
    zarr.create_array(str(tmp_path_factory.mktemp("loop") / "a.zarr"), data=np.zeros(1))


def status(pid, name):
    """A figure of the kernel, in bytes."""
    lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def run_limited(slide, out, size, stride):
    """Run the program under a limit; return what it printed, and the most memory that it held."""
    command = [sys.executable, "-m", "tests.programs.limited_slide", str(slide), str(out), "128 MiB", str(size), str(stride)]
    with small_group() as group:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        try:
            (group / "cgroup.procs").write_text(str(child.pid))
            assert child.stdout.readline() == "ready\n"
            base = status(child.pid, "VmRSS")
            (group / "memory.limit_in_bytes").write_text(str(base + BUDGET + MARGIN))
            (Path("/proc") / str(child.pid) / "clear_refs").write_text("5")  # the high-water mark begins anew
            child.stdin.write("go\n")
            child.stdin.flush()
            line = child.stdout.readline()
            assert line, f"the process ended with {child.wait()}"
            held = status(child.pid, "VmHWM") - base
            child.communicate("go\n")
            return json.loads(line), held
        finally:
            child.kill()
            child.communicate()


@pytest.mark.slow
@pytest.mark.skipif(why_not("cgroup", "epochs") is not None, reason=str(why_not("cgroup", "epochs")))
@pytest.mark.parametrize(("kind", "size", "stride"), [("tif", 256, 128), ("zarr", 224, 192)])
def test_a_slide_of_five_times_the_limit_is_trained_and_stitched_within_it(kind, size, stride, tmp_path):
    slide, out = tmp_path / f"slide.{kind}", tmp_path / "out.npy"
    write_slide(slide, SIDE)
    assert (SIDE * TILE) ** 2 * 3 > 5 * BUDGET
    told, held = run_limited(slide, out, size, stride)
    assert told["rows"] == told["of"]
    assert told["reads"] <= 1.2
    assert max(told["planned"], told["peak"]) <= BUDGET
    assert held <= BUDGET + MARGIN
    assert told["left"] == 0
    stitched, classes = np.load(out, mmap_mode="r"), predict(tiles())
    for i in range(SIDE):
        whole = np.concatenate([classes[kind_of(i, j)] for j in range(SIDE)], axis=1)
        assert (stitched[i * TILE : (i + 1) * TILE] == whole).all()
