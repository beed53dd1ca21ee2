"""scikit-learn on photos that do not fit into memory: a pipeline that learns batch by batch.

python examples/sklearn_partial_fit.py bitesize-demo/photos
"""

import sys

from numpy_only import loaders
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bitesize as bs


def main(folder):
    """Train, and print what came of it."""
    loader, val = loaders(folder)  # spectra of 64 x 64 pixels, as the loader's threads make them
    model = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", alpha=1e-3, random_state=0))
    bs.sklearn.partial_fit(model, loader, epochs=5)
    predicted = bs.sklearn.predict(model, val)
    print(f"validation accuracy {(predicted == val.source.labels).mean():.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
