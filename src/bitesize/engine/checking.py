"""`check`: reads everything once, and tells what is bad, twice there, odd, unbalanced, or on both sides of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader
from bitesize.engine.watching import ContentSource, RowFacts
from bitesize.errors import BadFile, BadSetting
from bitesize.memory.budget import Budget, as_budget
from bitesize.sources.base import Source
from bitesize.spec import Encoded
from bitesize.transforms.crop import Resize

# Bytes that finding rows of the same contents takes a row, beside what is noted while reading.
_SORTING = 40
# Images are looked at in this size: one color is one color at any.
_SIDE = 16
# A picture of so many times the pixels of the middle one, or as few, is worth a look; and one of such a shape.
_TIMES_THE_MEDIAN, _ASPECT, _SMALL_SIDE = 50, 20, 8
# The most frequent class has so many times the rows of the least frequent: training will favor it.
_UNBALANCED = 10

# An image of 16 bits that uses less than this part of its range was probably made of 12 bits or fewer.
_PART_OF_RANGE = 8

_BATCH = 32

Progress = Callable[[int], None]


class Place(NamedTuple):
    """A row of one part of the data, such as ``"train"``, and what is to be said of it."""

    part: str
    row: int
    path: str
    reason: str = ""


@dataclass(frozen=True)
class Findings:
    """What `check` found.

    Attributes
    ----------
    rows : Mapping of str to int
        Rows of each part.
    bad : tuple of Place
        Rows that cannot be read, and why.
    duplicates : tuple of tuples of Place
        Rows of the same contents within a part, each group together; the reason is ``"other labels"`` where they differ.
    leaks : tuple of tuples of Place
        Rows of the same contents in several parts: a model is measured by what it was trained on.
    suspicious : tuple of Place
        Rows that can be read, and may not be meant: of one color, NaN or infinite, of extreme size, of another kind than their
        name says, of 16 bits that use a small part of their range.
    classes : Mapping of str to (Mapping of str to int)
        Rows of each class in each part; empty where there are none.
    unbalanced : tuple of str
        What there is to say of the numbers of rows of classes.
    """

    rows: Mapping[str, int]
    bad: tuple[Place, ...]
    duplicates: tuple[tuple[Place, ...], ...]
    leaks: tuple[tuple[Place, ...], ...]
    suspicious: tuple[Place, ...]
    classes: Mapping[str, Mapping[str, int]]
    unbalanced: tuple[str, ...]
    _contents: tuple[Place, ...] = ()  # those of `bad` whose file can be read, and is damaged

    @property
    def well(self) -> bool:
        """Whether nothing was found; classes of different sizes alone are no fault."""
        return not (self.bad or self.duplicates or self.leaks or self.suspicious)

    @property
    def damaged(self) -> tuple[Place, ...]:
        """Bad rows whose contents are at fault: not those that may not be read, or that need more memory than there is."""
        return self._contents


def check(
    data: Source | Mapping[str, Source], memory: int | str | Budget = "auto", *, threads: int | None = None,
    progress: Progress | None = None
) -> Findings:  # fmt: skip
    """Read every row once, and report all that may spoil a training.

    Parameters
    ----------
    data
        A source, or its parts by name: ``{"train": ..., "val": ...}``, whose rows are compared, too.
    memory
        What may be held: bytes, a string such as ``"512 MiB"``, a `Budget`, or ``"auto"``.
    threads
        Threads that read and decode; as a `Loader` chooses them if not given.
    progress
        Called with the number of rows that were done since the last call.

    Raises
    ------
    DoesNotFit
        If not even one row fits the budget.

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
        raise BadSetting("check needs a Source, or a mapping of names to Sources")
    budget = as_budget(memory)
    noted = {name: RowFacts(len(part)) for name, part in parts.items()}
    total = sum(map(len, parts.values()))
    charge = budget.charge(sum(seen.nbytes for seen in noted.values()) + _SORTING * total, "what is noted of each row")
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
    """Read a part; give its bad rows, and whether it is for their contents that they are."""
    main = part.primary
    image = isinstance(part.spec[main], Encoded)
    with Loader(
        ContentSource(part, seen),
        batch_size=_BATCH if part.reads_by_chunk else "auto",  # a window shares batches of known size out
        transforms=[Resize(_SIDE)] if image else [],
        memory=budget,
        shuffle=part.reads_by_chunk,  # rows that lie in chunks are read chunk by chunk when they are drawn from windows
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
            reasons.append("its name says that it is another kind of image")
        if known[row]:
            size = f"{width} x {height} pixels"
            if min(width, height) < _SMALL_SIDE or max(width, height) > _ASPECT * min(width, height):
                reasons.append(f"{size}, an extreme shape")
            elif not middle / _TIMES_THE_MEDIAN <= pixels[row] <= middle * _TIMES_THE_MEDIAN:
                reasons.append(f"{size}, where the middle one has {middle:,.0f}")
        if reasons:
            found.append(Place(name, row, part.describe(row), "; ".join(reasons)))
    return found


def _narrow(part: Source, seen: RowFacts) -> NDArray[np.bool_]:
    """Find images of 16 bits that use a small part of their range: all that 8 bits leave few levels of, else one for all rows."""
    what = part.spec[part.primary]
    if not isinstance(what, Encoded):
        return np.zeros(len(seen.levels), np.bool_)
    part_of_range = int(np.iinfo(what.dtype).max + 1) // _PART_OF_RANGE
    narrow: NDArray[np.bool_] = (seen.levels > 0) & (seen.brightest < part_of_range)
    if what.mode != "I;16":
        return narrow
    # Their values are kept: a dark image among others is no fault, and one row stands for a set that is dark.
    chosen = np.zeros(len(narrow), np.bool_)
    brightest = int(seen.brightest.argmax())
    chosen[brightest] = narrow[brightest]
    return chosen


def _of_narrow_range(part: Source, seen: RowFacts, row: int) -> str:
    what, brightest = part.spec[part.primary], int(seen.brightest[row])
    assert isinstance(what, Encoded)
    if what.mode == "I;16":
        return (
            f"16-bit values reach {brightest:,} at most in all images, less than 1/{_PART_OF_RANGE} of their range (12-bit data?): "
            f"scale by what is full brightness, such as bs.Scale(1 / {max(brightest, 1)})"
        )
    # Colors are kept by no mode.
    way = 'open it with mode="I;16"' if seen.keepable[row] else "save the arrays as .npy, which keeps them"
    return (
        f"its values of more than 8 bits use less than 1/{_PART_OF_RANGE} of their range, and 8 bits leave {seen.levels[row]} levels "
        f"of them: {way}"
    )


def _same(parts: Mapping[str, Source], noted: Mapping[str, RowFacts]) -> tuple[tuple[tuple[Place, ...], ...], ...]:
    """Find rows of the same contents: (within a part, across parts)."""
    names = list(parts)
    hashes = np.concatenate([seen.hashes for seen in noted.values()])
    starts = np.cumsum([0, *(len(part) for part in parts.values())])
    order = np.lexsort((hashes["low"], hashes["high"]))
    ordered = hashes[order]
    same = (ordered[1:] == ordered[:-1]) & (ordered[1:] != np.zeros(1, hashes.dtype))  # zero: it was never read
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
    return [f'{seen}; order="balanced" draws each as often']
