"""The rank of a process is what the framework that started it says, and a disagreement is one line of the log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest

import bitesize as bs
from bitesize.engine.distributed import shard_of_this_process


def run(program: str, *arguments: object, environment: dict[str, str] | None = None) -> str:
    names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=inherited | (environment or {}), stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_torchrun_says_rank_and_world_size():
    assert shard_of_this_process({"RANK": "2", "WORLD_SIZE": "4"}) == bs.Shard(2, 4)
    assert shard_of_this_process({}) == bs.Shard(0, 1)


@pytest.mark.parametrize(
    "environment", [{"RANK": "1"}, {"WORLD_SIZE": "2"}, {"RANK": "x", "WORLD_SIZE": "2"}, {"RANK": "2", "WORLD_SIZE": "2"}]
)
def test_variables_that_cannot_be_are_refused(environment):
    with pytest.raises(bs.BadSetting, match=r"rank must be|RANK and WORLD_SIZE"):
        shard_of_this_process(environment)


GLOO = """
    import logging, os, sys, tempfile
    logging.basicConfig(level="WARNING", format="%(message)s", stream=sys.stdout)
    import torch.distributed as dist
    import bitesize as bs
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
    for _ in range(3):
        with bs.Loader(bs.open(list(range(8))), batch_size=4, memory="16 MiB", shard="auto") as loader:
            print(loader.shard)
    dist.destroy_process_group()
"""


@pytest.mark.framework
@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        ({}, 0),
        ({"RANK": "0", "WORLD_SIZE": "1"}, 0),
        ({"RANK": "3", "WORLD_SIZE": "4"}, 1),
        ({"RANK": "nonsense"}, 0),
    ],
)
def test_what_is_initialized_wins_over_the_environment_and_one_line_says_so(tmp_path, environment, lines):
    pytest.importorskip("torch")
    told = run(GLOO, tmp_path / "met", environment=environment)
    assert told.count("Shard(rank=0, world_size=1)") == 3
    line = 'shard="auto" is rank 0 of 1, as torch.distributed says; the environment (RANK, WORLD_SIZE) says rank 3 of 4'
    assert told.count(line) == lines


RAY = """
    import json, os, pathlib, sys
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TRAIN_V2_ENABLED": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    import ray
    import bitesize as bs
    from bitesize.memory.local_ranks import local_ranks
    assert local_ranks().count == 1
    folder, trainer = pathlib.Path(sys.argv[1]), sys.argv[2]
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    import ray.train
    from ray.train import RunConfig, ScalingConfig
    if trainer == "torch":
        from ray.train.torch import TorchTrainer as Trainer
    else:
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer as Trainer

    def told():
        import os
        from bitesize.engine.distributed import shard_of_this_process
        from bitesize.memory.limits import processor_share, usable_cpus
        with bs.Loader(bs.open(list(range(20))), batch_size=5, memory="16 MiB", shard="auto", last="drop") as loader:
            rows = [row for batch in loader for row in batch["x"].tolist()]
        shard, share = loader.shard, (processor_share(), usable_cpus())
        alone = shard_of_this_process({})
        os.environ.pop("LOCAL_WORLD_SIZE", None)  # of torch: Ray Train itself says the same
        ranks = local_ranks()
        return {"shard": [shard.rank, shard.world_size], "alone": [alone.rank, alone.world_size], "rows": rows,
                "share": share, "ranks": [ranks.count, ranks.origin], "origin": bs.Budget().origin}

    def loop():
        rank = ray.train.get_context().get_world_rank()
        (folder / f"{rank}.json").write_text(json.dumps(told()))

    with bs.Loader(bs.open([1]), batch_size=1, memory="16 MiB", shard="auto") as loader:
        assert loader.shard == bs.Shard()  # the program that starts the workers is none of them
    scaling = ScalingConfig(num_workers=2)
    Trainer(loop, scaling_config=scaling, run_config=RunConfig(storage_path=str(folder / "runs"))).fit()
    ray.shutdown()
"""


@pytest.mark.slow
@pytest.mark.framework
@pytest.mark.parametrize("trainer", ["torch", "data parallel"])
def test_workers_of_ray_train_divide_the_rows_and_their_host(tmp_path, trainer):
    for package in ("ray", "pandas", "torch"):  # not imported: Ray Train would be part of this process
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    run(RAY, tmp_path, trainer)
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    for rank, said in enumerate(told):
        assert said["shard"] == said["alone"] == [rank, 2]
        assert said["ranks"] == [2, "Ray Train"]
        assert said["origin"].endswith("divided among 2 ranks (Ray Train)")
        share, usable = said["share"]
        assert share == max(1, usable // 2)
    assert sorted(told[0]["rows"] + told[1]["rows"]) == list(range(20))
