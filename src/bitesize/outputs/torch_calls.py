"""Find the caller of a dataset among PyTorch tools from the call stack, because an iterator does not receive it."""

from __future__ import annotations

from types import FrameType
from typing import Any

from bitesize.errors import BadSetting

_PREDICTION_LOOPS = ("lightning.pytorch.loops.prediction_loop", "pytorch_lightning.loops.prediction_loop")
# Functions that put samples together; a batch is none. Others may know what they are given.
_COLLATE_MODULES = ("torch.", "transformers.", "lightning.", "pytorch_lightning.", "accelerate.")


def lightning_predicts(frame: FrameType | None) -> bool:
    """Return whether a loop of ``Trainer.predict`` of Lightning is on the call stack."""
    while frame is not None:
        if frame.f_globals.get("__name__") in _PREDICTION_LOOPS:
            return True
        frame = frame.f_back
    return False


def refuse_update_of_norms(frame: FrameType | None) -> None:
    """Raise `BadSetting` if ``swa_utils.update_bn`` is on the call stack: it gives a model what it is given, and takes tuples apart only."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "torch.optim.swa_utils":
            raise BadSetting(
                "torch.optim.swa_utils.update_bn passes a whole dict to the model, but takes the input from a tuple: use tuples, "
                "bs.to_torch(loader, as_tuple=True)"
            )
        frame = frame.f_back


def refuse_batches_of_batches(frame: FrameType) -> None:
    """Raise `BadSetting` if a ``DataLoader`` that is about to collect batches of batches has called for an iterator.

    Parameters
    ----------
    frame
        Of the caller of ``__iter__``.

    Raises
    ------
    BadSetting
        Naming ``batch_size=None``; or, within ``transformers.Trainer``, the methods that say so.
    """
    if "auto_collation" not in frame.f_code.co_varnames or not frame.f_locals.get("auto_collation"):
        return
    collate = frame.f_locals.get("collate_fn")
    module = getattr(collate, "__module__", None) or type(collate).__module__
    if f"{module}.".startswith(_COLLATE_MODULES):
        raise BadSetting(_of_batches(_trainer(frame)))


def collecting(frame: FrameType | None) -> str:
    """Return what on the call stack collects batches into one, in a sentence; "" if nothing does."""
    there: FrameType | None = frame
    while there is not None:
        if there.f_code.co_name == "fetch" and getattr(there.f_locals.get("self"), "auto_collation", False):
            return _of_batches(_trainer(there))
        there = there.f_back
    return ""


def _trainer(frame: FrameType | None) -> bool:
    """Return whether a trainer of transformers is on the call stack."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("transformers.trainer"):
            return True
        frame = frame.f_back
    return False


def _of_batches(trainer: bool) -> str:
    problem = "the dataset of bs.to_torch returns whole batches, but this DataLoader collects several of them into one: "
    if trainer:
        return problem + (
            "override get_train_dataloader (and get_eval_dataloader) of the Trainer to return DataLoader(bs.to_torch(loader), batch_size=None); "
            "bs.Loader(batch_size=...) decides the size."
        )
    return problem + "make it with batch_size=None; bs.Loader(batch_size=...) decides the size."


def names_of_tuple(as_tuple: Any, default: tuple[str | None, ...]) -> tuple[str, ...]:
    """Return the fields that tuples have: those that are named, or those of the data that there are.

    Raises
    ------
    BadSetting
        If they are named by something else than a sequence of text.
    """
    if as_tuple is True:
        return tuple(name for name in default if name is not None)
    if isinstance(as_tuple, list | tuple) and as_tuple and all(isinstance(name, str) for name in as_tuple):
        return tuple(as_tuple)
    raise BadSetting(f"as_tuple must be True, False or names of fields such as ['x', 'y'], not {as_tuple!r:.100}")
