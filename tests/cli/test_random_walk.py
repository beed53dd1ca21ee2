"""A run that is killed, repeated, resumed, made longer, refused and overwritten in random order loses nothing."""

import pytest
from tests.cli.random_walk import walk
from tests.conftest import compiled_once


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_finished_model_is_lost_and_no_row_is_trained_twice(tmp_path):
    with compiled_once(tmp_path):
        done = walk(10, seed=3)
    assert sum("killed" in each for each in done) >= 2
