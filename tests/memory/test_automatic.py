"""An automatic budget grows to what is needed, up to three quarters of what there is, and says so."""

import os
import subprocess
import sys
import weakref

import pytest
from tests.contract.measure import small_group, why_not

from bitesize import Budget, DoesNotFit
from bitesize.memory import automatic
from bitesize.memory import budget as budget_module
from bitesize.memory.limits import Limit

MIB = 1 << 20


@pytest.fixture
def room(monkeypatch):
    """What the machine leaves, in MiB; a test may change it. Loaders that earlier tests left open do not count."""
    left = [400]
    monkeypatch.setattr(budget_module, "_ledgers", weakref.WeakValueDictionary())
    monkeypatch.setattr(automatic, "available", lambda threads: Limit("cgroup /box", left[0] * MIB))
    monkeypatch.setattr(automatic, "pending_overhead", lambda: 0)
    return left


def test_a_budget_grows_to_the_need_and_says_from_what_to_what_and_why(room, caplog):
    budget = Budget()
    with caplog.at_level("INFO", logger="bitesize"):
        assert budget.grow(122 * MIB, "batches of 32 rows need it")
    assert budget.total == 122 * MIB
    said = "auto: 100 MiB would be the default share, a quarter of cgroup /box; grown to 122 MiB because batches of 32 rows need it"
    assert budget.origin == said
    assert said in caplog.text


def test_what_fits_the_default_share_changes_nothing(room, caplog):
    budget = Budget()
    with caplog.at_level("INFO", logger="bitesize"):
        budget.charge(100 * MIB, "slots")
    assert (budget.total, budget.origin, caplog.text) == (100 * MIB, "a quarter of cgroup /box", "")


def test_more_than_three_quarters_is_refused_with_need_room_and_setting(room):
    budget = Budget()
    budget.charge(300 * MIB, "slots").release()
    with pytest.raises(DoesNotFit) as caught:
        budget.charge(301 * MIB, "slots")
    assert str(caught.value) == (
        'slots needs 301 MiB, but 300 MiB of the budget\'s 300 MiB are free; memory="auto" may take at most 300 MiB, three '
        'quarters of what cgroup /box leaves. Raise memory to "301 MiB".'
    )


def test_a_given_size_never_grows(room):
    budget = Budget("100 MiB")
    assert not budget.grow(101 * MIB, "it is needed")
    with pytest.raises(DoesNotFit):
        budget.charge(101 * MIB, "slots")
    assert (budget.total, budget.most) == (100 * MIB, 100 * MIB)


def test_room_for_compiled_code_that_is_yet_to_be_loaded_is_left(room, monkeypatch):
    monkeypatch.setattr(automatic, "pending_overhead", lambda: 120 * MIB)
    assert Budget().most == 210 * MIB


def test_loaders_on_one_budget_have_three_quarters_together(room):
    budget = Budget()
    first, second = budget.charge(200 * MIB, "first"), budget.charge(100 * MIB, "second")
    assert budget.total == 300 * MIB
    with pytest.raises(DoesNotFit):
        budget.charge(1, "third")
    room[0] = 100  # all of it has been touched, which makes no more room
    with pytest.raises(DoesNotFit):
        budget.charge(1, "third")
    first.release(), second.release()


def test_two_budgets_do_not_both_take_three_quarters_of_the_same_memory(room):
    one, two = Budget(), Budget()
    kept = one.charge(200 * MIB, "slots")  # not touched yet: the machine has as much as before
    with pytest.raises(DoesNotFit):
        two.charge(101 * MIB, "slots")
    later = Budget()
    with pytest.raises(DoesNotFit):
        later.charge(101 * MIB, "slots")
    later.charge(100 * MIB, "slots").release()
    kept.release()
    two.charge(300 * MIB, "slots").release()


def test_a_grown_budget_shrinks_while_memory_is_short_and_grows_back(room):
    budget = Budget()
    kept = budget.charge(200 * MIB, "slots")
    room[0] = 200
    assert not budget.refresh()
    room[0] = 20  # somebody else takes 180 MiB
    assert budget.refresh()
    assert budget.total == 165 * MIB
    room[0] = 200
    assert not budget.refresh()
    assert budget.total == 200 * MIB
    kept.release()


def test_a_pool_makes_an_automatic_budget_grow_for_one_large_image(room):
    budget = Budget()
    pool = budget.pool(10 * MIB, "decoding")
    assert pool.most == 300 * MIB
    pool.request(150 * MIB, "large.png")
    pool.give_back(150 * MIB)
    with pytest.raises(
        DoesNotFit, match=r"large\.png needs 301 MiB to decode, but the budget of .* leaves 300 MiB for decoding"
    ):
        pool.request(301 * MIB, "large.png")
    pool.close()


