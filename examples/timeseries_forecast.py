"""Forecast a load a day ahead, from windows over one file, which is made first: python examples/timeseries_forecast.py series.npy"""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")  # before Keras is imported: its own default is TensorFlow

import keras
import numpy as np
from keras import layers

import bitesize as bs

DAY, WEEK = 24, 168


def make(path):
    """Write two years of hours: a load that depends on hour, weekend and temperature, and the temperature."""
    hours, random = np.arange(2 * 365 * DAY), np.random.default_rng(0)
    drift = np.convolve(random.normal(0, 1, len(hours) + 71), np.ones(72) / 8, "valid")
    temperature = 10 + 8 * np.sin(2 * np.pi * (hours % DAY - 9) / DAY) + 3 * drift
    work = 12 * np.sin(2 * np.pi * (hours % DAY - 7) / DAY) * (hours // DAY % 7 < 5)
    load = 50 + work - temperature + random.normal(0, 1, len(hours))
    np.save(path, np.stack([load, temperature], axis=1).astype(np.float32))


def main(path):
    """Train, and compare with the values of a day and of a week before."""
    windows = bs.timeseries(path, sequence_length=WEEK, horizon=DAY, target_columns=0)
    train, val = windows.split(0.8, by="time")
    loader, val_loader = (bs.Loader(part, batch_size=64, memory="64 MiB", shuffle=part is train) for part in (train, val))
    past = np.load(path, mmap_mode="r")[: len(train)]
    mean, std = past.mean(axis=0), past.std(axis=0)
    keras.utils.set_random_seed(0)
    head = [layers.Dense(32, "relu"), layers.Dense(1), layers.Rescaling(float(std[0]), float(mean[0]))]
    first = [keras.Input((WEEK, 2)), layers.Normalization(mean=mean, variance=std**2), layers.Flatten()]
    model = keras.Sequential([*first, *head])
    model.compile(keras.optimizers.Adam(1e-3), "mae")
    model.fit(bs.to_keras(loader), epochs=4, verbose=2)
    errors = np.zeros(2)
    for batch in val_loader:
        errors += abs(batch["x"][:, [-1, DAY - WEEK - 1], 0] - batch["y"][:, None]).sum(axis=0) / len(val)
    score = model.evaluate(bs.to_keras(val_loader), verbose=0)
    print(f"mean error: a day before {errors[0]:.2f}, a week before {errors[1]:.2f}, model {score:.2f}")


if __name__ == "__main__":
    make(sys.argv[1])
    main(sys.argv[1])
