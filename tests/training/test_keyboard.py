"""Ctrl-C during `bs.keras.fit` with a checkpoint: it saves after the batch, and the same call ends as if it had not been pressed."""

import json
import re
import signal
import threading

import numpy as np
import pytest
from tests.programs import run_program

import bitesize as bs

keras = pytest.importorskip("keras")
X = np.random.default_rng(0).random((40, 5), np.float32)
Y = X.sum(axis=1)


@pytest.fixture(autouse=True)
def python_handles_ctrl_c():
    """Handle SIGINT as Python does in a program or a notebook, and not as the process that runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


class Press(keras.callbacks.Callback):
    """Presses Ctrl-C the n-th time that a method is called."""

    def __init__(self, method, number, times=1):
        super().__init__()
        self.left = number

        def press(*_, logs=None):
            self.left -= 1
            for _ in range(times if self.left == 0 else 0):
                signal.raise_signal(signal.SIGINT)

        setattr(self, method, press)


def make_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3), keras.layers.Dropout(0.1), keras.layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    return model


def train(folder, *callbacks, model=None, **settings):
    model = model or make_model()
    with (
        bs.Loader(bs.open(X, Y), batch_size=4, memory="16 MiB", threads=1) as loader,
        bs.Loader(bs.open(X[:8], Y[:8]), batch_size=4, memory="16 MiB", threads=1, shuffle=False) as val_loader,
    ):
        checkpoint = None if folder is None else bs.keras.Checkpoint(folder, every_minutes=60)
        settings = {"epochs": 3, "validation_data": val_loader, "callbacks": callbacks, "verbose": 0} | settings
        bs.keras.fit(model, loader, checkpoint=checkpoint, **settings)
    return [weight.tobytes() for weight in model.get_weights()]


@pytest.mark.parametrize(
    ("method", "number", "saved"),
    [
        ("on_train_batch_begin", 1, "epoch0-batch1"),
        ("on_train_batch_end", 14, "epoch1-batch4"),
        ("on_test_batch_begin", 3, "epoch1-batch10"),
        ("on_epoch_begin", 2, "epoch1-batch1"),
        ("on_train_end", 1, "epoch3-batch0"),
    ],
)
def test_it_saves_after_the_batch_and_the_same_call_ends_as_if_it_had_not_been_pressed(tmp_path, method, number, saved):
    expected = train(tmp_path / "whole")
    model = make_model()
    with pytest.raises(KeyboardInterrupt, match=rf"the last checkpoint is .*{saved}\.npz: the same call continues there"):
        train(tmp_path / "a", Press(method, number), model=model)
    assert all(
        np.isfinite(weight).all() for weight in model.get_weights()
    )  # also on JAX, which reuses the memory of weights
    assert train(tmp_path / "a") == expected


def test_a_second_one_interrupts_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        train(tmp_path, Press("on_train_batch_begin", 14, times=2))
    assert not list(tmp_path.glob("*epoch1*"))
    assert train(tmp_path) == train(tmp_path / "whole")


def test_a_program_that_handles_it_itself_does_so(tmp_path):
    pressed = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        train(tmp_path, Press("on_train_batch_begin", 14))
    finally:
        own = signal.signal(signal.SIGINT, signal.default_int_handler)
    assert pressed == [1]
    assert own.__name__ == "<lambda>"
    assert list(tmp_path.glob("*epoch3*"))


def test_without_a_checkpoint_it_is_that_of_python():
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        train(None, Press("on_train_batch_begin", 14))


def test_training_in_another_thread_leaves_it_to_the_main_thread(tmp_path):
    handlers = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=train, args=(tmp_path, Look()))
    thread.start()
    thread.join()
    assert set(handlers) == {signal.default_int_handler}


def test_a_request_does_not_outlive_a_training_that_an_error_has_ended(tmp_path):
    class Fail(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            signal.raise_signal(signal.SIGINT)
            raise ValueError("mine")

    with bs.Loader(bs.open(X, Y), batch_size=4, memory="16 MiB", threads=1) as loader:
        checkpoint = bs.keras.Checkpoint(tmp_path, every_minutes=60)
        settings = {"epochs": 1, "checkpoint": checkpoint, "verbose": 0}
        with pytest.raises(ValueError, match="mine"):
            bs.keras.fit(make_model(), loader, callbacks=[Fail()], **settings)
        assert bs.keras.fit(make_model(), loader, **settings).epoch == [0]


@pytest.mark.timeout(300)
def test_an_interrupted_cell_of_a_notebook_is_run_again_to_continue(tmp_path):
    for name in ("jax", "ipykernel", "jupyter_client"):
        pytest.importorskip(name)
    stopped, saved, status, printed = json.loads(run_program("interrupted_notebook", tmp_path, timeout=280).stdout)
    assert stopped["ename"] == "KeyboardInterrupt"
    assert re.search(r"checkpoints.*-epoch0-batch(3[1-9]|[4-9]\d)\.npz: the same call continues there", stopped["evalue"])
    assert saved[-1] in stopped["evalue"]
    assert status == "ok"
    assert "[0, 1]" in printed
