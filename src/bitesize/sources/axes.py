"""Axes of rows that the user defines: ``axes=`` of `bitesize.open`."""

from __future__ import annotations

from dataclasses import replace

from bitesize.errors import BadSetting
from bitesize.sources.base import Source
from bitesize.spec import AXES, Encoded, Field, axes_of_rows, check_axes, is_volume


def set_axes(source: Source, axes: str | None) -> None:
    """Set the axes of a new source's rows, and mark labels per pixel of volumes as masks.

    Parameters
    ----------
    source
        Source that was just opened; changed.
    axes
        Axes of the primary field, or None if its shape decides.

    Raises
    ------
    BadSetting
        If there are no such axes, or they do not fit the rows.
    """
    stored = source.spec[source.primary]
    if axes is not None:
        check_axes(axes)
        if isinstance(stored, Encoded):
            raise BadSetting(f"axes={axes!r} is for rows that are arrays, but {source.primary} is an encoded image")
        if stored.dtype.kind not in "biufc" and stored.dtype.name != "bfloat16":
            raise BadSetting(f"axes={axes!r} is for rows of numbers, but {source.primary} is {stored}")
        if len(axes) != len(stored.shape):
            fit = " or ".join(f'axes="{each}"' for each in AXES if len(each) == len(stored.shape))
            raise BadSetting(
                f"axes={axes!r} is for rows with {len(axes)} axes, but rows of {source.primary} are {stored}"
                + (f": use {fit}" if fit else ", which have no such axes: leave it out")
            )
        source.spec = {**source.spec, source.primary: replace(stored, axes=axes)}
    if is_volume(source.spec[source.primary]) or axes is not None:
        _mark_masks(source)


def _mark_masks(source: Source) -> None:
    """Mark fields of whole numbers that have one value for each pixel or voxel of the rows."""
    rows = source.spec[source.primary]
    assert isinstance(rows, Field)
    sides = rows.shape[: len(axes_of_rows(rows).rstrip("C"))]
    masks = {
        name: replace(field, mask=True)
        for name, field in source.spec.items()
        if name != source.primary and isinstance(field, Field) and field.shape == sides and field.dtype.kind in "iu"
    }
    source.spec = {**source.spec, **masks}
