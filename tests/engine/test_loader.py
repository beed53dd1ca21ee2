"""What a user sees of the loader: batches, order, epochs, leaving early, errors."""

import gc
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

import bitesize as bs


def _numbers(n, **options):
    """Rows whose value is their number."""
    x = np.arange(n, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    return bs.Loader(bs.open(x, np.arange(n)), memory="32 MiB", **options)


def _rows(loader):
    return [batch["y"].tolist() for batch in loader]


@examples(40)
@given(
    st.integers(1, 60),
    st.integers(1, 25),
    st.sampled_from(["short", "drop", "pad"]),
    st.sampled_from([1, 2, 5]),
    st.integers(0, 9),
)
def test_an_epoch_has_each_row_once_in_our_order(n, batch_size, last, threads, seed):
    if last == "drop" and n < batch_size:
        return
    with _numbers(n, batch_size=batch_size, last=last, threads=threads, seed=seed) as loader:
        for epoch in range(2):
            expected = loader.order.rows(epoch, 0, n)
            batches = [
                (batch["x"].copy(), batch["y"].copy(), batch.rows, batch.mask, batch.epoch, batch.position)
                for batch in loader
            ]
            assert len(batches) == len(loader)
            for k, (x, y, rows, mask, of_epoch, position) in enumerate(batches):
                want = expected[k * batch_size : (k + 1) * batch_size]
                assert (of_epoch, position) == (epoch, k * batch_size)
                assert np.array_equal(y[mask], want)
                assert np.array_equal(rows[mask], want)
                assert np.array_equal(x[mask][:, 0], want)
                assert len(y) == (batch_size if last != "short" else len(want))
                assert not x[~mask].any()
            total = sum(int(mask.sum()) for *_, mask, _, _ in batches)
            assert total == (n if last != "drop" else n // batch_size * batch_size)


def test_the_order_is_the_same_whatever_the_threads():
    seen = []
    for threads in (1, 2, 8):
        with _numbers(100, batch_size=7, threads=threads, seed=3) as loader:
            seen.append([_rows(loader), _rows(loader)])
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0] != seen[0][1]


def test_leaving_a_loop_changes_nothing_and_the_end_moves_on():
    with _numbers(10, batch_size=4) as loader:
        first = next(iter(loader))["y"].tolist()
        for batch in loader:
            assert batch["y"].tolist() == first
            break
        for _ in loader:
            pass
        for count, _ in enumerate(loader):
            if count == 1:
                break
        assert loader.epoch == 1
        assert next(iter(loader)).epoch == 1


def test_taking_every_batch_ends_an_epoch_even_if_nobody_asks_for_more():
    """As frameworks do that count batches themselves."""
    with _numbers(10, batch_size=4) as loader:
        for epoch in range(3):
            assert [next(iterator).epoch for iterator in [iter(loader)] for _ in range(len(loader))] == [epoch] * 3
        loader.set_epoch(2)  # once more
        assert next(iter(loader)).epoch == 2


def test_set_epoch_chooses_the_epoch():
    with _numbers(20, batch_size=4) as loader:
        loader.set_epoch(7)
        assert sum(_rows(loader), []) == loader.order.rows(7, 0, 20).tolist()
        assert loader.epoch == 8
        loader.set_epoch(0)
        assert sum(_rows(loader), []) == loader.order.rows(0, 0, 20).tolist()


def test_a_newer_iterator_ends_the_older():
    with _numbers(20, batch_size=4) as loader:
        old = iter(loader)
        next(old)
        new = iter(loader)
        with pytest.raises(bs.LoaderClosed, match="newer"):
            next(old)
        assert len([batch.position for batch in new]) == 5


def test_two_loaders_run_side_by_side_on_one_budget():
    budget = bs.Budget("64 MiB")
    x = np.arange(50)
    with (
        bs.Loader(bs.open(x), batch_size=3, memory=budget) as one,
        bs.Loader(bs.open(x), batch_size=5, memory=budget, seed=1) as two,
    ):
        pairs = [(a["x"].copy(), b["x"].copy()) for a, b in zip(one, two, strict=False)]
        assert sorted(np.concatenate([b for _, b in pairs]).tolist()) == list(range(50))
        for batch in one:
            for other in two:
                break
            del other
        assert batch.epoch == 0
    assert budget.granted <= 2000  # what the last batches still hold
    del batch, pairs
    gc.collect()
    assert budget.granted == 0


def test_a_batch_that_is_kept_stays_as_it_was():
    with _numbers(60, batch_size=4) as loader:
        kept = []
        for i, batch in enumerate(loader):
            if i == 3:
                kept.append((batch["x"], batch["x"].copy()))
    gc.collect()
    assert np.array_equal(*kept[0])  # also after the loader is closed


def test_keeping_every_batch_is_refused_with_advice():
    with _numbers(100, batch_size=4) as loader:
        with pytest.raises(bs.BatchesHeld, match=r"all 3 batch buffers .* batch\.copy\(\)"):
            list(loader)
        gc.collect()
        assert len(_rows(loader)) == 25  # and the loader goes on


def test_keeping_one_field_or_a_slice_of_it_holds_the_batch():
    with _numbers(100, batch_size=4) as loader:
        for keep in (lambda batch: batch["x"], lambda batch: batch["x"][1:2, ::2], lambda batch: memoryview(batch["x"])):
            kept = []
            with pytest.raises(bs.BatchesHeld):
                for batch in loader:
                    kept.append(keep(batch))
            del kept, batch
            gc.collect()
        copies = [batch["x"].copy() for batch in loader]
        assert len(copies) == 25


def test_batches_in_reference_cycles_are_collected_when_they_are_needed():
    with _numbers(100, batch_size=4) as loader:
        gc.disable()
        try:
            seen = 0
            for batch in loader:
                cycle = {"batch": batch}
                cycle["self"] = cycle
                seen += len(batch["y"])
        finally:
            gc.enable()
        assert seen == 100


@pytest.mark.slow
def test_the_collector_may_run_at_any_moment():
    """A lease may die inside any allocation: that must not lock up."""
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        with _numbers(300, batch_size=2, threads=4) as loader:
            seen = 0
            for batch in loader:
                cycle = [batch]
                cycle.append(cycle)
                seen += len(batch["y"])
    finally:
        gc.set_threshold(*threshold)
    assert seen == 300


def test_a_slow_consumer_gets_every_batch():
    with _numbers(40, batch_size=4) as loader:
        seen = []
        for batch in loader:
            time.sleep(0.01)
            seen += batch["y"].tolist()
        assert sorted(seen) == list(range(40))


def test_leaving_and_starting_two_hundred_times_leaks_nothing():
    with _numbers(50, batch_size=4) as loader:
        threads = None
        for _ in range(200):
            for batch in loader:
                break
            threads = threads or threading.active_count()
            assert threading.active_count() == threads
        del batch
        assert len(_rows(loader)) == 13


def test_a_loader_that_is_dropped_ends_its_threads_and_gives_everything_back():
    budget = bs.Budget("32 MiB")
    loader = bs.Loader(bs.open(np.arange(100)), batch_size=4, memory=budget)
    next(iter(loader))
    del loader
    gc.collect()
    deadline = time.monotonic() + 5
    while (
        budget.granted or any(t.name.startswith("bitesize") for t in threading.enumerate())
    ) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert budget.granted == 0


def test_a_closed_loader_says_so():
    loader = _numbers(10, batch_size=4)
    iterator = iter(loader)
    next(iterator)
    loader.close()
    loader.close()
    for use in (lambda: next(iterator), lambda: iter(loader)):
        with pytest.raises(bs.LoaderClosed):
            use()
    assert loader.budget.granted == 0


def test_threads_start_with_the_first_loop():
    before = threading.active_count()
    with _numbers(10, batch_size=4, threads=2) as loader:
        assert threading.active_count() == before
        next(iter(loader))
        deadline = time.monotonic() + 10
        while threading.active_count() != before + 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert threading.active_count() == before + 2


@examples(25)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4), st.booleans())
def test_ranks_together_see_each_row_once_and_take_as_many_steps(n, batch_size, world, shuffle):
    last = "drop" if shuffle else "pad"
    if (last == "drop" and n < batch_size) or batch_size < world:
        return
    shares = []
    for rank in range(world):
        with _numbers(n, batch_size=batch_size, shard=bs.Shard(rank, world), shuffle=shuffle) as loader:
            shares.append([(batch["y"][batch.mask].tolist(), batch.weight) for batch in loader])
    assert len({len(share) for share in shares}) == 1
    for k in range(len(shares[0])):
        rows = sum((share[k][0] for share in shares), [])
        order = bs.Order(n, 0, shuffle).rows(0, 0, n)
        assert rows == order[k * batch_size : (k + 1) * batch_size].tolist()
        assert sum(share[k][1] for share in shares) == pytest.approx(world)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"batch_size": 4, "threads": 0}, "threads"),
        ({"batch_size": 4, "layout": "NHWC"}, "layout"),
        ({"batch_size": 4, "last": "keep"}, "last"),
        ({"batch_size": 4, "on_error": "ignore"}, "on_error"),
        ({"batch_size": 4, "max_bad": 2}, "max_bad"),
        ({"batch_size": 100, "last": "drop"}, "do not fill a batch"),
        ({"batch_size": 4, "transforms": [1]}, "transforms"),
        ({"batch_size": 4, "transforms": [bs.Resize(4)]}, "Resize needs images"),
        ({"batch_size": 4, "order": bs.Order(9)}, "order has 9 rows"),
        ({"batch_size": 4, "order": bs.Order(10), "seed": 3}, "either order= or shuffle=/seed="),
        ({"batch_size": 4, "last": "short", "shard": bs.Shard(0, 2)}, "short"),
        ({"batch_size": 4, "dtype": "complex64"}, "dtype"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_once(options, message):
    with pytest.raises(bs.BadSetting, match=message):
        _numbers(10, **options)


def test_a_loader_made_before_a_fork_says_so_in_the_child():
    import os
    import warnings

    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    with _numbers(10, batch_size=4) as loader:
        next(iter(loader))
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            try:
                next(iter(loader))
                answer = b"no error"
            except bs.LoaderClosed as error:
                answer = str(error).encode()
            os.write(writer, answer)
            os._exit(0)
        os.waitpid(child, 0)
        answer = os.read(reader, 1000)
        os.close(reader)
        os.close(writer)
    assert b"fork" in answer


def test_memory_comes_back_after_an_error_without_the_collector(tmp_path):
    def broken(row):
        raise KeyError("broken")

    budget = bs.Budget("24 MiB")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n junk")
    sources = [
        (
            bs.open(np.zeros((256, 64, 64, 3), np.uint8)),
            [bs.Map(broken, output=bs.Field((64, 64, 3), np.dtype("f4")))],
            KeyError,
        ),
        (bs.open([tmp_path / "a.png"] * 256), [bs.Resize(64)], bs.BadFile),
    ]
    gc.disable()
    try:
        for source, transforms, kind in sources:
            for _ in range(3):
                try:
                    with bs.Loader(source, memory=budget, batch_size=64, threads=2, transforms=transforms) as loader:
                        for _ in loader:
                            pass
                except kind:
                    pass
                assert budget.in_use == 0
    finally:
        gc.enable()


def test_after_an_error_the_iterator_says_so_and_the_loader_goes_on():
    fails = [True]

    def once(row):
        if fails and row[0] == 5:
            fails.clear()
            raise ValueError("once")
        return row

    with _numbers(20, batch_size=4, transforms=[bs.Map(once)]) as loader:
        iterator = iter(loader)
        with pytest.raises(ValueError, match="once"):
            for _ in iterator:
                pass
        with pytest.raises(bs.LoaderClosed, match="it raised an error"):
            next(iterator)
        assert sorted(sum(_rows(loader), [])) == list(range(20))


def test_stop_iteration_from_a_function_does_not_end_the_epoch():
    few = iter(range(5))
    with (
        bs.Loader(
            bs.open(np.zeros((40, 2))), batch_size=4, memory="16 MiB", transforms=[bs.Map(lambda x: x + next(few))]
        ) as loader,
        pytest.raises(bs.BadResult, match="StopIteration"),
    ):
        for _ in loader:
            pass


@pytest.mark.parametrize("shared", [True, False])
def test_two_threads_on_one_loader_never_hang(shared):
    def slow(row):
        time.sleep(0.005)
        return row

    def consume():
        try:
            seen.extend(batch["y"].tolist() for batch in (common if shared else loader))
        except bs.LoaderClosed:
            ended.append(True)

    seen, ended = [], []
    with _numbers(64, batch_size=8, threads=1, transforms=[bs.Map(slow)]) as loader:
        common = iter(loader)
        threads = [threading.Thread(target=consume) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    if shared:
        assert sorted(sum(seen, [])) == list(range(64))
        assert not ended
    else:
        assert len(ended) == 1
        assert len(seen) >= 8


def test_the_classes_of_a_part_are_those_of_the_whole():
    source = bs.open(np.zeros((23, 4), np.float32), [0] * 22 + [9])
    for part in source.split(0.5, seed=3):
        with bs.Loader(part, batch_size=2, memory="16 MiB", transforms=[bs.MixUp()]) as loader:
            assert next(iter(loader))["y"].shape == (2, 10)


def test_a_first_row_that_is_damaged_is_skipped_like_any_other(photos):
    files = sorted(photos.rglob("*.jpg"))
    same = files[:1] * 8
    junk = files[0].parent.parent / "junk.jpg"
    junk.write_bytes(b"junk")
    try:
        source = bs.open([junk, *same])
        for transforms in ([], [bs.Resize(16), bs.Map(lambda x: x[:8])]):
            with bs.Loader(source, batch_size=3, memory="64 MiB", on_error="skip", transforms=transforms) as loader:
                assert sum(len(batch.rows) for batch in loader) == 9
                assert [bad.row for bad in loader.bad] == [0]
    finally:
        junk.unlink()


def test_rows_without_values_are_refused():
    with pytest.raises(bs.BadSetting, match="have no values"):
        bs.Loader(bs.open(np.zeros((4, 5, 0, 3))), batch_size=2, memory="16 MiB")
