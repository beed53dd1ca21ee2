"""Batch: arrays by field name, with the row numbers."""

from __future__ import annotations

import copy
import opcode
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting

if TYPE_CHECKING:
    from bitesize.pictures.batch_html import RowDescription

_NO_ROWS, _NO_MASK = np.empty(0, np.int64), np.empty(0, np.bool_)
_UNPACKS = frozenset(opcode.opmap[name] for name in ("UNPACK_SEQUENCE", "UNPACK_EX") if name in opcode.opmap)
# PyTorch's DataLoader copies a batch only to replace its tensors.
_COLLATES = "torch.utils.data._utils."


class Batch(dict[str, NDArray[Any]]):
    """Arrays of one batch by field name, with the row numbers.

    The primary input, and every field of more than 64 bytes per row, are views into memory of the loader. A view stays valid while
    it is referenced, and the loader cannot reuse its memory during that time. Use `copy` to keep a batch. Smaller fields (labels,
    weights, row ids), ``rows`` and ``mask`` own their memory and can be kept.

    Parameters
    ----------
    arrays
        Arrays by field name, each of shape (batch, ...).
    rows, mask, epoch, position, weight
        See the attributes.
    rows_are
        What the rows are, for pictures in notebooks; None if only the arrays are known.

    Attributes
    ----------
    rows : ndarray of int64, shape (batch,)
        Row numbers in the source.
    position : int
        Position of the batch's first row in the order of the epoch (first row of the global batch when sharded).
    epoch : int
        Epoch of the batch, from 0.
    mask : ndarray of bool, shape (batch,)
        False where a row is padding or could not be read.
    weight : float
        Factor by which a mean over ranks becomes a mean over rows; 1.0 on a single rank.

    Raises
    ------
    BadSetting
        If the batch is unpacked.

    Notes
    -----
    A framework that moves a batch creates a new batch from the arrays only. The ``rows`` and ``mask`` of the new batch are empty,
    and its ``epoch`` and ``position`` are -1.

    A batch is a dict. Unpacking it (``x, y = batch``) would yield field names, so it raises `BadSetting` instead.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> with bs.Loader(bs.open(np.arange(10.0)), batch_size=5, memory="16 MiB", shuffle=False) as loader:
    ...     kept = [batch.copy() for batch in loader]
    >>> [batch["x"].tolist() for batch in kept]
    [[0.0, 1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0, 9.0]]
    """

    __slots__ = ("_rows_are", "epoch", "mask", "position", "rows", "weight")

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        *,
        rows: NDArray[np.int64] = _NO_ROWS,
        mask: NDArray[np.bool_] = _NO_MASK,
        epoch: int = -1,
        position: int = -1,
        weight: float = 1.0,
        rows_are: RowDescription | None = None,
    ) -> None:
        super().__init__(arrays)
        self.rows = rows
        self.mask = mask
        self.epoch = epoch
        self.position = position
        self.weight = weight
        self._rows_are = rows_are

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{name}: {f'{tuple(value.shape)} {value.dtype}' if _has_memory(value) else repr(value)}"
            for name, value in self.items()
        )
        return f"Batch({{{fields}}}, epoch={self.epoch}, position={self.position})"

    def _repr_html_(self) -> str:
        """Return fields with their ranges, and thumbnails of the first images, for notebooks."""
        from bitesize.pictures.batch_html import BatchFacts, batch_html

        return batch_html(BatchFacts(self, self.rows, self.mask, self.epoch, self.position, self._rows_are))

    def __iter__(self) -> Iterator[str]:
        if _unpacks(sys._getframe(1)):
            names = ", ".join(self)
            raise BadSetting(
                f'a batch is a dict, so unpacking yields field names ({names}): use batch["x"], batch["y"], or for PyTorch '
                "bs.to_torch(loader, as_tuple=True), whose batches unpack to arrays"
            )
        return super().__iter__()

    def copy(self) -> Self:
        """Return a copy of the batch that owns its memory: arrays are copied, tensors are cloned.

        Returns
        -------
        Batch
            Batch of the same arrays, with memory of its own.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> with bs.Loader(bs.open(np.arange(4.0)), batch_size=2, memory="16 MiB", shuffle=False) as loader:
        ...     kept = [batch.copy() for batch in loader]
        >>> kept[0].rows.tolist(), kept[1]["x"].tolist()
        ([0, 1], [2.0, 3.0])
        """
        return self._remade(
            {name: _copied(value) for name, value in self.items()}, rows=self.rows.copy(), mask=self.mask.copy()
        )

    def __copy__(self) -> Self:
        caller = sys._getframe(1).f_back  # of copy.copy
        if caller is not None and str(caller.f_globals.get("__name__")).startswith(_COLLATES):
            return self._remade(dict(self), rows=self.rows, mask=self.mask)
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = self.copy()
        memo[id(self)] = made
        for name, value in made.items():
            if not _has_memory(value):
                made[name] = copy.deepcopy(value, memo)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), dict(self), self._places() | {"rows": self.rows, "mask": self.mask})

    def _places(self) -> dict[str, Any]:
        """Return the epoch, position and weight of the batch."""
        return {"epoch": self.epoch, "position": self.position, "weight": self.weight}

    def _remade(self, arrays: Mapping[str, Any], **known: Any) -> Self:
        made: Self = _made(type(self), arrays, self._places() | {"rows_are": self._rows_are} | known)
        return made


class UnevenBatch(Batch):
    """A batch whose weight matters, because ranks have different numbers of rows.

    Raises
    ------
    BadSetting
        If ``weight`` is read from a batch that a framework created from the arrays only.
    """

    __slots__ = ("_weight",)

    def __init__(self, arrays: Mapping[str, NDArray[Any]], *, weight: float | None = None, **places: Any) -> None:
        super().__init__(arrays, **places)
        self._weight = weight

    @property
    def weight(self) -> float:
        """Factor by which a mean over ranks becomes a mean over rows."""
        if self._weight is None:
            raise BadSetting(
                "the weight of this batch is unknown, because a framework created the batch when it moved the arrays, and the weight "
                'differs among ranks: use a batch_size that is a multiple of the number of ranks and last="drop", so that all '
                "ranks have the same number of rows"
            )
        return self._weight

    @weight.setter
    def weight(self, weight: float | None) -> None:
        self._weight = weight

    def _places(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position, "weight": self._weight}


def _made(kind: type[Any], arrays: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """Return a batch of arrays and attributes. A module-level function, so that batches can be pickled."""
    return kind(arrays, **known)


def _has_memory(value: Any) -> bool:
    """Return whether a value is an array or a tensor, rather than another object that a program has added."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _copied(value: Any) -> Any:
    """Return a copy of an array or tensor; return any other value unchanged."""
    if not _has_memory(value):
        return value
    return value.clone() if hasattr(value, "clone") else value.copy()


def _unpacks(frame: FrameType) -> bool:
    """Return whether a frame is at an instruction that unpacks a value into several names."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return 0 <= at < len(code) and code[at] in _UNPACKS
