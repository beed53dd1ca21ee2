"""Batches on a GPU, where there is one: the same rows, whatever is still under way when slots are used again."""

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine.loader import driver_of

pytestmark = [pytest.mark.framework, pytest.mark.filterwarnings("ignore")]  # the frameworks', about themselves

ROWS, EPOCHS = 203, 3


@pytest.fixture(scope="module", autouse=True)
def cuda_has_begun():
    """CUDA keeps descriptors of its own, which are none that a test left open."""
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        some = torch.ones(8, 8, device="cuda")
        (some @ some).cpu()


def make_loader(**settings):
    x = np.random.default_rng(0).integers(0, 256, (ROWS, 64, 64, 3), np.uint8)
    settings = {"batch_size": 16, "memory": "64 MiB", "last": "drop", "transforms": [bs.Normalize("imagenet")]} | settings
    return bs.Loader(bs.open(x, np.arange(ROWS)), **settings)


def wanted(**settings):
    """What a plain loop gives."""
    with make_loader(**settings) as loader:
        return [{name: array.copy() for name, array in batch.items()} for _ in range(EPOCHS) for batch in loader]


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU")
    return torch


@pytest.fixture
def gpu():
    jax = pytest.importorskip("jax")
    try:
        return jax.devices("gpu")[0]
    except RuntimeError:
        pytest.skip("JAX sees no GPU")


@pytest.mark.parametrize("pinned", ["auto", False])
def test_pytorch_gets_the_rows_of_a_plain_loop_however_far_the_gpu_is_behind(torch, pinned):
    work = torch.rand(4096, 4096, device="cuda")
    with make_loader() as loader:
        batches = bs.to_torch(loader, "cuda", pin_memory=pinned)
        seen = []
        for _ in range(EPOCHS):
            for batch in batches:
                for _ in range(4):  # the stream of the user is behind by some milliseconds a batch
                    work = (work @ work).clamp(0, 1)
                seen.append({name: tensor.clone() for name, tensor in batch.items()})
        for got, there in zip(seen, wanted(), strict=True):
            assert got["x"].device.type == "cuda"
            assert got["x"].is_contiguous(memory_format=torch.channels_last)
            assert np.array_equal(got["x"].permute(0, 2, 3, 1).cpu().numpy(), there["x"])
            assert np.array_equal(got["y"].cpu().numpy(), there["y"])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_pytorch_normalizes_on_the_gpu_however_far_it_is_behind(torch, dtype):
    work = torch.rand(4096, 4096, device="cuda")
    with make_loader(transforms=[], last="pad") as loader:
        batches = bs.to_torch(loader, "cuda", normalize=bs.Normalize("imagenet"), dtype=dtype)
        seen = []
        for _ in range(EPOCHS):
            for batch in batches:
                for _ in range(4):
                    work = (work @ work).clamp(0, 1)
                seen.append({name: tensor.clone() for name, tensor in batch.items()})
        assert "normalized batches" not in loader.plan.as_dict()["parts"]  # they are in the memory of the GPU
    for got, there in zip(seen, wanted(last="pad"), strict=True):
        assert got["x"].dtype == getattr(torch, dtype)
        assert got["x"].is_contiguous(memory_format=torch.channels_last)
        tolerance = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
        np.testing.assert_allclose(got["x"].float().permute(0, 2, 3, 1).cpu().numpy(), there["x"], atol=tolerance)
        assert np.array_equal(got["y"].cpu().numpy(), there["y"])


def test_pytorch_normalizes_16_bit_values_on_the_gpu(torch):
    x = np.random.default_rng(0).integers(0, 65_536, (32, 16, 16, 3)).astype(np.uint16)
    steps = [bs.Scale(1 / 65_535), bs.Normalize(0.5, 0.25)]
    settings = {"batch_size": 8, "memory": "16 MiB", "shuffle": False, "layout": "CHW"}
    with bs.Loader(bs.open(x), **settings) as loader:
        found = [batch["x"].cpu().numpy() for batch in bs.to_torch(loader, "cuda", normalize=steps)]
    np.testing.assert_allclose(np.concatenate(found), ((x / 65_535 - 0.5) / 0.25).transpose(0, 3, 1, 2), atol=1e-5)


