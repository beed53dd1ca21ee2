"""What is PyTorch's own about its output."""

import gc
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import bitesize as bs

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.framework, pytest.mark.filterwarnings("ignore")]  # PyTorch's, about itself


def make_loader(x=None, **settings):
    x = np.arange(50 * 6 * 5 * 3, dtype=np.float32).reshape(50, 6, 5, 3) if x is None else x
    settings = {"batch_size": 8, "memory": "16 MiB", "shuffle": False} | settings
    return bs.Loader(bs.open(x, np.arange(50)), **settings)


def test_tensors_look_at_the_slot_and_hold_it():
    with make_loader() as loader:
        batches = iter(bs.to_torch(loader))
        first = next(batches)["x"]
        kept = first.clone()
        inside = first[3:5, 0]  # a view of a view holds it as well
        del first
        gc.collect()
        for _ in range(4):
            next(batches)
        assert torch.equal(inside, kept[3:5, 0])
        with pytest.raises(bs.BatchesHeld):
            _ = [batch["x"] for batch in bs.to_torch(loader)]


def test_images_are_channels_last_without_a_copy_unless_told_otherwise():
    x = np.random.default_rng(0).random((50, 6, 5, 3), np.float32)
    with make_loader(x) as loader:
        batch = next(iter(bs.to_torch(loader)))
        assert batch["x"].shape == (8, 3, 6, 5)
        assert batch["x"].is_contiguous(memory_format=torch.channels_last)
        assert np.array_equal(batch["x"].permute(0, 2, 3, 1).numpy(), x[:8])
        assert next(iter(bs.to_torch(loader, channels_last=False)))["x"].shape == (8, 6, 5, 3)
    with make_loader(x, layout="CHW") as loader:
        batch = next(iter(bs.to_torch(loader)))
        assert batch["x"].shape == (8, 3, 6, 5)
        assert batch["x"].is_contiguous()
        with pytest.raises(bs.BadSetting, match="CHW"):
            bs.to_torch(loader, channels_last=True)
    with make_loader(np.zeros((50, 7, 3))) as loader:
        assert next(iter(bs.to_torch(loader)))["x"].shape == (8, 7, 3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "uint8", "int16", "bool", "complex64"])
def test_numbers_of_every_kind_keep_their_values(dtype):
    pytest.importorskip("ml_dtypes")
    x = np.random.default_rng(0).integers(0, 2, (50, 4)).astype(np.float32 if dtype == "bfloat16" else dtype)
    with make_loader(x, dtype="bfloat16" if dtype == "bfloat16" else None) as loader:
        tensor = next(iter(bs.to_torch(loader)))["x"]
        assert str(tensor.dtype) == f"torch.{dtype}"
        assert np.array_equal(tensor.to(torch.complex64).numpy(), x[:8].astype(np.complex64))


def test_a_mask_comes_with_rows_that_may_be_none():
    with make_loader(last="pad") as loader:
        for last in bs.to_torch(loader):
            pass
        assert last["mask"].tolist() == [True, True] + [False] * 6
        assert last.rows.tolist()[:2] == [48, 49]
    with make_loader() as loader:
        assert set(next(iter(bs.to_torch(loader)))) == {"x", "y"}


