"""The budget: what does not fit is refused with figures, and what runs stays within it."""

import re
import weakref

import numpy as np
import pytest
from PIL import Image
from tests.conftest import noise, write_jpeg

import bitesize as bs
from bitesize.engine.loader import driver_of


def test_a_batch_that_does_not_fit_is_refused_with_need_room_and_setting(photos):
    with pytest.raises(bs.DoesNotFit) as caught:
        bs.Loader(bs.open(photos), batch_size=40, transforms=[bs.Resize(224), bs.Scale(1 / 255)], memory="50 MiB")
    message = str(caught.value)
    assert message.startswith("40 rows of (224, 224, 3) float32 take 23 MiB a batch; 3 batches in memory need 69 MiB, plus")
    assert "the budget is 50 MiB" in message


def test_the_advice_of_the_refusal_works(photos):
    source, transforms = bs.open(photos), [bs.Resize(224), bs.Scale(1 / 255)]
    with pytest.raises(bs.DoesNotFit) as caught:
        bs.Loader(source, batch_size=40, transforms=transforms, memory="50 MiB")
    words = str(caught.value)
    smaller = int(words.split("Lower batch_size to ")[1].split()[0])
    larger = words.split('raise memory to "')[1].split('"')[0]
    for options in ({"batch_size": smaller, "memory": "50 MiB"}, {"batch_size": 40, "memory": larger}):
        with bs.Loader(source, transforms=transforms, **options) as loader:
            assert sum(len(batch["y"]) for batch in loader) == 40
    with pytest.raises(bs.DoesNotFit):
        bs.Loader(source, transforms=transforms, batch_size=smaller + 1, memory="50 MiB")


def test_nothing_stays_charged_after_a_refusal(photos):
    budget = bs.Budget("50 MiB")
    with pytest.raises(bs.DoesNotFit):
        bs.Loader(bs.open(photos), batch_size=40, transforms=[bs.Resize(224), bs.Scale(1 / 255)], memory=budget)
    assert budget.granted == 0


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_bytes_in_use_stay_within_the_budget_and_the_plan_names_them(photos, threads):
    with bs.Loader(bs.open(photos), batch_size=8, transforms=[bs.Resize(64)], memory="24 MiB", threads=threads) as loader:
        plan = loader.plan
        most = 0
        for _ in range(3):
            for _batch in loader:
                most = max(most, loader.budget.in_use)
        assert 0 < most <= loader.budget.peak <= plan.total <= plan.budget
        granted = loader.budget.breakdown()
    planned = {part.name: part.nbytes for part in plan.parts}
    assert granted == planned


def test_auto_takes_the_largest_power_of_two_that_fits(photos):
    source = bs.open(sorted(photos.rglob("*.jpg")) * 10)
    for memory, expected in (("24 MiB", 8), ("40 MiB", 16), ("4 GiB", 256)):
        with bs.Loader(source, batch_size="auto", transforms=[bs.Resize(224), bs.Scale(1 / 255)], memory=memory) as loader:
            assert loader.batch_size == expected, memory
            assert loader.plan.total <= loader.plan.budget


def test_images_larger_than_the_read_buffer_take_turns_in_the_pool(tmp_path):
    random = np.random.default_rng(0)
    for i in range(6):  # noise does not compress: about 2.5 MB a file
        write_jpeg(tmp_path / f"{i}.jpg", random.integers(0, 256, (1000, 1100, 3), np.uint8))
    with bs.Loader(
        bs.open(tmp_path), batch_size=3, transforms=[bs.Resize(900)], memory="64 MiB", threads=8, shuffle=False
    ) as loader:
        seen = np.concatenate([batch["x"].mean(axis=(1, 2, 3)) for batch in loader])
        assert loader.budget.peak <= loader.budget.total
    for i, mean in enumerate(seen):
        assert abs(np.asarray(Image.open(tmp_path / f"{i}.jpg")).mean() - mean) < 0.5


def test_an_image_whose_decoding_cannot_fit_is_refused_by_name(tmp_path):
    write_jpeg(tmp_path / "a.jpg", noise(40, 40))
    Image.fromarray(noise(3000, 3000)).save(tmp_path / "large.png", compress_level=1)
    memory, refusals = "16 MiB", 0
    while refusals < 3:  # the file itself is refused first, before its header can tell more
        with bs.Loader(bs.open(tmp_path), batch_size=2, transforms=[bs.Resize(32)], memory=memory, threads=2) as loader:
            try:
                assert next(iter(loader))["x"].shape == (2, 32, 32, 3)
                break
            except bs.DoesNotFit as error:
                refusals += 1
                assert re.search(
                    r"large\.png needs .* to decode, but the budget of .* for decoding.* Raise memory to .*row 1", str(error)
                )
                memory = str(error).split('Raise memory to "')[1].split('"')[0]
    assert 1 <= refusals <= 2


