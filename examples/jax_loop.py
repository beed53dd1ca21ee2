"""A JAX loop of one's own: python examples/jax_loop.py bitesize-demo/photos"""

import sys

import jax
import jax.numpy as jnp

import bitesize as bs

NORMED = bs.Normalize("imagenet")


def make_model(key, classes):
    """Draw weights for three convolutions and a linear layer."""
    shapes = [(3, 3, 3, 24), (3, 3, 24, 48), (3, 3, 48, 96), (96, classes)]
    return [jax.nn.initializers.he_normal()(k, s) for k, s in zip(jax.random.split(key, len(shapes)), shapes, strict=True)]


def apply(model, x):
    """Turn 64 x 64 pixels into one number a class."""
    for weights in model[:-1]:
        x = jax.lax.conv_general_dilated(x, weights, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(jax.nn.standardize(x, axis=(1, 2), epsilon=1e-3))
    return x.max((1, 2)) @ model[-1]


def loss(model, batch):
    """Cross entropy of the rows that are rows."""
    chances = jax.nn.log_softmax(apply(model, batch["x"]))
    return -(jnp.take_along_axis(chances, batch["y"][:, None], 1)[:, 0] * batch["mask"]).sum() / batch["mask"].sum()


def main(folder):
    """Train, and print what came of it."""
    train, val = bs.open(folder).split(0.85, seed=0)
    settings = {"batch_size": 32, "memory": "128 MiB", "last": "pad"}  # every batch of one shape: compiled once
    batches = bs.to_jax(bs.Loader(train, transforms=[bs.RandomCrop(64), bs.Flip(), NORMED], **settings))
    val_batches = bs.to_jax(bs.Loader(val, transforms=[bs.CenterCrop(64), NORMED], shuffle=False, **settings))
    model = make_model(jax.random.key(0), len(train.classes))
    step = jax.jit(lambda model, batch: jax.tree.map(lambda w, g: w - 0.1 * g, model, jax.grad(loss)(model, batch)))
    right = jax.jit(lambda model, batch: ((apply(model, batch["x"]).argmax(1) == batch["y"]) & batch["mask"]).sum())
    for epoch in range(6):
        for batch in batches:
            model = step(model, batch)
        print(f"epoch {epoch}: validation accuracy {sum(int(right(model, batch)) for batch in val_batches) / len(val):.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
