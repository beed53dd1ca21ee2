"""A batch: a dict of arrays that lends the loader's memory, and copies that own theirs."""

import copy
import pickle
import sys

import numpy as np
import pytest

import bitesize as bs
from bitesize.batch import UnevenBatch

COPIES = {
    "batch.copy()": lambda batch: batch.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda batch: pickle.loads(pickle.dumps(batch)),
}


def make_loader(**settings):
    x = np.arange(40 * 30, dtype=np.float32).reshape(40, 30)
    settings = {"batch_size": 4, "memory": "16 MiB", "seed": 3} | settings
    return bs.Loader(bs.open(x, np.arange(40)), **settings)


@pytest.mark.parametrize("name", COPIES)
def test_every_batch_of_an_epoch_can_be_kept_as_a_copy(name):
    with make_loader(last="pad", batch_size=6) as loader:
        kept = [COPIES[name](batch) for batch in loader]
        loader.set_epoch(0)
        for one, batch in zip(kept, loader, strict=True):
            assert type(one) is bs.Batch
            assert one["x"].tolist() == batch["x"].tolist()
            assert (one.epoch, one.position, one.weight) == (batch.epoch, batch.position, batch.weight)
            assert one.rows.tolist() == batch.rows.tolist()
            assert one.mask.tolist() == batch.mask.tolist()
        assert not kept[-1].mask.all()


def test_a_copy_shares_no_memory_and_keeps_what_a_program_has_put_in():
    with make_loader() as loader:
        batch = next(iter(loader))
        batch["names"] = ["one", "two"]
        plain, deep = batch.copy(), copy.deepcopy([batch, batch])
        for one in (plain, deep[0]):
            assert all(not np.shares_memory(one[name], batch[name]) for name in "xy")
            assert not np.shares_memory(one.rows, batch.rows)
            assert not np.shares_memory(one.mask, batch.mask)
        assert plain["names"] is batch["names"]
        assert deep[0]["names"] == batch["names"]
        assert deep[0]["names"] is not batch["names"]
        assert deep[0] is deep[1]
        assert "names: ['one', 'two']" in repr(batch)


@pytest.mark.parametrize("name", COPIES)
def test_a_batch_of_uneven_ranks_keeps_its_weight_or_that_it_knows_none(name):
    known = COPIES[name](UnevenBatch({"x": np.zeros(3)}, weight=1.5, epoch=2))
    assert (type(known), known.weight, known.epoch) == (UnevenBatch, 1.5, 2)
    lost = COPIES[name](UnevenBatch({"x": np.zeros(3)}))
    with pytest.raises(bs.BadSetting, match="weight of this batch is unknown"):
        lost.weight  # noqa: B018


def test_unpacking_a_batch_is_an_error_that_names_the_ways_to_its_arrays():
    with make_loader() as loader:
        batch = next(iter(loader))
        with pytest.raises(bs.BadSetting, match=r'field names \(x, y\): use batch\["x"\].*as_tuple=True'):
            x, y = batch
        with pytest.raises(bs.BadSetting, match="unpacking yields field names"):
            x, *_ = batch
        with pytest.raises(bs.BadSetting, match="unpacking yields field names"):
            for x, y in loader:
                del x, y
        with pytest.raises(bs.BadSetting, match="unpacking yields field names"):
            for _, (x, y) in enumerate(loader):
                del x, y


def test_a_batch_is_a_dict_for_whoever_takes_it_as_one():
    def call(**fields):
        return list(fields)

    with make_loader() as loader:
        batch = next(iter(loader))
        names = ["x", "y"]
        for _ in range(100):  # also once the interpreter has specialized its instructions
            assert [name for name in batch] == names  # noqa: C416
            assert (
                list(batch)
                == list(dict(batch))
                == list({**batch})
                == list(batch | {})
                == call(**batch)
                == sorted(batch)
                == names
            )
            first, second = batch.values()
            assert first is batch["x"]
            assert second is batch["y"]
            (one, two), three = list(batch), batch
            assert ([one, two], three) == (names, batch)
            one, two = map(str, batch)
            assert [one, two] == names


def test_unpacking_is_noticed_under_a_tracer():
    with make_loader() as loader:
        batch, before = next(iter(loader)), sys.gettrace()
        sys.settrace(lambda frame, event, argument: None)
        try:
            with pytest.raises(bs.BadSetting, match="unpacking yields field names"):
                _x, _y = batch
            assert list(batch) == ["x", "y"]
        finally:
            sys.settrace(before)
