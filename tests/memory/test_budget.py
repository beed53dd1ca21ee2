import gc
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitesize import BadSetting, Budget, DoesNotFit


def test_a_charge_that_fits_is_counted_and_given_back_once():
    budget = Budget(1000)
    charge = budget.charge(600, "slots")
    assert (budget.in_use, budget.free, budget.breakdown()) == (600, 400, {"slots": 600})
    charge.release()
    charge.release()
    assert (budget.in_use, budget.peak) == (0, 600)


def test_a_charge_that_does_not_fit_is_refused_with_need_room_and_setting():
    budget = Budget("1 KiB")
    kept = budget.charge(1000, "slots")
    with pytest.raises(DoesNotFit, match=r'index needs 100 B, but 24 B .* Raise memory to "1.1 KiB"') as caught:
        budget.charge(100, "index")
    assert isinstance(caught.value, MemoryError)
    assert budget.in_use == kept.nbytes


@pytest.mark.parametrize("size", [64, "64"])
def test_a_size_that_may_lack_its_unit_is_asked_about_where_it_does_not_fit(size):
    with pytest.raises(DoesNotFit, match=r"64 B are free \(did you mean 64MiB\?\)\. Raise memory"):
        Budget(size).charge(100, "index")
    for meant in ("64 B", 1 << 20):
        with pytest.raises(DoesNotFit) as caught:
            Budget(meant).charge(1 << 21, "index")
        assert "did you mean" not in str(caught.value)


def test_a_charge_that_is_garbage_gives_its_bytes_back():
    budget = Budget(1000)
    budget.charge(800, "lost")
    gc.collect()
    assert budget.in_use == 0


@given(st.lists(st.integers(0, 400), max_size=30))
def test_the_sum_of_grants_never_exceeds_the_total(sizes):
    budget, kept = Budget(1000), []
    for size in sizes:
        try:
            kept.append(budget.charge(size, "part"))
        except DoesNotFit:
            assert sum(charge.nbytes for charge in kept) + size > 1000
        assert budget.in_use == sum(charge.nbytes for charge in kept) <= 1000


def test_a_pool_is_reserved_at_once_and_in_use_only_when_taken():
    budget = Budget(1000)
    pool = budget.pool(600, "decoding")
    assert (budget.granted, budget.in_use) == (600, 0)
    pool.request(500, "a photo")
    assert (budget.in_use, budget.peak) == (500, 500)
    pool.give_back(500)
    pool.close()
    assert (budget.granted, budget.in_use, budget.peak) == (0, 0, 500)


def test_a_request_larger_than_the_pool_takes_what_is_free_of_the_budget_for_good():
    budget = Budget(1000)
    pool = budget.pool(600, "decoding")
    beside = budget.charge(200, "slots")
    assert pool.most == 800
    pool.request(700, "large.jpg")
    assert (pool.size, budget.granted, budget.in_use) == (700, 900, 900)
    pool.give_back(700)
    assert (pool.size, budget.granted, budget.in_use) == (700, 900, 200)
    pool.close()
    beside.release()
    assert (budget.granted, budget.in_use, budget.breakdown()) == (0, 0, {})


def test_a_request_larger_than_pool_and_budget_is_refused_by_name():
    budget = Budget(1000)
    pool, _beside = budget.pool(600, "decoding"), budget.charge(300, "slots")
    with pytest.raises(
        DoesNotFit,
        match=r'big\.jpg needs 800 B to decode, but the budget of .* leaves 700 B for decoding.* Raise memory to "1\.2 KiB"',
    ):
        pool.request(800, "big.jpg")
    assert (pool.size, budget.granted) == (600, 900)


