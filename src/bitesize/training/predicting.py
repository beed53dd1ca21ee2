"""Predict probabilities in the given order, block by block, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.memory.budget import Budget
from bitesize.sources.base import Source
from bitesize.training.given import Given, Objects, OneEach, Rows
from bitesize.training.score import Scorer
from bitesize.training.units import UnitsWatched
from bitesize.training.values import saved_scaling

OnError = Literal["raise", "skip"]
# Number of files that are grouped by type at a time, and maximum bytes of their probabilities.
_MOST_FILES, _MOST_NBYTES = 65_536, 4 << 20


@dataclass(frozen=True)
class Block:
    """Predictions of consecutive rows.

    Attributes
    ----------
    start : int
        Number of the first row.
    probabilities : ndarray of float32, shape (rows, classes)
        NaN for rows that could not be read.
    reasons : dict of int to BitesizeError
        Errors of rows without a prediction, by row number among all rows.
    """

    start: int
    probabilities: NDArray[np.float32]
    reasons: dict[int, BitesizeError]


def reason_of(error: BitesizeError, path: str) -> str:
    """Return the reason why a row has no prediction, without its path."""
    return str(error).removeprefix(f"{path}: ")


def predict_given(
    scorer: Scorer, given: Given, budget: Budget, on_error: OnError, progress: Callable[[int], None]
) -> Iterator[Block]:
    """Predict all rows, in order.

    Parameters
    ----------
    scorer
        The trained run.
    given
        Result of `collecting.collect`.
    budget
        Memory budget of loading.
    on_error
        ``"raise"`` at the first row that cannot be read, or ``"skip"``: the row has a reason instead of probabilities.
    progress
        Function that is called with the number of finished rows.

    Yields
    ------
    Block

    Raises
    ------
    BitesizeError
        Error of the first row that cannot be read, with ``on_error="raise"``.
    """
    if on_error not in ("raise", "skip"):
        raise BadSetting(f'on_error must be "raise" or "skip", not {on_error!r}')
    start = 0
    for part in given.parts:
        if isinstance(part, Rows):
            blocks = _of_source(scorer, part, budget, on_error, progress)
        else:
            blocks = _of_mixed(scorer, part, budget, on_error, progress)
        for block in blocks:
            yield Block(start + block.start, block.probabilities, {start + row: e for row, e in block.reasons.items()})
        start += len(part)


def _of_source(
    scorer: Scorer, part: Rows, budget: Budget, on_error: OnError, progress: Callable[[int], None]
) -> Iterator[Block]:
    """Predict the rows of one source, one block per batch."""
    start = 0
    try:
        for rows, values, reasons in _scored(scorer, part.source, budget, on_error, progress):
            yield Block(start, values, reasons)
            start += len(rows)
    except (BadSetting, BadFile) as error:
        if on_error == "raise" or start:
            raise
        nothing = np.full((len(part), len(scorer.classes)), np.nan, np.float32)
        yield Block(0, nothing, dict.fromkeys(range(len(part)), error))


def _of_mixed(
    scorer: Scorer, part: OneEach | Objects, budget: Budget, on_error: OnError, progress: Callable[[int], None]
) -> Iterator[Block]:
    """Predict files of several types: some thousands at a time are grouped by type, and their order is restored."""
    names = budget.charge(part.nbytes, "names of files")
    try:
        yield from _in_pieces(scorer, part, budget, on_error, progress)
    finally:
        names.release()


def _in_pieces(
    scorer: Scorer, part: OneEach | Objects, budget: Budget, on_error: OnError, progress: Callable[[int], None]
) -> Iterator[Block]:
    """Predict a few thousand files at a time."""
    width = len(scorer.classes)
    at_once = max(1024, min(_MOST_FILES, _MOST_NBYTES // (4 * width)))
    for begin in range(0, len(part), at_once):
        end = min(begin + at_once, len(part))
        charge = budget.charge((end - begin) * width * 4, "predictions of some thousand files")
        values = np.full((end - begin, width), np.nan, np.float32)
        reasons: dict[int, BitesizeError] = {}
        try:
            for numbers, source in part.groups(begin, end):
                error = source if isinstance(source, BitesizeError) else None
                if error is None:
                    assert isinstance(source, Source)
                    error = _fill(scorer, source, numbers, (values, begin, reasons), budget, on_error, progress)
                if error is not None:
                    if on_error == "raise":
                        raise error
                    reasons |= dict.fromkeys(numbers.tolist(), error)
                    progress(len(numbers))
            if isinstance(part, OneEach):
                scorer.said += [line for line in part.said if line not in scorer.said]
            yield Block(begin, values, dict(sorted(reasons.items())))
        finally:
            charge.release()


def _fill(
    scorer: Scorer,
    source: Source,
    numbers: NDArray[np.int64],
    into: tuple[NDArray[np.float32], int, dict[int, BitesizeError]],
    budget: Budget,
    on_error: OnError,
    progress: Callable[[int], None],
) -> BitesizeError | None:
    """Predict the rows of one type into their positions; return the error if the run cannot take this type, or None."""
    values, begin, reasons = into
    try:
        for rows, made, failed in _scored(scorer, source, budget, on_error, progress):
            values[numbers[rows] - begin] = made
            reasons |= {int(numbers[row]): error for row, error in failed.items()}
    except BadSetting as error:
        return error
    except BadFile as error:
        if error.row is not None:
            error.row = int(numbers[error.row])
            raise
        return error
    return None


def _scored(
    scorer: Scorer, source: Source, budget: Budget, on_error: OnError, progress: Callable[[int], None]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], dict[int, BitesizeError]]]:
    """Yield row numbers, probabilities and reasons, batch by batch."""
    batch_size = scorer.config["settings"]["batch_size"]
    trained = saved_scaling({"scaling": [], **scorer.config})[1]
    watched = UnitsWatched(source, trained) if UnitsWatched.watches(source, trained) else None
    source = watched or source
    with closing(scorer.loader(source, budget, batch_size, on_error, max_bad=1.0)) as loader:
        for rows, mask, _, log_p in scorer.batches(loader, progress):
            values = np.where(mask[:, None], np.exp(log_p), np.nan).astype(np.float32)
            failed: dict[int, BitesizeError] = {}
            if not mask.all():
                known = {bad.row: bad.reason for bad in loader.bad} | scorer.not_finite
                failed = {row: BadFile(known.get(row, "")) for row in rows[~mask].tolist()}
            yield rows.copy(), values, failed
    scorer.said += watched.said if watched is not None else []
