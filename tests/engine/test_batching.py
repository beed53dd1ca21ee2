"""Whatever the order and the number of ranks, the ranks together have what one process has, and as many steps each."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from tests.properties import examples

import bitesize as bs

ROWS, WORLDS = 96, (1, 2, 3, 5, 8)
X = np.random.default_rng(0).integers(0, 256, (ROWS, 7, 6, 3), np.uint8)
LABELS = np.arange(ROWS) % 7 % 4  # classes of different sizes
TRANSFORMS = [bs.RandomResizedCrop((4, 5)), bs.Flip(), bs.ColorJitter(0.3, 0.3, 0.3), bs.Scale(1 / 255)]
# Settings of a loader for each order, given a seed; every row comes once in an epoch of those in ONCE.
ORDERS = {
    "natural": lambda seed: {"shuffle": False},
    "shuffled": lambda seed: {"seed": seed},
    "weighted": lambda seed: {"order": bs.Order(ROWS, seed, weights=np.arange(ROWS) % 5)},
    "balanced": lambda seed: {"order": "balanced", "seed": seed},
    "windows": lambda seed: {"order": bs.Order(ROWS, seed, window=30, streams=5, chunks=np.arange(0, ROWS, 7))},
    "windows, one stream": lambda seed: {"order": bs.Order(ROWS, seed, window=9, streams=1, chunks=np.arange(0, ROWS, 4))},
    "mixed": lambda seed: {"seed": seed},
    "mixed, natural": lambda seed: {"shuffle": False},
    "repeated": lambda seed: {"order": bs.Order(ROWS, seed, limit_rows=45, repeat=2)},
}
ONCE = ("natural", "shuffled", "windows", "windows, one stream")


def source_of(name: str) -> bs.Source:
    source = bs.open(X, LABELS)
    if name.startswith("mixed"):
        return bs.mix(
            [source.subset(range(20)), source.subset(range(20, 70)), source.subset(range(70, ROWS))], [0.5, 0.2, 0.3]
        )
    return source


def make(name: str, seed: int, rank: int, world: int, **settings) -> bs.Loader:
    settings = {"memory": "32 MiB", "threads": 1, "transforms": TRANSFORMS} | settings
    return bs.Loader(source_of(name), shard=bs.Shard(rank, world), **settings, **ORDERS[name](seed))


def told(batch: bs.Batch) -> tuple[int, int, list[int], list[str]]:
    """Note the place of a batch, its rows, and a hash of the pixels and the label of each."""
    real = np.flatnonzero(batch.mask)
    assert (batch.rows[real] >= 0).all()
    hashes = [xxhash.xxh3_64_hexdigest(batch["x"][i].tobytes() + batch["y"][i].tobytes()) for i in real.tolist()]
    return batch.epoch, batch.position, batch.rows[real].tolist(), hashes


def joined(of_ranks: list[list[tuple]]) -> list[tuple]:
    """Join the parts of each global batch."""
    batches = []
    for parts in zip(*of_ranks, strict=True):  # equal numbers of steps
        assert len({part[:2] for part in parts}) == 1
        rows, hashes = (list(itertools.chain(*(part[i] for part in parts))) for i in (2, 3))
        batches.append((*parts[0][:2], rows, hashes))
    return batches


@pytest.mark.parametrize("name", ORDERS)
@examples(40)
@given(
    world=st.sampled_from(WORLDS),
    batch_size=st.integers(8, 50),
    last=st.sampled_from(["drop", "pad"]),
    seed=st.integers(0, 2**40),
)
def test_ranks_together_have_the_batches_of_one_process(name, world, batch_size, last, seed):
    with make(name, seed, 0, 1, batch_size=batch_size, last=last) as loader:
        length, loops = loader.order.length, 2
        whole = [told(batch) for _ in range(loops) for batch in loader]
    of_ranks, weights, means = [], [], []
    for rank in range(world):
        with make(name, seed, rank, world, batch_size=batch_size, last=last) as loader:
            parts = [(told(batch), batch.weight) for _ in range(loops) for batch in loader]
            of_ranks.append([part[0] for part in parts])
            weights.append([part[1] for part in parts])
            means.append([np.mean(part[0][2]) if part[0][2] else 0.0 for part in parts])
    assert joined(of_ranks) == whole
    for step, (_, _, rows, _) in enumerate(whole):
        of_step = [weight[step] for weight in weights]
        assert sum(of_step) == pytest.approx(world)
        mean = np.mean([weight * mean[step] for weight, mean in zip(of_step, means, strict=True)])
        assert mean == pytest.approx(np.mean(rows))
    for epoch in range(loops):
        rows = [row for batch in whole if batch[0] == epoch for row in batch[2]]
        assert len(rows) == (length if last == "pad" else length - length % batch_size)
        if name in ONCE:
            assert len(set(rows)) == len(rows)
            assert last == "drop" or sorted(rows) == list(range(ROWS))


def run(name: str, seed: int, batch_size: int, last: str, worlds: list[int], stops: list[int]) -> tuple[list, list]:
    """Train two epochs in pieces, each with another number of ranks, which begin from the state of any rank before."""
    state, seen = None, []
    for number, (world, stop) in enumerate(zip(worlds, [*stops, None], strict=True)):
        of_ranks, states = [], []
        for rank in range(world):
            with make(name, seed, rank, world, batch_size=batch_size, last=last, threads=1 + (rank + number) % 3) as loader:
                if state is not None:
                    loader.load_state_dict(json.loads(json.dumps(state)))
                of_rank: list[tuple] = []
                while loader.epoch < 2 and len(of_rank) != stop:
                    for batch in loader:
                        of_rank.append(told(batch))
                        if len(of_rank) == stop:
                            break  # threads have made batches ahead
                of_ranks.append(of_rank)
                states.append(loader.state_dict())
        assert all(each == states[0] for each in states)
        state = states[-1]
        seen += joined(of_ranks)
    return seen, list(Counter(row for _, _, rows, _ in seen for row in rows).values())


@pytest.mark.parametrize("name", ORDERS)
@examples(20)
@given(
    worlds=st.permutations([1, 3, 2]),
    batch_size=st.integers(8, 40),
    last=st.sampled_from(["drop", "pad"]),
    seed=st.integers(0, 2**40),
    data=st.data(),
)
def test_other_numbers_of_ranks_go_on_within_an_epoch_and_no_row_comes_twice(name, worlds, batch_size, last, seed, data):
    with make(name, seed, 0, 1, batch_size=batch_size, last=last) as loader:
        whole = [told(batch) for _ in range(2) for batch in loader]
    stops = [data.draw(st.integers(1, max(1, len(whole) // 3))) for _ in range(2)]
    seen, counts = run(name, seed, batch_size, last, worlds, stops)
    assert seen == whole
    if name in ONCE and last == "pad":
        assert counts == [2] * ROWS


@pytest.mark.parametrize("name", ORDERS)
def test_from_one_rank_to_three_to_two_within_an_epoch(name):
    with make(name, 7, 0, 1, batch_size=11, last="pad") as loader:
        whole = [told(batch) for _ in range(2) for batch in loader]
    seen, counts = run(name, 7, 11, "pad", [1, 3, 2], [3, 2])
    assert seen == whole
    if name in ONCE:
        assert counts == [2] * ROWS