def test_an_output_that_holds_more_batches_is_charged_for_them():
    with bs.Loader(bs.open(np.zeros((100, 1000))), batch_size=10, memory="1 MiB") as loader:
        before = loader.budget.granted
        driver_of(loader).hold(3)
        assert loader.budget.granted == before + 2 * 80_000
        kept = []
        for batch in loader:
            kept = [*kept[-2:], batch["x"]]
        with pytest.raises(bs.DoesNotFit):
            driver_of(loader).hold(50)
        del kept, batch
        assert sum(len(batch["x"]) for batch in loader) == 100  # as before


def test_slots_are_aligned_for_frameworks_that_take_them_without_a_copy():
    data = bs.open(np.zeros((10, 7), np.float32), np.zeros((10, 21)))
    with bs.Loader(data, batch_size=3, memory="1 MiB") as loader:
        for batch in loader:
            assert batch["x"].ctypes.data % 64 == 0
            assert batch["y"].ctypes.data % 64 == 0
            assert batch["x"].flags.c_contiguous


def test_the_plan_says_what_the_naive_way_needs():
    plan = bs.Loader(bs.open(np.zeros((9, 4, 5, 3))), batch_size=2, memory="1 MiB").plan
    assert (plan.naive_float64, plan.naive_float32) == (9 * 60 * 8, 9 * 60 * 4)
    assert plan.as_dict()["fits"]
    assert "  total  " in str(plan)
    assert "outside the budget" in str(plan)


def test_holding_more_is_refused_without_harm_while_a_batch_is_held():
    with bs.Loader(bs.open(np.zeros((100, 1 << 16), np.float32)), batch_size=8, memory="9 MiB", threads=1) as loader:
        iterator = iter(loader)
        held = next(iterator)
        driver_of(loader).hold(2)  # one slot more fits
        with pytest.raises(bs.DoesNotFit, match="batch buffers needs"):
            driver_of(loader).hold(9)
        assert held["x"].shape == (8, 1 << 16)
        del held
        assert sum(len(batch["x"]) for batch in iterator) == 92


@pytest.mark.parametrize(
    "make", [np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2], lambda x: np.repeat(x, 2, axis=0)[::2]]
)
def test_an_array_that_is_not_contiguous_is_never_copied_whole(make):
    import tracemalloc

    x = make(np.random.default_rng(0).random((400, 100, 50)))
    with bs.Loader(bs.open(x), batch_size=4, memory="4 MiB", shuffle=False) as loader:
        tracemalloc.start()
        try:
            for i, batch in enumerate(loader):
                assert np.array_equal(batch["x"], x[4 * i : 4 * i + 4])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < x.nbytes / 8


def test_a_photograph_that_cannot_be_decoded_whole_is_decoded_smaller(tmp_path):
    # 12 megapixels take 36 MB decoded, and at a quarter of the size 2.3 MB.
    write_jpeg(tmp_path / "a.jpg", noise(3000, 4000))
    options = {"batch_size": 1, "memory": "24 MiB", "threads": 1}
    with bs.Loader(
        bs.open(tmp_path), transforms=[bs.Resize((1500, 2000)), bs.Flip(0)], **options | {"memory": "96 MiB"}
    ) as loader:
        fitting = next(iter(loader))["x"].astype(float)
    with bs.Loader(bs.open(tmp_path), transforms=[bs.Resize((750, 1000))], **options) as loader:
        small = next(iter(loader))["x"].astype(float)[0]
        assert loader.budget.peak <= loader.budget.total
    assert np.abs(fitting[0].reshape(750, 2, 1000, 2, 3).mean(axis=(1, 3)) - small).mean() < 1.5
    with (
        bs.Loader(bs.open(tmp_path), transforms=[bs.Resize((750, 1000))], fast_decode=False, **options) as loader,
        pytest.raises(bs.DoesNotFit, match=r"a\.jpg needs .* to decode"),
    ):
        next(iter(loader))


def test_a_need_beyond_what_the_process_may_take_is_refused_at_once(monkeypatch):
    from bitesize.engine import build as module
    from bitesize.memory.limits import Limit

    monkeypatch.setattr(module, "available", lambda threads: Limit("cgroup /box", 40 << 20))
    source = bs.open(np.broadcast_to(np.zeros(1 << 20, np.uint8), (8000, 1 << 20)))
    with pytest.raises(bs.DoesNotFit, match=r"cgroup /box leaves 40 MiB for this process\. Lower batch_size"):
        bs.Loader(source, batch_size=64, memory="1 GiB")


