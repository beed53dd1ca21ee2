"""The ledger of a budget counts charges, also those that outlive their budget or are garbage."""

import gc

from bitesize.memory.budget import Budget
from bitesize.memory.ledger import Ledger


def test_charges_are_counted_by_purpose_until_they_are_released_or_garbage():
    ledger = Ledger(room=1000)
    slots, index = ledger.charge(600, "slots", 0, 1000), ledger.charge(100, "index", 0, 1000)
    assert ledger.charge(301, "more", 0, 1000) is None
    assert (ledger.granted, ledger.breakdown()) == (700, {"slots": 600, "index": 100})
    slots.release()
    slots.release()
    assert (ledger.granted, ledger.breakdown(), ledger.peak) == (100, {"index": 100}, 700)
    del index
    assert (ledger.granted, ledger.breakdown()) == (0, {})


def test_idle_bytes_of_a_pool_are_granted_and_not_in_use():
    ledger = Ledger(room=1000)
    pool = ledger.charge(500, "decoding", 500, 1000)
    assert (ledger.granted, ledger.in_use, ledger.touched_now) == (500, 0, 0)
    ledger.use_pooled(200)
    assert (ledger.in_use, ledger.peak) == (200, 200)
    ledger.use_pooled(-200)
    ledger.end_pool(pool)
    assert (ledger.granted, ledger.in_use) == (0, 0)


def test_a_charge_that_outlives_its_budget_still_counts_for_other_budgets():
    charge = Budget("1 MiB").charge(1000, "a batch that is still in use")
    gc.collect()
    assert charge._give_back.__self__ in _live()
    del charge
    gc.collect()


def _live():
    from bitesize.memory.budget import _live_ledgers

    return _live_ledgers()