def test_pytorch_keeps_a_place_that_does_not_count_what_was_sent_ahead(torch):
    with make_loader() as loader:
        batches = iter(bs.to_torch(loader, "cuda"))
        for _ in range(3):
            next(batches)
        state = loader.state_dict()
    with make_loader() as loader:
        loader.load_state_dict(state)
        batch = next(iter(bs.to_torch(loader, "cuda")))
        assert np.array_equal(batch["y"].cpu().numpy(), wanted()[3]["y"])


def test_tensors_that_are_kept_on_the_gpu_keep_no_slot(torch):
    with make_loader() as loader:
        kept = [batch["y"] for _ in range(EPOCHS) for batch in bs.to_torch(loader, "cuda")]
        assert [tensor.tolist() for tensor in kept] == [batch["y"].tolist() for batch in wanted()]


def test_memory_that_cannot_be_locked_is_copied_from_all_the_same(torch):
    with make_loader() as loader:
        cudart, slots = torch.cuda.cudart(), []
        driver_of(loader).each_slot(lambda memory: slots.append((memory.ctypes.data, memory.nbytes)))
        taken = tuple(slots)  # to_torch adds slots that can be locked
        assert all(int(cudart.cudaHostRegister(*each, 0)) == 0 for each in taken)  # a second time it is refused
        got = [batch["y"].tolist() for _ in range(EPOCHS) for batch in bs.to_torch(loader, "cuda")]
        assert got == [batch["y"].tolist() for batch in wanted()]
        assert all(int(cudart.cudaHostUnregister(address)) == 0 for address, _ in taken)


def test_page_locked_memory_is_given_back(torch):
    for _ in range(3):  # pages that are still locked could not be locked again at the same address
        with make_loader() as loader:
            batch = next(iter(bs.to_torch(loader, "cuda")))
            assert int(batch["y"].sum()) >= 0
    again = torch.empty(1 << 24, dtype=torch.uint8, pin_memory=True)
    assert again.is_pinned()


def test_jax_gets_the_rows_of_a_plain_loop_however_far_the_gpu_is_behind(gpu):
    import jax
    import jax.numpy as jnp

    multiply = jax.jit(lambda work: jnp.clip(work @ work, 0, 1))
    with make_loader() as loader:
        batches = bs.to_jax(loader, device=gpu)
        work = jax.device_put(np.ones((4096, 4096), np.float32), gpu)
        seen = []
        for _ in range(EPOCHS):
            for batch in batches:
                for _ in range(4):
                    work = multiply(work)
                seen.append(batch)
        for got, there in zip(seen, wanted(), strict=True):
            assert got["x"].devices() == {gpu}
            assert np.array_equal(np.asarray(got["x"]), there["x"])
            assert np.array_equal(np.asarray(got["y"]), there["y"])


@pytest.mark.parametrize("sharded", [False, True])
def test_jax_normalizes_on_the_gpu_however_far_it_is_behind(gpu, sharded):
    import jax
    import jax.numpy as jnp

    multiply = jax.jit(lambda work: jnp.clip(work @ work, 0, 1))
    where = {"sharding": jax.sharding.SingleDeviceSharding(gpu)} if sharded else {"device": gpu}
    with make_loader(transforms=[], last="pad") as loader:
        batches = bs.to_jax(loader, normalize=bs.Normalize("imagenet"), **where)
        work = jax.device_put(np.ones((4096, 4096), np.float32), gpu)
        seen = []
        for _ in range(EPOCHS):
            for batch in batches:
                for _ in range(4):
                    work = multiply(work)
                seen.append(batch)
        assert "normalized batches" not in loader.plan.as_dict()["parts"]
    for got, there in zip(seen, wanted(last="pad"), strict=True):
        assert got["x"].devices() == {gpu}
        np.testing.assert_allclose(np.asarray(got["x"]), there["x"], atol=1e-6)
        assert np.array_equal(np.asarray(got["y"]), there["y"])
