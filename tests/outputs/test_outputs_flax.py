"""A loop of Flax and Optax on batches of JAX arrays."""

import numpy as np
import pytest

import bitesize as bs

jax = pytest.importorskip("jax")
nn = pytest.importorskip("flax.linen")
optax = pytest.importorskip("optax")
pytestmark = [pytest.mark.framework, pytest.mark.filterwarnings("ignore")]  # Flax's, about itself


def test_flax_and_optax_learn_and_padded_rows_are_not_counted():
    x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    source = bs.open(x, (x[:, 0] > 0).astype(np.int64))
    model, optimizer = nn.Dense(2), optax.adam(0.1)

    @jax.jit
    def step(params, state, batch):
        def loss_of(params):
            losses = optax.softmax_cross_entropy_with_integer_labels(model.apply(params, batch["x"]), batch["y"])
            return (losses * batch["mask"]).sum() / batch["mask"].sum()

        loss, gradients = jax.value_and_grad(loss_of)(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, loss

    with bs.Loader(source, batch_size=16, memory="16 MiB", last="pad") as loader:
        params = model.init(jax.random.key(0), x[:1])
        state = optimizer.init(params)
        for _ in range(5):
            for batch in bs.to_jax(loader):
                params, state, _ = step(params, state, batch)
        right = rows = 0
        for batch in bs.to_jax(loader):
            found = (model.apply(params, batch["x"]).argmax(axis=1) == batch["y"]) & batch["mask"]
            right, rows = right + int(found.sum()), rows + int(batch["mask"].sum())
    assert rows == 100
    assert right > 90
