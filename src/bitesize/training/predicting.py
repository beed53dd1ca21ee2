"""Predict rows in the given order, block by block, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadFile, BadSetting, BitesizeError
from bitesize.memory.budget import Budget
from bitesize.sources.base import Source
from bitesize.training.given import Given, Objects, OneEach, Rows
from bitesize.training.score import Scorer
from bitesize.training.units import UnitsWatched, units_warning
from bitesize.training.values import Values, saved_scaling

OnError = Literal["raise", "skip"]
# Number of files that are grouped by type at a time, and maximum bytes of their predictions.
_MOST_FILES, _MOST_NBYTES = 4096, 4 << 20
# Predictions with more numbers are masks; then fewer files are grouped, but enough for a batch, unless they are volumes of many voxels.
_WIDE, _LEAST_FILES, _MOST_OF_MASKS = 1024, 32, 64 << 20


@dataclass(frozen=True)
class Block:
    """Predictions of consecutive rows.

    Attributes
    ----------
    start : int
        Number of the first row.
    predictions : ndarray of float32, shape (rows, width)
        Results of `Task.predicted`; NaN for rows that could not be read.
    reasons : dict of int to BitesizeError
        Errors of rows without a prediction, by row number among all rows.
    """

    start: int
    predictions: NDArray[np.float32]
    reasons: dict[int, BitesizeError]


class Piece(NamedTuple):
    """Consecutive rows of one part, which are predicted together."""

    part: int
    span: range

    def parts_of(self, rows: int) -> list[range]:
        """Return spans of some rows each.

        Examples
        --------
        >>> Piece(0, range(3, 8)).parts_of(2)
        [range(3, 5), range(5, 7), range(7, 8)]
        """
        return [self.span[start : start + rows] for start in range(0, len(self.span), rows)]


def reason_of(error: BitesizeError, path: str) -> str:
    """Return the reason why a row has no prediction, without its path."""
    return str(error).removeprefix(f"{path}: ")


def pieces_of(given: Given, width: int, spans: Callable[[Source], Sequence[range]]) -> Iterator[Piece]:
    """Cut all rows into pieces, in order.

    Parameters
    ----------
    given
        Result of `collecting.collect`.
    width
        Numbers of a prediction of one row.
    spans
        Function that cuts the rows of a source. Files of one row each are always cut in the same way, since batches are made of all files
        of one type in a piece.
    """
    least = 1024 if width <= _WIDE else max(1, min(_LEAST_FILES, _MOST_OF_MASKS // (4 * width)))
    at_once = max(least, min(_MOST_FILES, _MOST_NBYTES // (4 * width)))
    for number, part in enumerate(given.parts):
        if isinstance(part, Rows):
            cut = spans(part.source)
        else:
            cut = [range(start, min(start + at_once, len(part))) for start in range(0, len(part), at_once)]
        yield from (Piece(number, span) for span in cut)


class Predictor:
    """Predicts pieces of the rows to predict.

    Parameters
    ----------
    scorer
        The trained run.
    given
        Result of `collecting.collect`.
    budget
        Memory budget of loading.
    on_error
        ``"raise"`` at the first row that cannot be read, or ``"skip"``: the row has a reason instead of a prediction.

    Attributes
    ----------
    odd : dict of int to set of int
        Rows in other units than the training data, by the number of their part.

    Raises
    ------
    BadSetting
        If ``on_error`` is neither.
    """

    def __init__(self, scorer: Scorer, given: Given, budget: Budget, on_error: OnError) -> None:
        if on_error not in ("raise", "skip"):
            raise BadSetting(f'on_error must be "raise" or "skip", not {on_error!r}')
        self._scorer, self._given, self._budget, self._on_error = scorer, given, budget, on_error
        self._starts = [0, *accumulate(map(len, given.parts))]
        self._names = budget.charge(sum(part.nbytes for part in given.parts if not isinstance(part, Rows)), "names of files")
        self._opened: tuple[int, OpenedRows] | None = None
        self.odd: dict[int, set[int]] = {}

    def predict(self, piece: Piece, progress: Callable[[int], None]) -> Iterator[Block]:
        """Yield the predictions of a piece, in the order of its rows.

        Raises
        ------
        BitesizeError
            Error of the first row that cannot be read, with ``on_error="raise"``.
        """
        part, start = self._given.parts[piece.part], self._starts[piece.part]
        blocks = self._of_rows(piece, part, progress) if isinstance(part, Rows) else self._of_files(piece, part, progress)
        for block in blocks:
            yield Block(start + block.start, block.predictions, {start + row: e for row, e in block.reasons.items()})

    def warnings(self) -> list[str]:
        """Return warnings about rows in other units."""
        return units_warnings(self._given, self.odd, self._scorer.config)

    def close(self) -> None:
        """Free all memory."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None
        self._names.release()

    def _of_rows(self, piece: Piece, part: Rows, progress: Callable[[int], None]) -> Iterator[Block]:
        """Predict rows of one source, one block per batch. The loader stays open for the next piece."""
        start, span = piece.span.start, piece.span
        try:
            if self._opened is None or self._opened[0] != piece.part:
                if self._opened is not None:
                    self._opened[1].close()
                self._opened = None
                self._opened = piece.part, OpenedRows(self._scorer, part.source, self._budget, self._on_error)
            for rows, values, reasons in self._opened[1].predicted(span, progress):
                yield Block(start, values, reasons)
                start += len(rows)
        except (BadSetting, BadFile) as error:
            if self._on_error == "raise" or start > span.start:
                raise
            for some in piece.parts_of(self._scorer.config["settings"]["batch_size"]):
                nothing = np.full((len(some), self._scorer.task.width), np.nan, np.float32)
                yield Block(some.start, nothing, dict.fromkeys(some, error))
        else:
            self.odd.setdefault(piece.part, set()).update(self._opened[1].odd(span))

    def _of_files(self, piece: Piece, part: OneEach | Objects, progress: Callable[[int], None]) -> Iterator[Block]:
        """Predict files of several types: they are grouped by type, and their order is restored."""
        span, scorer = piece.span, self._scorer
        shape = len(span), scorer.task.width
        charge = self._budget.charge(shape[0] * shape[1] * 4, "predictions of some thousand files")
        values = np.full(shape, np.nan, np.float32)
        reasons: dict[int, BitesizeError] = {}
        try:
            for numbers, source in part.groups(span.start, span.stop):
                error = source if isinstance(source, BitesizeError) else None
                if error is None:
                    assert isinstance(source, Source)
                    error = self._fill(piece, source, numbers, (values, reasons), progress)
                if error is not None:
                    if self._on_error == "raise":
                        raise error
                    reasons |= dict.fromkeys(numbers.tolist(), error)
                    progress(len(numbers))
            if isinstance(part, OneEach):
                scorer.said += [line for line in part.said if line not in scorer.said]
            yield Block(span.start, values, dict(sorted(reasons.items())))
        finally:
            charge.release()

    def _fill(
        self,
        piece: Piece,
        source: Source,
        numbers: NDArray[np.int64],
        into: tuple[NDArray[np.float32], dict[int, BitesizeError]],
        progress: Callable[[int], None],
    ) -> BitesizeError | None:
        """Predict the rows of one type into their positions; return the error if the run cannot take this type, or None."""
        values, reasons = into
        try:
            with closing(OpenedRows(self._scorer, source, self._budget, self._on_error)) as opened:
                for rows, made, failed in opened.predicted(None, progress):
                    values[numbers[rows] - piece.span.start] = made
                    reasons |= {int(numbers[row]): error for row, error in failed.items()}
                self.odd.setdefault(piece.part, set()).update(numbers[sorted(opened.odd())].tolist())
        except BadSetting as error:
            return error
        except BadFile as error:
            if error.row is not None:
                error.row = int(numbers[error.row])
                raise
            return error
        return None


