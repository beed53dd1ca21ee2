"""Keras on TensorFlow: the ``tf.data`` pipeline that Keras puts around a dataset."""

from __future__ import annotations

from typing import Any


def switch_off_autotuning(iterator: Any) -> None:
    """Turn off autotuning of the pipeline that an epoch iterator of Keras is about to start.

    TensorFlow tunes such a pipeline from a thread that sleeps for up to a minute, twice as long each time, and the end of an
    epoch waits until it wakes: up to as long as the epoch has taken. There is nothing to tune, since the loader reads ahead.

    Parameters
    ----------
    iterator
        Keras's ``EpochIterator``, before it makes the iterator of the pipeline. One of another backend, or of a
        distribution strategy, stays as it is.
    """
    dataset = getattr(iterator, "_distributed_dataset", None)
    if dataset is None:
        return
    import tensorflow as tf

    if not isinstance(dataset, tf.data.Dataset) or dataset.options().autotune.enabled is False:
        return
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    iterator._distributed_dataset = dataset.with_options(options)
