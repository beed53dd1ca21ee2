"""A trial row: the first readable row, rendered alone, to find the outputs of functions of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from bitesize.memory.budget import Budget
from bitesize.pipeline.probe import first_readable_row
from bitesize.pipeline.read_context import ReadContext
from bitesize.pipeline.rendering import RowRenderer
from bitesize.pipeline.scratch import Scratch, scratch_nbytes
from bitesize.sources.base import Source

# Size of the pool for reading one row, to try a function of the user before anything is charged.
_POOL = 256 << 20


@contextmanager
def trial_row(
    source: Source, renderer: RowRenderer, budget: Budget
) -> Iterator[tuple[dict[str, NDArray[Any]], Callable[[], str]]]:
    """Render the first readable row into memory of its own; return its fields, and a function that returns its name."""
    need = renderer.scratch_fields(1, renderer.fields)
    charge = budget.charge(scratch_nbytes(need, renderer.decodes, renderer.kernel_values), "a trial row")
    pool = budget.pool(min(_POOL, budget.free), "a trial row") if renderer.decodes else None
    try:
        scratch = Scratch(need, renderer.decodes, renderer.kernel_values, pool)
        context = ReadContext(source, scratch)
        number, row = first_readable_row(source, lambda number: (number, renderer.render_alone(number, context)))
        scratch.rest()
    finally:
        if pool is not None:
            pool.close()
    yield row, lambda: describe_row(source, 0, number)
    charge.release()


def describe_row(source: Source, epoch: int, row: int) -> str:
    """Return the name of a row in an epoch, for messages."""
    return f"{source.describe(row)} (row {row}, epoch {epoch})"