def test_ranks_of_a_host_share_the_larger_part_too(room, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert Budget().most == 150 * MIB


def test_a_plan_for_another_machine_does_not_look_at_this_one(room):
    budget = Budget(room=Limit("a machine with 8.0 GiB", 8000 * MIB))
    assert (budget.total, budget.most) == (2000 * MIB, 6000 * MIB)
    assert budget.origin == "a quarter of a machine with 8.0 GiB"


# --- under real limits -----------------------------------------------------------------------------------------------

# Leaves this process so many MiB, by the limit that it was started for.
LEAVE = """
import os, sys
from bitesize.memory import limits
from bitesize.memory.automatic import measure_limit

def leave(mib, kind, group):
    if kind == "cgroup":
        open(f"{group}/cgroup.procs", "w").write(str(os.getpid()))
        file = f"{group}/memory.limit_in_bytes"
        open(file, "w").write(str(4 << 30))
    else:
        import resource
        file = None
        resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, resource.RLIM_INFINITY))
    too_much = measure_limit().room - (mib << 20)
    if file:
        open(file, "w").write(str((4 << 30) - too_much))
    else:
        resource.setrlimit(resource.RLIMIT_DATA, ((4 << 30) - too_much, resource.RLIM_INFINITY))
    room = measure_limit()
    assert abs(room.room - (mib << 20)) < 8 << 20, room
    assert room.name.startswith(kind), room
"""


def run_with(mib: int, kind: str, program: str, **options) -> str:
    if kind == "RLIMIT_DATA":
        return run_program(LEAVE + program.replace("LEAVE()", f"leave({mib}, {kind!r}, None)"), **options)
    with small_group() as group:
        return run_program(LEAVE + program.replace("LEAVE()", f"leave({mib}, {kind!r}, {str(group)!r})"), **options)


def run_program(program: str, **options) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=250, **options
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def kinds(*names):
    skipped = {
        "cgroup": why_not("cgroup", "epochs"),
        "RLIMIT_DATA": None if sys.platform == "linux" else "Linux enforces RLIMIT_DATA",
    }
    return [
        pytest.param(name, marks=pytest.mark.skipif(skipped[name] is not None, reason=str(skipped[name]))) for name in names
    ]


@pytest.mark.parametrize("kind", kinds("cgroup", "RLIMIT_DATA"))
def test_a_loader_that_needs_more_than_the_default_share_runs_where_there_is_room(kind):
    shown = run_with(
        390,
        kind,
        """
import numpy as np, bitesize as bs
LEAVE()
x = np.broadcast_to(np.arange(15, dtype=np.float32)[:, None], (15, 2 << 20))
with bs.Loader(bs.open(x), batch_size=5, threads=1) as loader:
    seen = sorted(int(batch["x"][row, -1]) for batch in loader for row in range(5))
    assert seen == list(range(15)), seen
    print(loader.plan)
""",
    )
    assert "MiB would be the default share, a quarter of" in shown
    assert "grown to 120 MiB because batches of 5 rows need it" in shown
    assert "bitesize fits exactly" in shown


@pytest.mark.parametrize("kind", kinds("cgroup", "RLIMIT_DATA"))
def test_what_needs_more_than_three_quarters_is_refused_before_it_is_taken(kind):
    shown = run_with(
        390,
        kind,
        """
import numpy as np, bitesize as bs
LEAVE()
x = np.broadcast_to(np.float32(0), (400, 2 << 20))
try:
    bs.Loader(bs.open(x), batch_size=16, threads=1)
except bs.DoesNotFit as error:
    print(error)
""",
    )
    assert "3 batches in memory need 384 MiB" in shown
    assert 'memory="auto" may take at most' in shown
    assert "Lower batch_size to" in shown
    assert 'or raise memory to "' in shown


@pytest.mark.parametrize("kind", kinds("cgroup"))
def test_training_with_validation_runs_where_both_loaders_need_more_than_the_default_share(kind, photos, tmp_path):
    pytest.importorskip("keras")
    pytest.importorskip("jax")
    (tmp_path / "net.py").write_text(
        "import keras\n"
        "def make(shape, classes):\n"
        "    layers = [keras.Input(shape), keras.layers.AveragePooling2D(33), keras.layers.Flatten()]\n"
        "    return keras.Sequential([*layers, keras.layers.Dense(classes)])\n"
    )
    shown = run_with(
        390,
        kind,
        f"""
import numpy as np
import bitesize as bs
from bitesize.cli.app import main
from bitesize.training.backend import load_keras

load_keras()
import jax
jax.numpy.zeros(3).block_until_ready()
LEAVE()
sys.argv = ["bitesize", "train", {str(photos)!r}, "--batch-size", "16", "--image-size", "264", "--epochs", "1", "--val-split", "0.5",
            "--model", {str(tmp_path / "net.py:make")!r}, "--out", {str(tmp_path / "run")!r}]
main()
""",
        env=os.environ | {"KERAS_BACKEND": "jax", "COLUMNS": "300"},
    )
    assert "would be the default share" in shown, shown
    assert "because training and validation with batches of 16 rows need it" in shown
    assert "val_accuracy" in shown
    assert "saved in" in shown
