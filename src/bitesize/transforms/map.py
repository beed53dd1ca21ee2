"""Map: apply a user's function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadResult, BadSetting
from bitesize.spec import Field
from bitesize.transforms.base import Step


@dataclass(frozen=True, repr=False)
class Map(Step):
    """Apply a function to each row, or to each batch, after all other transforms of rows.

    The function runs in the loader's threads, for several rows at once: it must not change shared state. Memory that it
    allocates is not counted in the budget.

    Parameters
    ----------
    fn
        With one field: function that takes an array and returns an array. With several: function that takes a dict of arrays
        and returns a dict of the changed or new ones. It may return anything that `numpy.asarray` takes, such as a CPU tensor
        of PyTorch.
    fields
        Names of the fields to pass.
    batch
        If True, pass whole batches (those of this rank), with the rows as first axis, instead of rows.
    output
        A `Field`, with shape and dtype of one row, for the one field; or a dict of fields for all returned fields. Without it,
        one row is read when the loader is created, and all rows must have the shape and dtype of the result.
    random
        If True, also pass a `numpy.random.Generator`, keyed by seed, epoch, position and transform.

    Raises
    ------
    BadSetting
        If ``fn`` cannot be called, or fields or output are not valid.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> rows = bs.open(np.arange(6.0).reshape(3, 2))
    >>> loader = bs.Loader(rows, batch_size=3, shuffle=False, memory="8 MiB", transforms=[bs.Map(lambda x: x.sum())])
    >>> next(iter(loader))["x"].tolist()
    [1.0, 5.0, 9.0]
    >>> loader.close()
    """

    fn: Callable[..., Any]
    fields: tuple[str, ...] = ("x",)
    batch: bool = False
    output: Field | Mapping[str, Field] | None = None
    random: bool = False

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise BadSetting(f"Map needs a function, not {self.fn!r}")
        given: Any = self.fields
        fields = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Sequence) else ()
        if not fields or not all(isinstance(name, str) for name in fields):
            raise BadSetting(f"Map: fields must be names, such as ('x',), not {self.fields!r}")
        object.__setattr__(self, "fields", fields)
        output = {fields[0]: self.output} if isinstance(self.output, Field) and len(fields) == 1 else self.output
        if output is not None and not (
            isinstance(output, Mapping) and output and all(isinstance(field, Field) for field in output.values())
        ):
            raise BadSetting(f"Map: output must be a Field for the one field, or a dict of Fields, not {self.output!r}")

    @property
    def outputs(self) -> Mapping[str, Field] | None:
        """Fields of the output, if given."""
        return {self.fields[0]: self.output} if isinstance(self.output, Field) else self.output

    def to_dict(self) -> dict[str, Any]:
        """Raise `BadSetting`, because a function cannot be written to JSON.

        Raises
        ------
        BadSetting
            Always.
        """
        raise BadSetting(f"{self!r} has a function, which cannot be saved: save only the transforms before it")

    def __repr__(self) -> str:
        name = getattr(self.fn, "__qualname__", None) or type(self.fn).__name__
        rest = "".join(
            f", {part}={getattr(self, part)!r}"
            for part, usual in (("fields", ("x",)), ("batch", False), ("output", None), ("random", False))
            if getattr(self, part) != usual
        )
        return f"Map({name}{rest})"

    def call(self, arrays: Mapping[str, NDArray[Any]], generator: np.random.Generator | None) -> dict[str, NDArray[Any]]:
        """Call the function with the fields of a row or a batch, and return its results as arrays.

        Parameters
        ----------
        arrays
            Array of each field: of one row, or of a whole batch.
        generator
            Random numbers for the function, or None.

        Returns
        -------
        dict of str to ndarray
            Arrays that the function returned, by field.

        Raises
        ------
        BadResult
            If the function returned something other than numbers.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> bs.Map(lambda x: x * 2).call({"x": np.array([1, 2])}, None)
        {'x': array([2, 4])}
        """
        single = len(self.fields) == 1
        given: Any = arrays[self.fields[0]] if single else {name: arrays[name] for name in self.fields}
        result = self.fn(given, generator) if generator is not None else self.fn(given)
        if isinstance(result, Mapping):
            made = {str(name): np.asarray(value) for name, value in result.items()}
        elif single and result is not None:
            made = {self.fields[0]: np.asarray(result)}
        else:
            wanted = "an array" if single else f"a dict of {', '.join(self.fields)}"
            raise BadResult(f"{self!r} returned {type(result).__name__}, but must return {wanted}")
        for name, array in made.items():
            if array.dtype.hasobject or array.dtype.kind in "USV":
                raise BadResult(f"{self!r} returned {name!r} as {array.dtype}, but must return numbers")
        return made

    def check(self, made: Mapping[str, NDArray[Any]], known: Mapping[str, Field], rows: int | None) -> None:
        """Check the results of a call, for a batch of ``rows`` rows or, if None, for one row.

        Parameters
        ----------
        made
            Arrays that the function returned, by field.
        known
            Shape and dtype of one row, by field.
        rows
            Number of rows in the batch, or None for one row.

        Raises
        ------
        BadResult
            If fields, shapes or dtypes differ from those known.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> step = bs.Map(lambda x: x * 2)
        >>> step.check({"x": np.zeros(3)}, {"x": bs.Field((3,), np.float64)}, None)
        """
        if set(made) != set(known):
            raise BadResult(f"{self!r} returned {', '.join(made) or 'nothing'}, but must return {', '.join(known)}")
        for name, array in made.items():
            field = known[name]
            shape = field.shape if rows is None else (rows, *field.shape)
            if array.shape != shape:
                raise BadResult(
                    f"{self!r} returned {name!r} of shape {array.shape}, but it must be {shape} as in the first row"
                )
            if not np.can_cast(array.dtype, field.dtype, "same_kind"):
                raise BadResult(
                    f"{self!r} returned {name!r} of {array.dtype}, but it must be {field.dtype} as in the first row"
                )
