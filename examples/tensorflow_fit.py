"""tf.data and Keras on TensorFlow: python examples/tensorflow_fit.py bitesize-demo/photos"""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
from keras_fit import loaders, make_model

import bitesize as bs


def main(folder):
    """Train, and print what came of it."""
    loader, val_loader = loaders(folder)
    keras.utils.set_random_seed(0)
    model = make_model(len(loader.source.classes))
    data, val_data = bs.to_tensorflow(loader), bs.to_tensorflow(val_loader)  # each a tf.data.Dataset
    history = model.fit(data, validation_data=val_data, epochs=5, verbose=2)
    print(f"validation accuracy {history.history['val_accuracy'][-1]:.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
