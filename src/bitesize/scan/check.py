"""`check`: read all rows once, and report bad, duplicate and suspicious rows, unbalanced classes, and leaks between splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader
from bitesize.errors import BadFile, BadSetting
from bitesize.memory.budget import Budget, as_budget
from bitesize.scan.content import ContentSource, RowFacts
from bitesize.sources.base import Source
from bitesize.spec import Encoded
from bitesize.transforms.crop import Resize

# Bytes per row that the search for equal rows takes, in addition to the recorded facts.
_SORTING = 40
# Images are resized to this size: an image of one color has one color at any size.
_SIDE = 16
# Images are reported if their pixels differ from the median by this factor, or if their shape is extreme.
_TIMES_THE_MEDIAN, _ASPECT, _SMALL_SIDE = 50, 20, 8
# Classes are reported if the most frequent one has this many times the rows of the least frequent: training would favor it.
_UNBALANCED = 10

# A 16-bit image that uses less than 1 / _PART_OF_RANGE of its range probably has 12-bit data or less.
_PART_OF_RANGE = 8

_BATCH = 32

Progress = Callable[[int], None]


class Place(NamedTuple):
    """A row of one part of the data, such as ``"train"``, with the reason for the report."""

    part: str
    row: int
    path: str
    reason: str = ""


@dataclass(frozen=True)
class Findings:
    """Findings of `check`.

    Attributes
    ----------
    rows : Mapping of str to int
        Number of rows in each part.
    bad : tuple of Place
        Rows that cannot be read, with the reason.
    duplicates : tuple of tuples of Place
        Groups of rows with equal contents within a part. The reason is ``"other labels"`` if their labels differ.
    leaks : tuple of tuples of Place
        Groups of rows with equal contents in several parts. A model would be evaluated on rows that it was trained on.
    suspicious : tuple of Place
        Rows that can be read, but may be unintended: one color, NaN or infinite values, extreme size, a format that differs
        from the file name, or 16-bit values that use a small part of their range.
    classes : Mapping of str to (Mapping of str to int)
        Number of rows of each class in each part; empty without classes.
    unbalanced : tuple of str
        Sentences about classes of very different sizes.
    """

    rows: Mapping[str, int]
    bad: tuple[Place, ...]
    duplicates: tuple[tuple[Place, ...], ...]
    leaks: tuple[tuple[Place, ...], ...]
    suspicious: tuple[Place, ...]
    classes: Mapping[str, Mapping[str, int]]
    unbalanced: tuple[str, ...]
    _contents: tuple[Place, ...] = ()  # rows of `bad` whose file can be read, but is damaged

    @property
    def well(self) -> bool:
        """Return whether no problem was found. Classes of different sizes alone are not a problem."""
        return not (self.bad or self.duplicates or self.leaks or self.suspicious)

    @property
    def damaged(self) -> tuple[Place, ...]:
        """Bad rows with damaged contents. Rows without read permission, or that need too much memory, are not included."""
        return self._contents


def check(
    data: Source | Mapping[str, Source], memory: int | str | Budget = "auto", *, threads: int | None = None,
    progress: Progress | None = None
) -> Findings:  # fmt: skip
    """Read every row once, and report all problems that may harm training.

    Parameters
    ----------
    data
        A source, or parts by name: ``{"train": ..., "val": ...}``. Rows are also compared between parts.
    memory
        Memory budget: bytes, a string such as ``"512 MiB"``, a `Budget`, or ``"auto"``.
    threads
        Number of threads that read and decode. The default is that of `Loader`.
    progress
        Called with the number of rows that were read since the last call.

    Returns
    -------
    Findings
        All problems that were found.

    Raises
    ------
    DoesNotFit
        If a single row does not fit the budget.
    BadSetting
        If ``data`` is not a source, or a mapping of names to sources.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> found = bs.check(bs.open(np.array([[1.0, 2.0], [3.0, np.nan], [1.0, 2.0]]), ["a", "b", "b"]))
    >>> [(place.row, place.reason) for place in found.suspicious]
    [(1, 'x has NaN or infinite values')]
    >>> [[place.row for place in group] for group in found.duplicates], found.duplicates[0][1].reason
    ([[0, 2]], 'other labels')
    """
    parts = {"data": data} if isinstance(data, Source) else dict(data) if isinstance(data, Mapping) else {}
    if not parts or not all(isinstance(part, Source) for part in parts.values()):
        raise BadSetting("data must be a Source, or a mapping of names to Sources")
    budget = as_budget(memory)
    noted = {name: RowFacts(len(part)) for name, part in parts.items()}
    total = sum(map(len, parts.values()))
    charge = budget.charge(sum(seen.nbytes for seen in noted.values()) + _SORTING * total, "facts about each row")
    try:
        bad: list[Place] = []
        contents: list[Place] = []
        for name, part in parts.items():
            for place, damaged in _read(name, part, noted[name], budget, threads, progress):
                bad.append(place)
                contents += [place] * damaged
        suspicious = [place for name, part in parts.items() for place in _suspicious(name, part, noted[name])]
        within, across = _same(parts, noted)
        classes = {name: found for name, part in parts.items() if (found := _classes(part))}
        told = tuple(line for name, counts in classes.items() for line in _unbalanced(name, counts, len(parts) > 1))
        return Findings(
            {name: len(part) for name, part in parts.items()},
            tuple(bad), within, across, tuple(suspicious), classes, told, tuple(contents)
        )  # fmt: skip
    finally:
        charge.release()


def _read(
    name: str, part: Source, seen: RowFacts, budget: Budget, threads: int | None, progress: Progress | None
) -> list[tuple[Place, bool]]:
    """Read a part; return its bad rows, and whether each is bad because its contents are damaged."""
    main = part.primary
    image = isinstance(part.spec[main], Encoded)
    with Loader(
        ContentSource(part, seen),
        batch_size=_BATCH if part.reads_by_chunk else "auto",  # a window needs a known batch size
        transforms=[Resize(_SIDE)] if image else [],
        memory=budget,
        shuffle=part.reads_by_chunk,  # with windows, rows in chunks are read chunk by chunk
        threads=threads,
        dtype=np.float32 if image else None,
        on_error="skip",
        max_bad=1.0,
        fast_decode=False,
    ) as loader:
        for batch in loader:
            if image:
                pixels = batch[main].reshape(len(batch.rows), -1, batch[main].shape[-1])
                seen.plain[batch.rows[batch.mask]] = (np.ptp(pixels, axis=1) < 0.5).all(axis=1)[batch.mask]
            if progress is not None:
                progress(len(batch.rows))
        kinds = loader._policy.kinds
        return [(Place(name, row, path, reason), kinds[row] is BadFile) for row, path, reason in loader.bad]


def _suspicious(name: str, part: Source, seen: RowFacts) -> list[Place]:
    found = []
    narrow = _narrow(part, seen)
    pixels = seen.sides.astype(np.int64).prod(axis=1)
    known = pixels > 0
    middle = float(np.median(pixels[known])) if known.any() else 0.0
    for row in np.flatnonzero(seen.odd | seen.plain | seen.renamed | known | narrow).tolist():
        reasons = []
        width, height = seen.sides[row].tolist()
        if seen.plain[row]:
            reasons.append("of one color" if known[row] else "all values are the same")
        if narrow[row]:
            reasons.append(_of_narrow_range(part, seen, row))
        if seen.odd[row]:
            reasons.append(f"{seen.where_odd} has NaN or infinite values")
        if seen.renamed[row]:
            reasons.append("its image format differs from its file name")
        if known[row]:
            size = f"{width} x {height} pixels"
            if min(width, height) < _SMALL_SIDE or max(width, height) > _ASPECT * min(width, height):
                reasons.append(f"{size}, an extreme shape")
            elif not middle / _TIMES_THE_MEDIAN <= pixels[row] <= middle * _TIMES_THE_MEDIAN:
                reasons.append(f"{size}, while the median is {middle:,.0f} pixels")
        if reasons:
            found.append(Place(name, row, part.describe(row), "; ".join(reasons)))
    return found


def _narrow(part: Source, seen: RowFacts) -> NDArray[np.bool_]:
    """Return which 16-bit images use a small part of their range: all that 8 bits leave few levels of, or one for all rows."""
    what = part.spec[part.primary]
    if not isinstance(what, Encoded):
        return np.zeros(len(seen.levels), np.bool_)
    part_of_range = int(np.iinfo(what.dtype).max + 1) // _PART_OF_RANGE
    narrow: NDArray[np.bool_] = (seen.levels > 0) & (seen.brightest < part_of_range)
    if what.mode != "I;16":
        return narrow
    # Their values are kept, so a dark image among others is not a problem. One row represents a dark data set.
    chosen = np.zeros(len(narrow), np.bool_)
    brightest = int(seen.brightest.argmax())
    chosen[brightest] = narrow[brightest]
    return chosen


def _of_narrow_range(part: Source, seen: RowFacts, row: int) -> str:
    what, brightest = part.spec[part.primary], int(seen.brightest[row])
    assert isinstance(what, Encoded)
    if what.mode == "I;16":
        return (
            f"16-bit values are at most {brightest:,}, less than 1/{_PART_OF_RANGE} of their range (12-bit data?): "
            f"scale by the value of full brightness, for example bs.Scale(1 / {max(brightest, 1)})"
        )
    # No mode keeps 16-bit colors.
    way = 'open it with mode="I;16"' if seen.keepable[row] else "save the arrays as .npy, which keeps all values"
    return (
        f"its values of more than 8 bits use less than 1/{_PART_OF_RANGE} of their range, so 8 bits leave {seen.levels[row]} levels: "
        f"{way}"
    )


def _same(parts: Mapping[str, Source], noted: Mapping[str, RowFacts]) -> tuple[tuple[tuple[Place, ...], ...], ...]:
    """Return groups of rows with equal contents: (within a part, across parts)."""
    names = list(parts)
    hashes = np.concatenate([seen.hashes for seen in noted.values()])
    starts = np.cumsum([0, *(len(part) for part in parts.values())])
    order = np.lexsort((hashes["low"], hashes["high"]))
    ordered = hashes[order]
    same = (ordered[1:] == ordered[:-1]) & (ordered[1:] != np.zeros(1, hashes.dtype))  # zero: the row was not read
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    within: list[tuple[Place, ...]] = []
    across: list[tuple[Place, ...]] = []
    for first, last in edges.reshape(-1, 2).tolist():
        group, labels = [], []
        for number in sorted(order[first : last + 1].tolist()):
            which = int(np.searchsorted(starts, number, side="right")) - 1
            part, row = parts[names[which]], int(number - starts[which])
            labels.append(_label(part, row))
            group.append(Place(names[which], row, part.describe(row)))
        if len(set(labels)) > 1:
            group = [place._replace(reason="other labels") for place in group]
        (within if len({place.part for place in group}) == 1 else across).append(tuple(group))
    return tuple(sorted(within)), tuple(sorted(across))


def _label(part: Source, row: int) -> Any:
    labels = part.labels
    if labels is None:
        return None
    return part.classes[labels[row]] if part.classes is not None else int(labels[row])


def _classes(part: Source) -> dict[str, int]:
    labels = part.labels
    if labels is None or not len(labels):
        return {}
    numbers, counts = np.unique(labels, return_counts=True)
    found = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    if part.classes is None:
        return {str(number): count for number, count in found.items()}
    return {name: found.get(i, 0) for i, name in enumerate(part.classes)}


def _unbalanced(name: str, counts: Mapping[str, int], several: bool) -> list[str]:
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    of = f" of {name}" if several else ""
    if not counts[least]:
        return [f"the class {least}{of} has no rows"]
    if counts[most] < _UNBALANCED * counts[least]:
        return []
    times = counts[most] / counts[least]
    seen = f"the class {most}{of} has {times:.0f} times the rows of {least}: {counts[most]:,} and {counts[least]:,}"
    return [f'{seen}; order="balanced" samples all classes equally often']
