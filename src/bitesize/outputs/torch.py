"""A loader as a PyTorch ``IterableDataset`` of whole batches."""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections import deque
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting, MissingPackage
from bitesize.outputs.base import Epochs, check_loader, check_mask, check_shard, refuse_unless_in_order, with_mask
from bitesize.packages import pip_install
from bitesize.spec import Batch, UnevenBatch

if TYPE_CHECKING:
    from bitesize.engine.loader import Loader

# Addresses of memory that is page-locked here.
_locked: set[int] = set()
# Batches that are under way to a GPU while it works on another.
_AHEAD = 2
_PREDICTION_LOOPS = ("lightning.pytorch.loops.prediction_loop", "pytorch_lightning.loops.prediction_loop")
_WORKERS = (
    "num_workers must be 0: bitesize reads with threads of its own, ahead and within the budget. Each worker process would "
    "hold a copy of it, and give every row once more"
)


def to_torch(
    loader: Loader,
    device: Any = None,
    *,
    channels_last: bool | None = None,
    pin_memory: bool | Literal["auto"] = "auto",
) -> Any:
    """Make a dataset of whole batches for PyTorch, for a plain loop or for ``DataLoader(dataset, batch_size=None)``.

    Each batch is a dict of tensors by field name, which on the CPU are views on the loader's memory: nothing is copied, and
    the memory is used again once no tensor looks at it. ``clone()`` what is to be kept. Where rows may be padding or bad,
    ``batch["mask"]`` tells those that are not.

    Parameters
    ----------
    loader
        Where batches come from.
    device
        Where tensors are to be, as `torch.device` takes it. On a CUDA device, batches are sent from page-locked memory on a stream of
        their own, two ahead. None leaves them on the CPU.
    channels_last
        Fields of images (rows of three axes, the last of 1, 3 or 4 channels) become ``(batch, channels, height, width)`` in the
        memory format ``torch.channels_last``, which takes no copy. None does so where the loader's layout is ``"HWC"``; False
        leaves batches as the loader makes them. ``Loader(layout="CHW")`` makes contiguous ones.
    pin_memory
        Whether the loader's slots are page-locked: by default where ``device`` is a CUDA device.

    Returns
    -------
    torch.utils.data.IterableDataset
        With ``state_dict`` and ``load_state_dict``, which torchdata's ``StatefulDataLoader`` and Lightning use.

    Raises
    ------
    MissingPackage
        If PyTorch is not installed.
    BadSetting
        If PyTorch has no such numbers, or ranks are set up and the loader knows nothing of them.
    DoesNotFit
        If the batches that are sent ahead do not fit the loader's budget.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingPackage(f"PyTorch cannot be imported ({error}): {pip_install('torch')}") from error
    check_loader(loader, "to_torch")
    check_mask(loader)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        check_shard(loader, torch.distributed.get_rank(), torch.distributed.get_world_size(), "torch.distributed")
    for name, field in loader.spec.items():
        try:
            _tensor(torch, np.empty(0, field.dtype))
        except TypeError as error:
            raise BadSetting(f"the field {name!r} is {field.dtype}, of which PyTorch makes no tensors: {error}") from error
    if channels_last and loader.layout == "CHW":
        raise BadSetting('channels_last=True takes rows as layout="HWC" makes them, and the loader has layout="CHW"')
    where = torch.device(device) if device is not None else None
    cuda = where is not None and where.type == "cuda"
    if pin_memory is True and not cuda:
        raise BadSetting("pin_memory=True is for copies to a CUDA device, which to_torch makes: give device=")
    images = channels_last is not False and loader.layout == "HWC"
    sender = _Cuda(torch, where) if cuda else _Plain(where)
    dataset = _dataset_class()(loader, sender, images)
    loader.hold(1 + sender.ahead)
    if cuda and pin_memory:
        loader.each_slot(sender.pin)  # type: ignore[union-attr]
    return dataset


class _Plain:
    """Leaves tensors where they are, or brings them to a device by a copy that is waited for."""

    ahead = 0

    def __init__(self, device: Any) -> None:
        self._device = device

    def send(self, tensors: Any) -> Any:
        """Move them."""
        if self._device is None or self._device.type == "cpu":
            return tensors
        return _same(tensors, {name: tensor.to(self._device) for name, tensor in tensors.items()})

    def receive(self, tensors: Any) -> Any:
        """Give them."""
        return tensors


class _Cuda:
    """Sends tensors to a GPU on a stream of its own."""

    ahead = _AHEAD

    def __init__(self, torch: Any, device: Any) -> None:
        self._torch, self._device = torch, device
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

    def send(self, tensors: Any) -> tuple[Any, Any]:
        """Begin to copy; first wait until memory that is about to be needed again has been copied from."""
        torch = self._torch
        while len(self._under_way) > self.ahead:
            self._under_way.popleft()[0].synchronize()
        with torch.cuda.stream(self._stream):
            moved = {name: tensor.to(self._device, non_blocking=True) for name, tensor in tensors.items()}
            event = torch.cuda.Event()
            event.record(self._stream)
        self._under_way.append((event, tensors))
        return _same(tensors, moved), event

    def receive(self, sent: tuple[Any, Any]) -> Any:
        """Let the user's stream wait for the copy, and let go of what has been copied."""
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
    """Make the class on first use, since its base is PyTorch's."""
    global _class
    if _class is None:
        import torch

        class TorchDataset(Epochs, torch.utils.data.IterableDataset):  # type: ignore[misc]
            """A loader as an ``IterableDataset``; see `to_torch`."""

            def __init__(self, loader: Loader, sender: Any, images: bool) -> None:
                Epochs.__init__(self, loader, sender.ahead, patient=sender.ahead > 0)
                self._sender = sender
                self._kind = Batch if loader.steps.even else UnevenBatch
                self._images = {
                    name for name, field in loader.spec.items() if len(field.shape) == 3 and field.shape[2] in (1, 3, 4)
                } if images else set()  # fmt: skip

            def __iter__(self) -> Any:
                if torch.utils.data.get_worker_info() is not None:
                    raise BadSetting(_WORKERS)
                if _lightning_predicts(sys._getframe(1)):
                    refuse_unless_in_order(self._loader, "trainer.predict", shards=True)
                return Epochs.__iter__(self)

            def _send(self, batch: Batch) -> Any:
                tensors = {name: _tensor(torch, array) for name, array in with_mask(self._loader, batch).items()}
                for name in self._images:
                    tensors[name] = tensors[name].permute(0, 3, 1, 2)
                return self._sender.send(_same(batch, tensors, self._kind))

            def _receive(self, under_way: Any) -> Any:
                return self._sender.receive(under_way)

            def __reduce__(self) -> NoReturn:
                raise BadSetting(_WORKERS)

        _class = TorchDataset
    return _class


_class: type[Any] | None = None


def _lightning_predicts(frame: FrameType | None) -> bool:
    """Return whether a loop of ``Trainer.predict`` of Lightning is on the call stack."""
    while frame is not None:
        if frame.f_globals.get("__name__") in _PREDICTION_LOOPS:
            return True
        frame = frame.f_back
    return False


def _tensor(torch: Any, array: NDArray[Any]) -> Any:
    """Look at an array as a tensor."""
    if array.dtype.name == "bfloat16":  # NumPy's is another package's, which PyTorch does not know
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _same(batch: Batch, arrays: dict[str, Any], kind: type[Batch] | None = None) -> Batch:
    """Give the batch with its rows of another kind."""
    return (kind or type(batch))(
        arrays, rows=batch.rows, mask=batch.mask, epoch=batch.epoch, position=batch.position, weight=batch.weight
    )  # fmt: skip
