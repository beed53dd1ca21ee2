"""One ``fit`` on several ranks: their data, their first weights, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xxhash

from bitesize.errors import BadSetting, NotFinite
from bitesize.training.backend import load_keras
from bitesize.training.ranks import Ranks


def join_data(ranks: Ranks, data: Any, arguments: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Check that each rank has its own rows; return whether batches have padding, and the arguments of ``fit`` of Keras.

    Raises
    ------
    BadSetting
        If the loader has the rows of all ranks.
    """
    _refuse_all_rows(ranks, data.loader)
    val, class_weight = arguments.get("validation_data"), arguments.get("class_weight")
    padded = data.keep_padding(class_weight)
    padded_val = val is not None and hasattr(val, "keep_padding") and val.keep_padding()
    return padded or padded_val, arguments | ({"class_weight": None} if padded else {})


def begin_together(ranks: Ranks, model: Any, begin: Callable[[], None], padded: bool) -> None:
    """Start a phase of training, whose steps are those of all ranks.

    Raises
    ------
    BadSetting
        If the ranks start with different weights.
    """
    begin()
    digest = xxhash.xxh3_128()
    for variable in model.weights:
        digest.update(load_keras().ops.convert_to_numpy(variable).tobytes())
    if len(set(ranks.collect(digest.hexdigest()))) > 1:
        raise BadSetting(
            "the ranks start with different weights: call keras.utils.set_random_seed with one seed on all ranks before the model is made"
        )
    ranks.prepare(model, padded)


def batches_of(val: Any) -> int:
    """Return the number of batches of validation data of a loader; 0 for other data, of which each rank uses all rows."""
    return len(val) if hasattr(val, "loader") else 0


def of_all(ranks: Ranks, error: NotFinite) -> NotFinite:
    """Return the error of the rank that has found the rows, or of rank 0."""
    found = ranks.collect((str(error), error.rows))
    return NotFinite(*next((each for each in found if each[1]), found[0]))


def _refuse_all_rows(ranks: Ranks, loader: Any) -> None:
    if loader.shard != ranks.shard:
        raise BadSetting(
            f"{ranks.shard.world_size} processes train together, but the loader of rank {ranks.shard.rank} has the rows of "
            f'{loader.shard}: use Loader(shard="auto"), so that each rank gets its own rows'
        )
