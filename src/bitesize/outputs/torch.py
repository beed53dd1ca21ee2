"""Convert a loader to a PyTorch ``IterableDataset`` of whole batches."""

from __future__ import annotations

import contextlib
import logging
import sys
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from bitesize.batch import Batch, UnevenBatch
from bitesize.engine.holding import LOOP_PATIENCE, PENDING_PATIENCE, Holder
from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadSetting
from bitesize.outputs.base import (
    Epochs,
    check_loader,
    check_mask,
    check_shard,
    import_framework,
    leave_out,
    refuse_unless_in_order,
    with_mask,
)
from bitesize.outputs.fields import (
    check_fields,
    chosen_fields,
    chosen_weights,
)
from bitesize.outputs.normalizing import Steps, device_normalization
from bitesize.outputs.torch_calls import (
    collecting,
    lightning_predicts,
    names_of_tuple,
    refuse_batches_of_batches,
    refuse_update_of_norms,
)
from bitesize.outputs.torch_normalizing import TorchNormalizer

_log = logging.getLogger("bitesize")
# Addresses of memory that is page-locked here.
_locked: set[int] = set()
_ADVICE = "Keep copies, batch.copy() (of one field: batch['x'].clone()), or release earlier batches"
_TUPLE_ADVICE = "Keep copies, x.clone(), or release earlier batches"
# Batches that are under way to a GPU while it works on another.
_AHEAD = 2
_WORKERS = (
    "num_workers must be 0: bitesize reads in advance with its own threads, within the budget. Each worker process would "
    "have a copy of the loader, and return every row again"
)


def to_torch(
    loader: Loader,
    device: Any = None,
    *,
    channels_last: bool | None = None,
    pin_memory: bool | Literal["auto"] = "auto",
    as_tuple: bool | Sequence[str] = False,
    normalize: Steps | None = None,
    dtype: Any = None,
) -> Any:
    """Return a dataset of whole batches for PyTorch, for a plain loop or for ``DataLoader(dataset, batch_size=None)``.

    Each batch is a dict of tensors by field name. On the CPU, the primary input and other large fields are views into the
    loader's memory, which is reused once no tensor references it: use ``batch.copy()`` or ``tensor.clone()`` to keep data.
    Labels and other fields of up to 64 bytes per row are copies. ``batch["mask"]`` is False for padding and bad rows.

    Parameters
    ----------
    loader
        Source of the batches.
    device
        Device of the tensors, as in `torch.device`; None for the CPU. To a CUDA device, two batches are sent in advance.
    channels_last
        If True, fields of images (rows of three axes, the last with 1, 3 or 4 channels) become ``(batch, channels, height,
        width)`` in the memory format ``torch.channels_last``, without a copy. None: if the loader's layout is ``"HWC"``.
    pin_memory
        Whether the loader's slots are page-locked. Default: True if ``device`` is a CUDA device.
    as_tuple
        If True, return tuples instead of dicts: ``(x, y)``, ``(x, y, weights)`` if the data has sample weights, or ``(x,)``
        without labels; a list selects fields, ``["left", "right", "y"]``. Tuples have no mask: padding rows and rows that could
        not be read are removed. They have no row numbers, epoch or weight of a batch.
    normalize
        `Normalize`, `Scale` or a list of them, applied on the device to the primary input, which the loader must yield as integers
        of 8 or 16 bits: a quarter or half of the bytes are sent. Images that the loader has resampled or recolored are rounded to whole levels
        before, so values differ by up to half a level from those of a loader that normalizes; otherwise they are the same within
        float32 rounding. Validation needs the same: ``normalize=train_batches.normalize``.
    dtype
        With ``normalize``, dtype of the result: float32 (default), float16 or bfloat16.

    Returns
    -------
    torch.utils.data.IterableDataset
        The dataset. It has ``state_dict`` and ``load_state_dict``, for torchdata's ``StatefulDataLoader`` and Lightning, and
        ``normalize``, the transforms that the device applies, with the numbers of ``Normalize("data")``.

    Raises
    ------
    MissingPackage
        If PyTorch is not installed.
    BadSetting
        If PyTorch does not support a dtype, several ranks are set up but the loader is not sharded, or ``normalize`` does not fit the
        batches, for example because the loader normalizes already.
    DoesNotFit
        If the batches that are sent in advance, or normalized on the CPU, do not fit the loader's budget.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> with bs.Loader(bs.open(np.ones((8, 3), np.float32)), batch_size=4, memory="16 MiB") as loader:
    ...     [tuple(batch["x"].shape) for batch in bs.to_torch(loader)]
    [(4, 3), (4, 3)]
    """
    torch = import_framework("torch", "PyTorch", "torch")
    check_loader(loader, "to_torch")
    names = None if as_tuple is False else _tuple_fields(loader, as_tuple)
    _check_batches(loader, torch, masked=names is None)
    if channels_last and loader.layout == "CHW":
        raise BadSetting('channels_last=True needs a loader with layout="HWC", but its layout is "CHW"')
    normalization = device_normalization(loader, normalize, dtype, "to_torch")
    if normalization is not None and names is not None and normalization.name not in names:
        raise BadSetting(
            f"to_torch: normalize= is for the field {normalization.name!r}, but as_tuple= selects {', '.join(names)}"
        )
    images = _permuted(loader) if channels_last is not False and loader.layout == "HWC" else frozenset()
    normalizer = None if normalization is None else TorchNormalizer(torch, normalization, normalization.name in images)
    sender = _make_sender(torch, device, normalizer)
    if pin_memory is True and not isinstance(sender, _Cuda):
        raise BadSetting("pin_memory=True is for copies to a CUDA device by to_torch: pass device=")
    holder = Holder(_ADVICE if names is None else _TUPLE_ADVICE, sender.patience, collects=collecting, sends=sender.sends)
    dataset = _dataset_class()(loader, sender, images, holder, names)
    dataset.normalize = None if normalization is None else normalization.steps
    driver_of(loader).hold(1 + sender.ahead)
    if normalization is not None and not sender.sends:
        driver_of(loader).hold_normalized(normalization.nbytes)
    if isinstance(sender, _Cuda) and pin_memory:
        driver_of(loader).each_slot(sender.pin)
    return dataset


