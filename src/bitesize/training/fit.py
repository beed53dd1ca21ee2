"""``fit`` that resumes from a checkpoint, also within an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bitesize.checks import is_whole
from bitesize.engine.loader import Loader
from bitesize.errors import BadSetting, without_frames
from bitesize.outputs.keras import to_keras
from bitesize.training.checkpoint import Checkpoint
from bitesize.training.find_ranks import ranks_of_this_process
from bitesize.training.finite import Lost, explain, watch_loss
from bitesize.training.keras_session import finish_epoch, make_session
from bitesize.training.keyboard import saving_on_interrupt
from bitesize.training.rank_callback import RankCallback
from bitesize.training.together import batches_of, begin_together, join_data, of_all
from bitesize.training.user_model import refuse_unless_model

# The end of a phase of training (exclusive), and the function that starts it.
Phase = tuple[int, Callable[[], None]]


def fit(
    model: Any,
    loader: Any,
    *,
    epochs: int,
    validation_data: Any = None,
    checkpoint: Checkpoint | None = None,
    resume: bool = True,
    callbacks: Sequence[Any] = (),
    class_weight: dict[int, float] | None = None,
    verbose: int | str = "auto",
    inputs: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
) -> Any:
    """Train a Keras model on a loader; with a checkpoint, resume from it.

    Parameters
    ----------
    model
        Compiled Keras model.
    loader
        A `Loader`, or the result of `to_keras` for one.
    epochs
        Total number of epochs. More than at the time of the checkpoint extend the training, also if `EarlyStopping` had ended it.
    validation_data
        A `Loader`, the result of `to_keras` for one, or other data that ``fit`` of Keras takes.
    checkpoint, resume
        Checkpoint to resume from and to save to. With ``resume=False``, existing checkpoints are removed after the first epoch. With a
        checkpoint, the first Ctrl-C saves after the current batch; a second one ends at once.
    callbacks
        Keras callbacks. A checkpoint includes the state of Keras's `EarlyStopping`, `ReduceLROnPlateau` and
        `ModelCheckpoint`, and of all callbacks with ``state_dict()`` and ``load_state_dict(state)``.
    class_weight, verbose, inputs, targets
        As in ``fit`` of Keras, and in `to_keras`.

    Returns
    -------
    keras.callbacks.History
        History of the whole training, including epochs before an interruption. A notebook shows it as curves.

    Raises
    ------
    BadSetting, BadFile, WrongModel
        As in `Checkpoint.restore`; or if the model is not a Keras model.
    NotFinite
        If losses or weights become NaN or infinite; names the rows with such values. Nothing is saved afterwards.
    KeyboardInterrupt
        After Ctrl-C, or an interruption of the kernel.

    Examples
    --------
    >>> import keras, numpy as np, bitesize as bs
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer="sgd", loss="mse")
    >>> with bs.Loader(bs.open(np.ones((8, 3)), np.ones(8)), batch_size=4, memory="16 MiB") as loader:
    ...     bs.keras.fit(model, loader, epochs=3, verbose=0).epoch
    [0, 1, 2]
    """
    if not is_whole(epochs, least=1):
        raise BadSetting(f"epochs must be a whole number of at least 1, not {epochs!r}")
    refuse_unless_model(model, "the model")
    data, val_data = (_as_keras(source, inputs, targets) for source in (loader, validation_data))
    settings: dict[str, Any] = {"checkpoint": checkpoint, "resume": resume, "callbacks": callbacks, "verbose": verbose}
    return fit_phases(model, data, [(epochs, _stay)], **settings, validation_data=val_data, class_weight=class_weight)


def _as_keras(data: Any, inputs: Any, targets: Any) -> Any:
    """Return the dataset of a loader; other data of Keras stays."""
    return to_keras(data, inputs=inputs, targets=targets) if isinstance(data, Loader) else data


def fit_phases(
    model: Any,
    data: Any,
    phases: Sequence[Phase],
    *,
    checkpoint: Checkpoint | None,
    resume: bool,
    callbacks: Sequence[Any],
    verbose: int | str = 0,
    **arguments: Any,
) -> Any:
    """Train in phases, and resume from a checkpoint.

    Parameters
    ----------
    model, data, checkpoint, resume, callbacks, verbose
        As in `fit`; ``data`` is a result of `to_keras`.
    phases
        For each phase its end (exclusive), and a function that starts it: it freezes layers and compiles the model.
    arguments
        Further arguments of ``fit`` of Keras.

    Returns
    -------
    keras.callbacks.History
    """
    ranks = ranks_of_this_process()
    if ranks.several:
        padded, arguments = join_data(ranks, data, arguments)
        phases = [(end, partial(begin_together, ranks, model, begin, padded)) for end, begin in phases]
        callbacks = [RankCallback(ranks, batches_of(arguments.get("validation_data"))), *callbacks]
        if checkpoint is not None:
            checkpoint.share(ranks)
    position = checkpoint.newest_position() if checkpoint is not None and resume and len(phases) > 1 else None
    phases = phases[_phase_of(position, phases) :]
    _, begin_phase = phases[0]
    begin_phase()
    first_epoch, unfinished = 0, None
    if checkpoint is not None:
        first_epoch = 1 + (checkpoint.restore if resume else checkpoint.begin)(model, data)
        checkpoint.extend(phases[-1][0])
        unfinished = checkpoint.partial_epoch
    begins = (unfinished.epoch, unfinished.batch) if unfinished is not None else (first_epoch, 0)
    start = begins, data.place
    watched = [watch_loss(begins), *callbacks, *([checkpoint] if checkpoint else [])]
    session = make_session(watched, checkpoint, model, phases[-1][0], verbose, len(data))
    try:
        with saving_on_interrupt(checkpoint):
            _train(session, data, first_epoch, phases, arguments)
    except Lost as lost:
        val_loader = getattr(arguments.get("validation_data"), "loader", None)
        without_frames(lost)  # they hold batches whose slots will be refilled
        try:
            error = of_all(ranks, explain(lost, model, data.loader, start, val_loader))
            if checkpoint is not None and lost.validating and error.rows:
                checkpoint.save()  # the epoch is trained: only its validation is pending
        finally:
            if checkpoint is not None:
                checkpoint.close()
    else:
        return model.history
    raise error


def _phase_of(position: tuple[int, int] | None, phases: Sequence[Phase]) -> int:
    """Return the number of the phase in which a checkpoint was saved; the first without a checkpoint.

    The end of a phase is saved before the next phase starts.
    """
    if position is None:
        return 0
    return next((number for number, (end, _) in enumerate(phases) if position <= (end, 0)), len(phases) - 1)


def _train(session: Any, data: Any, first_epoch: int, phases: Sequence[Phase], arguments: dict[str, Any]) -> None:
    """Finish the epoch of a checkpoint, and train the remaining epochs; the first phase has started."""
    model, checkpoint = session.model, session.checkpoint
    if checkpoint is not None and checkpoint.is_new:
        # So that an early interruption resumes this training, not an earlier one in the folder.
        checkpoint.saves_initial_state = True
    stopped = checkpoint is not None and checkpoint.stopped_early
    if checkpoint is not None and checkpoint.partial_epoch:
        finish_epoch(session, data, arguments)
        stopped = bool(model.stop_training)
    epochs = phases[-1][0]
    for number, (end, begin_phase) in enumerate(phases):
        if stopped:
            break
        if number:
            begin_phase()
        if first_epoch < end:
            session.last_fit = end == epochs
            model.fit(data, initial_epoch=first_epoch, epochs=end, callbacks=session, shuffle=False, verbose=0, **arguments)
            first_epoch, stopped = end, bool(model.stop_training)
            if checkpoint is not None and not session.last_fit and not stopped:
                checkpoint.keep_reset_state()
    if not session.ended:
        session.last_fit = True
        session.on_train_begin()
        if checkpoint is not None:
            checkpoint.restore_reset_state()
        session.on_train_end()


def _stay() -> None:
    """Start the only phase of a model that is compiled already."""
