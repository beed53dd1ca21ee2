"""Evaluation and prediction by a team: each worker has the model, and scores spans of rows; the program joins the results."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from bitesize.cluster.team import Job, Team, portable
from bitesize.engine.bad_rows import BadRowPolicy
from bitesize.engine.loader import driver_of
from bitesize.memory.budget import Budget, as_budget
from bitesize.sources.base import Source
from bitesize.training.adapting import adapt
from bitesize.training.given import Given, OneEach, Rows
from bitesize.training.predicting import Block, OnError, Piece, Predictor, pieces_of, units_warnings
from bitesize.training.run import RunFolder
from bitesize.training.score import Scorer, charged_scores
from bitesize.training.tasks.base import Task
from bitesize.training.tasks.choose import saved_task
from bitesize.training.trained import open_run

# Most bytes of the predictions of a piece, and of each of its rows beside them: paths and reasons.
_MOST_NBYTES, _ROW_NBYTES = 1 << 20, 64
# Bytes of the score of a row for each output: those of a tag, or of a class and the predicted one.
_SCORE_NBYTES = 16


class _Scored(NamedTuple):
    """A span of rows that was scored: scores of batches, and of rows without a prediction their errors or what is not finite."""

    rows: int
    batches: list[Any]
    bad: dict[int, Exception]
    not_finite: dict[int, str]


def evaluate(
    team: Team,
    run: RunFolder,
    source: Source,
    memory: int | str = "auto",
    *,
    on_error: OnError = "raise",
    max_bad: float = 0.01,
    budget: Budget | None = None,
    task: Task | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    planned: Callable[[list[str]], None] = lambda said: None,
) -> dict[str, Any]:
    """Return the same as `bitesize.training.trained.evaluate_source`, scored by a team. Bad rows of all workers count together.

    Parameters
    ----------
    team
        The workers.
    run
        Folder of the run.
    source
        Rows with labels, from `bitesize.training.data.open_for_run`.
    memory
        Memory budget of each worker.
    on_error, max_bad, progress, planned
        As for `evaluate_source`.
    budget
        Memory budget of this process. Default: as for each worker.
    task
        Task that joins the scores, with another threshold than that of the run. Default: the run's.
    """
    config = run.config()
    policy = BadRowPolicy(on_error, max_bad, len(source))
    budget = budget or as_budget(memory)
    task = task or saved_task(config, run.classes())
    pieces = team.spans(source, config["settings"]["batch_size"])
    not_finite: dict[int, str] = {}

    def batches(results: Iterator[_Scored]) -> Iterator[Any]:
        """Yield the scores of all batches, in order, and record bad rows."""
        for scored in results:
            for row, error in scored.bad.items():
                policy.report(0, row, source.describe(row), error)
            not_finite.update(scored.not_finite)
            yield from scored.batches
            progress(scored.rows)

    nbytes = max(map(len, pieces)) * _SCORE_NBYTES * task.score_width
    job = Job(_Evaluator, (run.shown, source, memory, on_error), [source], _paths_of(run), nbytes)
    with charged_scores(task, len(source), budget) as lines:
        planned([*adapt(config, source, budget)[1], *lines])
        with closing(team.share(job, pieces, budget)) as results:
            figures = task.joined(batches(results), len(source))
    bad = [policy.bad[row]._asdict() for row in sorted(policy.bad)]
    bad += [{"row": row, "path": source.describe(row), "reason": why} for row, why in not_finite.items()]
    return {**figures, "bad": bad, "left_out": dict(source.left_out)}


class _Evaluator:
    """Scores spans of rows, in a worker."""

    def __init__(self, run: str, source: Source, memory: int | str, on_error: OnError) -> None:
        self._scorer = Scorer(open_run(run))
        # The bad rows of all workers together are compared with max_bad.
        batch_size = self._scorer.config["settings"]["batch_size"]
        self._loader = self._scorer.loader(source, as_budget(memory), batch_size, on_error, max_bad=1.0)

    def __call__(self, span: range) -> _Scored:
        """Return the scores of a span."""
        self._scorer.not_finite.clear()
        bad_rows, bad = driver_of(self._loader).bad_rows, {}
        batches = []
        for scored in self._scorer.batches(self._loader, lambda rows: None, span):
            rows, mask = scored[:2]
            for row in rows[~mask].tolist():
                if row not in self._scorer.not_finite:
                    bad[row] = bad_rows.kinds[row](bad_rows.bad[row].reason)
            batches.append(self._scorer.score(scored))
        self._loader.source.check_unchanged()
        return _Scored(len(span), batches, portable(bad), dict(self._scorer.not_finite))


class _Predicted(NamedTuple):
    """A piece that was predicted: its blocks, lines about adaptations, and rows in other units."""

    rows: int
    blocks: list[Block]
    said: list[str]
    odd: dict[int, set[int]]


def predict(
    team: Team,
    run: RunFolder,
    given: Given,
    memory: int | str = "auto",
    *,
    on_error: OnError = "skip",
    budget: Budget | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    said: list[str] | None = None,
) -> Generator[Block, None, None]:
    """Yield the same as `bitesize.training.trained.predict_blocks`, predicted by a team.

    Parameters
    ----------
    team
        The workers.
    run
        Folder of the run.
    given
        Result of `bitesize.training.collecting.collect`.
    memory
        Memory budget of each worker.
    on_error, progress
        As for `predict_blocks`.
    budget
        Memory budget of this process. Default: as for each worker.
    said
        List to which adaptations of the data are added.
    """
    config = run.config()
    width = saved_task(config, run.classes()).width
    most = max(1, _MOST_NBYTES // (4 * width + _ROW_NBYTES))
    pieces = list(pieces_of(given, width, lambda source: team.spans(source, config["settings"]["batch_size"], most)))
    sources = [part.source for part in given.parts if isinstance(part, Rows)]
    odd: dict[int, set[int]] = {}
    lines: list[str] = [] if said is None else said
    nbytes = max(len(piece.span) for piece in pieces) * (4 * width + _ROW_NBYTES)
    folders = [os.fsdecode(part.names.root) for part in given.parts if isinstance(part, OneEach) and part.names.root]
    job = Job(_PieceScorer, (run.shown, given, memory, on_error), sources, [*_paths_of(run), *folders], nbytes)
    with closing(team.share(job, pieces, budget or as_budget(memory))) as results:
        for found in results:
            lines += [line for line in found.said if line not in lines]
            for part, rows in found.odd.items():
                odd.setdefault(part, set()).update(rows)
            progress(found.rows)
            yield from found.blocks
    lines += units_warnings(given, odd, config)


class _PieceScorer:
    """Predicts pieces, in a worker."""

    def __init__(self, run: str, given: Given, memory: int | str, on_error: OnError) -> None:
        self._scorer = Scorer(open_run(run))
        self._predictor = Predictor(self._scorer, given, as_budget(memory), on_error)

    def __call__(self, piece: Piece) -> _Predicted:
        """Return the predictions of a piece."""
        self._scorer.said, self._predictor.odd = [], {}
        blocks = list(self._predictor.predict(piece, lambda rows: None))
        return _Predicted(len(piece.span), blocks, self._scorer.said, self._predictor.odd)


def _paths_of(run: RunFolder) -> list[str]:
    """Return the folder of a run, unless each machine copies the run from its address."""
    return [] if run.address else [str(run.path)]
