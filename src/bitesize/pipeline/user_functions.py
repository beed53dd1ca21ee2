"""Functions of the user, which run after the kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadResult, BadSetting
from bitesize.order.keyed_random import Key, generator
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

    def learn(self, arrays: Mapping[str, NDArray[Any]], together: bool, where: Callable[[], str]) -> None:
        """Run all functions on one row to find their outputs.

        Parameters
        ----------
        arrays
            The row, or a batch of the row if the functions work on batches.
        together
            Whether the functions work on batches.
        where
            Returns a name of the row.
        """
        before = dict(arrays)
        for i, (number, step) in enumerate(self.steps):
            made = _call(step, before, generator(0, 0, 0, number) if step.random else None, where)
            if together and any(array.shape[:1] != (1,) for array in made.values()):
                shapes = ", ".join(str(array.shape) for array in made.values())
                raise BadResult(
                    f"{step!r} returned arrays of shape {shapes} for a batch of 1 row, but the first axis must be the rows"
                )
            if self._outputs[i] is None:
                self._outputs[i] = {
                    name: Field(array.shape[1:] if together else array.shape, array.dtype) for name, array in made.items()
                }
            self.fields |= self._outputs[i]  # type: ignore[arg-type]
            before |= made

    def run(
        self, arrays: Mapping[str, NDArray[Any]], rows: int | None, key: Key, where: Callable[[], str]
    ) -> dict[str, NDArray[Any]]:
        """Run all functions on a row, or on a batch of ``rows`` rows; return the fields that they changed or added."""
        now = dict(arrays)
        changed: dict[str, NDArray[Any]] = {}
        for (number, step), known in zip(self.steps, self._outputs, strict=True):
            made = _call(step, now, generator(*key, number) if step.random else None, where)
            try:
                step.check(made, known or {}, rows)
            except BadResult as error:
                raise BadResult(f"{where()}: {error}") from None
            now |= made
            changed |= made
        return changed


def _call(
    step: Map, arrays: Mapping[str, NDArray[Any]], random: np.random.Generator | None, where: Callable[[], str]
) -> dict[str, NDArray[Any]]:
    try:
        return step.call(arrays, random)
    except BadResult as error:
        raise BadResult(f"{where()}: {error}") from None
    except StopIteration as error:  # it would silently end the caller's loop over batches (see PEP 479)
        raise BadResult(f"{where()}: {step!r} raised StopIteration: an iterator that it uses has ended") from error
    except Exception as error:
        error.add_note(f"bitesize: in {step!r}, on {where()}")
        raise
