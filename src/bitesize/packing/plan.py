"""The plan of packing one source: what is stored of each field, how many rows a shard has, and the disk space that it takes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bitesize.errors import BadSetting
from bitesize.kernels.warm import compiling
from bitesize.memory.budget import Budget
from bitesize.memory.sizes import format_size
from bitesize.packed.fields import ShardField
from bitesize.packing.sample import Sample, all_sizes_equal, sample
from bitesize.packing.settings import QUALITY, PackSettings
from bitesize.pipeline.pipeline import Pipeline
from bitesize.pipeline.probe import mask_dtype_of_first_row
from bitesize.pipeline.reduction import Size
from bitesize.sources.base import Source
from bitesize.spec import Encoded, Field, Spec, image_field

Way = Literal["copy", "render", "decode", "jpeg"]
SHARD_NBYTES = 256 << 20
# A small store has shards of at least this size, so that several threads have work.
_LEAST_SHARD, _PARTS = 16 << 20, 16
# kind="auto": pixels of at most this size are read faster than files are decoded.
_QUICK = 1 << 20
# Bytes of a pixel in a JPEG of quality 90, as an estimate.
_JPEG_SHARE = 0.2


@dataclass(frozen=True)
class PartPlan:
    """How one source is packed.

    Parameters
    ----------
    source
        Source of the rows.
    way
        ``"copy"`` stores rows unchanged, ``"render"`` after transforms, ``"decode"`` as pixels, ``"jpeg"`` encoded again.
    kind
        What the store calls it: ``"bytes"``, ``"pixels"`` or ``"jpeg"``.
    spec, fields
        Fields of the store, and of its shards.
    row_nbytes
        Estimated bytes of a row in the store.
    rows_per_shard
        Number of rows of a shard, so that the rows of each shard are known before.
    found
        The sample.
    notes
        What was decided, one line each, with the setting that decides otherwise.
    rounded
        Dtype to which values were rounded, or empty.
    names
        Field of the shards with the paths of rows; None if rows have none.
    """

    source: Source
    way: Way
    kind: str
    spec: Spec
    fields: Mapping[str, ShardField]
    row_nbytes: float
    rows_per_shard: int
    found: Sample
    notes: tuple[str, ...] = ()
    rounded: str = ""
    names: str | None = None

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self.source) // self.rows_per_shard)

    @property
    def nbytes(self) -> int:
        """Estimated bytes of all shards, with their index files."""
        return math.ceil(self.row_nbytes * len(self.source)) + self.shards * (4096 + 4096 * 3 * len(self.fields))

    def rows_of(self, shard: int) -> tuple[int, int]:
        """Return the first row of a shard, and the end of its rows."""
        start = shard * self.rows_per_shard
        return start, min(start + self.rows_per_shard, len(self.source))


def plan_part(
    source: Source, settings: PackSettings, budget: Budget, free: int | None, known: Mapping[str, Any] | None
) -> PartPlan:
    """Plan how a source is packed.

    Parameters
    ----------
    source
        Source of the rows.
    settings
        Settings of the user.
    budget
        Budget for all memory.
    free
        Free bytes on the disk; None for a store at an address.
    known
        ``kind``, ``rows_per_shard`` and ``fields`` of an earlier run that is continued, or None.

    Raises
    ------
    BadSetting
        If the settings do not fit the source.
    """
    encoded = [name for name, field in source.spec.items() if isinstance(field, Encoded)]
    images = [name for name in encoded if source.spec[name].kind == "image"]  # type: ignore[union-attr]
    if settings.kind == "jpeg":
        _check_jpeg(source, images)
    if settings.max_side is not None and not encoded:
        raise BadSetting("max_side= reduces encoded images, but the data has arrays: pass transforms=[bs.Resize(...)]")
    found = sample(source, budget, settings.max_side, decode=settings.kind != "bytes")
    notes = list(_not_stored(source))
    kind = settings.kind
    if kind == "auto":
        kind, why = _choose(source, settings, found, free)
        if known is not None:
            kind = known["kind"]
        elif why:
            notes.append(why)
    if settings.transforms:
        return _rendered(source, settings, budget, found, notes, known)
    if not encoded or kind == "bytes":
        fields = {
            name: ShardField("blob") if isinstance(field, Encoded) else _fixed(field) for name, field in source.spec.items()
        }
        row_nbytes = _fixed_nbytes(fields) + sum(found.files.values())
        shown = "pixels" if kind == "pixels" else "bytes"
        return _with_shards(source, "copy", shown, source.spec, fields, row_nbytes, settings, found, notes, known)
    if kind == "jpeg":
        return _as_jpeg(source, settings, found, notes, known)
    return _decoded(source, settings, budget, found, notes, known)


def _not_stored(source: Source) -> Iterator[str]:
    """Yield what a loader knows about the rows of a source, and not about those of its store."""
    if source.mixture is not None:
        yield "the shares of bs.mix are not stored: pack its sources apart, and mix their stores"
    label = source.spec.get(source.label_name or "")
    if source.labels is not None and isinstance(label, Field) and label.shape:
        yield "labels are stored as one_hot() made them, without class numbers for splits and balanced orders: pack before one_hot()"


def _check_jpeg(source: Source, images: list[str]) -> None:
    odd = [name for name in images if source.spec[name].mode not in ("RGB", "L")]  # type: ignore[union-attr]
    if not images or odd:
        what = f"{odd[0]!r} is {source.spec[odd[0]]}" if odd else f"the data has {', '.join(source.spec)}"
        raise BadSetting(f'kind="jpeg" needs images of mode "RGB" or "L", but {what}: use kind="pixels" or "bytes"')


def _choose(source: Source, settings: PackSettings, found: Sample, free: int | None) -> tuple[Any, str]:
    """Choose bytes or pixels; return the choice, and why, in one line."""
    if settings.transforms or not any(isinstance(field, Encoded) for field in source.spec.values()):
        return ("pixels" if settings.transforms else "bytes"), ""
    if settings.max_side is not None:
        return "pixels", 'kind: pixels, because max_side= reduces images (kind="jpeg" takes less space)'
    rows, pixels, files = len(source), sum(found.pixels.values()), sum(found.files.values())
    as_pixels, as_bytes = format_size(math.ceil(pixels * rows)), format_size(math.ceil(files * rows))
    if pixels > _QUICK:
        why = f"images of {format_size(math.ceil(pixels))} are decoded about as fast as read (max_side= makes them smaller)"
        return "bytes", f'kind: bytes, which take {as_bytes}, because {why}; kind="pixels" would take {as_pixels}'
    if free is None:
        why = "a store at an address is read over the network"
        return "bytes", f'kind: bytes, which take {as_bytes}, because {why}; kind="pixels" would take {as_pixels}'
    if pixels * rows > free / 2:
        why = f"pixels would take {as_pixels}, more than half of the {format_size(free)} free"
        return "bytes", f'kind: bytes, which take {as_bytes}, because {why} (kind="pixels" decides otherwise)'
    why = "then nothing is decoded in training"
    return (
        "pixels",
        f'kind: pixels, which take {as_pixels} of {format_size(free)} free, because {why} (kind="bytes" takes {as_bytes})',
    )


def _rendered(
    source: Source, settings: PackSettings, budget: Budget, found: Sample, notes: list[str], known: Mapping[str, Any] | None
) -> PartPlan:  # fmt: skip
    pipeline = pipeline_of(source, settings, budget)
    fields = {name: _fixed(field) for name, field in pipeline.out.items()}
    before, after = source.spec[source.primary].dtype, pipeline.out[source.primary].dtype
    rounded = str(after) if after.kind in "iu" else ""
    if rounded:
        names = ", ".join(repr(step) for step in settings.transforms)
        notes.append(f"{source.primary}: the results of {names} are rounded to {after}, within half a level")
    elif before != after:
        notes.append(f"{source.primary}: stored as {after}, {after.itemsize // before.itemsize} times the bytes of {before}")
    nbytes = _fixed_nbytes(fields)
    plan = _with_shards(source, "render", "pixels", dict(pipeline.out), fields, nbytes, settings, found, notes, known)
    return PartPlan(**{**vars(plan), "rounded": rounded})


def pipeline_of(source: Source, settings: PackSettings, budget: Budget) -> Pipeline:
    """Return the pipeline that renders rows, as a `Loader` without ``dtype`` does."""
    with compiling():
        return Pipeline(source, settings.transforms, "HWC", None, True, budget)


def _decoded(
    source: Source, settings: PackSettings, budget: Budget, found: Sample, notes: list[str], known: Mapping[str, Any] | None
) -> PartPlan:  # fmt: skip
    fields, spec, row_nbytes = dict[str, ShardField](), dict[str, Field | Encoded](), 0.0
    sizes = _one_size(source, settings, budget, found, known)
    for name, field in source.spec.items():
        if isinstance(field, Field):
            fields[name], spec[name] = _fixed(field), field
            continue
        dtype = mask_dtype_of_first_row(source, name) if field.kind == "mask" else field.dtype
        if sizes is not None:
            shape = sizes[name] if field.kind == "mask" else (*sizes[name], field.channels)
            spec[name] = Field(shape, dtype, mask=True) if field.kind == "mask" else image_field(shape, dtype, field.bands)
            fields[name] = ShardField("fixed", shape, dtype)
        else:
            spec[name], fields[name] = replace(field, orient=True), ShardField("pixels", dtype=dtype)
        row_nbytes += found.pixels[name] * dtype.itemsize / field.dtype.itemsize + 20
    rounded = str(source.spec[source.primary].dtype) if settings.max_side is not None else ""
    if rounded:
        notes.append(f"images with a side of more than {settings.max_side} pixels are reduced, and rounded to {rounded}")
    row_nbytes += _fixed_nbytes({name: field for name, field in fields.items() if isinstance(source.spec[name], Field)})
    plan = _with_shards(source, "decode", "pixels", spec, fields, row_nbytes, settings, found, notes, known)
    return PartPlan(**{**vars(plan), "rounded": rounded})


def _one_size(
    source: Source, settings: PackSettings, budget: Budget, found: Sample, known: Mapping[str, Any] | None
) -> dict[str, Size] | None:  # fmt: skip
    """Return the size of the images of each field if all rows have it; None if those of any field vary.

    Images and their masks are stored in the same way, because they are rendered together.
    """
    if any(len(sizes) != 1 for sizes in found.sizes.values()):
        return None
    one = {name: next(iter(sizes)) for name, sizes in found.sizes.items()}
    if known is not None:
        return one if all(known["fields"].get(name) == "fixed" for name in one) else None
    alike = all(all_sizes_equal(source, budget, name, size, settings.max_side) for name, size in one.items())
    return one if alike else None


def _as_jpeg(
    source: Source, settings: PackSettings, found: Sample, notes: list[str], known: Mapping[str, Any] | None
) -> PartPlan:  # fmt: skip
    fields, row_nbytes = dict[str, ShardField](), 0.0
    for name, field in source.spec.items():
        if isinstance(field, Field):
            fields[name] = _fixed(field)
            row_nbytes += field.nbytes
        elif field.kind == "mask":
            fields[name] = ShardField("pixels", dtype=mask_dtype_of_first_row(source, name))
            row_nbytes += found.pixels[name]
        else:
            fields[name] = ShardField("blob")
            row_nbytes += (
                min(found.files[name], found.pixels[name] * _JPEG_SHARE) if settings.max_side else found.files[name]
            )
    reduced = (
        f"images with a side of more than {settings.max_side} pixels" if settings.max_side else "images other than JPEG"
    )
    notes.append(f"{reduced} are encoded with quality {settings.quality or QUALITY}, which changes values; others are kept")
    return _with_shards(source, "jpeg", "jpeg", source.spec, fields, row_nbytes, settings, found, notes, known)


def _with_shards(
    source: Source, way: Way, kind: str, spec: Spec, fields: Mapping[str, ShardField], row_nbytes: float,
    settings: PackSettings, found: Sample, notes: list[str], known: Mapping[str, Any] | None
) -> PartPlan:  # fmt: skip
    names = _names_field(source)
    if names is not None:
        row_nbytes += 8 + len(name_of(source, 0))
        fields = {**fields, names: ShardField("blob")}
    if known is not None:
        rows = int(known["rows_per_shard"])
    else:
        target = settings.shard_size
        if target is None:
            target = min(SHARD_NBYTES, max(_LEAST_SHARD, math.ceil(row_nbytes * len(source)) // _PARTS))
        rows = max(1, int(int(target) / max(1.0, row_nbytes)))
        chunks = source.chunks() if source.reads_by_chunk else None
        if chunks is not None and rows > (chunk := int(chunks.starts[1])):
            rows -= rows % chunk  # so that few chunks are read for two shards
    count = min(rows, len(source))
    return PartPlan(source, way, kind, spec, fields, row_nbytes, count, found, tuple(notes), names=names)


def _names_field(source: Source) -> str | None:
    """Return a name for the field of the paths of rows, which no field of the data has; None if rows have no paths."""
    if source.path(0) is None:
        return None
    return next(name for name in ("path", *(f"path {i}" for i in range(2, len(source.spec) + 3))) if name not in source.spec)


def name_of(source: Source, row: int) -> bytes:
    """Return the path of a row, relative to the folder of the data, with slashes."""
    path, root = source.path(row) or b"", os.path.join(source.paths_root, b"")
    return path.removeprefix(root).replace(os.fsencode(os.sep), b"/")


def _fixed(field: Field) -> ShardField:
    return ShardField("fixed", field.shape, np.dtype(field.dtype))


def _fixed_nbytes(fields: Mapping[str, ShardField]) -> int:
    return sum(field.row_nbytes for field in fields.values() if field.kind == "fixed")