def test_threads_that_ask_for_more_than_there_is_take_turns_and_never_overdraw():
    budget = Budget(1000)
    pool = budget.pool(1000, "decoding")
    worst = []

    def work(size: int) -> None:
        for _ in range(200):
            pool.request(size, "a photo")
            worst.append(budget.in_use)
            pool.give_back(size)

    threads = [threading.Thread(target=work, args=(size,)) for size in (200, 300, 700, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert max(worst) <= 1000
    assert budget.in_use == 0


def test_a_large_request_is_not_overtaken_for_ever_by_small_ones():
    pool = Budget(100).pool(100, "decoding")
    pool.request(60, "first")
    served = []

    def take(nbytes, who):
        pool.request(nbytes, who)
        served.append(who)
        pool.give_back(nbytes)

    large = threading.Thread(target=take, args=(100, "large"))
    large.start()
    while not pool.wanted:
        pass
    small = threading.Thread(target=take, args=(10, "small"))  # it would fit, but somebody waits
    small.start()
    while len(pool._waiting) < 2:
        pass
    assert not served
    pool.give_back(60)
    large.join(10)
    small.join(10)
    assert served == ["large", "small"]


def test_auto_takes_a_part_of_what_is_available_and_divides_it_among_local_ranks(monkeypatch):
    whole = Budget("auto").total
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert 0 < Budget("auto").total < whole * 0.5


@pytest.mark.parametrize("size", ["nothing", 0, None])
def test_a_budget_must_be_a_size(size):
    with pytest.raises(BadSetting):
        Budget(size)


def test_ranks_on_one_host_share_what_is_available(monkeypatch):
    from bitesize.memory import automatic as module
    from bitesize.memory.limits import Limit

    monkeypatch.setattr(module, "available", lambda threads: Limit("available memory", 8000))
    assert Budget().total == 2000
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    shared = Budget()
    assert shared.total == 500
    assert shared.origin == "a quarter of available memory, divided among 4 ranks (LOCAL_WORLD_SIZE)"


class Cache:
    """Holds optional bytes until it is asked for them, and a moment longer if a thread still uses them."""

    def __init__(self, budget, nbytes):
        self.asked, self.charge = 0, None
        self.charge = budget.charge_optional(nbytes, "cache", self)

    def give_up(self):
        self.asked, self.charge = self.asked + 1, None


def test_optional_bytes_count_as_free_and_are_given_up_when_they_are_needed():
    budget = Budget(1000)
    cache = Cache(budget, 600)
    assert (budget.free, budget.unused, budget.granted, budget.in_use) == (1000, 400, 0, 600)
    first = budget.charge(400, "a need")
    assert cache.asked == 0
    second = budget.charge(1, "another need")
    assert cache.charge is None
    assert budget.breakdown() == {"a need": 400, "another need": 1}
    assert budget.charge_optional(600, "cache", cache) is None
    del first, second


def test_a_charge_waits_until_a_thread_has_finished_with_optional_bytes():
    budget = Budget(1000)
    cache = Cache(budget, 1000)
    used = [cache.charge]
    timer = threading.Timer(0.1, used.clear)
    timer.start()
    charge = budget.charge(1000, "a need")
    assert not used
    assert budget.in_use == 1000
    charge.release()


def test_a_pool_grows_into_optional_bytes():
    budget = Budget(1000)
    pool = budget.pool(100, "decoding")
    cache = Cache(budget, 900)
    pool.request(800, "an image")
    assert cache.charge is None
    pool.give_back(800)
    pool.close()


def test_what_exceeds_the_budget_without_optional_bytes_is_refused_and_they_stay():
    budget = Budget(1000)
    cache = Cache(budget, 500)
    with pytest.raises(DoesNotFit):
        budget.charge(1001, "too much")
    assert cache.asked == 0
    assert budget.in_use == 500


def test_optional_bytes_make_no_automatic_budget_grow():
    budget = Budget("auto")
    before = budget.total
    assert budget.charge_optional(before + 1, "cache", Cache(budget, 1)) is None
    assert budget.total == before


def test_a_holder_that_is_garbage_is_not_asked():
    budget = Budget(1000)
    for _ in range(3):
        Cache(budget, 900)
    charge = budget.charge(1000, "a need")
    assert budget.in_use == 1000
    charge.release()
