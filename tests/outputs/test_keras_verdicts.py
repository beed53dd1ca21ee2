"""What bounds a run is the same in a bench and inside `fit`, on each backend of Keras, with validation in between."""

from __future__ import annotations

import importlib.util
import json

import pytest
from tests.programs import run_program


@pytest.mark.framework
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_the_verdict_inside_fit_names_what_the_time_goes_into(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    found = json.loads(run_program("keras_verdicts", timeout=280, KERAS_BACKEND=backend).stdout)
    assert found["a slow function"]["verdict"].startswith("function-bound: your function takes")
    assert found["a slow loop"]["verdict"].startswith("consumer-bound: loading keeps up")
    assert found["a large model"]["verdict"].startswith("consumer-bound: loading keeps up")
    assert found["a slow loop"]["waited"] < found["a slow function"]["waited"]
