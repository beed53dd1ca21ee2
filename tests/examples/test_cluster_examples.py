"""Every example for several processes trains each row once an epoch, over all ranks, and says so."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "clusters"
NEEDS = {
    "torchrun_ddp": ["torch"],
    "distributed_checkpoint": ["torch"],
    "lightning_ddp": ["torch", "lightning"],
    "accelerate_ddp": ["torch", "accelerate"],
    "ray_torch": ["torch", "ray"],
    "ray_jax": ["jax", "ray"],
    "ray_keras": ["keras", "jax", "ray"],
}
pytestmark = pytest.mark.framework


def needs(name):
    for package in NEEDS[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def run(*command):
    """Run a program, and return what it has printed."""
    # Ray of its own for each program, also where another test has a cluster.
    environment = {**os.environ, "RAY_ADDRESS": "local", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, env=environment)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-4000:]
    return done.stdout


def torchrun(name, ranks, *arguments):
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", FOLDER / f"{name}.py", *arguments]
    return run(sys.executable, *map(str, command))


def losses(printed):
    return re.findall(r"loss ([\d.]+)", printed)


def test_there_is_a_test_of_each_example_and_each_is_short():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NEEDS)
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 100, path


def test_torchrun_has_the_same_losses_on_any_number_of_ranks(tmp_path):
    needs("torchrun_ddp")
    one, three = (torchrun("torchrun_ddp", ranks, tmp_path / str(ranks)) for ranks in (1, 3))
    assert "on 3 ranks: 1000 rows, each on one rank" in three
    assert losses(one) == losses(three)
    assert len(losses(one)) == 3


def test_torchrun_goes_on_after_the_last_epoch_that_was_saved(tmp_path):
    needs("torchrun_ddp")
    torchrun("torchrun_ddp", 1, tmp_path)
    assert torchrun("torchrun_ddp", 2, tmp_path) == ""  # nothing is left to train


def test_accelerate_trains_as_torchrun_does(tmp_path):
    needs("accelerate_ddp")
    expected = torchrun("torchrun_ddp", 1, tmp_path)
    assert losses(torchrun("accelerate_ddp", 2)) == losses(expected)


def test_a_distributed_checkpoint_of_two_ranks_is_resumed_on_three(tmp_path):
    needs("distributed_checkpoint")
    assert "2 ranks: 1512 rows in 24 batches, then a checkpoint" in torchrun("distributed_checkpoint", 2, tmp_path / "saved")
    printed = torchrun("distributed_checkpoint", 3, tmp_path / "saved")
    assert "3 ranks: the other 1488 rows; each of 1000 once in each of 3 epochs" in printed


def test_lightning_resumes_within_an_epoch(tmp_path):
    needs("lightning_ddp")
    printed = run(sys.executable, str(FOLDER / "lightning_ddp.py"), str(tmp_path / "run"))
    assert "2 ranks: 1512 rows until the checkpoint, 1488 after it; each of 1000 once in each epoch" in printed


@pytest.mark.slow
@pytest.mark.ranks
@pytest.mark.parametrize("name", ["ray_torch", "ray_keras"] + ["ray_jax"] * (os.environ.get("BITESIZE_TESTS") == "full"))
def test_workers_of_ray_train_every_row_once_in_each_epoch(name, tmp_path):
    needs(name)
    printed = run(sys.executable, str(FOLDER / f"{name}.py"), str(tmp_path / "run"))
    assert "1000 rows once in each of 3 epochs" in printed
    assert (tmp_path / "run" / "killed").exists() == (name == "ray_torch")
    assert float(losses(printed)[-1]) < 0.2
