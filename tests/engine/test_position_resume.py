"""Resume of data: a loader goes on where another stood, at exactly the next batch, whatever its threads and ranks."""

import itertools
import json
import time
from collections import Counter

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

import bitesize as bs

ROWS, BATCH, EPOCHS = 52, 12, 3  # 4 rows are left over in each epoch


@pytest.fixture(scope="module")
def data():
    """Make small pictures in memory, whose first pixel tells the row."""
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (ROWS, 9, 8, 3), dtype=np.uint8)
    x[:, 0, 0, 0] = np.arange(ROWS)
    return bs.open(x, np.arange(ROWS) % 5)


def make(data, threads=2, rank=0, world=1, **settings):
    settings = {"seed": 7, "batch_size": BATCH, "last": "pad", "memory": "16 MiB"} | settings
    transforms = [bs.RandomResizedCrop((6, 7)), bs.Flip(), bs.ColorJitter(0.3, 0.3, 0.3), bs.Scale(1 / 255)]
    return bs.Loader(data, transforms=transforms, threads=threads, shard=bs.Shard(rank, world), **settings)


def told(batch):
    """Note everything that is in a batch: its place, rows, and a hash of each row's pixels and label."""
    hashes = [xxhash.xxh3_64_hexdigest(batch["x"][i].tobytes() + batch["y"][i].tobytes()) for i in range(len(batch.rows))]
    return batch.epoch, batch.position, batch.rows.tolist(), [h for h, real in zip(hashes, batch.mask, strict=True) if real]


def all_of(loader, epochs=EPOCHS):
    """Run to the end, as a training script does."""
    seen = []
    for epoch in range(loader.epoch, epochs):
        loader.set_epoch(epoch)
        seen += [told(batch) for batch in loader]
    return seen


def joined(of_ranks):
    """Put what the ranks saw together to global batches."""
    batches = []
    for parts in zip(*of_ranks, strict=True):
        assert len({part[:2] for part in parts}) == 1
        rows, pixels = (list(itertools.chain(*(part[i] for part in parts))) for i in (2, 3))
        batches.append((*parts[0][:2], rows, pixels))
    return batches


@pytest.fixture(scope="module")
def whole(data):
    """Run without a break."""
    with make(data) as loader:
        return all_of(loader)


def test_each_epoch_of_the_whole_run_has_each_row_once(whole):
    for epoch in range(EPOCHS):
        rows = [row for batch in whole if batch[0] == epoch for row in batch[2] if row >= 0]
        assert sorted(rows) == list(range(ROWS))
    assert len({h for batch in whole for h in batch[3]}) == EPOCHS * ROWS  # augmentation never repeats


def run_in_pieces(data, pieces, stops):
    """Train in pieces, each with its own threads and ranks; each begins from the state that the one before it left.

    Ranks have equal states; that of one is given to all of the next piece.
    """
    state, seen = None, []
    for (threads, world), stop in zip(pieces, stops, strict=True):
        of_ranks, states = [], []
        for rank in range(world):
            with make(data, threads, rank, world) as loader:
                if state is not None:
                    loader.load_state_dict(json.loads(json.dumps(state)))
                mine = []
                for _ in range(loader.epoch, EPOCHS):
                    for batch in loader:
                        mine.append(told(batch))
                        if stop is not None and len(mine) == stop:
                            break
                    if stop is not None and len(mine) == stop:
                        break
                of_ranks.append(mine)
                states.append(loader.state_dict())
        assert all(each == states[0] for each in states)
        state = states[0]
        seen += joined(of_ranks)
    return seen


@pytest.mark.parametrize("k", range(2 * 5 + 1))
def test_resuming_at_every_batch_goes_on_exactly_there(data, whole, k):
    """Also at 0, at the end of an epoch, and behind it."""
    if k == 0:
        with make(data) as loader:
            state = loader.state_dict()
        with make(data) as loader:
            loader.load_state_dict(state)
            assert all_of(loader) == whole
        return
    assert run_in_pieces(data, [(2, 1), (2, 1)], [k, None]) == whole


GROUPS = [(threads, world) for threads in (1, 2, 4) for world in (1, 2, 3, 4)]


