"""What is JAX's own about its output."""

import os
import socket
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine import holding
from bitesize.engine.loader import driver_of

jax = pytest.importorskip("jax")


def make_loader(**settings):
    x = np.arange(50 * 4, dtype=np.float32).reshape(50, 4)
    settings = {"batch_size": 8, "memory": "16 MiB", "last": "pad", "shuffle": False} | settings
    return bs.Loader(bs.open(x, np.arange(50)), **settings)


def run(program, **environment):
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=200, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_step_is_compiled_once_and_the_mask_tells_rows_that_are_none():
    traced = []

    @jax.jit
    def step(batch):
        traced.append(1)
        return (batch["x"].sum(axis=1) * batch["mask"]).sum()

    with make_loader() as loader:
        total = sum(float(step(batch)) for batch in bs.to_jax(loader))
    assert total == np.arange(200).sum()
    assert len(traced) == 1


def slow_means(sorts):
    """Compile a step that takes long: the mean of each row, and beside it so many sorts of it."""

    def step(x):
        y = x
        for turn in range(sorts):
            y = jax.numpy.sort(jax.numpy.sin(y + turn), axis=1)
        return y.sum(axis=1) * 0 + x.mean(axis=1)

    return jax.jit(step)


def test_arrays_keep_their_values_while_a_step_still_looks_at_them():
    """JAX begins a step and goes on: the memory of its batch must not be filled anew before it has ended."""
    x = np.repeat(np.arange(64, dtype=np.float32), 200_000).reshape(64, 200_000)
    slow = slow_means(sorts=1)
    with bs.Loader(bs.open(x), batch_size=4, memory="64 MiB", shuffle=False) as loader:
        sums = [slow(batch["x"]) for batch in bs.to_jax(loader)]
    np.testing.assert_allclose(np.concatenate(sums), np.arange(64))


def test_arrays_of_a_plain_cpu_are_not_copied():
    with bs.Loader(bs.open(np.ones((64, 4096), np.float32)), batch_size=16, memory="16 MiB", shuffle=False) as loader:
        batches = iter(bs.to_jax(loader))
        first = next(batches)["x"]
        slots = {slot.memory.ctypes.data for slot in driver_of(loader)._resources.ring.slots}
        assert first.unsafe_buffer_pointer() in slots


def test_grains_names_are_those_of_the_state():
    with make_loader() as loader:
        output = bs.to_jax(loader)
        batches = iter(output)
        seen = [next(batches)["y"].tolist() for _ in range(3)]
        state = output.get_state()
        assert state == output.state_dict() == loader.state_dict()
        rest = [batch["y"].tolist() for batch in batches]
    with make_loader() as loader:
        output = bs.to_jax(loader)
        output.set_state(state)
        assert [batch["y"].tolist() for batch in output] == rest
    assert len(seen) + len(rest) == len(output)


def test_what_would_compile_twice_or_not_divide_is_refused_before_the_first_batch():
    with make_loader(last="short") as loader, pytest.raises(bs.BadSetting, match='last="pad"'):
        bs.to_jax(loader)
    with make_loader(shard=bs.Shard(0, 3)) as loader, pytest.raises(bs.BadSetting, match="3 ranks"):
        bs.to_jax(loader)
    one = jax.devices()[0]
    with make_loader() as loader, pytest.raises(bs.BadSetting, match="pass either device= or sharding="):
        bs.to_jax(loader, device=one, sharding=jax.sharding.SingleDeviceSharding(one))


def test_a_sharding_spreads_a_batch_over_eight_devices():
    told = run(
        """
        import numpy as np, jax, bitesize as bs
        from jax.sharding import Mesh, NamedSharding, PartitionSpec
        mesh = Mesh(np.array(jax.devices()), ("data",))
        sharding = NamedSharding(mesh, PartitionSpec("data"))
        x = np.random.default_rng(0).random((50, 4, 3), np.float32)
        step = jax.jit(lambda batch: (batch["x"].sum(axis=(1, 2)) * batch["mask"]).sum())
        with bs.Loader(bs.open(x), batch_size=16, memory="16 MiB", last="pad", shuffle=False) as loader:
            for turn in range(2):
                total = 0.0
                for batch in bs.to_jax(loader, sharding=sharding):
                    assert len(batch["x"].sharding.device_set) == 8
                    assert {shard.data.shape for shard in batch["x"].addressable_shards} == {(2, 4, 3)}
                    total += float(step(batch))
                assert np.isclose(total, x.sum()), (total, x.sum())
        try:
            with bs.Loader(bs.open(x), batch_size=12, memory="16 MiB", last="pad") as loader:
                bs.to_jax(loader, sharding=sharding)
        except bs.BadSetting as error:
            print("refused:", error)
        print(len(jax.devices()), "devices")
        """,
        XLA_FLAGS="--xla_force_host_platform_device_count=8",
    )
    assert "8 devices" in told
    assert "refused: the field 'x' of 12 rows cannot be sharded" in told


