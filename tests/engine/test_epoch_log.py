"""What the library logs: a warning a bad row, and a line an epoch. It sets up no handlers."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine.loader import driver_of


@pytest.fixture
def some_bad(tmp_path):
    """Thirty `.npy` files, of which two are damaged."""
    for i in range(30):
        np.save(tmp_path / f"{i:02}.npy", np.full((4, 4), i, np.float32))
    for i in (7, 21):
        (tmp_path / f"{i:02}.npy").write_bytes(b"damaged")
    return tmp_path


def records(caplog, level, name="bitesize"):
    return [each.getMessage() for each in caplog.records if each.levelno == level and each.name.startswith(name)]


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_bad_row_is_one_warning_with_its_file_and_reason(some_bad, shuffle, caplog):
    with bs.Loader(
        bs.open(some_bad), batch_size=10, memory="16 MiB", shuffle=shuffle, on_error="skip", max_bad=0.5
    ) as loader:
        for _ in range(3):
            for _ in loader:
                pass
        bad = loader.bad
    warnings = records(caplog, logging.WARNING, "bitesize.rows")
    assert len(warnings) == len(bad) == 2
    for name in ("07.npy", "21.npy"):
        (line,) = [each for each in warnings if name in each]
        assert line.startswith("skipped row ")
        assert line.count(name) == 1
        assert "is no .npy file" in line or "npy" in line.split(name)[1]


def test_of_many_of_bad_rows_every_hundredth_is_logged_and_none_is_lost(tmp_path, caplog):
    class Broken(bs.Source):
        spec = {"x": bs.Field((2,), np.dtype(np.float32))}

        def __len__(self):
            return 1000

        def read(self, rows, into):
            raise bs.BadRows({i: bs.BadFile(f"row {row} is damaged") for i, row in enumerate(rows.tolist())})

        def _identity(self):
            return b"broken"

    with bs.Loader(Broken(), batch_size=100, memory="16 MiB", shuffle=False, on_error="skip", max_bad=1.0) as loader:
        for _ in loader:
            pass
        assert len(loader.bad) == 1000
    warnings = records(caplog, logging.WARNING, "bitesize.rows")
    assert len(warnings) == 100 + 9
    notes = [each.split("; ")[1] for each in warnings if "; " in each]
    assert sorted(int(note.split()[0]) for note in notes) == list(range(100, 1001, 100))
    assert all(
        note.endswith("bad rows so far: from now on, every 100th is logged, and loader.bad lists all") for note in notes
    )


def test_an_epoch_is_one_line_with_rows_speed_waiting_and_memory(caplog):
    caplog.set_level(logging.INFO, "bitesize")
    with bs.Loader(bs.open(np.zeros((50, 3))), batch_size=8, memory="16 MiB") as loader:
        for _ in range(2):
            for _ in loader:
                pass
    lines = [each for each in records(caplog, logging.INFO) if each.startswith("epoch ")]
    assert [line.split(":")[0] for line in lines] == ["epoch 0", "epoch 1"]
    for line in lines:
        assert "50 rows in " in line
        for word in (" rows/s, ", "waited ", "peak memory ", "of 16.0 MiB"):
            assert word in line


def test_a_loop_over_several_epochs_logs_each(caplog):
    caplog.set_level(logging.INFO, "bitesize")
    with bs.Loader(bs.open(np.zeros((50, 3))), batch_size=8, memory="16 MiB", last="drop") as loader:
        batches = driver_of(loader).iterate((0, 0), endless=True)
        for _ in range(2 * len(loader)):
            next(batches)
    lines = [each for each in records(caplog, logging.INFO) if each.startswith("epoch ")]
    assert len(lines) == 2
    assert all("48 rows in " in line for line in lines)


def test_fit_logs_the_metrics_of_each_epoch(caplog):
    keras = pytest.importorskip("keras")
    caplog.set_level(logging.INFO, "bitesize")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with bs.Loader(bs.open(np.ones((16, 3), np.float32), np.ones(16)), batch_size=4, memory="16 MiB") as loader:
        bs.keras.fit(model, loader, epochs=2, verbose=0)
    trained = [each for each in records(caplog, logging.INFO) if each.startswith("trained epoch")]
    assert [line.split(" in ")[0] for line in trained] == ["trained epoch 1 of 2", "trained epoch 2 of 2"]
    assert all("loss " in line for line in trained)
    assert sum(each.startswith("epoch ") for each in records(caplog, logging.INFO)) == 2


def test_the_library_sets_up_no_handlers_and_prints_nothing(some_bad):
    program = f"""
import logging, bitesize as bs
loader = bs.Loader(bs.open({str(some_bad)!r}), batch_size=10, memory="16 MiB", on_error="skip", max_bad=0.5)
logging.getLogger("bitesize.rows").setLevel(logging.ERROR)
for batch in loader: pass
loader.close()
names = [name for name in logging.root.manager.loggerDict if name.startswith("bitesize")]
assert names and not any(logging.getLogger(name).handlers for name in names), names
assert not logging.root.handlers
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
