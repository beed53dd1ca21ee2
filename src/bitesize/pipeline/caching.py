"""What a cache on disk holds of a row: what precedes the first random transform, as far as values stay the same."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bitesize.decode.header import ImageInfo
from bitesize.errors import BadSetting
from bitesize.packed.cache_settings import Cache
from bitesize.packed.fields import ShardField
from bitesize.pipeline.inference import Layout, rendered_fields
from bitesize.pipeline.probe import info_of_row
from bitesize.pipeline.reduction import reduced_size
from bitesize.pipeline.stages import TransformStages
from bitesize.sources.base import Source
from bitesize.sources.combine.wrapper import SourceWrapper
from bitesize.sources.contract import RowContract
from bitesize.spec import Encoded, Field
from bitesize.transforms.base import Transform
from bitesize.transforms.crop import Resize
from bitesize.transforms.view import PLAIN, View
from bitesize.transforms.window import Percentiles

# Raised when a kernel or a decoder changes what it returns: rows of earlier versions are not used any more.
_KERNELS = 1
# Number of rows whose size is looked at to estimate the bytes of all rows.
_SAMPLED = 24
# Field that is stored with decoded images: EXIF orientation, plus _FROM_JPEG for a JPEG that can be decoded at a fraction of its size.
STATE = "cache state"
FROM_JPEG = 128

Form = Literal["batch", "resized", "decoded", "stored"]


@dataclass(frozen=True)
class CachePlan:
    """Plan of what a cache keeps of each row.

    Attributes
    ----------
    form
        ``"batch"``: rows of a batch; ``"resized"``: after the deterministic geometry; ``"decoded"``: decoded images;
        ``"stored"``: as stored, before decoding.
    before, after
        Transforms that are applied before rows are kept, and after.
    spec
        Fields that are kept, for reading.
    fields
        The same fields in a shard.
    max_side
        Longest side in pixels to which images are reduced first, or None for their own size.
    row_nbytes
        Estimated bytes of a row on disk.
    full_scale
        Value of full brightness of the kept rows.
    infos
        Headers of some decoded images.
    not_kept
        Why nothing is kept, although the settings change values as if it were; else empty.
    """

    form: Form
    before: tuple[Transform, ...]
    after: TransformStages
    spec: Mapping[str, Field | Encoded]
    fields: Mapping[str, ShardField]
    max_side: int | None
    row_nbytes: int
    full_scale: float
    infos: tuple[ImageInfo, ...] = ()
    not_kept: str = ""

    @property
    def is_float(self) -> bool:
        """Return whether the kept images are floats of an image of whole numbers."""
        return self.full_scale == 255.0 and any(field.dtype.kind == "f" for field in self.rendered.values())

    @property
    def rendered(self) -> dict[str, Field]:
        """Fields of fixed shape that are kept."""
        return {name: field for name, field in self.spec.items() if isinstance(field, Field)}

    def key(self, source: Source, fast_decode: bool, layout: Layout) -> tuple[str, dict[str, object]]:
        """Return the name of these rows in a folder of caches, and their description."""
        import PIL
        import simplejpeg
        import xxhash

        root = root_of(source)
        about: dict[str, object] = {
            "source": repr(root),
            "root": root.paths_root.decode(errors="replace"),
            "first": root.describe(0),
            "fingerprint": root.fingerprint(),
            "form": self.form,
            "layout": layout if self.form == "batch" else "HWC",  # (3, 3, 3) is a shape of both
            "before": [step.to_dict() for step in self.before],
            "fields": {name: repr(field) for name, field in self.fields.items()},
            "decoded": {name: repr(field) for name, field in root.spec.items() if isinstance(field, Encoded)},
            "max_side": self.max_side,
            # Decoded images keep their full size: a reduced one is never stored.
            "fast_decode": fast_decode and self.form != "stored" and (self.form != "decoded" or self.max_side is not None),
        }
        if self.form != "stored":  # before anything is decoded
            about["versions"] = {
                "kernels": _KERNELS,
                "simplejpeg": simplejpeg.__version__,
                "pillow": PIL.__version__,
                "machine": platform.machine(),
            }
        text = json.dumps(about, sort_keys=True)
        return xxhash.xxh3_128_hexdigest(text.encode()), about

    def describe(self) -> str:
        """Return what is kept, as text."""
        image = next(iter(self.spec.values()))
        kept = {
            "batch": "rows as in a batch",
            "resized": "resized images",
            "decoded": "decoded images",
            "stored": "rows in their stored form",
        }[self.form]
        shape = f" {image}" if isinstance(image, Field) else ""
        reduced = f" (of images that are first reduced to {self.max_side} pixels)" if self.max_side else ""
        return f"{kept}{shape}{reduced}"


def root_of(source: Source) -> Source:
    """Return the opened data, without subsets and other labels, so that all of them share what is kept of its rows."""
    while isinstance(source, SourceWrapper):
        source = source.base
    return source


def plan_cache(source: Source, stages: TransformStages, rendered: Mapping[str, Field], cache: Cache) -> CachePlan | str:
    """Decide what a cache holds, or return why it would hold nothing.

    Raises
    ------
    BadSetting
        If ``kind`` or ``max_side`` does not fit the data or the transforms.
    """
    stored = source.spec[source.primary]
    if not isinstance(stored, Encoded):
        return "rows are stored as arrays, so nothing is decoded"
    reason = _not_kept(root_of(source))
    if reason and cache.kind == "exact" and cache.max_side is None:
        return reason
    return replace(_plan(source, stages, stored, rendered, cache), not_kept=reason)


def _not_kept(source: Source) -> str:
    """Return why rows of a source cannot be kept; empty if they can."""
    if source.row_versions(np.zeros(1, np.int64)) is None:
        return (
            "its rows have no files whose changes could be noticed, or are pixels already (bitesize pack decodes data once)"
        )
    if unread := unread_fields(source):
        return f"{type(source).__name__} does not define read_other_fields, which would read {', '.join(unread)}"
    return ""


def _plan(
    source: Source, stages: TransformStages, stored: Encoded, rendered: Mapping[str, Field], cache: Cache
) -> CachePlan:  # fmt: skip
    """Return what is kept of each row, or would be kept."""
    transforms = stages.image_transforms
    geometry = _deterministic_geometry(transforms)
    rest = transforms[len(geometry) :]
    encoded = [name for name, field in source.spec.items() if isinstance(field, Encoded)]
    if cache.max_side is not None and len(encoded) > 1:
        raise BadSetting(f"Cache: max_side={cache.max_side} reduces images, but their masks would keep their size")
    if cache.kind == "exact" and not stages.random and all(map(_is_ours, transforms)):
        spec = {name: rendered[name] for name in encoded}
        return _of_fixed("batch", transforms, replace(stages, image_transforms=()), spec, 255.0, cache.max_side)
    # The nearest pixel of a mask may be another one if it is looked up in two steps.
    exact = len(encoded) == 1 and all(step.whole_pixels and _is_ours(step) for step in rest)
    measuring = next((step for step in rest if isinstance(step, Percentiles)), None)
    if geometry and cache.kind == "pixels" and measuring is not None:
        raise BadSetting(
            f'Cache: kind="pixels" keeps resized images, but {measuring!r} measures the values as stored: use kind="exact", or '
            'Percentiles(per="data")'
        )
    if geometry and (cache.kind == "pixels" or exact):
        before = replace(stages, image_transforms=geometry, maps=(), mixes=(), batch_maps=())
        fixed = _fixed_fields(source, before, stored, cache)
        if fixed is not None:
            full = 255.0 if stored.dtype == np.uint8 else 1.0
            spec = {name: fixed[name] for name in encoded}
            return _of_fixed("resized", geometry, replace(stages, image_transforms=rest), spec, full, cache.max_side)
    if cache.kind == "pixels" and geometry:
        raise BadSetting(
            f'Cache: kind="pixels" keeps images of one size, but {geometry[-1]!r} leaves different sizes: add bs.CenterCrop, or use kind="exact"'
        )
    return _of_decoded(source, stages, stored, encoded, cache.max_side)


def unread_fields(source: Source) -> list[str]:
    """Return fields other than encoded ones that `read_other_fields` of a source does not read."""
    if type(source).read_other_fields is not RowContract.read_other_fields:
        return []
    known = {"y"} if source._labels is not None else set()
    return sorted(name for name, field in source.spec.items() if not isinstance(field, Encoded) and name not in known)


def _is_ours(step: Transform) -> bool:
    """Return whether a transform is of bitesize: the code of others may change without its name and settings."""
    return type(step).__module__.startswith("bitesize.")


def _deterministic_geometry(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Return the leading transforms of bitesize that move pixels without random numbers and without colors."""
    geometry: list[Transform] = []
    for step in transforms:
        if step.random_count or not step.needs_image or not _is_ours(step):
            break
        view = View(64, 48)
        step.adjust(view, ())
        if view.color != PLAIN or view.alpha != 1.0 or view.erased or view.whole != 255.0:
            break
        geometry.append(step)
    return tuple(geometry)