def _make_sender(torch: Any, device: Any, normalizer: TorchNormalizer | None) -> _Plain | _Cuda:
    """Return what brings batches to a device."""
    if device is None:
        return _Plain(None, normalizer)
    device = torch.device(device)
    return _Cuda(torch, device, normalizer) if device.type == "cuda" else _Plain(device, normalizer)


def _permuted(loader: Loader) -> frozenset[str]:
    """Return the fields of images whose tensors have the channels before height and width."""
    return frozenset(name for name, field in loader.spec.items() if len(field.shape) == 3 and field.shape[2] in (1, 3, 4))


def _check_batches(loader: Loader, torch: Any, *, masked: bool) -> None:
    """Raise for batches that PyTorch cannot have: for the mask, the ranks and the dtypes."""
    if masked:
        check_mask(loader)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        check_shard(loader, torch.distributed.get_rank(), torch.distributed.get_world_size(), "torch.distributed")
    for name, field in loader.spec.items():
        try:
            _tensor(torch, np.empty(0, field.dtype))
        except TypeError as error:
            raise BadSetting(f"the field {name!r} is {field.dtype}, which PyTorch does not support: {error}") from error


def _tuple_fields(loader: Loader, as_tuple: bool | Sequence[str]) -> tuple[str, ...]:
    """Return the fields that stand in a tuple, one behind the other."""
    if as_tuple is True:
        inputs, targets = chosen_fields(loader, None, None)
        weights = chosen_weights(loader, inputs, targets, None, "to_torch")
        names = names_of_tuple(True, (loader.source.primary, loader.source.label_name if targets else None, weights))
    else:
        names = names_of_tuple(as_tuple, ())
        check_fields(loader, names)
    driver_of(loader).batching.refuse_empty_shares("as_tuple=True")
    if not driver_of(loader).batching.even:
        _log.warning(
            "to_torch: ranks have different numbers of rows in some batches, and tuples have no batch.weight, which makes a mean over "
            "ranks a mean over rows: take batches as dicts, or make all shares even by a batch_size that is a multiple of the number "
            'of ranks, and last="drop"'
        )
    return names


class _Plain:
    """Leaves tensors where they are, or brings them to a device by a copy that is waited for."""

    ahead, patience = 0, LOOP_PATIENCE

    def __init__(self, device: Any, normalizer: TorchNormalizer | None) -> None:
        self._device, self._normalizer = device, normalizer
        self.sends = device is not None and device.type != "cpu"

    def send(self, tensors: Any, blank: Sequence[int]) -> Any:
        """Move them, and normalize."""
        if self.sends:
            tensors = _same(tensors, {name: tensor.to(self._device) for name, tensor in tensors.items()})
        normalizer = self._normalizer
        if normalizer is not None:
            compute = normalizer if self.sends else normalizer.holding
            tensors[normalizer.name] = compute(tensors[normalizer.name], blank)
        return tensors

    def receive(self, tensors: Any) -> Any:
        """Return an iterator over the batches."""
        return tensors


