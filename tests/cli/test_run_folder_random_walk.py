"""A run that is killed, repeated, resumed, made longer, refused and overwritten in random order loses nothing."""

import pytest
from tests.conftest import compiled_once
from tests.programs import run_program


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_finished_model_is_lost_and_no_row_is_trained_twice(tmp_path):
    with compiled_once(tmp_path):
        done = run_program("random_walk", 12, 3, timeout=1780)
    assert done.stdout.count("killed") >= 2
