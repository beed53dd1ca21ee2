"""What the cache of a loader holds, for its plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitesize.memory.sizes import counted, format_size
from bitesize.packed.cache_folder import LEAST
from bitesize.packed.row_cache import RowCache
from bitesize.pipeline.cached_rendering import CachedRenderer
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.stored_rows import StoredRows

# If a cache of decoded images serves a smaller share of the reads, the plan names the settings that change it.
_USABLE = 0.95


def cache_facts(pipeline: Pipeline, rows: RowCache | None) -> dict[str, Any] | None:
    """Return the figures of a cache as values of JSON, or None if no cache was asked for.

    Returns
    -------
    dict or None
        ``kept`` (what is kept, as text), ``reason`` (why nothing is kept), ``folder``, ``limit`` and ``row_bytes``, ``all_bytes`` (estimated
        bytes of all rows), ``share`` (of the rows that fit), ``rows`` (of the source), ``rows_there`` (in the cache now).
    """
    if pipeline.not_cached:
        return {"kept": "", "reason": pipeline.not_cached}
    kept = pipeline.cached or pipeline.stored
    if kept is None:
        return None
    plan, count = kept.plan, len(pipeline.source)
    if rows is None:
        return {"kept": "", "reason": f"{plan.not_kept or 'its size is 0'}; values are those of {plan.describe()}"}
    numbers = kept.numbers(np.arange(count, dtype=np.int64))
    return {
        "kept": plan.describe(),
        "reason": rows.folder.reason,
        "folder": str(rows.folder.path),
        "limit": rows.folder.limit,
        "row_bytes": plan.row_nbytes,
        "all_bytes": plan.row_nbytes * count,
        "share": round(rows.share, 4),
        "rows": count,
        "rows_there": rows.held(numbers),
    }


def cache_lines(facts: dict[str, Any] | None, cached: CachedRenderer | StoredRows | None) -> tuple[str, ...]:
    """Return sentences about a cache: what it holds, how many bytes, and which epochs gain."""
    if facts is None:
        return ()
    if not facts["kept"]:
        return (f"Cache: nothing is kept, because {facts['reason']}.",)
    total, share, there = format_size(facts["all_bytes"]), facts["share"], facts["rows_there"]
    limit, rows = format_size(facts["limit"]), counted(facts["rows"], "row")
    if not share:
        why = f"it has no room for a shard: size={limit} and the free space of the disk must leave at least {format_size(LEAST)}"
        return (f"Cache in {facts['folder']}: nothing is kept, because {why}.",)
    fits = (
        f"about {total} for {rows}, of at most {limit}"
        if share >= 1
        else f"room for {share:.0%} of {rows}, which need about {total}; the size is {limit}"
    )
    complete = there >= share * facts["rows"] * 0.99
    which = "Every epoch reads from it" if complete else "They are added while epochs run; later epochs read from it"
    again = "read" if cached is not None and cached.plan.form == "stored" else "decode"
    others = "" if share >= 1 else f" and {again}{'s' if complete else ''} the other {1 - share:.0%} of the rows"
    lines = [f"Cache in {facts['folder']}: {facts['kept']}, {fits}; {counted(there, 'row')} there now. {which}{others}."]
    if facts["reason"]:
        lines.append(f"The cache is only read: {facts['reason']}.")
    if share < 1 and cached is not None and cached.plan.form != "decoded" and cached.plan.is_float:
        lines.append('kind="pixels" of the cache takes a quarter of the bytes, but rounds resized images to whole levels.')
    usable = cached.usable_share if cached is not None else 1.0
    if usable < _USABLE:
        lines.append(
            f"About {1 - usable:.0%} of the rows are decoded in each epoch all the same, at a fraction of their size, because their crops are "
            "large: max_side=256 of the cache would serve all of them, with other values; fast_decode=False, too."
        )
    return tuple(lines)
