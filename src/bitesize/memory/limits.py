"""Limits of this process: memory (system, cgroups, rlimits) and processors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bitesize.checks import is_whole
from bitesize.errors import BadSetting
from bitesize.memory.local_ranks import local_ranks

# Address space that a thread reserves without using it: glibc's malloc arena and stack (measured).
THREAD_RESERVES = {"RLIMIT_AS": 68 << 20, "RLIMIT_DATA": 8 << 20}
# Largest number of idle threads in a loader; see pipeline/thread_scaling.py.
MOST_STANDBY = 14
# Name of the limit that is the free memory of the machine.
AVAILABLE = "available memory"
# A cgroup without a limit reports a number near 2**63 (v1). Values of this size or more are not limits.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Limit:
    """A limit of this process's memory.

    Parameters
    ----------
    name
        Common name of the limit: ``"available memory"``, ``"cgroup /docker/x"``, ``"RLIMIT_AS"``.
    room
        Bytes that this process may still take within the limit, 0 or more.
    """

    name: str
    room: int


def limits(threads: int = 0) -> list[Limit]:
    """Return all memory limits of this process.

    Parameters
    ----------
    threads
        Number of threads that will be started. The address space that the system reserves for each is subtracted.
    """
    return [Limit(AVAILABLE, psutil.virtual_memory().available), *_cgroup_limits(), *_rlimits(threads)]


def available(threads: int = 0) -> Limit:
    """Return the tightest of all `limits`.

    Examples
    --------
    >>> available().room > 0
    True
    """
    return min(limits(threads), key=lambda limit: limit.room)


def spare_threads(working: int, nbytes: int) -> int:
    """Return how many threads the limits on address space allow, in addition to ``working`` threads and ``nbytes`` bytes; at most 1024.

    Examples
    --------
    >>> 0 <= spare_threads(2, 1 << 20) <= 1024
    True
    """
    allowed = [(limit.room - nbytes) // THREAD_RESERVES[limit.name] for limit in _rlimits(working)]
    return max(0, min([1024, *allowed]))


def usable_cpus() -> int:
    """Return the number of processors that this process may use, by affinity and the cgroup's CPU quota; at least 1."""
    # Not every system reports the affinity; psutil returns the number of processors everywhere.
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (psutil.cpu_count() or 1)
    return max(1, min([affinity, *_cpu_quotas()]))


def processor_share() -> int:
    """Return the number of processors for this process if several ranks share the machine; at least 1."""
    ranks, usable = local_ranks(), usable_cpus()
    if ranks.processors is not None:  # a launcher that assigns processors may have bound this process to its own already
        return max(1, min(usable, ranks.processors // ranks.count))
    return max(1, usable // ranks.count)


def check_threads(threads: int | None) -> int | None:
    """Check a number of threads, and return it. None means an automatic number.

    Raises
    ------
    BadSetting
        If ``threads`` is not None or a whole number from 1 to 1024.
    """
    if threads is not None and not is_whole(threads, 1, 1024):
        raise BadSetting(f"threads must be a whole number from 1 to 1024, not {threads!r}")
    return None if threads is None else int(threads)


# --- cgroups -----------------------------------------------------------------------------------------------------


def _cgroup_limits() -> Iterator[Limit]:
    for folder in _cgroup_folders("memory"):
        stat = _stat(folder / "memory.stat")
        if (folder / "memory.max").exists():  # v2
            limit, usage = _number(folder / "memory.max"), _number(folder / "memory.current")
            inactive = stat.get("inactive_file", 0)
        else:
            limit, usage = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
            inactive = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        if limit is not None and usage is not None and limit < _NO_LIMIT:
            # The system can drop inactive page cache, so it does not count.
            yield Limit(f"cgroup {folder}", max(0, limit - max(0, usage - inactive)))


def _cpu_quotas() -> Iterator[int]:
    for folder in _cgroup_folders("cpu"):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        words = _text(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit():
            quota, period = int(words[0]), int(words[1])
        if quota and period and quota > 0:
            yield max(1, quota // period)


def _cgroup_folders(controller: str, proc: Path = Path("/proc/self")) -> Iterator[Path]:
    """Yield the folders from this process's cgroup up to the root, for the v1 controller and for v2."""
    mounts = _cgroup_mounts(controller, proc)
    for line in _text(proc / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        key = "v2" if controllers == "" else controller if controller in controllers.split(",") else None
        if key not in mounts:
            continue
        root, mount = mounts[key]
        # Inside a container, the path may be a path of the host; the mount then contains only what is below `root`.
        inside = os.path.relpath(path, root) if path.startswith(root) else "."
        folder = (mount / inside) if (mount / inside).is_dir() else mount
        while True:
            yield folder
            if folder == mount or mount not in folder.parents:
                break
            folder = folder.parent


def _cgroup_mounts(controller: str, proc: Path) -> dict[str, tuple[str, Path]]:
    mounts: dict[str, tuple[str, Path]] = {}
    for line in _text(proc / "mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        words, kind = left.split(), right.split()
        if kind and kind[0] == "cgroup2":
            mounts["v2"] = (words[3], Path(words[4]))
        elif kind and kind[0] == "cgroup" and controller in kind[2].split(","):
            mounts[controller] = (words[3], Path(words[4]))
    return mounts


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # this system or cgroup version does not have the file, so it sets no limit
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _stat(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


# --- rlimits -----------------------------------------------------------------------------------------------------


def _rlimits(threads: int) -> Iterator[Limit]:
    if sys.platform == "win32":
        return
    import resource

    sizes = {line.split(":")[0]: line for line in _text(Path("/proc/self/status")).splitlines() if line.startswith("Vm")}
    for name, field in (("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")):
        soft, _ = resource.getrlimit(getattr(resource, name))
        if soft == resource.RLIM_INFINITY or field not in sizes:
            continue
        used = int(sizes[field].split()[1]) * 1024
        yield Limit(name, max(0, soft - used - threads * THREAD_RESERVES[name]))