def test_in_a_dataloader_epochs_follow_and_batches_keep_their_kind():
    with make_loader(shuffle=True) as loader:
        data = torch.utils.data.DataLoader(bs.to_torch(loader), batch_size=None)
        assert len(data) == 7
        epochs = [torch.cat([batch["y"].clone() for batch in data]).tolist() for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_worker_processes_are_refused_with_the_reason(context):
    with make_loader() as loader:
        data = torch.utils.data.DataLoader(
            bs.to_torch(loader), batch_size=None, num_workers=2, multiprocessing_context=context
        )
        with pytest.raises(bs.BadSetting, match="num_workers must be 0"):
            next(iter(data))


def test_settings_that_cannot_be_are_refused():
    with make_loader() as loader, pytest.raises(bs.BadSetting, match="pass device="):
        bs.to_torch(loader, pin_memory=True)
    with (
        make_loader(np.zeros(50, "datetime64[s]")) as loader,
        pytest.raises(bs.BadSetting, match="PyTorch does not support"),
    ):
        bs.to_torch(loader)


def test_ranks_come_from_torchs_own_set_up(tmp_path):
    program = textwrap.dedent("""
        import os, sys
        import numpy as np, torch, torch.distributed as dist
        import bitesize as bs
        dist.init_process_group("gloo")
        data = bs.open(np.arange(40.0), np.arange(40))
        try:
            with bs.Loader(data, batch_size=8, memory="16 MiB", threads=1) as loader:
                bs.to_torch(loader)
        except bs.BadSetting as error:
            assert 'shard="auto"' in str(error)
        else:
            raise AssertionError("every rank would train on all rows")
        with bs.Loader(data, batch_size=8, memory="16 MiB", threads=1, shard="auto") as loader:
            seen = torch.cat([batch["y"].clone() for batch in bs.to_torch(loader)])
        all_of = [torch.empty_like(seen) for _ in range(dist.get_world_size())]
        dist.all_gather(all_of, seen)
        assert sorted(torch.cat(all_of).tolist()) == list(range(40)), all_of
        sys.stdout.write(f"rank {dist.get_rank()} of {dist.get_world_size()} {len(seen)}\\n")
        dist.destroy_process_group()
    """)
    script = tmp_path / "ranks.py"
    script.write_text(program)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "rank 0 of 2 20" in done.stdout
    assert "rank 1 of 2 20" in done.stdout


@pytest.mark.framework
def test_under_accelerate_model_and_optimizer_are_prepared_and_each_rank_takes_its_rows(tmp_path):
    pytest.importorskip("accelerate")
    program = textwrap.dedent("""
        import sys
        import accelerate, numpy as np, torch
        import bitesize as bs
        accelerator = accelerate.Accelerator(cpu=True)
        y = np.arange(240) % 2
        x = (np.random.default_rng(0).normal(size=(240, 4)) + 3 * y[:, None]).astype(np.float32)
        loader = bs.Loader(bs.open(x, y), batch_size=16, memory="16 MiB", threads=1, shard="auto")
        model = torch.nn.Linear(4, 2)
        model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), 0.1))
        for _ in range(5):
            rows, right = [], 0
            for batch in bs.to_torch(loader):
                out = model(batch["x"])
                accelerator.backward(torch.nn.functional.cross_entropy(out, batch["y"]) * batch.weight)
                optimizer.step()
                optimizer.zero_grad()
                rows += batch.rows.tolist()
                right += int((out.argmax(1) == batch["y"]).sum())
        assert right / len(rows) > 0.9, right / len(rows)
        together = accelerator.gather(torch.tensor(rows)).tolist()
        assert sorted(together) == list(range(240)), len(set(together))
        sys.stdout.write(f"rank {accelerator.process_index} of {accelerator.num_processes} {len(rows)}\\n")
        accelerator.end_training()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    """)
    script = tmp_path / "accelerated.py"
    script.write_text(program)
    alone = [sys.executable, str(script)]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    for command, expected in (alone, ["rank 0 of 1 240"]), (two, ["rank 0 of 2 120", "rank 1 of 2 120"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr[-3000:]
        assert all(line in done.stdout for line in expected), done.stdout


def test_a_weight_that_matters_and_is_lost_on_the_way_is_told():
    moved = lambda batch: type(batch)({name: tensor.clone() for name, tensor in batch.items()})  # noqa: E731 - as Lightning does
    settings = {"batch_size": 5, "memory": "16 MiB", "threads": 1}
    with bs.Loader(bs.open(np.arange(40.0)), shard=bs.Shard(0, 2), **settings) as loader:
        batch = next(iter(bs.to_torch(loader)))
        assert batch.weight == pytest.approx(2 * 2 / 5)
        with pytest.raises(bs.BadSetting, match="weight of this batch is unknown"):
            moved(batch).weight  # noqa: B018
    with bs.Loader(bs.open(np.arange(40.0)), **settings) as loader:
        assert moved(next(iter(bs.to_torch(loader)))).weight == 1.0


def test_lightning_predicts_in_the_order_of_the_rows_or_not_at_all(tmp_path):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def predict_step(self, batch, index):
            return batch["y"].clone()

    settings = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(**settings, enable_checkpointing=False, default_root_dir=tmp_path)
    with make_loader() as loader:
        for data in (bs.to_torch(loader), torch.utils.data.DataLoader(bs.to_torch(loader), batch_size=None)):
            assert torch.cat(trainer.predict(Module(), data)).tolist() == list(range(50))
    for wrong in ({"shuffle": True}, {"last": "drop"}):
        with make_loader(**wrong) as loader, pytest.raises(bs.BadSetting, match=r"trainer.predict"):
            trainer.predict(Module(), bs.to_torch(loader))


def test_sample_weights_are_a_field_like_others():
    source = bs.zip(bs.open(np.zeros((10, 2)), np.arange(10)), w=bs.open(np.arange(10.0)))
    source.weight_name = "w"
    with bs.Loader(source, batch_size=10, memory="16 MiB") as loader:
        batch = next(iter(bs.to_torch(loader)))
        assert batch["w"].tolist() == batch["y"].tolist()
