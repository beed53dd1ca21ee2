"""Keras 3 on any of its backends: KERAS_BACKEND=jax python examples/keras_fit.py bitesize-demo/photos"""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")  # before Keras is imported: its own default is TensorFlow

import keras
from keras import layers

import bitesize as bs


def make_model(classes):
    """Build a small network: 64 x 64 pixels to one number a class."""
    model = keras.Sequential([keras.Input((64, 64, 3))])
    for channels in (24, 48, 96):
        model.add(layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.8))
        model.add(layers.ReLU())
    model.add(layers.GlobalMaxPooling2D())
    model.add(layers.Dense(classes))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    return model


def loaders(folder):
    """Open the photos, and cut them into training and validation."""
    train, val = bs.open(folder).split(0.85, seed=0)
    augment = [bs.RandomResizedCrop(64, scale=(0.6, 1.0)), bs.Flip(0.5, 0.5), bs.Normalize("imagenet")]
    settings = {"batch_size": 32, "memory": "128 MiB"}
    loader = bs.Loader(train, transforms=augment, **settings)
    return loader, bs.Loader(val, transforms=[bs.Resize(64), bs.Normalize("imagenet")], shuffle=False, **settings)


def main(folder):
    """Train, and print what came of it."""
    loader, val_loader = loaders(folder)
    keras.utils.set_random_seed(0)
    model = make_model(len(loader.source.classes))
    history = model.fit(bs.to_keras(loader), validation_data=bs.to_keras(val_loader), epochs=5, verbose=2)
    print(f"validation accuracy {history.history['val_accuracy'][-1]:.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
