"""Number of rows of each class, and sentences about classes of very different sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bitesize.sources.base import Source

# Classes are reported if the most frequent one has this many times the rows of the least frequent: training would favor it.
_UNBALANCED = 10


def class_counts(source: Source) -> dict[str, int] | None:
    """Return the number of rows of each class, by name or number; None without classes."""
    labels = source.labels
    if labels is None or not len(labels):
        return None
    numbers, counts = np.unique(labels, return_counts=True)
    known = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    if source.classes is None:
        return {str(number): count for number, count in known.items()}
    return {name: known.get(i, 0) for i, name in enumerate(source.classes)}


def unbalanced(name: str, counts: Mapping[str, int], several: bool) -> list[str]:
    """Return a sentence about a part whose classes have very different sizes; ``several``: whether there are other parts."""
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    of = f" of {name}" if several else ""
    if not counts[least]:
        return [f"the class {least}{of} has no rows"]
    if counts[most] < _UNBALANCED * counts[least]:
        return []
    times = counts[most] / counts[least]
    sizes = f"the class {most}{of} has {times:.0f} times the rows of {least}: {counts[most]:,} and {counts[least]:,}"
    return [f'{sizes}; order="balanced" samples all classes equally often']
