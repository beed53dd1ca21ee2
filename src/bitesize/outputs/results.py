"""Compute results of estimators for every row, in order: classes, probabilities, or transformed rows."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.engine.loader import Loader, driver_of
from bitesize.errors import BadResult, BadSetting, DoesNotFit, NotFound
from bitesize.files.atomic import replacing_large
from bitesize.files.npy import header_bytes
from bitesize.outputs.base import (
    check_loader,
    leave_out,
    refuse_unless_in_order,
)
from bitesize.outputs.fields import (
    primary_input,
)

_METHODS = ("predict", "predict_proba", "decision_function", "transform")
_log = logging.getLogger("bitesize")


def predict(
    estimator: Any,
    loader: Loader,
    *,
    method: str | None = None,
    out: str | os.PathLike[str] | NDArray[Any] | None = None,
) -> NDArray[Any] | None:
    """Predict or transform all rows, in the source's order, batch by batch.

    Parameters
    ----------
    estimator
        Object with the method, such as a fitted estimator. It gets ``x``, flattened to ``(rows, values)``.
    loader
        Source of the batches, created with ``shuffle=False``.
    method
        ``"predict"``, ``"predict_proba"``, ``"decision_function"``, ``"transform"``, or another method of the estimator that
        returns one result per row. Default: ``"predict"`` if the estimator has it, else ``"transform"``; the choice is logged.
    out
        For results larger than memory: a `.npy` file, which is replaced if it exists, or an array to fill, such as a
        `numpy.memmap`. Default: an array is allocated within the loader's budget.

    Returns
    -------
    ndarray of shape (n, ...), or None if a file is written
        For a row that could not be read (``on_error="skip"``), the result is NaN; -1 for whole numbers and bool; or an empty
        string. If rows may be skipped, unsigned numbers and bool become signed numbers.

    Raises
    ------
    BadSetting
        If the estimator does not have the method, the loader does not yield every row once, in order, or ``out`` does not fit.
    DoesNotFit, DiskFull
        If results are larger than the free part of the loader's budget, or than the free space on the disk of ``out``.
    BadResult
        If the method does not return one result per row, all of one shape and dtype.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> from sklearn.cluster import MiniBatchKMeans
    >>> x = np.repeat([[0.0, 0.0], [9.0, 9.0]], 50, axis=0)
    >>> model = MiniBatchKMeans(2, random_state=0, n_init=1).partial_fit(x)
    >>> with bs.Loader(bs.open(x), batch_size=32, memory="16 MiB", shuffle=False) as loader:
    ...     bs.sklearn.predict(model, loader).shape, bs.sklearn.predict(model, loader, method="transform").shape
    ((100,), (100, 2))
    """
    check_loader(loader, "predict")
    refuse_unless_in_order(loader, "predict")
    call = _method(estimator, method)
    rows = len(loader.source)
    target = _target(out, rows)
    loader.set_epoch(loader.epoch + 1 if driver_of(loader).position.resumes else loader.epoch)
    results = _results(call, loader)
    first = np.array(next(results))  # a view would keep its batch
    if target is None:
        return _filled(out if isinstance(out, np.ndarray) else None, first, results, loader)
    _write(target, rows, first, results)
    return None


def _write(target: Path, rows: int, first: NDArray[Any], results: Iterator[NDArray[Any]]) -> None:
    """Write the results to a `.npy` file."""
    header = header_bytes((rows, *first.shape[1:]), first.dtype)
    nbytes = len(header) + rows * (first.nbytes // len(first))
    with replacing_large(target, nbytes) as temporary, temporary.open("wb") as file:
        file.write(header)
        for result in itertools.chain([first], results):
            file.write(np.ascontiguousarray(result).reshape(-1).view(np.uint8).data)
            del result


def _method(estimator: Any, method: str | None) -> Callable[[Any], Any]:
    """Return the method that is asked for, or that the estimator has; say which."""
    name_of_type = type(estimator).__name__
    there = [name for name in _METHODS if hasattr(estimator, name)]
    has = f"it has {', '.join(there)}" if there else f"it has none of {', '.join(_METHODS)}"
    if method is not None:
        call = getattr(estimator, method, None)
        if not callable(call):
            raise BadSetting(f"{name_of_type} has no {method}: {has}")
        return call  # type: ignore[no-any-return]
    chosen = next((name for name in ("predict", "transform", *there) if name in there), None)
    if chosen is None:
        raise BadSetting(f"{name_of_type} cannot predict: {has}")
    others = [name for name in there if name != chosen]
    instead = f" (method= chooses another: {', '.join(others)})" if others else ""
    _log.info("predict: by %s.%s%s", name_of_type, chosen, instead)
    return getattr(estimator, chosen)  # type: ignore[no-any-return]


def _filled(out: NDArray[Any] | None, first: NDArray[Any], results: Iterator[NDArray[Any]], loader: Loader) -> NDArray[Any]:
    """Put results into one array: the one that is given, or one that the loader's budget has room for."""
    shape = (len(loader.source), *first.shape[1:])
    charge = None
    if out is None:
        nbytes = len(loader.source) * (first.nbytes // len(first))
        try:
            charge = loader.budget.charge(nbytes, f"results of shape {shape} {first.dtype}")
        except DoesNotFit as error:
            raise DoesNotFit(f'{error} Or write them to a file: out="results.npy".') from None
        out = np.empty(shape, first.dtype)
    elif out.shape != shape or not np.can_cast(first.dtype, out.dtype, "same_kind"):
        raise BadSetting(
            f"out: results are {first.dtype} of shape {shape}, and the array is {out.dtype} of shape {out.shape}"
        )
    try:
        start = 0
        for result in itertools.chain([first], results):
            out[start : start + len(result)] = result
            start += len(result)
            del result
        return out
    finally:
        if charge is not None:
            charge.release()


def _target(out: str | os.PathLike[str] | NDArray[Any] | None, rows: int) -> Path | None:
    """Return the file to write, or None; check it, or the array to fill, before the work."""
    if out is None:
        return None
    if isinstance(out, np.ndarray):
        if out.shape[:1] != (rows,) or not out.flags.writeable:
            raise BadSetting(
                f"out: an array of shape ({rows}, ...) that can be written is needed, not one of shape {out.shape}"
            )
        return None
    target = Path(out)
    if target.suffix != ".npy":
        raise BadSetting(f"out={str(out)!r}: results are written as a .npy file, so its name must end so")
    if not target.parent.is_dir():
        raise NotFound(f"out: the folder {target.parent} does not exist")
    if target.is_dir():
        raise BadSetting(f"out={str(out)!r} is a folder: give the name of a file")
    return target


def _results(call: Callable[[Any], Any], loader: Loader) -> Iterator[NDArray[Any]]:
    kind: tuple[tuple[int, ...], np.dtype[Any]] | None = None
    signed = loader.masks  # so that there is a number that says that there is no result
    for batch in loader:
        real, mask = int(batch.mask.sum()), batch.mask
        there = len(batch.rows) if driver_of(loader).batching.last == "short" else int((batch.rows >= 0).sum())
        if not real and kind is None:
            raise BadResult(f"no row of the first batch could be read: {loader.bad[-1].reason if loader.bad else ''}")
        if not real:
            assert kind is not None
            yield np.full((there, *kind[0]), _nothing(kind[1]), kind[1])
            continue
        if real < len(mask):
            leave_out(batch)
        made = _plain(call(batch[primary_input(loader)].reshape(real, -1)))
        if signed and made.dtype.kind in "bu":
            made = made.astype(np.result_type(made.dtype, np.int8))
        del batch
        if made.shape[:1] != (real,) or made.dtype.hasobject:
            raise BadResult(
                f"the results of {real} rows must be as many numbers or arrays, not {made.dtype} of shape {made.shape}"
            )
        if kind is not None and (made.shape[1:], made.dtype) != kind:
            raise BadResult(f"results were {kind[1]} of shape {kind[0]} a row, and are {made.dtype} of {made.shape[1:]} now")
        kind = made.shape[1:], made.dtype
        if real < there:
            whole = np.full((there, *kind[0]), _nothing(kind[1]), kind[1])
            whole[mask[:there]] = made
            made = whole
        yield made


def _nothing(dtype: np.dtype[Any]) -> Any:
    """Choose what stands for a result that there is not."""
    if dtype.kind in "mM":
        return np.array("NaT", dtype)
    return np.nan if dtype.kind in "fc" else -1 if dtype.kind == "i" else dtype.type()


def _plain(made: Any) -> NDArray[Any]:
    """Return a result as an array, where it is a data frame or a sparse matrix."""
    for method in ("to_numpy", "toarray"):
        if hasattr(made, method):
            made = getattr(made, method)()
    return np.asarray(made)
