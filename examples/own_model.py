"""A model of your own: bitesize train bitesize-demo/photos --model examples/own_model.py:make

bitesize imports this file, after it has chosen Keras's backend, and calls the function; it may also take nothing, and the file
may hold a model that is ready. A model that is not compiled gets bitesize's optimizer and loss; one that is keeps its own.
"""

import keras
from keras import layers


def make(shape, classes):
    """Build a network for rows of a shape, such as (96, 96, 3), that ends in one number a class."""
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(16, 4, strides=4, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(classes),  # logits; with activation="softmax" they are probabilities
        ]
    )
