"""Functions of the user, which run after the kernels."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadResult, BadSetting
from bitesize.order.keyed_random import Key, generator
from bitesize.pipeline.scratch import Scratch
from bitesize.spec import Field
from bitesize.transforms.map import Map


class UserFunctions:
    """Functions of the user, which run one after another.

    Parameters
    ----------
    steps
        Functions, each with its number in the list of transforms.
    fields
        Fields of a row before the functions.
    """

    def __init__(self, steps: Sequence[tuple[int, Map]], fields: Mapping[str, Field]) -> None:
        self.steps = steps
        self.fields = dict(fields)  # fields of a row after the functions, as far as known
        self._outputs: list[Mapping[str, Field] | None] = []
        for _, step in steps:
            missing = [name for name in step.fields if name not in self.fields]
            if missing and None not in self._outputs:
                raise BadSetting(f"{step!r} takes the field {missing[0]!r}, but a row has {', '.join(self.fields)}")
            self._outputs.append(step.outputs)
            self.fields |= step.outputs or {}

    @property
    def known(self) -> bool:
        """Return whether the outputs of all functions are known."""
        return None not in self._outputs

    def learn(self, arrays: Mapping[str, NDArray[Any]], together: bool, describe: Callable[[], str]) -> None:
        """Run all functions on one row to find their outputs.

        Parameters
        ----------
        arrays
            The row, or a batch of the row if the functions work on batches.
        together
            Whether the functions work on batches.
        describe
            Returns a name of the row.
        """
        fields = dict(arrays)
        for i, (number, step) in enumerate(self.steps):
            results = _call(step, fields, generator(0, 0, 0, number) if step.random else None, describe)
            if together and any(array.shape[:1] != (1,) for array in results.values()):
                shapes = ", ".join(str(array.shape) for array in results.values())
                raise BadResult(
                    f"{step!r} returned arrays of shape {shapes} for a batch of 1 row, but the first axis must be the rows"
                )
            if self._outputs[i] is None:
                self._outputs[i] = {
                    name: Field(array.shape[1:] if together else array.shape, array.dtype) for name, array in results.items()
                }
            self.fields |= self._outputs[i]  # type: ignore[arg-type]
            fields |= results

    def run(
        self, arrays: Mapping[str, NDArray[Any]], rows: int | None, key: Key, describe: Callable[[], str]
    ) -> dict[str, NDArray[Any]]:
        """Run all functions on a row, or on a batch of ``rows`` rows; return the fields that they changed or added."""
        fields = dict(arrays)
        changed: dict[str, NDArray[Any]] = {}
        for (number, step), known in zip(self.steps, self._outputs, strict=True):
            results = _call(step, fields, generator(*key, number) if step.random else None, describe)
            try:
                step.check(results, known or {}, rows)
            except BadResult as error:
                raise BadResult(f"{describe()}: {error}") from None
            fields |= results
            changed |= results
        return changed

    def run_rows(
        self,
        rows: NDArray[np.int64],
        fields: Mapping[str, NDArray[Any]],
        out: Mapping[str, NDArray[Any]],
        failed: Container[int],
        key: Key,
        describe: Callable[[int], str],
        scratch: Scratch,
    ) -> None:
        """Run all functions on each of some rows, and store the results.

        Parameters
        ----------
        rows
            Row numbers, shape (k,).
        fields
            Fields of the rows before the functions, each of shape (k, *shape).
        out
            Destination of each field after the functions. It may be the array of ``fields``.
        failed
            Indices of rows to leave out.
        key
            Key of the random numbers of the first row.
        describe
            Returns the name of a row.
        scratch
            Scratch of the thread, for its clock.
        """
        begun = perf_counter()
        for i, number in enumerate(rows.tolist()):
            if i in failed:
                continue
            scratch.doing = ("mapping", number)
            row = {name: array[i] for name, array in fields.items()}
            changed = self.run(row, None, key._replace(position=key.position + i), partial(describe, number))
            for name in out:
                if name in changed:
                    out[name][i] = changed[name]
                elif out[name] is not fields.get(name):
                    out[name][i] = row[name]
        scratch.clock.user += perf_counter() - begun


def _call(
    step: Map, arrays: Mapping[str, NDArray[Any]], random: np.random.Generator | None, describe: Callable[[], str]
) -> dict[str, NDArray[Any]]:
    try:
        return step.call(arrays, random)
    except BadResult as error:
        raise BadResult(f"{describe()}: {error}") from None
    except StopIteration as error:  # it would silently end the caller's loop over batches (see PEP 479)
        raise BadResult(f"{describe()}: {step!r} raised StopIteration: an iterator that it uses has ended") from error
    except Exception as error:
        error.add_note(f"bitesize: in {step!r}, on {describe()}")
        raise
