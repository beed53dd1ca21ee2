"""Small rows of files are kept in memory if the budget has room: nothing changes but the speed."""

import os
import threading

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine import kept_rows
from bitesize.engine.loader import driver_of

ROWS = 400
KEPT = "rows in memory"


@pytest.fixture
def x():
    return np.random.default_rng(0).integers(0, 255, (ROWS, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    return tmp_path / "x.npy"


def parts(loader):
    return {part.name: part.nbytes for part in loader.plan.parts}


def epochs(source, count=3, **options):
    settings = {"batch_size": 32, "memory": "16 MiB", "seed": 5, "threads": 2} | options
    with bs.Loader(source, **settings) as loader:
        return [
            (batch["x"].copy(), batch.rows.copy(), batch.mask.copy(), batch.epoch, batch.position)
            for _ in range(count)
            for batch in loader
        ]


def without(monkeypatch, source, **options):
    with monkeypatch.context() as patch:
        patch.setattr(kept_rows, "_MOST_ROW_NBYTES", 0)
        return epochs(source, **options)


def same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def sources(tmp_path, x):
    """Every kind of source whose rows lie unchanged in files."""
    np.save(tmp_path / "one.npy", x)
    np.save(tmp_path / "a.npy", x[:150]), np.save(tmp_path / "b.npy", x[150:])
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(ROWS) % 3)
    yield "npy", bs.open(tmp_path / "one.npy", np.arange(ROWS) % 3)
    yield "memmap", bs.open(np.load(tmp_path / "one.npy", mmap_mode="r"))
    yield "chained", bs.chain([bs.open(tmp_path / "a.npy"), bs.open(tmp_path / "b.npy")])
    yield "npz", bs.open(tmp_path / "x.npz")
    yield "subset", bs.open(tmp_path / "one.npy").subset([3, 3, *range(390, 100, -1)])
    yield "lazy", bs.open(bs.concatenate([tmp_path / "a.npy", tmp_path / "b.npy"]))


def test_every_source_of_small_rows_in_files_is_kept_with_the_same_batches(tmp_path, x, monkeypatch):
    for name, source in sources(tmp_path, x):
        with bs.Loader(source, batch_size=32, memory="16 MiB") as loader:
            assert parts(loader)[KEPT] == len(source) * (8 * 8 * 3 + 1), name
            assert loader.budget.breakdown()[KEPT] == parts(loader)[KEPT]
        same(epochs(source), without(monkeypatch, source))
        same(epochs(source, dtype="float32"), without(monkeypatch, source, dtype="float32"))


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": False},
        {"transforms": [bs.Flip(), bs.RandomCrop(6), bs.Brightness(0.2)]},
        {"transforms": [bs.Scale(1 / 255)], "layout": "CHW"},
        {"shard": bs.Shard(1, 2), "last": "drop"},
        {"last": "pad"},
        {"order": bs.Order(ROWS, 3, weights=np.arange(1, ROWS + 1)), "seed": 0},
        {"threads": 1, "dtype": "float64"},
        {"threads": 5, "batch_size": 7},
    ],
    ids=str,
)
def test_orders_ranks_and_random_transforms_are_the_same(path, monkeypatch, options):
    source = bs.open(path)
    same(epochs(source, **options), without(monkeypatch, source, **options))


def test_a_resumed_loader_continues_with_the_same_batches(path):
    whole = epochs(bs.open(path), count=2)
    with bs.Loader(bs.open(path), batch_size=32, memory="16 MiB", seed=5) as loader:
        for _, _ in zip(range(5), loader, strict=False):
            state = loader.state_dict()
    with bs.Loader(bs.open(path), batch_size=32, memory="16 MiB", seed=5) as loader:
        loader.load_state_dict(state)
        rest = [(b["x"].copy(), b.rows.copy(), b.mask.copy(), b.epoch, b.position) for _ in range(2) for b in loader]
    same(rest, whole[5:])


def test_rows_are_read_once(path, x):
    """The file is overwritten in a way that no check can see: rows that were read stay as they were."""
    with bs.Loader(bs.open(path), batch_size=32, memory="16 MiB") as loader:
        for _ in range(2):  # rows of the very first batch are kept when they are read again
            assert sum(len(batch.rows) for batch in loader) == ROWS
        status = os.stat(path)
        header = path.stat().st_size - x.nbytes
        with open(path, "r+b") as file:
            file.seek(header)
            file.write(bytes(x.nbytes))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        loader.set_epoch(4)
        for batch in loader:
            np.testing.assert_array_equal(batch["x"], x[batch.rows])


def test_a_replaced_file_is_an_error(path, x):
    with bs.Loader(bs.open(path), batch_size=32, memory="16 MiB", threads=1) as loader:
        assert KEPT in parts(loader)
        for _ in loader:
            pass
        np.save(path, x[::-1])
        os.utime(path, ns=(1, 1))
        with pytest.raises(bs.FileChanged):
            for _ in loader:
                pass


def test_a_file_that_ends_too_early_is_an_error_that_names_it(path):
    with bs.Loader(bs.open(path), batch_size=32, memory="16 MiB", threads=1, shuffle=False) as loader:
        iterator = iter(loader)
        next(iterator)
        os.truncate(path, 40_000)
        with pytest.raises(bs.BadFile, match=r"x\.npy"):
            for _ in iterator:
                pass


