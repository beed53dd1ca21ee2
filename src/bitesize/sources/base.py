"""Source: where rows come from. A new kind of data is one file beside this one with one class in it."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bitesize.errors import BadSetting
from bitesize.order.mixture import Mixture
from bitesize.sources.choices import Choice
from bitesize.sources.combining import Combining
from bitesize.sources.options import Files as Files
from bitesize.sources.options import OpenOptions as OpenOptions
from bitesize.sources.rows import ChunkStarts, Into, Located
from bitesize.spec import Encoded, Field, Spec

if TYPE_CHECKING:
    from bitesize.sources.explanation import Explanation

# Class numbers above this, and above the number of rows, are no class numbers, but would take memory as if they were.
MOST_CLASSES = 100_000
# Rows of a column that are read at a time where all of it is.
_AT_ONCE = 65_536


class Source(Combining, ABC):
    """Rows of named fields; immutable, picklable, and read from several threads at once.

    Attributes
    ----------
    spec : Mapping of str to Field or Encoded
        What a row is made of.
    classes : tuple of str or None
        Names of the classes, by label.
    left_out : Mapping of str to int
        What was found and not taken, with the reason, such as ``{"other files (.txt)": 3}``.
    layout : str
        How the data is laid out, by the rule that opened it; see `bitesize.sources.rules`.
    choices : tuple of Choice
        What was chosen where the data could be read in two ways, with the setting that decides otherwise.
    weight_name : str or None
        Name of the field with one sample weight a row (float, at least 0), which training and outputs use; None without.
    feature_names : tuple of str or None
        Names of the table columns that make up the last axis of the field ``x``, where it was made of columns.
    paths_root : bytes
        Folder that all paths of `path` begin with; empty where there is none.
    title : str
        What people call data of this kind; empty for sources that `bitesize.open` does not make of data.
    suffixes : tuple of str
        File suffixes, in lower case with the dot, that this kind is found by.
    file_is_row : bool
        Whether each such file is one row; then it is made by `of_files`, else by `opened`.
    one_row_kind, many_rows_kind : type or None
        The kind that takes each such file for one row, and the one that takes it for many (``file_is_row=``).
    has_names : bool
        Whether files of one row each have several fields with names of their own, which ``fields=`` chooses from.
    has_members : bool
        Whether a file of this kind holds named arrays, one of which ``"file::name"`` opens.
    package : str
        The module of another package that it needs, or empty.
    in_parts : bool
        Whether data of this kind may tell for each row whether it is for training or for validation (``split=``).
    reads_files : bool
        Whether `read` reads from disk by `files`, which is faster once compiled code is loaded.
    mixture : Mixture or None
        The shares in which rows come, for sources joined by `bitesize.mix`.
    """

    title: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = ()
    file_is_row: ClassVar[bool] = False
    one_row_kind: ClassVar[type[Source] | None] = None
    many_rows_kind: ClassVar[type[Source] | None] = None
    has_names: ClassVar[bool] = False
    has_members: ClassVar[bool] = False
    in_parts: ClassVar[bool] = False
    package: ClassVar[str] = ""
    reads_files = False
    spec: Spec
    classes: tuple[str, ...] | None = None
    classes_of: Mapping[str, tuple[str, ...]] = {}
    left_out: Mapping[str, int] = {}
    layout: str = ""
    choices: tuple[Choice, ...] = ()
    weight_name: str | None = None
    feature_names: tuple[str, ...] | None = None
    paths_root: bytes = b""
    mixture: Mixture | None = None
    _labels: NDArray[Any] | None = None  # the field "y", where there is one

    @abstractmethod
    def __len__(self) -> int:
        """Count the rows."""

    @abstractmethod
    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows into memory of the caller; a source never casts.

        Parameters
        ----------
        rows
            Row numbers, shape (k,); any order, repeats allowed.
        into
            For a `Field` an array of shape (k, *shape) in the field's dtype, C-contiguous; for an `Encoded` an object
            whose ``put(i, nbytes)`` returns the buffer for the bytes of the i-th row.

        Raises
        ------
        BadRows
            After everything that could be read was read: the error of each row that could not.
        """

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Tell where the field `primary` of rows lies on disk, or None if it must be asked of `read`.

        Rows that can be located are read and cast in one step. Whatever cannot be read in this way is asked of `read`.
        """
        return None

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields but `primary`, of rows that were located."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]

    def chunks(self) -> ChunkStarts | None:
        """Tell which rows are cheap to read together (a chunk, a row group, a part of a file), or None if it makes no odds.

        An `Order` with a window reads run after run, each of them whole.
        """
        return None

    @property
    def reads_by_chunk(self) -> bool:
        """Whether a single row takes about as much reading as its whole run, as in a compressed chunk.

        A `Loader` that is asked to shuffle then draws rows from runs in memory, unless it is given an order.
        """
        return False

    def scratch(self, rows: int) -> int:
        """Tell the bytes that one `read` of so many rows takes besides ``into``."""
        return 0

    @property
    def nbytes(self) -> int:
        """Bytes that the source itself holds in memory: names, labels, row numbers."""
        return 0 if self._labels is None else self._labels.nbytes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of every row, shape (n,), or None where rows have none."""
        labels = self._labels
        return labels if labels is not None and labels.dtype == np.int64 and labels.ndim == 1 else None

    @cached_property
    def primary(self) -> str:
        """Name of the field that transforms draw and ``dtype`` casts: the images, or else ``x``, or else the widest field."""
        others = [name for name in self.spec if name not in (self.label_name, self.weight_name)] or list(self.spec)
        images = [name for name in others if isinstance(what := self.spec[name], Encoded) and what.kind == "image"]
        chosen = images or others
        return "x" if "x" in chosen else max(chosen, key=lambda name: _width(self.spec[name]))

    @property
    def label_name(self) -> str | None:
        """Name of the field that `labels` are, or would be if they were class numbers; None where there is none."""
        return "y" if "y" in self.spec else None

    @property
    def class_count(self) -> int | None:
        """Count the classes: as many as have names, or the greatest class number and one; None where rows have none.

        A part of a source has the classes of the whole.

        Raises
        ------
        BadSetting
            If numbers are so large that they cannot be those of classes: models have an output for each.
        """
        if self.classes is not None:
            return len(self.classes)
        labels = self.labels
        return _count(labels) if labels is not None and labels.min() >= 0 else None

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns that the data has, also of those that are no fields, such as text."""
        return tuple(self.spec)

    def column(self, name: str) -> NDArray[Any]:
        """Read one column of one value a row, also one that is no field, such as the patient of each scan.

        Parameters
        ----------
        name
            One of `column_names`.

        Returns
        -------
        ndarray, shape (n,)
            Numbers, or text (dtype ``str``).

        Raises
        ------
        BadSetting
            If there is no such column, or it has more than one value a row.
        """
        if self.classes is not None and name == self.label_name and self.labels is not None:
            return np.array(self.classes)[self.labels]
        if name == "y" and self._labels is not None and self._labels.ndim == 1:
            return self._labels
        what = self.spec.get(name)
        if not isinstance(what, Field) or what.shape:
            raise BadSetting(f"there is no column {name!r} of one value a row: the data has {', '.join(self.column_names)}")
        values = np.empty(len(self), what.dtype)
        for start in range(0, len(self), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(self)), dtype=np.int64)
            self.read(rows, {name: values[start : start + len(rows)]})
        return values

    def explain(self, *, measure: bool = True) -> Explanation:
        """Return what the source was understood to be: rows, inputs, labels, classes, value ranges, what was chosen and left out.

        Labels are counted.

        Parameters
        ----------
        measure
            Whether up to 16 rows are read for the range of values.

        Returns
        -------
        Explanation
            Printed, a few lines for people; ``to_dict()`` for scripts.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> print(bs.open(np.arange(12.0).reshape(6, 2), ["a", "b"] * 3).explain())  # doctest: +ELLIPSIS
        data      6 rows: arrays
        input     x: (2,) float64
        labels    y: () int64
        values    float64 from 0 to 11, in a sample of 6 rows
        classes   2: a 3, b 3
        """
        from bitesize.sources.explanation import explain

        return explain(self, measure=measure)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Read one row to look at it: its fields decoded, class names for numbers, and its path.

        Parameters
        ----------
        row
            Its number; negative ones count from the end.

        Returns
        -------
        dict of str to ndarray, scalar or str
            A value for each field, and ``"path"``: the file that the row is, or what it is called in one.

        Raises
        ------
        IndexError
            If there is no such row.
        BitesizeError
            If it cannot be read.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> bs.open(np.arange(4), ["a", "b", "a", "b"])[-1]
        {'x': 3, 'y': 'b', 'path': 'row 3'}
        """
        from bitesize.sources.row import read_row

        number = operator.index(row)
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number} of {len(self)} rows: there are 0 to {len(self) - 1}")
        return read_row(self, number % len(self))

    def describe(self, row: int) -> str:
        """Name a row for people: its path, where it has one."""
        return f"row {row}"

    def path(self, row: int) -> bytes | None:
        """Give the path of the file that a row is, or None where files hold many rows, or there are none."""
        return None

    @abstractmethod
    def _identity(self) -> bytes:
        """Give the bytes that tell this source from others: names, labels, spec."""

    def fingerprint(self) -> str:
        """Hash what the source is made of: names relative to its folder, labels and spec.

        Changed contents of files under unchanged names are not seen.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        import xxhash

        spec = repr([(name, str(what)) for name, what in self.spec.items()]).encode()
        return xxhash.xxh3_128_hexdigest(spec + b"\0" + self._identity())

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if a file of many rows is not the one it was when it was opened.

        A loader asks at the begin and at the end of each epoch: what is known of the first file would make garbage of another.
        """

    def close(self) -> None:
        """Give back what is held open; the source can be used again."""

    @classmethod
    def takes(cls, what: Any) -> bool:
        """Tell whether a folder, or an object that is no path, is data of this kind; files are told by their suffix.

        Nothing may be imported for that: a type is known by its module's name.
        """
        return False

    @classmethod
    def opened(cls, what: Any, asked: OpenOptions) -> Source:
        """Open files that hold many rows each (a list of paths), a folder (a path), or an object that it `takes`.

        Raises
        ------
        BadFile, BadSetting, NotFound
            If that cannot be.
        """
        raise BadSetting(f"{cls.__name__} opens no data")

    @classmethod
    def of_files(cls, files: Files, asked: OpenOptions) -> Source:
        """Open files that are one row each."""
        raise BadSetting(f"{cls.__name__} opens no files that are one row each")

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Make a tiny source of this kind in a folder, for tests and documents."""
        raise BadSetting(f"{cls.__name__} makes no example")

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {what}" for name, what in self.spec.items())
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"{type(self).__name__}({len(self):,} rows of {{{fields}}}{classes})"


def _count(labels: NDArray[np.int64]) -> int:
    """Count the classes that are numbered from 0 on."""
    greatest = int(labels.max())
    if greatest >= max(MOST_CLASSES, len(labels)):
        raise BadSetting(
            f"class numbers go up to {greatest:,}, and there are {len(labels):,} rows: number the classes from 0 on, as "
            "numpy.unique(labels, return_inverse=True) does"
        )
    return greatest + 1


def _width(what: Field | Encoded) -> int:
    """Tell the bytes of a row, as far as they are known."""
    return what.nbytes if isinstance(what, Field) else 0
