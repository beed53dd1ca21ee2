"""`PredictionRows`: what the predictions of all tasks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, overload

from numpy.typing import NDArray

from bitesize.errors import first_few
from bitesize.html.notebook import output, table
from bitesize.memory.sizes import counted

_SHOWN, _SHOWN_IN_HTML = 5, 10
Row = TypeVar("Row")


class PredictionRows(ABC, Sequence[Row]):
    """Predictions in the order of the data: a sequence of rows.

    Parameters
    ----------
    predictions
        One prediction per row.
    names
        Names of the outputs.
    describe
        Function that returns the file of a row by its number.
    errors
        Reasons why rows have no prediction, by row number.
    said
        Lines about the layout of the data, and adaptations that the training data did not need.
    """

    # How names follow the number of rows in a line about all rows.
    _joined: ClassVar[str] = " of"

    def __init__(
        self,
        predictions: NDArray[Any],
        names: tuple[str, ...],
        describe: Callable[[int], str],
        errors: Mapping[int, str] | None = None,
        said: Sequence[str] = (),
    ) -> None:
        self._predictions, self._names = predictions, names
        self.errors = dict(errors or {})
        self.said = tuple(said)
        self._describe = describe

    @property
    def paths(self) -> list[str]:
        """File of each row, or its name within a file."""
        return [self._describe(row) for row in range(len(self))]

    def __len__(self) -> int:
        return len(self._predictions)

    @overload
    def __getitem__(self, row: int) -> Row: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[Row]: ...

    def __getitem__(self, row: int | slice) -> Row | Sequence[Row]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        return self._row(range(len(self))[row])  # raises IndexError for a row out of range

    def __iter__(self) -> Iterator[Row]:
        return (self[row] for row in range(len(self)))

    @abstractmethod
    def _row(self, row: int) -> Row:
        """Return the prediction of a row."""

    @abstractmethod
    def _shown(self, row: int) -> str:
        """Return the prediction of a row as text."""

    def _repr_html_(self) -> str:
        """Return a table of the first rows, for notebooks."""
        names = first_few(self._names, _SHOWN_IN_HTML)
        lines = []
        for row in range(min(_SHOWN_IN_HTML, len(self))):
            error = self.errors.get(row)
            said = self._html_cells(row) if error is None else (f"no prediction: {error}",)
            lines.append((self._describe(row), *said))
        more = f", the first {_SHOWN_IN_HTML}" if len(self) > _SHOWN_IN_HTML else ""
        title = f"{type(self).__name__}: {counted(len(self), 'row')}{more}; {names}"
        return output(title, table(lines, ("row", *self._html_heads), numbers=self._html_numbers), *self.said)

    # Headings of the cells of `_html_cells`.
    _html_heads: ClassVar[tuple[str, ...]] = ("prediction",)
    _html_numbers: ClassVar[tuple[int, ...]] = ()

    def _html_cells(self, row: int) -> tuple[object, ...]:
        """Return the prediction of a row as cells of a table."""
        return (self._shown(row),)

    def __repr__(self) -> str:
        names = ", ".join(self._names[:_SHOWN]) + (", ..." if len(self._names) > _SHOWN else "")
        lines = [f"{type(self).__name__}({counted(len(self), 'row')}{self._joined} {names})" + (":" if len(self) else "")]
        for row in range(min(_SHOWN, len(self))):
            error = self.errors.get(row)
            lines.append(f"  {self._describe(row)}: {self._shown(row) if error is None else f'no prediction: {error}'}")
        return "\n".join(lines + (["  ..."] if len(self) > _SHOWN else []))
