"""Where time went, in seconds and in one sentence."""

import time

import numpy as np
import pytest
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.engine.stats import Stats
from bitesize.pipeline.clock import Clock
from bitesize.storage.limiter import LIMITER


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    for i in range(8):
        write_jpeg(folder / f"{i}.jpg", noise(900, 1200, seed=i))
    return folder


def _run(source, consumer=lambda batch: None, epochs=4, **options):
    with bs.Loader(source, memory="128 MiB", **options) as loader:
        for _ in loader:  # what is loaded and compiled once is not counted
            pass
        loader.stats.reset()
        for _ in range(epochs):
            for batch in loader:
                consumer(batch)
        return loader.stats.verdict(), loader.stats.seconds, loader.stats


def test_before_anything_was_loaded_there_is_nothing_to_say():
    with bs.Loader(bs.open(np.zeros((4, 2))), batch_size=2, memory="8 MiB") as loader:
        assert loader.stats.verdict() == "nothing has been loaded yet"


def test_a_slow_consumer_bounds_the_run(large):
    small = bs.open(np.zeros((32, 3)))
    verdict, seconds, stats = _run(small, lambda batch: time.sleep(0.2), epochs=1, batch_size=4, threads=2)
    assert verdict.startswith("consumer-bound: loading keeps up")
    assert max(seconds, key=seconds.get) == "waiting for the consumer"
    assert stats.rows == 32


@pytest.mark.parametrize(
    ("spent", "threads", "expected"),
    [
        ({"decode": 8.0, "render": 1.0, "busy": 9.5, "cpu": 9.5}, 2, "decode-bound: decode takes 84% of the threads' time"),
        ({"decode": 8.0, "render": 1.0, "busy": 9.5, "cpu": 9.5}, 1, "threads=2 would use all processors"),
        ({"read": 8.0, "decode": 1.0, "busy": 9.5, "cpu": 1.5}, 2, "disk-bound: disk takes 84%"),
        (
            {"decode": 8.0, "busy": 9.0, "cpu": 4.0},
            2,
            "decode-bound: decode takes 89% of the threads' time (2 threads, 2 processors; 56% of it waiting for",
        ),
        ({"decode": 4.0, "busy": 5.0, "cpu": 5.0, "idle": 5.0}, 2, "overhead-bound"),
        ({"busy": 9.0, "cpu": 9.0}, 2, "Python-bound: Python takes 100%"),
    ],
)
def test_what_the_threads_did_most_is_named_with_what_would_help(spent, threads, expected):
    clocks = [Clock() for _ in range(threads)]
    stats = Stats()
    stats.watch(clocks, processors=2)
    for clock in clocks:
        for name, seconds in spent.items():
            setattr(clock, name, seconds)
    stats.count(rows=100, waited=10.0)  # all of the consumer's time
    assert expected in stats.verdict()


def test_decoding_objects_of_a_server_needs_a_cache_of_pixels(monkeypatch):
    clock, stats = Clock(), Stats()
    stats.watch([clock], processors=1)
    clock.decode, clock.busy, clock.cpu = 9.0, 10.0, 10.0
    stats.count(rows=100, waited=10.0)
    assert 'cache="auto" keeps decoded images' in stats.verdict()
    monkeypatch.setattr(LIMITER.counts, "requests", LIMITER.counts.requests + 100)
    assert 'cache="auto" with kind="pixels" of the cache keeps resized images' in stats.verdict()


def test_decoding_large_images_bounds_the_run(large):
    verdict, seconds, _ = _run(bs.open(large), batch_size=4, transforms=[bs.Resize(32)], fast_decode=False, threads=1)
    assert ": decode takes" in verdict  # what bounds it is another thing where other programs take the processors
    assert max(seconds, key=seconds.get) == "decode"


def test_a_function_of_the_user_bounds_the_run():
    def slow(x):
        time.sleep(0.002)
        return x

    verdict, seconds, _ = _run(bs.open(np.zeros((40, 3))), batch_size=8, transforms=[bs.Map(slow)], threads=1)
    assert verdict.startswith("function-bound: your function takes")
    assert seconds["your function"] > 0.1


def test_counting_begins_again():
    with bs.Loader(bs.open(np.zeros((40, 3))), batch_size=8, memory="8 MiB") as loader:
        for _ in range(3):
            loader.stats.reset()
            assert sum(len(batch.rows) for batch in loader) == loader.stats.rows == 40
        assert loader.stats.rows_per_second > 0


@pytest.mark.parametrize("what", ["images", "array", "arrays in memory"])
def test_the_bound_is_measured_on_the_same_rows(large, tmp_path, what):
    if what == "images":
        source, transforms = bs.open(large), [bs.Resize(32)]
    else:
        np.save(tmp_path / "x.npy", np.zeros((500, 20, 20, 3), np.uint8))
        source = bs.open(tmp_path / "x.npy" if what == "array" else np.load(tmp_path / "x.npy"))
        transforms = [bs.Scale(1 / 255)]
    with bs.Loader(source, batch_size=4, transforms=transforms, memory="128 MiB", threads=2) as loader:
        assert loader.measure_bound(0.2) > 0
        assert sum(len(batch.rows) for batch in loader) == len(source)


def test_an_idle_loader_takes_no_processor_time(large):
    with bs.Loader(bs.open(large), batch_size=2, transforms=[bs.Resize(32)], memory="64 MiB", threads=4) as loader:
        iterator = iter(loader)
        next(iterator)
        time.sleep(0.5)  # the other slots are full now
        used = time.process_time()
        time.sleep(2.0)
        assert time.process_time() - used < 0.1  # 20 times what is allowed would still be far from spinning