def test_two_processes_share_each_batch():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    program = f"""
        import sys
        import numpy as np, jax, bitesize as bs
        from jax.sharding import Mesh, NamedSharding, PartitionSpec
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize("localhost:{port}", 2, int(sys.argv[1]))
        sharding = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
        x = np.random.default_rng(0).random((50, 4), np.float32)
        settings = dict(batch_size=16, memory="16 MiB", last="pad", shuffle=True, seed=5)
        with bs.Loader(bs.open(x), **settings) as alone:
            try:
                bs.to_jax(alone, sharding=sharding)
            except bs.BadSetting as error:
                assert 'shard="auto"' in str(error)
            expected = [batch["x"].copy() for batch in alone]
        step = jax.jit(lambda batch: (batch["x"].sum(axis=1) * batch["mask"]).sum())
        with bs.Loader(bs.open(x), shard="auto", **settings) as loader:
            assert loader.shard == bs.Shard(jax.process_index(), 2)
            total = 0.0
            for batch, whole in zip(bs.to_jax(loader, sharding=sharding), expected, strict=True):
                assert batch["x"].shape == (16, 4)
                for shard in batch["x"].addressable_shards:
                    assert np.array_equal(shard.data, whole[shard.index])
                total += float(step(batch))
        assert np.isclose(total, x.sum()), (total, x.sum())
        pixels = np.random.default_rng(0).integers(0, 256, (50, 4), np.uint8)
        with bs.Loader(bs.open(pixels), shard="auto", **settings) as loader:
            batches = bs.to_jax(loader, sharding=sharding, normalize=bs.Scale(1 / 255))
            total = sum(float(step(batch)) for batch in batches)
        assert np.isclose(total, (pixels / 255).sum()), (total, (pixels / 255).sum())
        print("process", jax.process_index(), "saw all")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    running = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for rank, process in enumerate(running):
        out, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors[-3000:]
        assert f"process {rank} saw all" in out


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_steps_that_take_long_hold_their_batches_for_as_long():
    """JAX begins a step and goes on to the next: the batches of all those that have not ended yet are held."""

    def wait(x):
        time.sleep(0.6)
        return x

    step = jax.jit(lambda x: jax.pure_callback(wait, jax.ShapeDtypeStruct((), np.float32), x.sum()))
    x = np.repeat(np.arange(24, dtype=np.float32), 2000).reshape(24, 2000)
    with bs.Loader(bs.open(x), batch_size=2, memory="16 MiB", shuffle=False) as loader:
        sums = [step(batch["x"]) for batch in bs.to_jax(loader)]
    assert [float(each) for each in sums] == [(4 * k + 1) * 2000 for k in range(12)]


def make_wide_loader(x=None):
    x = np.repeat(np.arange(24, dtype=np.float32), 2000).reshape(24, 2000) if x is None else x
    return bs.Loader(bs.open(x, np.arange(len(x))), batch_size=2, memory="64 MiB", shuffle=False)


def test_arrays_that_a_program_keeps_are_an_error_with_what_copies_them(monkeypatch):
    monkeypatch.setattr(holding, "KEPT_SECONDS", 0.3)
    with make_wide_loader() as loader:
        with pytest.raises(bs.BatchesHeld, match=r"jnp\.array\(x, copy=True\)"):
            list(bs.to_jax(loader))
        kept = [(jax.numpy.array(batch["x"], copy=True), batch["y"]) for batch in bs.to_jax(loader)]
    assert [float(x[0, 0]) for x, _ in kept] == list(range(0, 24, 2))
    assert np.concatenate([y for _, y in kept]).tolist() == list(range(24))


@pytest.mark.slow
def test_what_a_step_still_looks_at_is_waited_for_beyond_that(monkeypatch):
    """A step that was begun holds the memory of its batch, and no array."""
    monkeypatch.setattr(holding, "KEPT_SECONDS", 0.0)
    x = np.repeat(np.arange(12, dtype=np.float32), 1_000_000).reshape(12, 1_000_000)
    slow = slow_means(sorts=8)
    with make_wide_loader(x) as loader, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sums = [slow(batch["x"]) for batch in bs.to_jax(loader)]
        np.testing.assert_allclose(np.concatenate(sums), np.arange(12))
    assert "a running step may release some" in str(said[0].message)