def test_a_memmap_that_may_be_written_to_is_read_anew_in_each_epoch(path):
    memmap = np.load(path, mmap_mode="r+")
    with bs.Loader(bs.open(memmap), batch_size=ROWS, memory="16 MiB", shuffle=False) as loader:
        assert KEPT not in parts(loader)
        next(iter(loader))
        memmap[:] = 7
        loader.set_epoch(5)
        assert (next(iter(loader))["x"] == 7).all()


def test_other_rows_are_not_kept(tmp_path, path, x):
    np.save(tmp_path / "large.npy", np.zeros((20, 64, 65), np.uint8))
    (tmp_path / "files").mkdir()
    for i in range(20):
        np.save(tmp_path / "files" / f"{i}.npy", x[i])
    window = bs.Order(ROWS, window=100)
    for source, options in (
        (bs.open(tmp_path / "large.npy"), {}),
        (bs.open(tmp_path / "files"), {}),
        (bs.open(x), {}),
        (bs.open(path), {"order": window}),
    ):
        with bs.Loader(source, batch_size=4, memory="64 MiB", **options) as loader:
            assert KEPT not in parts(loader)
            assert not any("keeping them" in hint for hint in loader.plan.hints)


# --- the budget ------------------------------------------------------------------------------------------------------


def test_rows_that_do_not_fit_half_of_the_budget_are_read_and_the_plan_says_so(path, x):
    source = bs.open(path)
    with bs.Loader(source, batch_size=8, memory="120 KiB", threads=1) as loader:
        assert KEPT not in parts(loader)
        hint = next(hint for hint in loader.plan.hints if "keeping them in memory" in hint)
        advised = hint.split('memory="')[1].split('"')[0]
        assert sum(len(batch.rows) for batch in loader) == ROWS
        assert loader.budget.peak <= loader.budget.total
    with bs.Loader(source, batch_size=8, memory=advised, threads=1) as loader:
        assert KEPT in parts(loader)
        assert not any("keeping them in memory" in hint for hint in loader.plan.hints)


def test_another_loader_of_the_budget_gets_the_memory_when_it_needs_it(path, x):
    budget = bs.Budget("550 KiB")
    with bs.Loader(bs.open(path), batch_size=8, memory=budget, threads=1) as first:
        iterator = iter(first)
        next(iterator)
        assert KEPT in parts(first)
        before = budget.free
        with bs.Loader(bs.open(x), batch_size=ROWS, memory=budget, threads=1) as second:
            assert budget.free < before
            assert KEPT not in parts(first)
            assert budget.granted == budget.in_use <= budget.total
            assert len(next(iter(second)).rows) == ROWS
            for batch in iterator:
                np.testing.assert_array_equal(batch["x"], x[batch.rows])


def test_short_memory_is_noticed_at_the_start_of_an_epoch(path, x, monkeypatch):
    with bs.Loader(bs.open(path), batch_size=32, memory="16 MiB") as loader:
        driver, slots = driver_of(loader), driver_of(loader).slots
        for _ in loader:
            pass
        monkeypatch.setattr(loader.budget, "refresh", lambda: True)
        for batch in loader:
            np.testing.assert_array_equal(batch["x"], x[batch.rows])
        assert KEPT not in parts(loader)
        assert driver.slots == slots
        del batch
        assert KEPT not in loader.budget.breakdown()
        monkeypatch.undo()
        for batch in loader:
            np.testing.assert_array_equal(batch["x"], x[batch.rows])
        assert KEPT in parts(loader)


def test_tiny_rows_and_a_subset_in_random_order_are_read_in_pieces(tmp_path, monkeypatch):
    x = np.arange(50_000, dtype=np.int16)
    np.save(tmp_path / "x.npy", x)
    source = bs.open(tmp_path / "x.npy")
    for each in (source, source.subset(np.random.default_rng(0).permutation(len(x)))):
        options = {"batch_size": 20_000, "memory": "64 MiB"}
        same(epochs(each, **options), without(monkeypatch, each, **options))
        for batch, rows, *_ in epochs(source, count=1, **options):
            np.testing.assert_array_equal(batch, x[rows])


def test_rows_are_given_up_while_threads_read_them(path, x):
    """Batches are right whatever the moment, and the bytes return."""
    with bs.Loader(bs.open(path), batch_size=16, memory="16 MiB", threads=4, dtype="float32") as loader:
        kept = driver_of(loader)._resources.kept
        done = threading.Event()

        def give_up_again_and_again():
            while not done.is_set():
                kept.give_up()
                kept.keep()

        thread = threading.Thread(target=give_up_again_and_again)
        thread.start()
        try:
            for _ in range(10):
                for batch in loader:
                    np.testing.assert_array_equal(batch["x"], x[batch.rows].astype(np.float32))
        finally:
            done.set()
            thread.join()
    del batch
    assert loader.budget.in_use == 0


def test_closing_returns_the_memory(path):
    loader = bs.Loader(bs.open(path), batch_size=16, memory="16 MiB")
    assert sum(len(batch.rows) for batch in loader) == ROWS
    loader.close()
    assert loader.budget.in_use == 0
    never_run = bs.Loader(bs.open(path), batch_size=16, memory=loader.budget)
    assert KEPT in loader.budget.breakdown()
    never_run.close()
    assert loader.budget.in_use == 0
    dropped = bs.Loader(bs.open(path), batch_size=16, memory=loader.budget)
    assert KEPT in loader.budget.breakdown()
    del dropped
    assert loader.budget.in_use == 0
