"""`pack`: write a packed store, which continues where an interrupted run has ended."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bitesize.errors import BadSetting
from bitesize.html.progress import totals
from bitesize.memory.budget import Budget, as_budget
from bitesize.packed.manifest import valid_split
from bitesize.packing.destination import destination_of
from bitesize.packing.report import PackReport
from bitesize.packing.run import PackRun, Progress
from bitesize.packing.settings import Kind, PackSettings
from bitesize.packing.work import Packer, pack_by_threads
from bitesize.sources.base import Source


def pack(
    data: Source | Mapping[str, Source],
    out: str | os.PathLike[str],
    *,
    transforms: Sequence[Any] = (),
    kind: Kind = "auto",
    max_side: int | None = None,
    quality: int | None = None,
    memory: int | str | Budget = "auto",
    threads: int | None = None,
    shard_size: int | str | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    max_bad: float = 0.01,
    verify: bool = False,
    progress: Progress | bool | None = None,
) -> PackReport:
    """Collect or decode data once into a packed store: few large plain files, which `bitesize.open` opens.

    A run that was interrupted continues when it is called again: finished shards are kept, and those whose files have changed
    meanwhile are packed again. Rows keep their order.

    Parameters
    ----------
    data
        A source, or splits by name: ``{"train": ..., "val": ...}``.
    out
        Folder of the store: a new or empty folder, or the folder of an interrupted run. To an address such as
        ``s3://bucket/packed``, shards are copied one by one, so that the disk needs room for one shard a thread.
    transforms
        Transforms without random numbers, such as ``[bs.Resize(256)]``, applied to images before they are stored. The result has
        one shape. Integers stay integers: results are rounded.
    kind
        What is stored of encoded images: ``"bytes"``, the files unchanged; ``"pixels"``, decoded and upright; ``"jpeg"``, encoded
        again where they are larger than ``max_side`` or are no JPEG. ``"auto"`` chooses between bytes and pixels, by disk space and by
        the size of images. Arrays and labels are stored unchanged.
    max_side
        Reduce images whose longer side has more pixels than this, with antialiasing; masks with nearest neighbor. Images are never
        enlarged.
    quality
        JPEG quality of 1 to 100, for ``kind="jpeg"``. Default: 90.
    memory
        Memory budget: bytes, a string such as ``"512 MiB"``, a `Budget`, or ``"auto"``.
    threads
        Number of threads. Default: the number of processors.
    shard_size
        Size of a shard, in bytes or as a string. Default: 256 MiB, and less for stores of less than 4 GiB.
    on_error
        What to do when a row cannot be read: ``"raise"`` or ``"skip"``. Skipped rows are recorded in the store.
    max_bad
        Largest share of rows that ``on_error="skip"`` may skip (one row is always allowed).
    verify
        Whether to read the finished store, and compare all checksums.
    progress
        Called with the number of rows done and the total number of rows; or True, which shows a bar.

    Returns
    -------
    PackReport
        What was packed, and what was decided.

    Raises
    ------
    BadSetting
        If settings do not fit the data, or the folder holds anything else.
    PackedError
        If the folder holds a store of other data or settings, or another process is packing into it.
    DiskFull
        If the disk has too little space, before or during writing. Finished shards stay.
    BadFile, FileChanged, TooManyBadRows
        If rows cannot be read, and may not be skipped.
    DoesNotFit
        If the rows that one thread reads at once do not fit the budget.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, bitesize as bs
    >>> source = bs.open(np.arange(12.0).reshape(6, 2), ["cat", "dog"] * 3)
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "packed"
    >>> report = bs.pack(source, folder)
    >>> report.kind, report.shards
    ('bytes', 1)
    >>> bs.open(folder)
    PackedStore(6 rows of {x: (2,) float64, y: () int64}, 2 classes)
    >>> np.load(folder / "00000" / "x.npy", mmap_mode="r").shape
    (6, 2)
    """
    settings = PackSettings(kind, transforms, max_side, quality, shard_size, on_error, max_bad, threads)
    return pack_with(data, out, settings, memory=memory, verify=verify, progress=totals(progress, "packing"))


def pack_with(
    data: Source | Mapping[str, Source],
    out: str | os.PathLike[str],
    settings: PackSettings,
    *,
    memory: int | str | Budget = "auto",
    verify: bool = False,
    progress: Progress | None = None,
    packer: Packer = pack_by_threads,
) -> PackReport:
    """Pack with settings that are checked already; ``packer`` packs the shards. See `pack`."""
    parts = {"": data} if isinstance(data, Source) else dict(data) if isinstance(data, Mapping) else {}
    if not parts or not all(isinstance(part, Source) for part in parts.values()):
        raise BadSetting("data must be a Source, or a mapping of names to Sources")
    begun = time.perf_counter()
    destination = destination_of(out)
    for name in parts:
        if name and not valid_split(name):
            raise BadSetting(f"the name of a split must have ASCII letters, digits, _ and - only, not {name!r}")
    with destination.locked():
        return PackRun(destination, parts, settings, as_budget(memory), progress, packer).run(verify, begun)
