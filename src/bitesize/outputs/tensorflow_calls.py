"""Return whether TensorFlow waits for a batch: read from call stacks, since tensors do not say who keeps them."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitesize.engine.loader import Loader

_ITERATORS = "tensorflow.python.data.ops.iterator_ops"
_EXECUTES = ("tensorflow.python.eager.", "tensorflow.python.ops.gen_dataset_ops")
# Frames between an iterator of TensorFlow and the call of its kernel.
_NEAR = 4
# A process that calculates uses more of a processor than this; one that only waits uses less.
_IDLE = 0.1


class Waiting:
    """Return whether nothing can let go of a batch, because all of TensorFlow waits for the next one.

    A loop that is in ``next`` of a dataset has ended its step, so what still holds batches is a list, a ``.cache()`` or a ``.shuffle()``.
    A dataset that a compiled function runs through (`fit` of Keras, ``reduce``) has no such frame: then a thread of TensorFlow that
    executes one while this process calculates nothing is taken for one that waits, unless it may wait for a GPU, other ranks or other machines.

    Parameters
    ----------
    loader
        Whose batches are held.
    """

    def __init__(self, loader: Loader) -> None:
        self._alone = loader.shard.world_size == 1

    def __call__(self, busy: float) -> bool:
        """Return whether that is so, of a process that used so many seconds of processors per second."""
        frames = list(sys._current_frames().values())
        if any(map(_in_next, frames)):
            return True
        return self._alone and busy < _IDLE and any(map(_executes, frames)) and _only_cpus()


def _in_next(frame: FrameType | None) -> bool:
    for _ in range(_NEAR):
        if frame is None:
            return False
        if frame.f_code.co_name == "_next_internal" and frame.f_globals.get("__name__") == _ITERATORS:
            return True
        frame = frame.f_back
    return False


def _executes(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(_EXECUTES)


def _only_cpus() -> bool:
    import tensorflow as tf

    devices = [(device.device_type, device.name) for device in tf.config.list_logical_devices()]
    return all(kind == "CPU" and ("/job:" not in name or "/job:localhost" in name) for kind, name in devices)
