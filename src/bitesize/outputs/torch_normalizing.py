"""Compute a normalization with PyTorch, on the device of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bitesize.engine.ring import handed_out
from bitesize.outputs.normalizing import Normalization


class TorchNormalizer:
    """Normalizes the tensors of one device.

    Parameters
    ----------
    torch
        PyTorch.
    normalization
        What to compute.
    channels_first
        Whether tensors have the channels before height and width, although the batches of the loader have them last.
    """

    def __init__(self, torch: Any, normalization: Normalization, channels_first: bool) -> None:
        self._torch, self._normalization = torch, normalization
        self._dtype = getattr(torch, normalization.dtype)
        self._channels_first = channels_first
        self._numbers: list[Any] = []  # on the device

    @property
    def name(self) -> str:
        """Field that is normalized."""
        return self._normalization.name

    @property
    def nbytes(self) -> int:
        """Bytes of one batch in float32."""
        return self._normalization.nbytes

    def __call__(self, x: Any, blank: Sequence[int]) -> Any:
        """Return a normalized tensor on the device of ``x``.

        Parameters
        ----------
        x
            Tensor of integers.
        blank
            Indices of padding and bad rows, which stay zero.
        """
        torch = self._torch
        if not self._numbers:
            both = self._normalization.offset, self._normalization.factor
            arrays = (np.moveaxis(array, -1, 0) if self._channels_first else array for array in both)
            self._numbers = [torch.from_numpy(np.ascontiguousarray(array)).to(x.device) for array in arrays]
        offset, factor = self._numbers
        values = x.to(torch.float32)
        torch.addcmul(offset, values, factor, out=values)
        for row in blank:
            values[row] = 0
        return values.to(self._dtype)

    def holding(self, x: Any, blank: Sequence[int]) -> Any:
        """Return a normalized tensor in the memory of this process, which holds the slot of ``x``.

        There is then one such tensor for each slot at most, which is what `LoaderDriver.hold_normalized` charges.
        """
        torch = self._torch
        values = self(x, blank)
        memory = values.view(torch.int16) if values.dtype == torch.bfloat16 else values
        return torch.from_numpy(handed_out(memory.numpy(), (values, x))).view(values.dtype)