class _Cuda:
    """Sends tensors to a GPU on a stream of its own."""

    ahead, patience, sends = _AHEAD, PENDING_PATIENCE, True

    def __init__(self, torch: Any, device: Any, normalizer: TorchNormalizer | None) -> None:
        self._torch, self._device, self._normalizer = torch, device, normalizer
        self._stream = torch.cuda.Stream(device)
        self._under_way: deque[tuple[Any, Batch]] = deque()  # the copies' events, and what must stay until then

    def pin(self, memory: NDArray[np.uint8]) -> None:
        """Lock the pages of a slot, until it is dropped; memory that cannot be locked is copied from a little slower."""
        cudart, address = self._torch.cuda.cudart(), memory.ctypes.data
        if address in _locked:  # another dataset of the same loader has done it
            return
        if int(cudart.cudaHostRegister(address, memory.nbytes, 0)) == 0:
            _locked.add(address)
            weakref.finalize(memory, _unlock, cudart, address)
            return
        # CUDA remembers that it refused, and tells whoever asks next: so that is done here.
        with contextlib.suppress(RuntimeError):
            self._torch.zeros(1, device=self._device)

    def send(self, tensors: Any, blank: Sequence[int]) -> tuple[Any, Any]:
        """Begin to copy, and normalize behind the copy; first wait until memory that is about to be needed again has been copied from."""
        torch, normalizer = self._torch, self._normalizer
        while len(self._under_way) > self.ahead:
            self._under_way.popleft()[0].synchronize()
        with torch.cuda.stream(self._stream):
            moved = {name: tensor.to(self._device, non_blocking=True) for name, tensor in tensors.items()}
            if normalizer is not None:
                moved[normalizer.name] = normalizer(moved[normalizer.name], blank)
            event = torch.cuda.Event()
            event.record(self._stream)
        self._under_way.append((event, tensors))
        return _same(tensors, moved), event

    def receive(self, sent: tuple[Any, Any]) -> Any:
        """Make the user's stream wait for the copy, and release batches that have been copied."""
        batch, event = sent
        stream = self._torch.cuda.current_stream(self._device)
        stream.wait_event(event)
        for tensor in batch.values():
            tensor.record_stream(stream)
        while self._under_way and self._under_way[0][0].query():
            self._under_way.popleft()
        return batch


def _unlock(cudart: Any, address: int) -> None:
    _locked.discard(address)
    cudart.cudaHostUnregister(address)


def _dataset_class() -> type[Any]:
    """Create the class on first use, because its base class is PyTorch's."""
    global _class
    if _class is None:
        import torch

        class TorchDataset(Epochs, torch.utils.data.IterableDataset):  # type: ignore[misc]
            """``IterableDataset`` of a loader; see `to_torch`."""

            def __init__(
                self, loader: Loader, sender: Any, images: frozenset[str], holder: Holder, names: tuple[str, ...] | None
            ) -> None:
                Epochs.__init__(self, loader, sender.ahead, holder)
                self._sender, self._names, self._images = sender, names, images
                self._kind = Batch if driver_of(loader).batching.even else UnevenBatch

            def __iter__(self) -> Any:
                if torch.utils.data.get_worker_info() is not None:
                    raise BadSetting(_WORKERS)
                refuse_batches_of_batches(sys._getframe(1))
                if self._names is None:
                    refuse_update_of_norms(sys._getframe(1))
                if lightning_predicts(sys._getframe(1)):
                    refuse_unless_in_order(self._loader, "trainer.predict", shards=True)
                return Epochs.__iter__(self)

            def _send(self, batch: Batch) -> Any:
                if self._names is not None and self._loader.masks and not batch.mask.all():
                    leave_out(batch)
                arrays = (
                    with_mask(self._loader, batch) if self._names is None else {name: batch[name] for name in self._names}
                )
                tensors = {name: _tensor(torch, array) for name, array in arrays.items()}
                for name in self._images & tensors.keys():
                    tensors[name] = tensors[name].permute(0, 3, 1, 2)
                blank = (~batch.mask).nonzero()[0].tolist() if self._names is None and self._loader.masks else ()
                return self._sender.send(_same(batch, tensors, self._kind), blank)

            def _receive(self, under_way: Any) -> Any:
                batch = self._sender.receive(under_way)
                return batch if self._names is None else tuple(batch[name] for name in self._names)

            def __reduce__(self) -> NoReturn:
                raise BadSetting(_WORKERS)

        _class = TorchDataset
    return _class


_class: type[Any] | None = None


def _tensor(torch: Any, array: NDArray[Any]) -> Any:
    """Return an array as a tensor without a copy."""
    if array.dtype.name == "bfloat16":  # NumPy's is another package's, which PyTorch does not know
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _same(batch: Batch, arrays: dict[str, Any], kind: type[Batch] | None = None) -> Batch:
    """Return the batch with converted rows."""
    return (kind or type(batch))(
        arrays, rows=batch.rows, mask=batch.mask, epoch=batch.epoch, position=batch.position, weight=batch.weight,
        rows_are=batch._rows_are,
    )  # fmt: skip
