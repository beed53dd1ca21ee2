"""What Keras trains on is our order, on each of its backends."""

import importlib.util
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
