import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitesize.memory import limits

linux = pytest.mark.skipif(sys.platform != "linux", reason="rlimits and cgroups are read from /proc")


def _fake_cgroup(tmp_path: Path, lines: str, mounts: str) -> Path:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(lines)
    (proc / "mountinfo").write_text(mounts)
    return proc


def test_a_v2_cgroup_is_followed_up_to_the_root(tmp_path):
    mount = tmp_path / "cgroup"
    (mount / "pod" / "box").mkdir(parents=True)
    proc = _fake_cgroup(tmp_path, "0::/pod/box\n", f"30 25 0:26 / {mount} rw - cgroup2 cgroup rw\n")
    assert list(limits._cgroup_folders("memory", proc)) == [mount / "pod" / "box", mount / "pod", mount]


def test_inside_a_container_the_mounted_part_is_found(tmp_path):
    mount = tmp_path / "cgroup"
    mount.mkdir()
    proc = _fake_cgroup(tmp_path, "7:memory:/docker/abc\n", f"30 25 0:26 /docker/abc {mount} rw - cgroup cgroup rw,memory\n")
    assert list(limits._cgroup_folders("memory", proc)) == [mount]


def test_page_cache_that_can_be_dropped_is_not_in_the_way(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 700\n")
    monkeypatch.setattr(limits, "_cgroup_folders", lambda controller: [tmp_path])
    assert [limit.room for limit in limits._cgroup_limits()] == [800]


def test_a_cgroup_without_a_limit_limits_nothing(tmp_path, monkeypatch):
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (tmp_path / "memory.usage_in_bytes").write_text("900\n")
    monkeypatch.setattr(limits, "_cgroup_folders", lambda controller: [tmp_path])
    assert list(limits._cgroup_limits()) == []


@linux
@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_an_rlimit_is_seen_less_what_threads_will_reserve(name):
    code = f"""
import resource
resource.setrlimit(resource.{name}, (3 << 30, 3 << 30))
from bitesize.memory.limits import available, limits
one = [l.room for l in limits() if l.name == "{name}"][0]
more = [l.room for l in limits(threads=4) if l.name == "{name}"][0]
assert 1 << 30 < one < 3 << 30, one
assert one - more >= 4 * (8 << 20), (one, more)
assert available().room <= one
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def group():
    """Make a cgroup of 600 MiB."""
    folder = Path("/sys/fs/cgroup/memory") / f"bitesize-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"memory cgroups cannot be made here: {error}")
    try:
        (folder / "memory.limit_in_bytes").write_text(str(600 << 20))
        yield folder
    finally:
        folder.rmdir()


def run_in(group, code):
    enter = f'import os; open("{group}/cgroup.procs", "w").write(str(os.getpid()))\n'
    done = subprocess.run([sys.executable, "-c", enter + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@linux
def test_the_limit_of_a_real_cgroup_is_seen(group):
    run_in(
        group,
        """
from bitesize.memory.limits import available
from bitesize import Budget
limit = available()
assert "bitesize-test" in limit.name, limit
assert 0 < limit.room <= 600 << 20, limit
assert Budget("auto").total <= 150 << 20
""",
    )


@linux
def test_an_automatic_budget_follows_what_a_real_cgroup_leaves(group):
    """While something else fills the container, one slot goes; it comes back when there is room again."""
    run_in(
        group,
        """
import numpy as np, bitesize as bs
x = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None], (12, 2 << 20))
loader = bs.Loader(bs.open(x), batch_size=3, threads=1)

def epoch():
    seen = sorted(int(batch["x"][row, 0]) for batch in loader for row in range(3))
    assert seen == list(range(12)), seen
    return loader.budget.breakdown()["batch buffers"] // (3 * (8 << 20))

assert epoch() == 3
ballast = np.ones(360 << 20, np.uint8)
epoch()  # the look at the begin of an epoch takes effect with the next free slot
assert epoch() == 2, (loader.budget, loader.budget.breakdown())
del ballast
epoch()
assert epoch() == 3, (loader.budget, loader.budget.breakdown())
""",
    )


def test_ranks_of_one_machine_share_its_processors(monkeypatch):
    alone = limits.processor_share()
    assert alone == limits.usable_cpus()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert limits.processor_share() == 1