def test_an_automatic_budget_gives_up_the_batch_made_ahead_when_the_machine_fills_up(monkeypatch):
    from bitesize.memory import automatic as module
    from bitesize.memory.limits import Limit

    room = [64 << 20]
    monkeypatch.setattr(module, "available", lambda threads: Limit("available memory", room[0]))
    x = np.arange(64 * 1000, dtype=np.float32).reshape(64, 1000)
    with bs.Loader(bs.open(x), batch_size=8, threads=2) as loader:
        assert loader.budget.total == 16 << 20
        slot = 8 * 4000
        slots = []
        for free in (64 << 20, 1 << 16, 1 << 16, 64 << 20, 64 << 20):
            room[0] = free
            seen = [batch["x"][:, 0].copy() for batch in loader]
            assert np.array_equal(np.sort(np.concatenate(seen)), x[:, 0])
            slots.append(loader.budget.breakdown()["batch buffers"] // slot)
        assert slots[0] == 3
        assert slots[2] == 2
        assert slots[4] == 3


def test_the_plan_says_what_the_whole_process_takes_and_that_loading_everything_would_fail():
    import subprocess
    import sys

    program = (
        "import numpy as np, psutil, bitesize as bs\n"
        "x = np.broadcast_to(np.zeros(1 << 20), (1 << 20, 1 << 20))\n"
        "loader = bs.Loader(bs.open(x), batch_size=8, memory='1 GiB', threads=1, dtype='float32')\n"
        "plan = loader.plan\n"
        "for i, batch in enumerate(loader):\n"
        "    if i == 5: break\n"
        "held = psutil.Process().memory_info().rss\n"
        "assert 0.7 < held / plan.process < 1.1, (held, plan.process, plan.overhead)\n"
        "print(plan)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "Loading everything at once would fail here (16.0 TiB needed: a list and its array, " in done.stdout
    assert "bitesize fits, with " in done.stdout
    assert "The data is stored as float64 (8.0 TiB): as float32 it would take half of that (4.0 TiB)" in done.stdout


def test_a_plan_names_its_budget_where_nothing_is_spare():
    x = np.zeros((10, 1 << 16), np.float32)
    with bs.Loader(bs.open(x), batch_size=2, memory="1 GiB", threads=1) as loader:
        need = loader.plan.total
    with bs.Loader(bs.open(x), batch_size=2, memory=need, threads=1) as loader:
        assert loader.plan.verdict.endswith("bitesize fits exactly.")


def test_a_plan_for_another_machine_says_at_which_row_it_would_fail():
    from dataclasses import replace

    x = np.broadcast_to(np.zeros(1 << 17), (9000, 1 << 17))  # 1 MiB a row
    with bs.Loader(bs.open(x), batch_size=2, memory="1 GiB", threads=1) as loader:
        plan = replace(loader.plan, limit=("a machine with 6.0 GiB", 5800 << 20), machine="a machine with 6.0 GiB")
    assert plan.verdict.startswith(
        "On a machine with 6.0 GiB, loading everything at once fails at row 5,801 of 9,000 (17.6 GiB needed"
    )


def test_the_plan_has_the_pool_as_it_is(tmp_path):
    write_jpeg(tmp_path / "a.jpg", noise(40, 40))
    Image.fromarray(noise(1500, 1500)).save(tmp_path / "large.png", compress_level=1)
    with bs.Loader(bs.open(tmp_path), batch_size=2, transforms=[bs.Resize(32)], memory="64 MiB", threads=1) as loader:
        next(iter(loader))
        parts = {part.name: part.nbytes for part in loader.plan.parts}
        assert parts["decoding"] == loader.budget.breakdown()["decoding"]
        assert loader.plan.total == loader.budget.granted


def test_an_output_that_holds_more_lets_an_automatic_budget_grow(monkeypatch):
    from bitesize.memory import automatic, budget
    from bitesize.memory.limits import Limit

    monkeypatch.setattr(automatic, "available", lambda threads: Limit("cgroup /box", 40 << 20))
    monkeypatch.setattr(automatic, "pending_overhead", lambda: 0)
    monkeypatch.setattr(budget, "_ledgers", weakref.WeakValueDictionary())  # those of earlier tests do not count
    with bs.Loader(bs.open(np.zeros((100, 1 << 17))), batch_size=3, threads=1) as loader:  # slots of 3 MiB
        assert loader.budget.total == 10 << 20
        driver_of(loader).hold(3)
        assert (loader.budget.breakdown()["batch buffers"], loader.budget.total >= 15 << 20) == (15 << 20, True)
        assert "grown to 15" in loader.budget.origin
        assert "because 3 batches are held at a time" in loader.plan.origin
        with pytest.raises(bs.DoesNotFit, match="may take at most 30 MiB"):
            driver_of(loader).hold(20)
        assert sum(len(batch["x"]) for batch in loader) == 100