def _fixed_fields(source: Source, before: TransformStages, stored: Encoded, cache: Cache) -> dict[str, Field] | None:
    """Return the fields after the deterministic geometry, or None if rows have different sizes then."""
    resamples = any(isinstance(step, Resize) or not step.whole_pixels for step in before.image_transforms)
    dtype = np.dtype(np.float32) if resamples and cache.kind == "exact" else stored.dtype
    try:
        return rendered_fields(source, before, "HWC", dtype)
    except BadSetting:  # images of different sizes
        return None


def _of_fixed(
    form: Form,
    before: tuple[Transform, ...],
    after: TransformStages,
    spec: Mapping[str, Field],
    full_scale: float,
    max_side: int | None,
) -> CachePlan:
    fields = {name: ShardField("fixed", field.shape, field.dtype) for name, field in spec.items()}
    nbytes = sum(field.nbytes for field in spec.values()) + 16
    return CachePlan(form, before, after, spec, fields, max_side, nbytes, full_scale)


def _of_decoded(
    source: Source, stages: TransformStages, stored: Encoded, encoded: Sequence[str], max_side: int | None
) -> CachePlan:
    """Plan to keep decoded images, and masks unchanged."""
    fields = {name: ShardField("blob") for name in encoded}
    fields[source.primary] = ShardField("pixels", (), stored.dtype)
    fields[STATE] = ShardField("fixed", (), np.dtype(np.uint8))
    full = 255.0 if stored.dtype == np.uint8 else 1.0
    infos = _some_infos(source)
    nbytes = _mean_pixels(infos, max_side) * stored.channels * stored.dtype.itemsize + 37
    spec = {name: source.spec[name] for name in encoded}
    return CachePlan("decoded", (), stages, spec, fields, max_side, nbytes, full, infos)


def _mean_pixels(infos: Sequence[ImageInfo], max_side: int | None) -> int:
    """Return the mean number of pixels of some images."""
    sizes = [reduced_size((info.height, info.width), max_side) for info in infos]
    return sum(height * width for height, width in sizes) // max(1, len(sizes))


def _some_infos(source: Source) -> tuple[ImageInfo, ...]:
    """Return the headers of some images, spread over all rows."""
    rows = np.unique(np.linspace(0, len(source) - 1, min(_SAMPLED, len(source))).astype(np.int64)).tolist()
    infos = [info_of_row(source, source.primary, row) for row in rows]
    return tuple(info for info in infos if info is not None)
