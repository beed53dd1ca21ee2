"""How long batches are waited for, in memory of a fixed size; and how many bytes went through a loader."""

import time

import numpy as np
import pytest
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.engine.holding import Holder
from bitesize.engine.latency import Latencies
from bitesize.engine.loader import driver_of


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_quantiles_are_those_of_numpy_within_eight_percent(share):
    seconds = np.random.default_rng(0).lognormal(-6, 2, 20_000)
    waits = Latencies()
    for each in seconds:
        waits.add(float(each))
    true = float(np.quantile(seconds, share, method="inverted_cdf"))
    assert true <= waits.quantile(share) <= true * 1.081


def test_waits_of_nothing_and_of_hours_are_counted():
    waits = Latencies()
    assert waits.quantile(0.99) == 0.0
    waits.add(0.0)
    assert waits.quantile(0.5) == 0.0
    waits.add(1e9)
    assert waits.quantile(1.0) > 3600


def test_a_slow_source_is_waited_for_and_a_slow_loop_is_not():
    def slow(x):
        time.sleep(0.01)
        return x

    source = bs.open(np.zeros((24, 3)))
    with bs.Loader(source, batch_size=4, memory="8 MiB", transforms=[bs.Map(slow)], threads=1) as loader:
        for _ in loader:
            pass
        assert loader.stats.wait(0.5) > 0.02  # four rows of 10 ms, and a batch is made ahead
        assert loader.stats.wait(0.99) >= loader.stats.wait(0.5)
        loader.stats.reset()
        assert loader.stats.wait(0.99) == 0.0


def test_waiting_for_batches_that_the_caller_holds_is_the_callers_own():
    held = []
    with bs.Loader(bs.open(np.zeros((400, 3))), batch_size=4, memory="8 MiB", threads=1) as loader:
        for batch in driver_of(loader).iterate((0, 0), endless=False, holder=Holder(patience=60)):
            held.append(batch)
            if len(held) == 3:  # all that there are: the next cannot be made before one goes
                threading_free(held)
        assert loader.stats.held > 0
        assert loader.stats.verdict().startswith("consumer-bound")


def threading_free(held):
    """Let go of the oldest batch a little later, as a framework that runs steps in the background does."""
    import threading

    def go():
        time.sleep(0.02)
        held.pop(0)

    threading.Thread(target=go).start()


def test_bytes_are_those_of_the_files_and_of_the_batches(tmp_path):
    for i in range(8):
        write_jpeg(tmp_path / f"{i}.jpg", noise(40, 50, seed=i))
    with bs.Loader(bs.open(tmp_path), batch_size=4, memory="64 MiB", transforms=[bs.Resize(16)]) as loader:
        for _ in loader:
            pass
        loader.close()
        files = sum(file.stat().st_size for file in tmp_path.iterdir())
        assert files <= loader.stats.bytes_read <= 3 * files  # batches of the next epoch are made ahead
        assert loader.stats.bytes_handed_out == 8 * 16 * 16 * 3
        read, out = loader.stats.megabytes_per_second
        assert read / out == pytest.approx(loader.stats.bytes_read / loader.stats.bytes_handed_out)


def test_bytes_of_arrays_are_counted_as_they_are_stored_and_as_they_come_out():
    source = bs.open(np.zeros((32, 5), np.float64), np.arange(32))
    with bs.Loader(source, batch_size=8, memory="8 MiB", dtype="float32") as loader:
        for _ in loader:
            pass
        loader.close()
        read, row = loader.stats.bytes_read, 5 * 8 + 8
        assert 32 * row <= read <= 64 * row
        assert read % (8 * row) == 0
        assert loader.stats.bytes_handed_out == 32 * (5 * 4 + 8)
