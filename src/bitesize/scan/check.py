"""`check`: read all rows once, and report bad, duplicate and suspicious rows, unbalanced classes, and leaks between splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bitesize.errors import BadFile, BadSetting
from bitesize.html.progress import counts
from bitesize.memory.budget import Budget, as_budget
from bitesize.memory.limits import check_threads
from bitesize.scan.classes import class_counts, unbalanced
from bitesize.scan.content import RowFacts
from bitesize.scan.duplicates import equal_rows
from bitesize.scan.findings import Findings, ReportedRow
from bitesize.scan.reading import read_contents
from bitesize.scan.suspicious import suspicious_rows
from bitesize.sources.base import Source

# Bytes per row that the search for equal rows takes, in addition to the recorded facts.
_SORTING = 40

Progress = Callable[[int], None]


def check(
    data: Source | Mapping[str, Source],
    memory: int | str | Budget = "auto",
    *,
    threads: int | None = None,
    progress: Progress | bool | None = None,
) -> Findings:
    """Read every row once, and report all problems that may harm training.

    Parameters
    ----------
    data
        A source, or parts by name: ``{"train": ..., "val": ...}``. Rows are also compared between parts.
    memory
        Memory budget: bytes, a string such as ``"512 MiB"``, a `Budget`, or ``"auto"``.
    threads
        Number of threads that read and decode. Default: the number of processors.
    progress
        Called with the number of rows that were read since the last call; or True, which shows a bar.

    Returns
    -------
    Findings
        All problems that were found.

    Raises
    ------
    DoesNotFit
        If facts about each row, or the rows that one thread reads at once, do not fit the budget.
    BadSetting
        If ``data`` is not a source, or a mapping of names to sources.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> found = bs.check(bs.open(np.array([[1.0, 2.0], [3.0, np.nan], [1.0, 2.0]]), ["a", "b", "b"]))
    >>> [(row.row, row.reason) for row in found.suspicious]
    [(1, 'x has NaN or infinite values')]
    >>> [[row.row for row in group] for group in found.duplicates], found.duplicates[0][1].reason
    ([[0, 2]], 'other labels')
    """
    parts, budget = named_parts(data), as_budget(memory)
    check_threads(threads)
    count = counts(progress, "checking", sum(map(len, parts.values())))
    return check_parts(parts, budget, lambda name, facts: read_contents(parts[name], facts, budget, threads, count))


def named_parts(data: Source | Mapping[str, Source]) -> dict[str, Source]:
    """Return parts by name; a source alone is named ``"data"``.

    Raises
    ------
    BadSetting
        If ``data`` is not a source, or a mapping of names to sources.
    """
    parts = {"data": data} if isinstance(data, Source) else dict(data) if isinstance(data, Mapping) else {}
    if not parts or not all(isinstance(part, Source) for part in parts.values()):
        raise BadSetting("data must be a Source, or a mapping of names to Sources")
    return parts


def check_parts(
    parts: Mapping[str, Source], budget: Budget, read: Callable[[str, RowFacts], Mapping[int, Exception]]
) -> Findings:
    """Read all parts, and compare their rows.

    Parameters
    ----------
    parts
        Parts by name.
    budget
        Memory budget.
    read
        Called once for each part, in order: fills the facts about all of its rows, and returns the errors of bad rows, by row number.
    """
    facts = {name: RowFacts(range(len(part))) for name, part in parts.items()}
    total = sum(map(len, parts.values()))
    charge = budget.charge(sum(part.nbytes for part in facts.values()) + _SORTING * total, "facts about each row")
    try:
        bad: list[ReportedRow] = []
        damaged: list[ReportedRow] = []
        for name, part in parts.items():
            failed = read(name, facts[name])
            for row in sorted(failed):
                bad.append(ReportedRow(name, row, part.describe(row), str(failed[row])))
                damaged += bad[-1:] * (type(failed[row]) is BadFile)
        suspicious = [row for name, part in parts.items() for row in suspicious_rows(name, part, facts[name])]
        within, across = equal_rows(parts, facts)
        classes = {name: counts for name, part in parts.items() if (counts := class_counts(part))}
        uneven = [line for name, counts in classes.items() for line in unbalanced(name, counts, len(parts) > 1)]
        rows = {name: len(part) for name, part in parts.items()}
        return Findings(
            rows, tuple(bad), within, across, tuple(suspicious), classes, tuple(uneven), tuple(damaged)
        )  # fmt: skip
    finally:
        charge.release()
