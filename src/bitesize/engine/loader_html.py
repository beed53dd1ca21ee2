"""HTML of a loader, for notebooks."""

from __future__ import annotations

from bitesize.engine.driver import LoaderDriver
from bitesize.html.notebook import output, table
from bitesize.memory.sizes import counted
from bitesize.order.order import Order


def loader_html(driver: LoaderDriver, batches: int) -> str:
    """Return the HTML of a loader: its source in short, its settings, its position, and the plan of its memory."""
    batching, position = driver.batching, driver.position
    epoch, row = position.next_start
    left_out = f"; {batching.left_out:,} rows unused in each epoch" if batching.left_out else ""
    bad = len(driver.bad_rows.bad)
    lines = [
        ("source", repr(driver.source)),
        ("batches", f"{batches:,} of {counted(batching.batch_size, 'row')} in each epoch{left_out}"),
        *((f"batch[{name!r}]", f"{field} in each row") for name, field in driver.spec.items()),
        ("transforms", ", ".join(map(repr, driver.pipeline.transforms)) or "none"),
        ("order", _in_words(batching.order)),
        ("position", f"the next loop starts in epoch {epoch} at row {row:,}"),
        ("threads", driver.threads),
    ]
    if bad:
        lines.append(("skipped", f"{counted(bad, 'row')} could not be read: see bad"))
    return output("Loader", table(lines), *driver.plan._html_blocks())


def _in_words(order: Order) -> str:
    """Return an order as text, with the settings that are not usual."""
    how = (
        "natural order"
        if not order.shuffle
        else f"{'sampled by weights' if order.weights is not None else 'shuffled'}, seed {order.seed}"
    )
    said = {"mixture": order.mixture, "window": order.window, "limit_rows": order.limit_rows}
    more = [f"{name} {value}" for name, value in said.items() if value is not None]
    return ", ".join([how, *more, *([f"{order.repeat} passes in an epoch"] if order.repeat > 1 else [])])
