"""What is done to a process from outside ends in order, and in time: signals, forks, threads that die, descriptors used up."""

import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
from tests.programs import run_program
from tests.programs.attacked_loader import write

import bitesize as bs

posix = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals and limits as POSIX has them")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("attacked")
    for kind in ("photographs", "array", "hdf5"):
        write(kind, top / kind)
    return top


def _attack(name: str, folder: Path) -> None:
    done = run_program("attacked_loader", name, folder, timeout=200)
    said = "" if name.startswith("interrupted") else done.stderr.strip()  # Python itself may tell of a lost Ctrl-C
    assert (done.stdout.strip(), said) == ("done", ""), done.stderr[-3000:]


@posix
@pytest.mark.parametrize(
    "kind", ["photographs", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("array", "hdf5"))]
)
@pytest.mark.parametrize("what", ["interrupted_loop", "interrupted_block"])
def test_ctrl_c_at_two_hundred_moments_ends_at_once_and_everything_works_after_it(folders, what, kind):
    _attack(what, folders / kind)


@posix
@pytest.mark.parametrize("kind", ["photographs", "array", "hdf5"])
def test_64_descriptors_are_enough_for_any_number_of_threads(folders, kind):
    _attack("few_descriptors", folders / kind)


@posix
def test_without_descriptors_it_is_an_error_that_says_so(folders):
    _attack("no_descriptors", folders / "photographs")


@pytest.mark.parametrize("kind", ["photographs", "array"])
def test_a_thread_that_dies_is_told(folders, kind):
    _attack("dying_thread", folders / kind)


@pytest.mark.parametrize("what", ["ends_while_running", "exits_while_running"])
@pytest.mark.parametrize("kind", ["photographs", "array", "hdf5"])
def test_a_program_that_ends_while_threads_work_ends(folders, what, kind):
    _attack(what, folders / kind)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("kind", [pytest.param("photographs", marks=pytest.mark.slow), "array"])
def test_a_fork_in_the_middle_is_a_clear_error_in_the_child_and_nothing_to_the_parent(folders, kind):
    _attack("forked_while_running", folders / kind)


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_in_a_users_function_at_a_hundred_places(folders, threads):
    """It arrives with its own traceback, the path, the row and the epoch; and the loader goes on after it."""
    chance = random.Random(0)
    wrong: set[int] = set()

    def function(x: np.ndarray) -> np.ndarray:
        if int(x[0]) in wrong:
            raise ZeroDivisionError(f"row {int(x[0])}")
        return x

    source = bs.open(folders / "array" / "a.npy")
    output = bs.Field((8,), np.dtype(np.float64))
    with bs.Loader(
        source, batch_size=50, transforms=[bs.Map(function, output=output)], memory="16 MiB", threads=threads
    ) as loader:
        for attempt in range(100):
            loader.set_epoch(attempt)
            wrong = {chance.randrange(4000)}
            with pytest.raises(ZeroDivisionError) as caught:
                for _ in loader:
                    pass
            assert str(caught.value) == f"row {min(wrong)}"
            frames = caught.traceback
            assert frames[-1].path == Path(__file__)
            assert frames[-1].name == "function"
            notes = " ".join(caught.value.__notes__)
            assert f"epoch {attempt}" in notes
            assert f"row {min(wrong)}" in notes
            wrong = set()
            if attempt % 10 == 0:
                assert sum(len(batch.rows) for batch in loader) == 4000
