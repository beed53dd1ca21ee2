"""A loader is made in four steps, each of which returns a frozen value; what is not for users is behind its driver."""

import dataclasses
import gc

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine.build import allocate, infer, plan, resolve
from bitesize.engine.loader import driver_of

SETTINGS = {
    "transforms": (), "memory": "16 MiB", "shuffle": True, "seed": 0, "order": None, "shard": None, "last": None, "threads": 2,
    "layout": "HWC", "dtype": None, "on_error": "raise", "max_bad": 0.01, "fast_decode": True,
}  # fmt: skip
PUBLIC = {
    "bad", "batch_size", "budget", "close", "epoch", "layout", "load_state_dict", "masks", "measure_bound", "order", "plan", "set_epoch",
    "shape", "shard", "source", "spec", "state_dict", "stats", "threads", "transforms",
}  # fmt: skip


def steps(**changes):
    settings = resolve(bs.open(np.arange(40.0), [0, 1] * 20), batch_size=4, **SETTINGS | changes)
    inferred = infer(settings)
    return settings, inferred, plan(inferred)


def test_each_step_returns_a_frozen_value():
    settings, _, memory_plan = made = steps()
    for value in (*made, allocate(memory_plan, settings)):
        field = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, None)


def test_only_the_last_step_charges_memory_and_it_charges_what_was_requested():
    settings, _, memory_plan = steps()
    assert settings.budget.granted == 0
    resources = allocate(memory_plan, settings)
    requests = memory_plan.needs.requests(memory_plan.batching.rows_of_rank)
    assert settings.budget.breakdown() == {request.name: request.nbytes for request in requests}
    assert {request.lifetime for request in requests} == {"loader", "batch"}
    del resources
    gc.collect()
    assert settings.budget.granted == 0


def test_settings_are_checked_before_anything_else():
    with pytest.raises(bs.BadSetting, match="max_bad"):
        steps(max_bad=2.0)
    with pytest.raises(bs.BadSetting, match="on_error"):
        steps(on_error="ignore")


def test_defaults_that_depend_on_the_rank():
    assert steps()[0].last == "short"
    assert steps(shard=bs.Shard(1, 2))[0].last == "drop"
    assert steps(shard=bs.Shard(1, 2), shuffle=False)[0].last == "pad"


def test_a_loader_has_only_what_users_need():
    assert {name for name in dir(bs.Loader) if not name.startswith("_")} == PUBLIC


def test_a_loop_goes_on_when_the_loader_is_dropped_and_memory_comes_back_with_it():
    budget = bs.Budget("16 MiB")
    batches = iter(bs.Loader(bs.open(np.arange(40.0)), batch_size=4, memory=budget))
    assert sum(len(batch["x"]) for batch in batches) == 40
    assert budget.granted > 0
    del batches
    gc.collect()
    assert budget.granted == 0


def test_slots_are_added_by_the_driver_and_stand_in_the_plan():
    with bs.Loader(bs.open(np.arange(40.0)), batch_size=4, memory="16 MiB", threads=1) as loader:
        driver, least = driver_of(loader), driver_of(loader).least
        slot = next(part for part in loader.plan.parts if part.name == "batch buffers").nbytes // 3
        driver.hold(4)
        assert driver.slots == 6
        assert driver.least == least + 3 * slot
        assert loader.plan.total == loader.budget.granted
        driver.hold(2)  # never fewer
        assert driver.slots == 6