@pytest.mark.parametrize("before", GROUPS, ids=str)
def test_other_threads_and_ranks_go_on_in_the_same_order(data, whole, before):
    for number, after in enumerate(GROUPS):
        assert run_in_pieces(data, [before, after], [1 + number % 9, None]) == whole


def test_five_resumes_in_a_chain_over_two_borders(data, whole):
    pieces = [(1, 1), (4, 3), (2, 4), (1, 2), (2, 1), (4, 2)]
    assert run_in_pieces(data, pieces, [2, 3, 1, 4, 2, None]) == whole


def test_the_order_depends_on_the_seed(data, whole):
    with make(data, seed=8) as loader:
        assert Counter(h for batch in all_of(loader) for h in batch[3]) != Counter(h for batch in whole for h in batch[3])


def test_what_was_made_ahead_does_not_count(data):
    with make(data, threads=4) as loader:
        assert (loader.state_dict()["epoch"], loader.state_dict()["position"]) == (0, 0)
        for k, _ in enumerate(loader, 1):
            time.sleep(0.01)
            assert loader.state_dict()["position"] == min(k * BATCH, ROWS)
        assert (loader.state_dict()["epoch"], loader.state_dict()["position"]) == (1, 0)


def test_at_the_end_of_an_epoch_what_is_left_of_it_is_an_empty_loop(data, whole):
    with make(data) as loader:
        for _ in loader:
            state = loader.state_dict()  # the last is that behind the last batch
    with make(data) as loader:
        loader.load_state_dict(state)
        assert loader.epoch == 0
        assert list(loader) == []
        assert loader.epoch == 1
        assert all_of(loader) == [batch for batch in whole if batch[0] >= 1]


def test_a_resumed_epoch_is_whole_the_second_time(data, whole):
    with make(data) as loader:
        next(iterator := iter(loader))
        next(iterator)
        state = loader.state_dict()
        loader.load_state_dict(state)
        loader.set_epoch(0)  # as loops do; it is the epoch already
        assert next(iter(loader)).position == 2 * BATCH
        assert next(iter(loader)).position == 0
        loader.load_state_dict(state)
        loader.set_epoch(1)
        assert (next(iter(loader)).epoch, loader.state_dict()["position"]) == (1, BATCH)


@examples(25)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4), st.integers(1, 3))
def test_another_batch_size_goes_on_at_the_same_row(first, second, k, world):
    second = max(second, world)  # each rank has a row of each batch
    x = np.arange(60)

    def loader_of(size, rank=0, world=1):
        return bs.Loader(
            bs.open(x), batch_size=size, memory="16 MiB", threads=1, shard=bs.Shard(rank, world), last="pad", seed=5
        )

    with loader_of(first) as loader:
        seen = [batch.rows.tolist() for batch in itertools.islice(loader, min(k, len(loader)))]
        seen = [row for rows in seen for row in rows if row >= 0]
        state = loader.state_dict()
    of_ranks = []
    for rank in range(world):
        with loader_of(second, rank, world) as loader:
            if first != second:
                with pytest.raises(bs.BadSetting, match=f"batch_size is {second} here, but {first} in the state"):
                    loader.load_state_dict(state)
            loader.load_state_dict(state, allow_batch_size_change=True)
            of_ranks.append([batch.rows.tolist() for batch in loader])
            if loader.epoch == 1 and rank == 0 and world == 1:
                assert sorted(row for batch in loader for row in batch.rows.tolist() if row >= 0) == list(range(60))
    rest = [row for parts in zip(*of_ranks, strict=True) for rows in parts for row in rows if row >= 0]
    assert seen + rest == bs.Order(60, 5).rows(0, 0, 60).tolist()


def test_dropping_what_does_not_fill_a_batch_ends_the_epoch_there(data):
    with make(data, last="drop") as loader:
        for _ in itertools.islice(loader, 3):
            pass
        state = loader.state_dict()
        loader.load_state_dict(state)
        assert [batch.position for batch in loader] == [36]
        assert loader.epoch == 1


