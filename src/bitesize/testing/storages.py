"""Checks that every storage must pass: those of bitesize and those of users."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bitesize.errors import BadFile, BadSetting, FileChanged, NotFound
from bitesize.storage.base import Storage

# Names that are not what they look like: nothing in them may be decoded, joined or taken for a pattern.
NAMES = (
    "a b.bin",
    "a%20b.bin",
    "a+b.bin",
    "ümläut/日本.bin",
    "a#b?.bin",
    "tilde~[x]{y}.bin",
    "star*.bin",
    "quote'\".bin",
    "deep/er/still/x.bin",
)
_THREADS = 8


def check_storage(
    storage: Storage,
    prefix: str = "bitesize-check/",
    *,
    put: Callable[[str, bytes], None] | None = None,
    lists: bool = True,
    names: Sequence[str] = NAMES,
) -> None:
    """Check that a storage fulfills the contract of `Storage`; some small objects are written below a prefix, and removed.

    Parameters
    ----------
    storage
        The storage.
    prefix
        Prefix of the keys of all objects of the check. There must be none below it.
    put
        Writes an object in another way, for a storage that only reads; its objects stay.
    lists
        Whether the storage can list objects, which web servers cannot.
    names
        Names of the objects; the first is used most.

    Raises
    ------
    AssertionError
        If the storage breaks the contract. The message names the broken rule.

    Examples
    --------
    >>> import tempfile
    >>> from bitesize.storage.local import LocalStorage
    >>> from bitesize.testing import check_storage
    >>> check_storage(LocalStorage(tempfile.mkdtemp()))
    """
    content = {f"{prefix}{name}": random.Random(name).randbytes(1000 + 7 * i) for i, name in enumerate(names)}
    content[f"{prefix}large.bin"] = random.Random(1).randbytes(20 << 20)
    for key, data in content.items():
        if put is not None:
            put(key, data)
            continue
        written = storage.write(key, [data[:100], memoryview(data)[100:]])
        assert (written.key, written.size) == (key, len(data)), f"write returned {written}, not {key!r} of {len(data)} bytes"
    try:
        _check_names(storage, prefix, content, lists)
        _check_reading(storage, content)
        _check_errors(storage, prefix, content)
        if put is None:
            _check_replacing(storage, next(iter(content)))
    finally:
        if put is None:
            for key in content:
                storage.remove(key)
    if put is None:
        storage.remove(f"{prefix}never.bin")  # what does not exist is removed already
        assert _raises(NotFound, lambda: storage.entry(next(iter(content)))), "an object that was removed is still there"
        assert [page for page in storage.list(prefix) if page] == [], "objects that were removed are still listed"


def _check_names(storage: Storage, prefix: str, content: dict[str, bytes], lists: bool) -> None:
    for key, data in content.items():
        found = storage.entry(key)
        assert (found.key, found.size) == (key, len(data)), f"entry returned {found}, not {key!r} of {len(data)} bytes"
    if not lists:
        return
    listed = {entry.key: entry for page in storage.list(prefix) for entry in page}
    assert set(listed) == set(content), f"list returned {sorted(listed)}, not {sorted(content)}"
    for key, data in content.items():
        assert listed[key].size == len(data), f"list returned {listed[key].size} bytes for {key!r}, not {len(data)}"
        assert listed[key].version == storage.entry(key).version, f"list and entry return different versions of {key!r}"
    some = {entry.key for page in storage.list(f"{prefix}a") for entry in page}
    assert some == {key for key in content if key.startswith(f"{prefix}a")}, (
        f"list of a part of a name returned {sorted(some)}"
    )
    level = storage.level(prefix)
    folders = sorted({f"{prefix}{key[len(prefix) :].partition('/')[0]}/" for key in content if "/" in key[len(prefix) :]})
    assert sorted(level.folders) == folders, f"level returned the folders {level.folders}, not {folders}"
    entries = sorted(key for key in content if "/" not in key[len(prefix) :])
    assert sorted(entry.key for entry in level.entries) == entries, "level returned other objects than those directly below"
    nothing = storage.level(f"{prefix}nothing/")
    assert (nothing.folders, nothing.entries) == ([], []), "level of a prefix without objects is not empty"


def _check_reading(storage: Storage, content: dict[str, bytes]) -> None:
    chance = random.Random(0)
    jobs = []
    for key, data in content.items():
        version = storage.entry(key).version
        for _ in range(6):
            start = chance.randrange(len(data))
            stop = chance.randrange(start, min(len(data), start + (1 << 20))) + 1
            jobs.append((key, data, start, stop, version))
        jobs.append((key, data, 0, len(data), version))

    def read(job: tuple[str, bytes, int, int, str]) -> bool:
        key, data, start, stop, version = job
        into = bytearray(stop - start)
        view = memoryview(into)
        cut = (stop - start) // 3
        storage.read(key, start, [view[:cut], view[cut:]], version)
        return into == data[start:stop]

    with ThreadPoolExecutor(_THREADS) as threads:
        for job, good in zip(jobs, threads.map(read, jobs), strict=True):
            assert good, f"read returned wrong bytes for {job[0]!r}, {job[2]} to {job[3]}"


def _check_errors(storage: Storage, prefix: str, content: dict[str, bytes]) -> None:
    key = next(iter(content))
    size = len(content[key])
    into: Sequence[memoryview] = [memoryview(bytearray(2))]
    assert _raises(NotFound, lambda: storage.entry(f"{prefix}missing.bin")), "entry of a missing object must be NotFound"
    assert _raises(FileChanged, lambda: storage.read(f"{prefix}missing.bin", 0, into)), (
        "read of a missing object must be FileChanged"
    )
    assert _raises((BadFile, FileChanged), lambda: storage.read(key, size - 1, into)), "read past the end must be BadFile"
    assert _raises((BadSetting, NotFound), lambda: storage.entry(f"{prefix}../a b.bin")), "a name with .. must be refused"
    if storage.entry(key).version:
        assert _raises(FileChanged, lambda: storage.read(key, 0, into, "another")), "another version must be FileChanged"


def _check_replacing(storage: Storage, key: str) -> None:
    before = storage.entry(key)
    after = storage.write(key, [b"another content"])
    assert after.version != before.version, "a replaced object must have another version"
    assert _raises(FileChanged, lambda: storage.read(key, 0, [memoryview(bytearray(2))], before.version)), (
        "reading the former version of a replaced object must be FileChanged"
    )

    def broken() -> None:
        def pieces() -> object:
            yield b"some"
            raise KeyError("the writer fails")

        storage.write(key, pieces())  # type: ignore[arg-type]

    assert _raises(KeyError, broken), "an error of the pieces must be raised"
    into = bytearray(15)
    storage.read(key, 0, [memoryview(into)])
    assert into == b"another content", "a write that failed must leave the former object"


def _raises(kinds: type[BaseException] | tuple[type[BaseException], ...], call: Callable[[], object]) -> bool:
    try:
        call()
    except kinds:
        return True
    return False
