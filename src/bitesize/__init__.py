"""Train on data larger than memory, in bites that fit.

open        a folder, files or arrays as a `Source`: nothing is loaded
Loader      batches of a source, within a budget of bytes
Budget      bytes that several loaders share
Resize, Flip, Normalize, Scale, RandomResizedCrop
            what happens to each row on its way into a batch
to_keras    a loader as a Keras ``PyDataset``
Order, Shard, Cursor
            which rows come when, and for which rank

Names are loaded on first use: ``import bitesize`` itself loads neither NumPy nor any framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bitesize.engine.loader import Loader
    from bitesize.errors import (
        BadFile,
        BadRows,
        BadSetting,
        BatchesHeld,
        BitesizeError,
        DoesNotFit,
        FileChanged,
        LoaderClosed,
        MissingPackage,
        NoPermission,
        NotFound,
        Stalled,
        TooManyBadRows,
        WrongModel,
    )
    from bitesize.memory.budget import Budget
    from bitesize.memory.plan import Plan
    from bitesize.order.order import Cursor, Order, Shard
    from bitesize.outputs.keras import to_keras
    from bitesize.sources import open
    from bitesize.sources.base import Source
    from bitesize.spec import Batch, Encoded, Field
    from bitesize.transforms.base import Transform
    from bitesize.transforms.image import Flip, Normalize, RandomResizedCrop, Resize, Scale

_HOME = {
    "engine.loader": ["Loader"],
    "errors": [
        "BadFile", "BadRows", "BadSetting", "BatchesHeld", "BitesizeError", "DoesNotFit", "FileChanged", "LoaderClosed",
        "MissingPackage", "NoPermission", "NotFound", "Stalled", "TooManyBadRows", "WrongModel",
    ],
    "memory.budget": ["Budget"],
    "memory.plan": ["Plan"],
    "order.order": ["Cursor", "Order", "Shard"],
    "outputs.keras": ["to_keras"],
    "sources": ["open"],
    "sources.base": ["Source"],
    "spec": ["Batch", "Encoded", "Field"],
    "transforms.base": ["Transform"],
    "transforms.image": ["Flip", "Normalize", "RandomResizedCrop", "Resize", "Scale"],
}  # fmt: skip
_WHERE = {name: home for home, names in _HOME.items() for name in names}

__all__ = [
    "BadFile",
    "BadRows",
    "BadSetting",
    "Batch",
    "BatchesHeld",
    "BitesizeError",
    "Budget",
    "Cursor",
    "DoesNotFit",
    "Encoded",
    "Field",
    "FileChanged",
    "Flip",
    "Loader",
    "LoaderClosed",
    "MissingPackage",
    "NoPermission",
    "Normalize",
    "NotFound",
    "Order",
    "Plan",
    "RandomResizedCrop",
    "Resize",
    "Scale",
    "Shard",
    "Source",
    "Stalled",
    "TooManyBadRows",
    "Transform",
    "WrongModel",
    "open",
    "to_keras",
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
