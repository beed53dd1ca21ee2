"""The demos of single tasks."""

import pytest

pytest.importorskip("keras")
from bitesize.cli.demo_tasks import demo_task


@pytest.mark.slow
@pytest.mark.parametrize("task", ["segment", "volumes"])
def test_the_model_is_clearly_better_than_the_trivial_answer(tmp_path, task):
    found = demo_task(task, tmp_path)
    assert found.value > found.trivial + 0.2
