"""`statistics`: mean, deviation and extremes of the values of a source, in one pass by threads, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.html.notebook import output, table
from bitesize.html.progress import totals
from bitesize.kernels.warm import compiling
from bitesize.memory.budget import Budget, as_budget
from bitesize.memory.limits import check_threads
from bitesize.memory.sizes import counted, rounded
from bitesize.scan.classes import class_counts
from bitesize.scan.moments import Moments, array_nbytes, bite_rows, channel_count, measurers
from bitesize.scan.rows import bites
from bitesize.scan.threads import deal
from bitesize.sources.base import Source
from bitesize.spec import CHANNELS_LAST, Field, has_alpha, one_channel_reason

Progress = Callable[[int, int], None]
_MOST = 40  # classes that a notebook shows


@dataclass(frozen=True)
class Statistics:
    """Statistics of the values of a source; see `bitesize.statistics`.

    Attributes
    ----------
    rows : int
        Number of rows that were read.
    bad : int
        Number of rows that could not be read and were skipped.
    mean, std, least, greatest : tuple of float
        Mean, standard deviation, minimum and maximum, a number per channel, of the values as stored; for rows that are not
        images, one number.
    not_finite : int
        Number of values that are NaN or infinite, which are left out of the above.
    classes : Mapping of str to int, or None
        Number of rows of each class by name or number; None without classes.
    whole : bool
        Whether values are 8-bit, 0 to 255.
    note : str
        Why there is one number for all values although rows have three axes, and what changes it; "" otherwise.
    alpha : bool
        Whether the last of four channels is alpha: of images of 8 bits. The channels of other images and of volumes are bands.
    """

    rows: int
    bad: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    least: tuple[float, ...]
    greatest: tuple[float, ...]
    not_finite: int
    classes: Mapping[str, int] | None
    whole: bool
    note: str = ""
    alpha: bool = False

    def _repr_html_(self) -> str:
        """Return a table of the channels, and the classes, for notebooks."""
        figures = zip(self.mean, self.std, self.least, self.greatest, strict=True)
        lines = [(i, *map(rounded, figures_of)) for i, figures_of in enumerate(figures)]
        heads = ("channel", "mean", "deviation", "least", "greatest")
        classes = [(name, f"{count:,}") for name, count in list((self.classes or {}).items())[:_MOST]]
        more = f", the first {_MOST} of {len(self.classes):,}" if self.classes and len(self.classes) > _MOST else ""
        return output(
            f"Statistics of {counted(self.rows, 'row')}",
            table(lines, heads, numbers=range(5)),
            f"{counted(self.bad, 'row')} could not be read" if self.bad else "",
            f"{counted(self.not_finite, 'value')} NaN or infinite, left out" if self.not_finite else "",
            self.note,
            table(classes, ("class", "rows"), numbers=[1], caption=f"classes{more}"),
        )

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation for `bitesize.Normalize`; 8-bit values are scaled to 0 to 1.

        The deviation of a constant channel is 1. Alpha channels are left out.
        """
        unit = 255.0 if self.whole else 1.0
        colors = 3 if self.alpha else len(self.std)
        std = tuple(deviation / unit if deviation else 1.0 for deviation in self.std[:colors])
        return tuple(mean / unit for mean in self.mean[:colors]), std


def statistics(
    source: Source,
    memory: int | str | Budget = "auto",
    *,
    threads: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    progress: Progress | bool | None = None,
) -> Statistics:
    """Compute mean, deviation, minimum and maximum of each channel of ``x`` (see `Source.primary`), and count the classes.

    Every row is read once and decoded without transforms.

    Parameters
    ----------
    source
        Source of the rows, from `bitesize.open`.
    memory
        Memory budget: bytes, a string such as ``"512 MiB"``, a `Budget`, or ``"auto"``.
    threads
        Number of threads that read and decode. Default: the number of processors.
    on_error
        What to do when a row cannot be read: ``"raise"`` or ``"skip"``.
    progress
        Called with the number of rows done and the total number of rows; or True, which shows a bar.

    Returns
    -------
    Statistics
        Figures of the values as stored. Its ``normalization`` is the mean and deviation for `Normalize`.

    Raises
    ------
    BadSetting
        If the source has no numbers.
    BadFile
        If a row cannot be read and ``on_error`` is ``"raise"``, or no row can be read.
    DoesNotFit
        If an image cannot be decoded within the budget.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> found = bs.statistics(bs.open(np.arange(12.0).reshape(6, 2), [0, 1, 1, 0, 1, 1]))
    >>> found.mean, found.greatest, found.classes
    ((5.5,), (11.0,), {'0': 2, '1': 4})
    """
    total = Total(source, on_error)
    check_threads(threads)
    report = totals(progress, "reading")
    with closing(measured(source, range(len(source)), as_budget(memory), threads)) as parts:
        for part in parts:
            total.add(part)
            if report is not None:
                report(total.seen, len(source))
    return total.statistics()


