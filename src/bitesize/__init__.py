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
partial_fit, predict
            train estimators batch by batch, and compute their results in order: classes, probabilities, or transformed rows
Checkpoint, fit
            training that resumes at the exact batch
load        a trained run: a `TrainedModel`, which predicts and evaluates
Order, Shard, Cursor
            the order of rows, the rows of each rank, and the position in the order

Names are loaded on first use: ``import bitesize`` itself loads neither NumPy nor any framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bitesize._version import __version__ as __version__

if TYPE_CHECKING:
    from bitesize.batch import Batch
    from bitesize.engine.loader import Loader
    from bitesize.errors import (
        BadFile,
        BadResult,
        BadRows,
        BadSetting,
        BatchesHeld,
        BitesizeError,
        DiskFull,
        DoesNotFit,
        FileChanged,
        LoaderClosed,
        MissingPackage,
        NoPermission,
        NotFinite,
        NotFound,
        NotLazy,
        Stalled,
        TooManyBadRows,
        UnsupportedFile,
        WrongModel,
    )
    from bitesize.lazy.array import LazyArray
    from bitesize.lazy.functions import concatenate, stack
    from bitesize.memory.budget import Budget
    from bitesize.memory.plan import Plan
    from bitesize.order.cursor import Cursor
    from bitesize.order.order import Order, Shard
    from bitesize.outputs.jax import to_jax
    from bitesize.outputs.keras import to_keras
    from bitesize.outputs.results import predict
    from bitesize.outputs.sklearn import partial_fit
    from bitesize.outputs.tensorflow import to_tensorflow
    from bitesize.outputs.torch import to_torch
    from bitesize.scan.check import check
    from bitesize.scan.findings import Findings
    from bitesize.scan.statistics import statistics
    from bitesize.sources.base import Source
    from bitesize.sources.chained import chain
    from bitesize.sources.mixed import mix
    from bitesize.sources.open import open
    from bitesize.sources.with_fields import zip
    from bitesize.spec import Encoded, Field
    from bitesize.training.checkpoint import Checkpoint
    from bitesize.training.fit import fit
    from bitesize.training.predictions import Predictions
    from bitesize.training.trained import TrainedModel, load
    from bitesize.transforms.base import Transform
    from bitesize.transforms.color import (
        Brightness,
        ColorJitter,
        ColorMatrix,
        Contrast,
        Grayscale,
        Hue,
        Normalize,
        Saturation,
        Scale,
    )
    from bitesize.transforms.crop import CenterCrop, RandomCrop, RandomResizedCrop, Resize
    from bitesize.transforms.erase import Cutout
    from bitesize.transforms.geometry import Flip, Rotate, Rotate90, Shear, Translate, Zoom
    from bitesize.transforms.map import Map
    from bitesize.transforms.mix import CutMix, MixUp

_HOME = {
    "batch": ["Batch"],
    "scan.check": ["check"],
    "scan.findings": ["Findings"],
    "scan.statistics": ["statistics"],
    "engine.loader": ["Loader"],
    "errors": [
        "BadFile", "BadResult", "BadRows", "BadSetting", "BatchesHeld", "BitesizeError", "DiskFull", "DoesNotFit", "FileChanged",
        "LoaderClosed", "MissingPackage", "NoPermission", "NotFinite", "NotFound", "NotLazy", "Stalled", "TooManyBadRows", "UnsupportedFile",
        "WrongModel",
    ],
    "lazy.array": ["LazyArray"],
    "lazy.functions": ["concatenate", "stack"],
    "memory.budget": ["Budget"],
    "memory.plan": ["Plan"],
    "order.cursor": ["Cursor"],
    "order.order": ["Order", "Shard"],
    "outputs.jax": ["to_jax"],
    "outputs.keras": ["to_keras"],
    "outputs.results": ["predict"],
    "outputs.sklearn": ["partial_fit"],
    "outputs.tensorflow": ["to_tensorflow"],
    "outputs.torch": ["to_torch"],
    "sources.base": ["Source"],
    "sources.with_fields": ["zip"],
    "sources.chained": ["chain"],
    "sources.mixed": ["mix"],
    "sources.open": ["open"],
    "spec": ["Encoded", "Field"],
    "training.checkpoint": ["Checkpoint"],
    "training.fit": ["fit"],
    "training.predictions": ["Predictions"],
    "training.trained": ["TrainedModel", "load"],
    "transforms.base": ["Transform"],
    "transforms.color": [
        "Brightness", "ColorJitter", "ColorMatrix", "Contrast", "Grayscale", "Hue", "Normalize", "Saturation", "Scale",
    ],
    "transforms.crop": ["CenterCrop", "RandomCrop", "RandomResizedCrop", "Resize"],
    "transforms.erase": ["Cutout"],
    "transforms.geometry": ["Flip", "Rotate", "Rotate90", "Shear", "Translate", "Zoom"],
    "transforms.map": ["Map"],
    "transforms.mix": ["CutMix", "MixUp"],
}  # fmt: skip
_WHERE = {name: home for home, names in _HOME.items() for name in names}

__all__ = [
    "BadFile",
    "BadResult",
    "BadRows",
    "BadSetting",
    "Batch",
    "BatchesHeld",
    "BitesizeError",
    "Brightness",
    "Budget",
    "CenterCrop",
    "Checkpoint",
    "ColorJitter",
    "ColorMatrix",
    "Contrast",
    "Cursor",
    "CutMix",
    "Cutout",
    "DiskFull",
    "DoesNotFit",
    "Encoded",
    "Field",
    "FileChanged",
    "Findings",
    "Flip",
    "Grayscale",
    "Hue",
    "LazyArray",
    "Loader",
    "LoaderClosed",
    "Map",
    "MissingPackage",
    "MixUp",
    "NoPermission",
    "Normalize",
    "NotFinite",
    "NotFound",
    "NotLazy",
    "Order",
    "Plan",
    "Predictions",
    "RandomCrop",
    "RandomResizedCrop",
    "Resize",
    "Rotate",
    "Rotate90",
    "Saturation",
    "Scale",
    "Shard",
    "Shear",
    "Source",
    "Stalled",
    "TooManyBadRows",
    "TrainedModel",
    "Transform",
    "Translate",
    "UnsupportedFile",
    "WrongModel",
    "Zoom",
    "chain",
    "check",
    "concatenate",
    "fit",
    "load",
    "mix",
    "open",
    "partial_fit",
    "predict",
    "stack",
    "statistics",
    "to_jax",
    "to_keras",
    "to_tensorflow",
    "to_torch",
    "zip",
]


def __getattr__(name: str) -> Any:
    home = _WHERE.get(name)
    if home is None:
        raise AttributeError(f"module 'bitesize' has no attribute {name!r}")
    value = getattr(import_module(f"bitesize.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
