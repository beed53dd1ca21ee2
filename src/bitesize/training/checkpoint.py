"""Checkpoint: a Keras callback that saves the full state of training, and resumes at the exact batch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting
from bitesize.outputs.keras import to_keras
from bitesize.storage.url import is_url
from bitesize.training import capture
from bitesize.training.batch_counter import SaveInterval
from bitesize.training.checkpoint_callback import CheckpointCallback
from bitesize.training.checkpoint_store import CheckpointStore
from bitesize.training.find_ranks import ranks_of_this_process
from bitesize.training.keras_session import finish_epoch, make_session


class Checkpoint(CheckpointCallback):
    """Keras callback that saves the full state of training, so that a resumed training equals an uninterrupted one.

    It saves weights, optimizer, metrics, random generators, history, the state of the other callbacks, and the number of
    trained batches, which it counts itself. Checkpoints are written atomically, and every byte is covered by a checksum.
    Put the callback last in the list of callbacks.

    `bitesize.keras.fit` does the following steps itself. In your own script::

        e = checkpoint.restore(model, loader)        # -1 if there is no checkpoint yet
        checkpoint.finish_epoch(model, data)         # the rest of an interrupted epoch, with the arguments of fit
        model.fit(data, initial_epoch=e + 1, epochs=10, callbacks=[checkpoint])

    Parameters
    ----------
    folder
        Folder of the checkpoints. It is created if it does not exist.
    every_batches
        Save after this number of trained batches.
    every_minutes
        Save at the first batch after this number of minutes. Default: 5, if ``every_batches`` is not given.
    keep
        Number of most recent checkpoints to keep, at least 1.
    extra
        Data that JSON can hold, to save with each checkpoint.

    Raises
    ------
    BadSetting
        If both intervals are given, an interval is not above 0, or ``folder`` is an address.

    Notes
    -----
    The model is copied immediately and written in the background; the next checkpoint waits for that write. If the disk is
    full, a warning is logged once, and training continues.

    Examples
    --------
    >>> import tempfile
    >>> import keras, numpy as np, bitesize as bs
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer="sgd", loss="mse")
    >>> loader = bs.Loader(bs.open(np.ones((8, 3)), np.ones(8)), batch_size=4, memory="16 MiB")
    >>> checkpoint = bs.keras.Checkpoint(tempfile.mkdtemp(), every_batches=1)
    >>> checkpoint.restore(model, loader)
    -1
    >>> _ = model.fit(bs.to_keras(loader), epochs=1, verbose=0, callbacks=[checkpoint])
    >>> checkpoint.newest_path.exists()
    True
    >>> loader.close()
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every_batches: int | None = None,
        every_minutes: float | None = None,
        keep: int = 3,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        interval = SaveInterval(every_batches, every_minutes)
        if is_url(os.fspath(folder)):
            raise BadSetting(
                f"checkpoints are written into a folder of the disk, not to {folder}: bitesize train --out copies them to an address"
            )
        super().__init__(CheckpointStore(Path(folder), keep), interval, extra)

    def restore(self, model: Any, loader: Any) -> int:
        """Restore the newest intact checkpoint, and the position of the loader.

        Parameters
        ----------
        model
            The model, compiled as when the checkpoint was saved.
        loader
            A `Loader` of the same data, order and batch size, or the result of `bitesize.to_keras` for it.
            `Loader.load_state_dict` describes what may differ.

        Returns
        -------
        int
            Index of the last finished epoch of Keras, including the epoch that `finish_epoch` will finish; -1 if there is
            no checkpoint.

        Raises
        ------
        BadFile
            If there are checkpoints, but none is intact. A warning is logged for each damaged checkpoint that is skipped.
        WrongModel
            If the model does not match the checkpoint.
        BadSetting
            If the data or the order of the loader differ.

        Examples
        --------
        >>> import tempfile
        >>> import keras, numpy as np, bitesize as bs
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> loader = bs.Loader(bs.open(np.ones((8, 3)), np.ones(8)), batch_size=4, memory="16 MiB")
        >>> checkpoint = bs.keras.Checkpoint(tempfile.mkdtemp(), every_batches=1)
        >>> checkpoint.restore(model, loader)
        -1
        >>> _ = model.fit(bs.to_keras(loader), epochs=1, verbose=0, callbacks=[checkpoint])
        >>> checkpoint.restore(model, loader)
        0
        >>> loader.close()
        """
        loader = self._begin(model, loader, replaces=False)
        snapshot = self._store.newest()
        if snapshot is None:
            return -1
        state, arrays = snapshot
        loader.load_state_dict(state["loader"])
        capture.restore_variables(model, arrays)
        self._restored = snapshot
        self._counter.resume(state)
        self.extra = state["extra"] | dict(self.extra)
        return self._counter.epoch if self.partial_epoch else self._counter.epoch - 1

    def begin(self, model: Any, loader: Any) -> int:
        """Start a new training; existing checkpoints in the folder are removed after the first epoch.

        Parameters
        ----------
        model
            The model, compiled.
        loader
            A `Loader`, or the result of `bitesize.to_keras` for it.

        Returns
        -------
        int
            -1, as `restore` without a checkpoint.

        Examples
        --------
        >>> import tempfile
        >>> import keras, numpy as np, bitesize as bs
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> loader = bs.Loader(bs.open(np.ones((8, 3)), np.ones(8)), batch_size=4, memory="16 MiB")
        >>> checkpoint = bs.keras.Checkpoint(tempfile.mkdtemp(), every_batches=1)
        >>> checkpoint.begin(model, loader)
        -1
        >>> loader.close()
        """
        self._begin(model, loader, replaces=True)
        return -1

    def _begin(self, model: Any, loader: Any, *, replaces: bool) -> Loader:
        """Build the model, and start to count; set whether this training replaces existing checkpoints."""
        self.share(ranks_of_this_process())
        self._loader = _build(model, loader)
        self._counter.begin(self._loader)
        self._restored = None
        self._store.replace_existing(replaces)
        return self._loader

    def peek(self) -> dict[str, Any] | None:
        """Return the ``extra`` data of the newest checkpoint, or None if there is no checkpoint.

        Returns
        -------
        dict or None
            The data as saved.

        Examples
        --------
        >>> import tempfile
        >>> import bitesize as bs
        >>> bs.keras.Checkpoint(tempfile.mkdtemp()).peek() is None
        True
        """
        snapshot = self._store.newest()
        return None if snapshot is None else snapshot[0]["extra"]

    def newest_position(self) -> tuple[int, int] | None:
        """Return the position of the newest checkpoint: epoch, and its trained batches; None if there is no checkpoint.

        Returns
        -------
        (int, int) or None
            Epoch of Keras, and number of its trained batches.

        Examples
        --------
        >>> import tempfile
        >>> import bitesize as bs
        >>> bs.keras.Checkpoint(tempfile.mkdtemp()).newest_position() is None
        True
        """
        snapshot = self._store.newest()
        return None if snapshot is None else (snapshot[0]["epoch"], snapshot[0]["batch"])

    @property
    def newest_path(self) -> Path | None:
        """Path of the newest checkpoint."""
        return self._store.newest_path

    @property
    def stop_pending(self) -> bool:
        """Return whether `stop` was called and saving has not started yet."""
        return self._stop is not None and not self._store.writes

    @property
    def is_new(self) -> bool:
        """Return whether nothing was restored."""
        return self._restored is None

    @property
    def stopped_early(self) -> bool:
        """Return whether a callback had stopped the restored training early."""
        return self._restored is not None and bool(self._restored[0]["stopped"])

    def extend(self, epochs: int) -> None:
        """Continue a restored training that had stopped early, if more epochs are planned than when it was saved.

        Parameters
        ----------
        epochs
            Number of epochs that are planned now.

        Examples
        --------
        >>> import tempfile
        >>> import keras, numpy as np, bitesize as bs
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> loader = bs.Loader(bs.open(np.ones((8, 3)), np.ones(8)), batch_size=4, memory="16 MiB")
        >>> checkpoint = bs.keras.Checkpoint(tempfile.mkdtemp(), every_batches=1)
        >>> checkpoint.restore(model, loader)
        -1
        >>> checkpoint.extend(5)  # nothing was restored, so nothing changes
        >>> loader.close()
        """
        if self._restored is not None and epochs > (self._restored[0].get("epochs") or epochs):
            capture.extend(self._restored[0])

    def close(self) -> None:
        """Wait until the current checkpoint is saved, and end the saving thread."""
        self._store.close()

    def finish_epoch(self, model: Any, data: Any, **arguments: Any) -> None:
        """Train the rest of an interrupted epoch, validate, and call the callbacks; do nothing if no epoch is interrupted.

        Parameters
        ----------
        model, data
            As for `restore` and ``fit``; ``data`` is a result of `bitesize.to_keras`.
        **arguments
            Further arguments of ``fit``, as in the interrupted call: ``validation_data``, ``callbacks``, ``verbose`` ...

        Examples
        --------
        >>> import tempfile
        >>> import keras, numpy as np, bitesize as bs
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> loader = bs.Loader(bs.open(np.ones((8, 3)), np.ones(8)), batch_size=4, memory="16 MiB")
        >>> checkpoint = bs.keras.Checkpoint(tempfile.mkdtemp(), every_batches=1)
        >>> checkpoint.restore(model, loader)
        -1
        >>> checkpoint.finish_epoch(model, bs.to_keras(loader))  # no epoch was interrupted
        >>> loader.close()
        """
        if partial := self.partial_epoch:
            callbacks = [callback for callback in arguments.pop("callbacks", None) or () if callback is not self]
            verbose = arguments.pop("verbose", "auto")
            session = make_session([*callbacks, self], self, model, partial.epoch + 1, verbose)
            finish_epoch(session, data, arguments)

    def stop(self, error: BaseException | None = None) -> None:
        """Request a checkpoint, and the end of training, after the current batch; safe to call from signal handlers.

        Parameters
        ----------
        error
            Exception that ``fit`` then raises. Default: KeyboardInterrupt.

        Examples
        --------
        >>> import tempfile
        >>> import keras, numpy as np, bitesize as bs
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> loader = bs.Loader(bs.open(np.ones((8, 3)), np.ones(8)), batch_size=4, memory="16 MiB")
        >>> checkpoint = bs.keras.Checkpoint(tempfile.mkdtemp(), every_batches=1)
        >>> checkpoint.restore(model, loader)
        -1
        >>> checkpoint.stop(TimeoutError("an hour is over"))
        >>> try:
        ...     model.fit(bs.to_keras(loader), verbose=0, callbacks=[checkpoint])
        ... except TimeoutError as error:
        ...     print(error)
        an hour is over
        >>> checkpoint.newest_path.exists()
        True
        >>> loader.close()
        """
        self._stop = error or KeyboardInterrupt()

    def save(self) -> None:
        """Save a checkpoint now, and return when it is on disk; within ``fit``, after a batch."""
        self._save(self._counter.done, self._metrics or None)
        self.wait()

    def wait(self) -> None:
        """Wait until the current checkpoint is on disk."""
        self._store.wait()


def _build(model: Any, loader: Any) -> Loader:
    """Create the variables that a checkpoint contains, and return the loader."""
    if not getattr(model, "compiled", False):
        raise BadSetting("compile the model before restoring a checkpoint: the checkpoint contains its optimizer")
    data = to_keras(loader) if isinstance(loader, Loader) else loader
    if not model.built:
        model.test_on_batch(*data.zeros())
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    built: Loader = data.loader
    return built
