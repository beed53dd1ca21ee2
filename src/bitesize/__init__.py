"""Train on data larger than memory, in bites that fit.

open        a folder, files or arrays as a `Source`, without loading it
concatenate, stack
            join arrays as in NumPy, without reading them: a `LazyArray`
mix         several sources in exact shares
chain, zip  several sources, concatenated or side by side
Loader      batches of a source, within a memory budget
check       find everything that is wrong with data at once
statistics  mean, deviation and extremes of the values
Budget      memory budget that several loaders share
Resize, CenterCrop, RandomCrop, RandomResizedCrop
            the size of images
Flip, Rotate90, Rotate, Shear, Translate, Zoom, Cutout
            augmentation by geometry
Brightness, Contrast, Saturation, Hue, ColorJitter, Grayscale, ColorMatrix
            augmentation by color
Normalize, Scale
            the range of values
MixUp, CutMix
            pairs of rows and their labels, mixed
Map         apply your own function
to_keras, to_torch, to_jax, to_tensorflow
            convert a loader to the dataset type of a framework
to_ray      convert a source to a dataset of Ray Data
keras       training with Keras that resumes at the exact batch: `keras.fit`, `keras.Checkpoint`
sklearn     train estimators batch by batch, and compute their results in order: `sklearn.partial_fit`, `sklearn.predict`
ray         work of several processes and machines: `ray.pack`
load        a trained run: a `TrainedModel`, which predicts and evaluates
write_report
            a page about a run, or about several runs side by side
Order, Shard, Cursor
            the order of rows, the rows of each rank, and the position in the order

Names are loaded on first use: ``import bitesize`` itself loads neither NumPy nor any framework. ``__init__.pyi`` lists them.
"""

from typing import Any

import lazy_loader

from bitesize._version import __version__ as __version__

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_MOVED = {
    "Checkpoint": "keras.Checkpoint",
    "fit": "keras.fit",
    "partial_fit": "sklearn.partial_fit",
    "predict": "sklearn.predict",
}


def __getattr__(name: str) -> Any:
    if name in _MOVED:
        raise AttributeError(f"bs.{name} is now bs.{_MOVED[name]}")
    if name not in __all__:
        raise AttributeError(f"module 'bitesize' has no attribute {name!r}")
    return _load(name)
