"""Statistics and `check` by a team: each worker reads spans of rows, and the program joins what they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

from bitesize.cluster.team import Job, Team, portable
from bitesize.errors import BadFile, BitesizeError
from bitesize.memory.budget import Budget, as_budget
from bitesize.scan.check import check_parts, named_parts
from bitesize.scan.content import RowFacts
from bitesize.scan.findings import Findings
from bitesize.scan.moments import Moments, bite_rows, channel_count
from bitesize.scan.reading import read_contents
from bitesize.scan.statistics import Statistics, Total, measured
from bitesize.sources.base import Source


def statistics(
    team: Team,
    source: Source,
    memory: int | str = "auto",
    *,
    budget: Budget | None = None,
    on_error: str = "raise",
    progress: Callable[[int, int], None] | None = None,
) -> Statistics:
    """Return the same as `bitesize.statistics`, measured by a team.

    Parameters
    ----------
    team
        The workers.
    source
        Source of the rows.
    memory
        Memory budget of each worker.
    budget
        Memory budget of this process. Default: as for each worker.
    on_error, progress
        As for `bitesize.statistics`.
    """
    from bitesize.kernels.moments import none

    total = Total(source, on_error)
    # Bites are the same as in one process, and merged in the same order: so are the figures, to the last bit.
    pieces = team.spans(source, bite_rows(source))
    nbytes = -(-max(map(len, pieces)) // bite_rows(source)) * none(channel_count(source)).nbytes
    job = Job(_Measurer, (source, memory), [source], result_nbytes=nbytes)
    with closing(team.share(job, pieces, budget or as_budget(memory))) as results:
        for parts in results:
            for part in parts:
                total.add(part)
            if progress is not None:
                progress(total.seen, len(source))
    return total.statistics()


class _Measurer:
    """Measures spans of rows, in a worker."""

    def __init__(self, source: Source, memory: int | str) -> None:
        self._source, self._budget = source, as_budget(memory)

    def __call__(self, span: range) -> list[Moments]:
        """Return the moments of each bite."""
        with closing(measured(self._source, span, self._budget)) as parts:
            return [replace(part, failed=_as_bad_files(part.failed)) for part in parts]


def _as_bad_files(failed: Mapping[int, Exception]) -> dict[int, Exception]:
    return {row: error if isinstance(error, BitesizeError) else BadFile(str(error)) for row, error in failed.items()}


class _Read(NamedTuple):
    """A span of rows that was read: facts about each row, and the errors of bad rows by row number."""

    facts: RowFacts
    failed: dict[int, Exception]


def check(
    team: Team,
    data: Source | Mapping[str, Source],
    memory: int | str = "auto",
    *,
    budget: Budget | None = None,
    progress: Callable[[int], None] | None = None,
) -> Findings:
    """Return the same as `bitesize.check`, read by a team. Rows are compared in this process, wherever they were read.

    Parameters
    ----------
    team
        The workers.
    data
        As for `bitesize.check`.
    memory
        Memory budget of each worker.
    budget
        Memory budget of this process, for facts about each row. Default: as for each worker.
    progress
        As for `bitesize.check`.
    """
    parts = named_parts(data)
    spans = {name: team.spans(part) for name, part in parts.items()}
    pieces = [(name, span) for name, each in spans.items() for span in each]
    budget = budget or as_budget(memory)
    longest = max((span for _, span in pieces), key=len)
    job = Job(_Reader, (parts, memory), parts.values(), result_nbytes=RowFacts(longest).nbytes)
    results = team.share(job, pieces, budget)

    def read(name: str, facts: RowFacts) -> dict[int, Exception]:
        """Take the results of all pieces of a part."""
        failed: dict[int, Exception] = {}
        for _ in spans[name]:
            found = next(results)
            facts.put(found.facts)
            failed |= found.failed
            if progress is not None:
                progress(len(found.facts.span))
        return failed

    with closing(results):
        return check_parts(parts, budget, read)


class _Reader:
    """Reads spans of rows of several parts, in a worker."""

    def __init__(self, parts: Mapping[str, Source], memory: int | str) -> None:
        self._parts, self._budget = parts, as_budget(memory)

    def __call__(self, piece: tuple[str, range]) -> _Read:
        """Return facts about the rows of a piece."""
        name, span = piece
        facts = RowFacts(span)
        charge = self._budget.charge(facts.nbytes, "facts about each row")
        try:
            failed = read_contents(self._parts[name], facts, self._budget, None, None)
        finally:
            charge.release()
        return _Read(facts, portable(failed))
