"""Every output gives the batches of a loop: the same rows, values and order, for two epochs and after a resume.

What Keras trains on is told by test_keras.py, in the same terms.
"""

import functools
import importlib.util
import json
import subprocess
import sys
from collections import deque

import numpy as np
import pytest
from tests.programs import run_program

import bitesize as bs
from bitesize.engine.loader import driver_of
from bitesize.outputs.base import Epochs

FRAMEWORK = pytest.mark.framework


@functools.cache
def seen_by(name):
    return json.loads(run_program("every_output", name, timeout=280).stdout)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("sklearn", "sklearn"),
        ("jax", "jax"),
        pytest.param("torch", "torch", marks=FRAMEWORK),
        pytest.param("torch DataLoader", "torch", marks=FRAMEWORK),
        pytest.param("tensorflow", "tensorflow", marks=FRAMEWORK),
    ],
)
def test_an_output_gives_what_a_loop_is_given_also_after_a_resume(name, package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    expected = seen_by("numpy")
    assert expected["whole"] == expected["resumed"]
    assert len(set(expected["whole"])) == 12
    found = seen_by(name)
    assert found["whole"] == expected["whole"]
    assert found["resumed"] == expected["whole"]


class Ahead(Epochs):
    """Sends batches ahead to where they are; notes how many are under way."""

    def __init__(self, loader, ahead):
        super().__init__(loader, ahead)
        self.under_way, self.most = deque(), 0
        driver_of(loader).hold(1 + ahead)

    def __iter__(self):
        self.under_way.clear()
        return super().__iter__()

    def _send(self, batch):
        self.under_way.append(batch.position)
        self.most = max(self.most, len(self.under_way))
        return batch

    def _receive(self, under_way):
        assert self.under_way.popleft() == under_way.position
        return under_way


def make_loader(**settings):
    settings = {"batch_size": 8, "memory": "16 MiB", "seed": 2} | settings
    return bs.Loader(bs.open(np.arange(200, dtype=np.float32).reshape(50, 4), np.arange(50)), **settings)


@pytest.mark.parametrize("ahead", [0, 1, 2, 9])
def test_the_state_is_behind_the_last_batch_that_was_handed_out_whatever_was_sent_ahead(ahead):
    with make_loader() as loader:
        whole = [batch["y"].tolist() for _ in range(3) for batch in loader]
    for k in range(15):
        with make_loader() as loader:
            output, seen = Ahead(loader, ahead), []
            while len(seen) < k:
                for batch in output:
                    seen.append(batch["y"].tolist())
                    if len(seen) == k:
                        break
            state = output.state_dict()
            assert output.most == (min(ahead + 1, 7) if k else 0)
        with make_loader(threads=1) as loader:
            output = Ahead(loader, ahead)
            output.load_state_dict(state)
            while len(seen) < 21:
                seen += [batch["y"].tolist() for batch in output]
        assert seen == whole, k


def test_a_loop_that_is_left_repeats_its_epoch_and_set_epoch_chooses_one():
    with make_loader() as loader:
        output = Ahead(loader, 2)
        first = [batch["y"].tolist() for batch, _ in zip(output, range(3), strict=False)]
        assert [batch["y"].tolist() for batch in output][:3] == first
        assert loader.epoch == 1
        output.set_epoch(0)
        assert next(iter(output))["y"].tolist() == first[0]


def test_a_newer_loop_ends_the_older_one():
    with make_loader() as loader:
        output = Ahead(loader, 1)
        older = iter(output)
        next(older)
        newer = iter(output)
        next(newer)
        with pytest.raises(bs.LoaderClosed, match="newer"):
            next(older)
        assert sum(len(batch["y"]) for batch in newer) == 42


@pytest.mark.parametrize("name", ["to_torch", "to_jax", "to_tensorflow", "to_keras"])
def test_a_package_that_is_missing_is_named_with_its_install_line(name):
    package = {"to_torch": "torch", "to_jax": "jax", "to_tensorflow": "tensorflow", "to_keras": "keras"}[name]
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import numpy as np, bitesize as bs\n"
        "loader = bs.Loader(bs.open(np.ones((4, 2))), batch_size=2, memory='16 MiB')\n"
        "try:\n"
        f"    bs.{name}(loader)\n"
        "except bs.MissingPackage as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)
    assert f"pip install {package}" in done.stdout, done.stderr
