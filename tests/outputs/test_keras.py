"""What Keras trains on is our order, on each of its backends."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("order_seen_by_keras.py")


def needs(backend: str):
    for name in ("keras", backend):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.mark.framework
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_what_reaches_the_train_step_is_our_order(backend):
    needs(backend)
    done = subprocess.run([sys.executable, str(SCRIPT), backend], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"64 cases in order on {backend}" in done.stdout


PIXELS = Path(__file__).with_name("pixels_seen_by_keras.py")


@pytest.fixture(scope="module")
def looped():
    """Hash what a loop gets with one thread."""
    from tests.outputs.pixels_seen_by_keras import in_a_loop

    return {seed: in_a_loop(1, seed) for seed in (5, 6)}


@pytest.mark.parametrize("threads", [2, 3, 7, 16])
def test_rows_and_pixels_in_a_loop_are_the_same_with_any_threads_and_others_with_another_seed(looped, threads):
    from tests.outputs.pixels_seen_by_keras import in_a_loop

    assert in_a_loop(threads, 5) == looped[5]
    assert looped[5] != looped[6]


@pytest.mark.framework
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_rows_and_pixels_that_reach_the_train_step_are_those_of_a_loop(backend, looped):
    needs(backend)
    done = subprocess.run([sys.executable, str(PIXELS), backend], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    hashes = json.loads(done.stdout.splitlines()[-1])
    assert hashes == {"1, 5": looped[5], "3, 5": looped[5], "16, 5": looped[5], "2, 6": looped[6]}