def statistics_nbytes(source: Source) -> int:
    """Return the minimum bytes for measuring rows of fixed size: those of one thread."""
    return array_nbytes(source)


def measured(source: Source, span: range, budget: Budget, threads: int | None = None) -> Generator[Moments, None, None]:
    """Measure a span of rows, and yield the moments of each bite, in the order of rows: results do not depend on the timing of threads."""
    with (
        compiling(),
        measurers(source, threads, budget) as (workers, working),
        closing(deal(bites(span, bite_rows(source)), workers, working)) as parts,
    ):
        yield from parts


class Total:
    """Moments of all rows so far.

    Parameters
    ----------
    source
        Source of the rows.
    on_error
        What to do when a row could not be read: ``"raise"`` or ``"skip"``.

    Attributes
    ----------
    seen : int
        Number of rows so far.

    Raises
    ------
    BadSetting
        If the source has no numbers.
    """

    def __init__(self, source: Source, on_error: str) -> None:
        from bitesize.kernels.moments import none

        if not isinstance(source, Source):
            raise BadSetting(f"source must be a Source, such as the result of bs.open(...), not {type(source).__name__}")
        stored = source.spec[source.primary]
        if isinstance(stored, Field) and stored.dtype.kind not in "biuf":
            raise BadSetting(f"statistics need numbers in the field x, but the source has {dict(source.spec)}")
        if on_error not in ("raise", "skip"):
            raise BadSetting(f'on_error must be "raise" or "skip", not {on_error!r}')
        self._source, self._stored = source, stored
        self._moments, self._strict = none(channel_count(source)), on_error == "raise"
        self.seen = self._bad = 0
        self._first: Exception | None = None

    def add(self, part: Moments) -> None:
        """Merge the next bite."""
        from bitesize.kernels.moments import merge

        if part.failed and self._strict:
            row, error = next(iter(part.failed.items()))
            kind = type(error) if isinstance(error, BitesizeError) else BadFile
            raised = kind(f"{error} (row {row})")
            raised.row = row
            raise raised
        if part.failed and self._first is None:
            self._first = next(iter(part.failed.values()))
        merge(self._moments, part.values)
        self._bad += len(part.failed)
        self.seen += part.rows

    def statistics(self) -> Statistics:
        """Return the result.

        Raises
        ------
        BadFile, BadSetting
            If no row could be read, or a channel has no finite values.
        """
        from bitesize.kernels.moments import COUNT, GREATEST, LEAST, MEAN, NOT_FINITE, SQUARES

        moments = self._moments
        if self.seen == self._bad:
            raise BadFile(f"none of {self._bad} rows could be read; the first: {self._first}")
        if not moments[:, COUNT].all():
            raise BadSetting("a channel has no finite values")
        stored = self._stored
        why = one_channel_reason(stored) if isinstance(stored, Field) else ""
        return Statistics(
            rows=self.seen - self._bad,
            bad=self._bad,
            mean=tuple(moments[:, MEAN].tolist()),
            std=tuple(np.sqrt(moments[:, SQUARES] / moments[:, COUNT]).tolist()),
            least=tuple(moments[:, LEAST].tolist()),
            greatest=tuple(moments[:, GREATEST].tolist()),
            not_finite=int(moments[:, NOT_FINITE].sum()),
            classes=class_counts(self._source),
            whole=stored.dtype == np.uint8,
            note=f"{why} ({CHANNELS_LAST})" if why else "",
            alpha=has_alpha(stored),
        )
