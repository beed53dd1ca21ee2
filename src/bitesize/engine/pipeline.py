"""The pipeline: what happens to the rows of one bite between the source and the slot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bitesize.engine.encoded import IMAGE, EncodedRows, Layout, size_of_first_row
from bitesize.engine.scratch import Scratch
from bitesize.errors import BadRows, BadSetting, BitesizeError
from bitesize.sources.base import Source
from bitesize.spec import Encoded, Field
from bitesize.transforms.base import Transform
from bitesize.transforms.render import kernel_need, render
from bitesize.transforms.view import PLAIN, View

# Rows that one thread takes at once. Images: few, so that a batch is spread over all threads. Fields: as many as make
# this many bytes, so that Python's time per bite vanishes.
_IMAGE_BITE = 4
_BITE_BYTES = 1 << 20
# NumPy types that compiled kernels take; others (float16, bool) go through NumPy row by row.
_KERNEL_TYPES = frozenset(np.dtype(t) for t in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"))


@dataclass(frozen=True)
class _Cast:
    """How a field of fixed size comes into the slot when it is not read there directly."""

    source: Field
    out: Field


class Pipeline:
    """Reads, decodes, transforms and casts rows into a slot.

    Parameters
    ----------
    source
        Where rows come from.
    transforms
        Applied to the field ``x``, in order.
    layout
        ``"HWC"`` or ``"CHW"``: where the channels of images stand.
    dtype
        What ``x`` is cast to, or None for what the transforms make of it.
    fast_decode
        Whether a JPEG may be decoded at a fraction of its size.

    Raises
    ------
    BadSetting
        If transforms, layout or dtype do not fit the source.
    """

    def __init__(
        self, source: Source, transforms: Sequence[Transform], layout: Layout, dtype: DTypeLike | None, fast_decode: bool
    ) -> None:
        if layout not in ("HWC", "CHW"):
            raise BadSetting(f'layout must be "HWC" or "CHW", not {layout!r}')
        if not isinstance(transforms, Sequence):
            raise BadSetting(f"transforms must be a list, not {transforms!r}")
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise BadSetting(f"transforms must be bitesize transforms such as bs.Resize(224), not {transform!r}")
        self.source = source
        self.transforms = tuple(transforms)
        self.layout = layout
        self.draws = [transform.draws for transform in transforms]
        if IMAGE not in source.spec:
            raise BadSetting(f"the source has no field {IMAGE!r}: it has {', '.join(source.spec)}")
        what = source.spec[IMAGE]
        self._draws_pixels = any(transform.pictorial for transform in transforms)
        self.out: dict[str, Field] = {}
        for name, field in source.spec.items():
            if name == IMAGE:
                self.out[name] = self._output(what, dtype)
            elif isinstance(field, Field):
                self.out[name] = field
        self._limits = _integer_limits(self.out[IMAGE].dtype)
        self._cast = None if isinstance(what, Encoded) or self._is_direct(what) else _Cast(what, self.out[IMAGE])
        self._encoded = None
        if isinstance(what, Encoded):
            shape = self.out[IMAGE].shape
            self._encoded = EncodedRows(source, what, shape, layout, self._limits, self._adjusted, fast_decode)
        self._kernel_values = self._fixed_kernel_values(what)
        self.bite = self._bite_rows(what)

    # --- what it makes, and what it needs ----------------------------------------------------------------------------

    def _output(self, what: Field | Encoded, dtype: DTypeLike | None) -> Field:
        """Work out shape and dtype of ``x`` in a batch."""
        if isinstance(what, Encoded):
            before: np.dtype[Any] = np.dtype(np.uint8)
            channels = what.channels
            size = None if any(t.size(None) is not None for t in self.transforms) else size_of_first_row(self.source, what)
        else:
            before = what.dtype
            image = len(what.shape) == 3 and what.shape[2] in (1, 3, 4)
            if self._draws_pixels and not image:
                first = next(t for t in self.transforms if t.pictorial)
                raise BadSetting(f"{type(first).__name__} needs images (height, width, 1, 3 or 4), not rows of {what}")
            size, channels = (what.shape[:2], what.shape[2]) if image else (None, 1)  # type: ignore[assignment]
        after = before
        for transform in self.transforms:
            transform.check(channels)
            size = transform.size(size)
            after = transform.dtype(after)
        try:
            final = after if dtype is None else np.dtype(dtype)
        except TypeError as error:
            raise BadSetting(f"dtype must be a number type such as float32, not {dtype!r}") from error
        if (self._draws_pixels or isinstance(what, Encoded)) and (final not in _KERNEL_TYPES or before not in _KERNEL_TYPES):
            raise BadSetting(f"images come out as integers, float32 or float64, not {final} (from {before})")
        if (final.kind not in "biuf" or before.kind not in "biuf") and final != before:
            raise BadSetting(f"dtype: rows of {before} cannot be cast to {final}")
        if self._draws_pixels and before.kind in "iu" and before.itemsize > 2:
            raise BadSetting(f"images are drawn in float32, which cannot hold every {before}: convert them first")
        if size is None:
            assert isinstance(what, Field)
            return Field(what.shape, final)
        shape = (*size, channels) if self.layout == "HWC" else (channels, *size)
        return Field(shape, final)

    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the first row as stored; that of a batch's rows where it cannot be read (reading will tell why)."""
        what = self.source.spec[IMAGE]
        if isinstance(what, Field):
            return what.shape
        try:
            return (*size_of_first_row(self.source, what), what.channels)
        except BitesizeError:
            return self.out[IMAGE].shape

    def _is_direct(self, what: Field) -> bool:
        """Whether rows are read straight into the slot."""
        laid_out = self.layout == "HWC" or len(what.shape) != 3
        return not self.transforms and laid_out and self.out[IMAGE] == what

    def _fixed_kernel_values(self, what: Field | Encoded) -> int:
        if isinstance(what, Encoded) or not self._draws_pixels:
            return 0
        height, width, channels = what.shape
        view = View(width, height)
        for transform in self.transforms:
            transform.adjust(view, (0.999,) * transform.draws)
        # Whatever is drawn, no part is larger than the whole: take the taps of the whole image.
        whole = View(width, height)
        whole.bicubic = view.bicubic
        whole.rescale(int(view.width), int(view.height))
        return kernel_need(whole, width, channels)[2]

    def _bite_rows(self, what: Field | Encoded) -> int:
        if isinstance(what, Encoded):
            return _IMAGE_BITE
        return max(1, _BITE_BYTES // max(1, what.nbytes))

    def scratch_fields(self, batch_rows: int) -> dict[str, int]:
        """Tell the bytes of row scratch a thread needs, by field."""
        if self._cast is None:
            return {}
        return {IMAGE: min(self.bite, batch_rows) * self._cast.source.nbytes}

    @property
    def kernel_values(self) -> int:
        """Float32 values of kernel scratch for rows of fixed size."""
        return self._kernel_values

    @property
    def decodes(self) -> bool:
        """Whether rows are encoded images."""
        return isinstance(self.source.spec[IMAGE], Encoded)

    # --- at work -----------------------------------------------------------------------------------------------------

    def fill(
        self, rows: NDArray[np.int64], draws: Sequence[Sequence[float]], arrays: Mapping[str, NDArray[Any]], scratch: Scratch
    ) -> dict[int, Exception]:
        """Bring rows into the arrays of a slot.

        Parameters
        ----------
        rows
            Row numbers, shape (k,).
        draws
            Random numbers of each row, for all transforms one behind the other.
        arrays
            For each field an array of shape (k, *shape): a part of the slot.
        scratch
            The thread's own.

        Returns
        -------
        dict
            The error of each row that failed, by its index. Its part of the slot is zero then.
        """
        into: dict[str, Any] = dict(arrays)
        if self._cast is not None:
            into[IMAGE] = scratch.field(IMAGE, (len(rows), *self._cast.source.shape), self._cast.source.dtype)
        reader = None
        if self.decodes:
            reader = into[IMAGE] = scratch.reader()
        failed: dict[int, Exception] = {}
        try:
            self.source.read(rows, into)
        except BadRows as error:
            failed = error.causes
        if reader is not None and self._encoded is not None:
            self._encoded.draw(rows, draws, reader, failed, arrays[IMAGE], scratch)
        elif self._cast is not None:
            self._draw_fields(into[IMAGE], draws, arrays[IMAGE], scratch)
        for i in failed:
            for array in arrays.values():
                array[i] = 0
        return failed

    def _draw_fields(
        self, rows: NDArray[Any], draws: Sequence[Sequence[float]], out: NDArray[Any], scratch: Scratch
    ) -> None:
        assert self._cast is not None
        whole = 255.0 if rows.dtype == np.uint8 else 1.0
        if self._draws_pixels:
            height, width, channels = rows.shape[1:]
            hwc = out.transpose(0, 2, 3, 1) if self.layout == "CHW" else out
            for i in range(len(rows)):
                view = self._adjusted(View(width, height, whole), draws[i])
                need = kernel_need(view, width, channels)
                render(rows[i], view, self._limits, need, scratch.kernel, hwc[i])
            return
        image = rows.ndim == 4 and rows.shape[3] in (1, 3, 4)
        channels = rows.shape[3] if image else 1
        view = self._adjusted(View(1.0, 1.0, whole), draws[0])
        source = rows.reshape(len(rows), -1, channels)
        target = out
        if image and self.layout == "CHW":
            target = out.reshape(len(rows), channels, -1).transpose(0, 2, 1)
        else:
            target = out.reshape(len(rows), -1, channels)
        factor = np.array([*view.colour[0:1], *view.colour[5:6], *view.colour[10:11], view.alpha][:channels])
        offset = np.array([view.colour[3], view.colour[7], view.colour[11], 0.0][:channels])
        if source.dtype in _KERNEL_TYPES and target.dtype in _KERNEL_TYPES:
            from bitesize.kernels.cast import cast_rows  # loads the compiler: only who casts waits for it

            cast_rows(source, factor, offset, *self._cast_limits(view, source.dtype), target)
        else:
            for i in range(len(rows)):
                values = source[i] if view.colour == PLAIN else source[i].astype(np.float32) * factor + offset
                if target.dtype.kind in "iu" and values.dtype.kind == "f":
                    values = np.clip(np.floor(values.astype(np.float64) + 0.5), *self._limits)
                np.copyto(target[i], values, casting="unsafe")

    def _cast_limits(self, view: View, before: np.dtype[Any]) -> tuple[float, float]:
        # Integers that only change their type keep their values, which floats could not hold beyond 2**53.
        plain = view.colour == PLAIN and view.alpha == 1.0
        return (0.0, 0.0) if plain and np.can_cast(before, self.out[IMAGE].dtype) else self._limits

    def _adjusted(self, view: View, draws: Sequence[float]) -> View:
        at = 0
        for transform, count in zip(self.transforms, self.draws, strict=True):
            transform.adjust(view, draws[at : at + count])
            at += count
        return view


def _integer_limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind not in "iu":
        return 0.0, 0.0
    info = np.iinfo(dtype)
    # The greatest float64 below 2**63 or 2**64: the limit itself would overflow in the cast.
    return float(info.min), math.nextafter(float(info.max), 0) if dtype.itemsize == 8 else float(info.max)
