"""What loading for training needs, before anything is allocated."""

import pytest

import bitesize as bs
from bitesize.memory import automatic
from bitesize.memory.limits import Limit
from bitesize.training.need import TrainingLoaders, plan_of
from bitesize.training.settings import TrainSettings, preparation


@pytest.fixture
def loaders(photos):
    settings = TrainSettings(str(photos), image_size=64)
    train, val = bs.open(photos).split(0.5, seed=0)
    return TrainingLoaders(settings, train, val, preparation(train, 64, False)[1:], held=2)


@pytest.mark.parametrize("batch_size", [1, 4, 16, 20])
def test_the_least_budget_is_enough_for_both_loaders_and_the_batches_that_are_held(loaders, batch_size):
    budget = bs.Budget(loaders.need(batch_size))
    loaders.grow_or_refuse(batch_size, budget)
    train, val = loaders.open(batch_size, budget)
    with train, val:
        assert plan_of(train, val).total == budget.granted <= budget.total
        assert sum(len(batch["y"]) for batch in val) == 20
        assert all(len(batch["y"]) == batch_size for batch in train)


def test_a_byte_less_is_refused_with_what_would_fit(loaders):
    need = loaders.need(16)
    with pytest.raises(bs.DoesNotFit, match=r"Lower --batch-size to 8 or give --memory \d"):
        loaders.grow_or_refuse(16, bs.Budget(need - 1))
    loaders.grow_or_refuse(8, bs.Budget(need - 1))


def test_a_limit_below_what_both_loaders_need_together_is_said_though_the_budget_allows_it(loaders, monkeypatch):
    room = loaders.need(16) - 1
    monkeypatch.setattr(automatic, "available", lambda threads: Limit("cgroup /box", room))
    with pytest.raises(bs.DoesNotFit, match=r"cgroup /box leaves .* Lower --batch-size to 8 or raise that limit"):
        loaders.grow_or_refuse(16, bs.Budget("1 GiB"))


def test_auto_takes_the_largest_batch_that_fits_the_default_share(photos, monkeypatch):
    train, val = bs.open(photos).split(0.5, seed=0)
    settings = TrainSettings(str(photos), image_size=64, batch_size="auto")
    loaders = TrainingLoaders(settings, train, val, (), held=1)
    assert loaders.choose_batch_size(bs.Budget(loaders.need(8))) == 8
    assert loaders.choose_batch_size(bs.Budget(loaders.need(8) - 1)) == 4


def test_training_without_validation_has_one_loader(photos):
    source = bs.open(photos)
    loaders = TrainingLoaders(TrainSettings(str(photos), image_size=64), source, None, (), held=1)
    budget = bs.Budget(loaders.need(4))
    with pytest.raises(bs.DoesNotFit, match="Loading for training needs"):
        loaders.grow_or_refuse(8, budget)
    train, val = loaders.open(4, budget)
    with train:
        assert val is None
        assert plan_of(train, val) == train.plan