class OpenedRows:
    """Loader of one source, whose rows are predicted, and watched for other units.

    Parameters
    ----------
    scorer
        The trained run.
    source
        Source of the rows.
    budget, on_error
        As for `Predictor`.
    """

    def __init__(self, scorer: Scorer, source: Source, budget: Budget, on_error: OnError) -> None:
        trained = trained_values(scorer.config)
        self._watched = UnitsWatched(source, trained) if UnitsWatched.watches(source, trained) else None
        self._scorer, batch_size = scorer, scorer.config["settings"]["batch_size"]
        self._loader = scorer.loader(self._watched or source, budget, batch_size, on_error, max_bad=1.0)

    def predicted(
        self, span: range | None, progress: Callable[[int], None]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], dict[int, BitesizeError]]]:
        """Yield row numbers, predictions and reasons, batch by batch, of a span of rows or of all."""
        for rows, mask, _, scores in self._scorer.batches(self._loader, progress, span):
            values = self._scorer.task.predicted(scores)
            values[~mask] = np.nan
            failed: dict[int, BitesizeError] = {}
            if not mask.all():
                known = {bad.row: bad.reason for bad in self._loader.bad} | self._scorer.not_finite
                failed = {row: BadFile(known.get(row, "")) for row in rows[~mask].tolist()}
            yield rows.copy(), values, failed

    def odd(self, span: range | None = None) -> set[int]:
        """Return the rows of a span in other units. More may have been read, for the batch after it."""
        odd = self._watched.odd if self._watched is not None else set()
        return odd if span is None else {row for row in odd if row in span}

    def close(self) -> None:
        """Close the loader."""
        self._loader.close()


def trained_values(config: Mapping[str, Any]) -> Values:
    """Return the values that a run was trained on."""
    return saved_scaling({"scaling": [], **config})[1]


def units_warnings(given: Given, odd: Mapping[int, Collection[int]], config: Mapping[str, Any]) -> list[str]:
    """Return warnings about rows in other units, by the number of their part."""
    trained = trained_values(config)
    return [line for part, rows in sorted(odd.items()) for line in units_warning(rows, given.parts[part].describe, trained)]