def other(what):
    settings = {"seed": 7, "batch_size": BATCH, "memory": "16 MiB"}
    x, y = np.zeros((ROWS, 9, 8, 3), np.uint8), np.arange(ROWS) % 5
    sources = {"rows": bs.open(x[:-1], y[:-1]), "labels": bs.open(x, y[::-1].copy()), "shape": bs.open(x[:, :-1], y)}
    orders = {
        "shuffle": {"shuffle": False},
        "seed": {"seed": 8},
        "repeat": {"order": bs.Order(ROWS, 7, repeat=2), "seed": 0},
        "weights": {"order": bs.Order(ROWS, 7, weights=np.ones(ROWS)), "seed": 0},
        "batch": {"batch_size": 13},
    }
    return bs.Loader(sources.get(what, bs.open(x, y)), **settings | orders.get(what, {}))


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("rows", "the data has 51 rows, but the state is for 52 rows"),
        ("labels", "the data is different"),
        ("shape", "the data is different"),
        ("shuffle", "the order's shuffle is False here, but True in the state"),
        ("seed", "the order's seed is 8 here, but 7 in the state"),
        ("repeat", "the order's repeat is 2 here, but 1 in the state"),
        ("weights", "the order's weights is '.*' here, but None in the state"),
        ("batch", "batch_size is 13 here, but 12 in the state"),
    ],
)
def test_a_state_of_something_else_is_refused_and_says_what_differs(data, what, says):
    with make(data) as loader:
        state = loader.state_dict()
    with other(what) as loader, pytest.raises(bs.BadSetting, match=says):
        loader.load_state_dict(state)


@pytest.mark.parametrize(
    "state", [{}, None, [], "x", {"schema": 2}, {"schema": 1}, {"schema": 1, "epoch": -1, "position": 0}, {"schema": "1"}]
)
def test_what_is_no_state_is_refused(data, state):
    with make(data) as loader, pytest.raises(bs.BadSetting, match="state"):
        loader.load_state_dict(state)


@pytest.mark.parametrize("change", [{"position": 10**9}, {"position": "5"}, {"epoch": True}, {"order": None}, {"source": 3}])
def test_a_damaged_state_is_refused(data, change):
    with make(data) as loader, pytest.raises(bs.BadSetting, match=r"position|epoch|order|source"):
        loader.load_state_dict(loader.state_dict() | change)


def test_far_out_in_an_epoch_of_a_billion_rows_it_goes_on_as_fast_as_at_its_begin():
    x = np.broadcast_to(np.float32(1), (10**9, 4))
    with bs.Loader(bs.open(x), batch_size=64, memory="64 MiB", threads=1) as loader:
        state = loader.state_dict()
        loader.load_state_dict(state | {"epoch": 4, "position": 999_999_936})
        assert next(iter(loader)).rows.tolist() == loader.order.rows(4, 999_999_936, 10**9).tolist()


def test_a_mixture_and_weights_go_on_where_they_stood():
    few = bs.open(np.arange(100, 110))
    many = bs.open(np.arange(50))
    for what in (
        {"source": bs.mix([many, few], [0.5, 0.5])},
        {"source": many, "order": bs.Order(50, 3, weights=range(50))},
    ):
        with bs.Loader(**what, batch_size=7, memory="16 MiB") as loader:
            rows = [batch.rows.tolist() for _ in range(3) for batch in loader]
            loader.set_epoch(0)
            list(itertools.islice((None for _ in loader), 5))
            state = loader.state_dict()
        with bs.Loader(**what, batch_size=7, memory="16 MiB") as loader:
            loader.load_state_dict(state)
            assert [batch.rows.tolist() for _ in range(3) for batch in loader] == rows[5:]


def test_a_state_from_an_epochs_end_can_be_told_and_taken_again_at_another_batch_size():
    data = bs.open(np.arange(39.0))
    with bs.Loader(data, batch_size=12, memory="16 MiB", seed=1) as loader:
        assert sum(len(batch.rows) > 0 for _, batch in zip(range(4), loader, strict=False)) == 4
        state = loader.state_dict()
    with bs.Loader(data, batch_size=4, memory="16 MiB", seed=1) as loader:
        loader.load_state_dict(state, allow_batch_size_change=True)
        loader.load_state_dict(loader.state_dict())
        assert not list(loader)
        assert loader.epoch == 1
