"""Training that is broken off: by errors, kills, signals, damaged files and full disks."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from tests.cli.running import COMMAND, PACED_COMMAND
from tests.conftest import compiled_once
from tests.programs import run_program

import bitesize as bs

HERE = Path(__file__).parent
BACKENDS = ["jax", "torch", "tensorflow"]


def needs(backend):
    for name in ("keras", backend):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.mark.slow
@pytest.mark.framework
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", BACKENDS)
def test_broken_training_ends_bit_for_bit_as_if_it_had_never_stopped(backend, tmp_path):
    needs(backend)
    with compiled_once(tmp_path):
        assert f"20 breaks mended on {backend}" in run_program("interrupted_training", backend, timeout=580).stdout


@pytest.mark.slow
@pytest.mark.framework
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", BACKENDS)
def test_models_and_optimizers_of_every_kind_go_on_bit_for_bit(backend, tmp_path):
    needs(backend)
    cases = 8 if backend == "torch" else 9
    with compiled_once(tmp_path):
        assert f"in {cases} cases on {backend}" in run_program("unusual_training", backend, timeout=580).stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cache", [[], ["cache"]], ids=["no cache", "cache"])
def test_killed_training_ends_bit_for_bit_as_if_it_had_never_been(capsys, cache):
    told = run_program("killed_training", "jax", 6, 2, *cache, timeout=880).stdout
    assert "6 kills" in told
    assert told.count("a checkpoint was open") >= 1


# --- one small training in this process ----------------------------------------------------------------------------------


def make_loader(**settings):
    x = np.random.default_rng(0).random((40, 5), np.float32)
    return bs.Loader(bs.open(x, x.sum(axis=1)), **({"batch_size": 4, "memory": "16 MiB", "threads": 1} | settings))


def make_model(units=3, compiled=True):
    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    if compiled:
        model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    return model


def train(folder, epochs=2, order=None, **settings):
    with make_loader(order=order) as loader:
        checkpoint = bs.keras.Checkpoint(folder, **({"every_batches": 4} | settings))
        return bs.keras.fit(make_model(), loader, epochs=epochs, checkpoint=checkpoint, verbose=0)


def files(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_checkpoints_are_named_by_number_epoch_and_batch_and_the_last_ones_stay(tmp_path):
    train(tmp_path / "a")
    assert files(tmp_path / "a") == ["000004-epoch1-batch2.npz", "000005-epoch1-batch6.npz", "000006-epoch2-batch0.npz"]
    train(tmp_path / "b", keep=1)
    assert files(tmp_path / "b") == ["000006-epoch2-batch0.npz"]


def test_a_finished_training_goes_on_with_more_epochs_and_none_with_as_many(tmp_path):
    whole = train(tmp_path / "whole", epochs=4)
    train(tmp_path / "a", epochs=2)
    assert train(tmp_path / "a", epochs=2).epoch == [0, 1]
    more = train(tmp_path / "a", epochs=4)
    assert more.epoch == whole.epoch
    assert more.history == whole.history


def test_without_resume_training_begins_anew_and_old_checkpoints_go_once_there_is_a_new_one(tmp_path):
    train(tmp_path, epochs=2)
    with make_loader() as loader:
        history = bs.keras.fit(
            make_model(),
            loader,
            epochs=1,
            checkpoint=bs.keras.Checkpoint(tmp_path, every_batches=1000),
            resume=False,
            verbose=0,
        )
    assert history.epoch == [0]
    assert files(tmp_path) == ["000007-epoch0-batch0.npz", "000008-epoch1-batch0.npz"]


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path):
    train(tmp_path)
    newest = sorted(tmp_path.iterdir())[-1]
    damage(newest)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = train(tmp_path)
    told = [str(warning.message) for warning in caught if "damaged" in str(warning.message)]
    assert len(told) == 1
    assert f"{newest} is damaged" in told[0]
    assert "Continuing from" in told[0]
    assert "000005-epoch1-batch6" in told[0]
    assert history.epoch == [0, 1]
    for path in set(tmp_path.iterdir()) - {newest}:
        damage(path)
    with pytest.raises(bs.BadFile, match=r"no checkpoint in .* is intact"):
        train(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": lambda: make_model(units=4)}, "has the shape"),
        ({"loader": lambda: make_loader(seed=5)}, "the order's seed is 5 here, but 0 in the state"),
        ({"loader": lambda: make_loader(batch_size=5)}, "batch_size is 5 here, but 4 in the state"),
        ({"model": lambda: make_model(compiled=False)}, "compile the model before"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, change, says):
    train(tmp_path)
    made = {"model": make_model, "loader": make_loader} | change
    with made["loader"]() as loader, pytest.raises((bs.WrongModel, bs.BadSetting), match=says):
        bs.keras.fit(made["model"](), loader, epochs=2, checkpoint=bs.keras.Checkpoint(tmp_path), verbose=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"every_batches": 0},
        {"every_batches": 2.5},
        {"every_minutes": 0},
        {"every_minutes": float("nan")},
        {"keep": 0},
        {"every_batches": 1, "every_minutes": 1},
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, settings):
    with pytest.raises(bs.BadSetting):
        bs.keras.Checkpoint(tmp_path, **settings)


def test_a_script_that_forgets_restore_is_told(tmp_path):
    with make_loader() as loader, pytest.raises(bs.BadSetting, match="restore"):
        make_model().fit(bs.to_keras(loader), callbacks=[bs.keras.Checkpoint(tmp_path)], verbose=0)


@pytest.mark.parametrize("order", [None, bs.Order(40, window=8, chunks=range(0, 40, 4))], ids=["all rows", "window"])
def test_stop_saves_after_the_batch_and_raises(tmp_path, order):
    import keras

    with make_loader(order=order) as loader:
        checkpoint = bs.keras.Checkpoint(tmp_path)
        stop = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: checkpoint.stop() if batch == 6 else None
        )
        with pytest.raises(KeyboardInterrupt):
            bs.keras.fit(make_model(), loader, epochs=2, checkpoint=checkpoint, callbacks=[stop], verbose=0)
    assert files(tmp_path)[-1].endswith("epoch0-batch7.npz")
    whole = train(tmp_path / "whole", order=order)
    assert train(tmp_path, order=order).history == whole.history


@pytest.mark.skipif(sys.platform != "linux", reason="a small file system is mounted")
def test_a_full_disk_is_one_warning_and_the_last_good_checkpoint_stays(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=300k tmpfs {small} 2>/dev/null"):
        pytest.skip("file systems cannot be mounted here")
    try:
        whole = train(tmp_path / "whole")
        train(small / "c", epochs=1)
        good = files(small / "c")
        with (small / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(1024))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            history = train(small / "c", epochs=2, every_batches=1)
        assert history.history == whole.history
        told = [str(warning.message) for warning in caught if "checkpoint" in str(warning.message)]
        assert len(told) == 1, told
        assert "No space left" in told[0]
        assert f"the last good checkpoint is {small / 'c' / good[-1]}" in told[0]
        assert files(small / "c") == good
        (small / "ballast").unlink()
        assert train(small / "c", epochs=2).history == whole.history
    finally:
        os.system(f"umount {small}")


# --- the command -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for i in range(400):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(draw.integers(0, 200 + 50 * (i % 2), (16, 16, 3), np.uint8)).save(
            folder / "ab"[i % 2] / f"{i:03d}.png"
        )
    return folder


def command(*arguments, begin=COMMAND, **settings):
    return subprocess.Popen(
        [*begin, "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def train_command(pictures, out, *more):
    return [pictures, "--model", "mlp", "--image-size", 16, "--epochs", 12, "--memory", "64MiB", "--batch-size", 4,
            "--checkpoint-every", 50, "--out", out, *more]  # fmt: skip


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(pictures, tmp_path, number, code):
    out = tmp_path / "run"
    process = command(*train_command(pictures, out), begin=PACED_COMMAND)
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/*epoch[1-9]*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert f"bitesize train --resume --out {out}" in said
    newest = sorted(out.glob("checkpoints/[0-9]*.npz"))[-1]
    assert str(newest) in said.replace("\n", "")
    assert "Traceback" not in said
    if number == signal.SIGINT:
        # In the run's folder, without any other word; a setting that differs is refused.
        wrong = command("--resume", "--seed", 7, cwd=out)
        assert "the run in . has other settings: --seed was 0 and is 7" in wrong.communicate(timeout=60)[1]
        process = command("--resume", cwd=out)
        shown, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
        assert f"continuing from checkpoints/{newest.name}" in shown.replace("\n", "")
        lines = (out / "history.csv").read_text().splitlines()
        assert [line.partition(",")[0] for line in lines[1:]] == [str(i + 1) for i in range(12)]


def test_a_second_signal_ends_at_once(pictures, tmp_path):
    process = command(*train_command(pictures, tmp_path / "run"), begin=PACED_COMMAND)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/checkpoints/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_nothing_to_go_on_with_is_said(tmp_path):
    process = command("--resume", "--out", tmp_path)
    assert "has no checkpoint to resume from" in process.communicate(timeout=60)[1]
    process = command()
    assert "DATA is missing" in process.communicate(timeout=60)[1]
