"""`Source`, the base class of all data formats. A new format is one module in this folder with one subclass."""

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

# Numbers above this and above the number of rows are not class numbers: counting classes would need too much memory.
MOST_CLASSES = 100_000
# Rows per read when a whole column is read.
_AT_ONCE = 65_536


class Source(Combining, ABC):
    """Rows of named fields; immutable, picklable, and read from several threads at once.

    Attributes
    ----------
    spec : Mapping of str to Field or Encoded
        Fields of a row.
    classes : tuple of str or None
        Names of the classes, by label.
    left_out : Mapping of str to int
        Number of files, columns or members left out, by reason, such as ``{"other files (.txt)": 3}``.
    layout : str
        Layout of the data: the name of the rule that opened it; see `bitesize.sources.rules`.
    choices : tuple of Choice
        Decisions made where the data could be read in several ways, with the setting that changes each.
    weight_name : str or None
        Name of the field with one sample weight per row (float, at least 0) for training and outputs; None without weights.
    feature_names : tuple of str or None
        Names of the table columns stacked along the last axis of the field ``x``; None for other data.
    paths_root : bytes
        Common parent folder of all paths that `path` returns; empty if there is none.
    title : str
        Name of the format, for messages; empty for sources that `bitesize.open` does not create.
    suffixes : tuple of str
        File suffixes of the format, in lower case with the dot.
    file_is_row : bool
        Whether each file is one row. If so, `of_files` creates the source, else `opened`.
    one_row_kind, many_rows_kind : type or None
        Classes that read each file as one row and as many rows (``file_is_row=``).
    has_names : bool
        Whether files of one row each have several named fields, which ``fields=`` selects.
    has_members : bool
        Whether a file holds named arrays that ``"file::name"`` can open.
    package : str
        Name of the third-party module that the format needs, or empty.
    in_parts : bool
        Whether data of this format may assign each row to a split, such as training or validation (``split=``).
    reads_files : bool
        Whether `read` reads from disk with `bitesize.files`, which is faster once compiled code is loaded.
    mixture : Mixture or None
        Shares of the joined sources, for sources made by `bitesize.mix`.
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
    _labels: NDArray[Any] | None = None  # the field "y", if there is one

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def read(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read rows into buffers of the caller, without casting.

        Parameters
        ----------
        rows
            Row numbers, shape (k,), in any order; repeats are allowed.
        into
            For a `Field` an array of shape (k, *shape) in the field's dtype, C-contiguous; for an `Encoded` an object
            whose ``put(i, nbytes)`` returns the buffer for the bytes of the i-th row.

        Raises
        ------
        BadRows
            If rows cannot be read; raised after all other rows were read, with the error of each bad row.
        """

    def locate(self, rows: NDArray[np.int64]) -> Located | None:
        """Return the location of the field `primary` of rows on disk, or None if only `read` can read it.

        Located rows are read and cast in one step. All other rows are read with `read`.
        """
        return None

    def read_other_fields(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields except `primary`, for rows that were located."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]

    def chunks(self) -> ChunkStarts | None:
        """Return groups of rows that are cheap to read together (chunks, row groups), or None if reading has no such groups.

        An `Order` with a window reads one whole chunk after another.
        """
        return None

    @property
    def reads_by_chunk(self) -> bool:
        """Return whether reading one row costs about as much as reading its whole chunk, as in a compressed chunk.

        If so, a shuffling `Loader` picks rows from chunks in memory, unless an order is passed.
        """
        return False

    def scratch(self, rows: int) -> int:
        """Return the bytes that one `read` of ``rows`` rows needs in addition to ``into``."""
        return 0

    @property
    def nbytes(self) -> int:
        """Number of bytes that the source itself holds in memory: names, labels, row numbers."""
        return 0 if self._labels is None else self._labels.nbytes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of every row, shape (n,), or None if rows have no class."""
        labels = self._labels
        return labels if labels is not None and labels.dtype == np.int64 and labels.ndim == 1 else None

    @cached_property
    def primary(self) -> str:
        """Name of the field that transforms and ``dtype`` apply to: the images, else ``x``, else the widest field."""
        others = [name for name in self.spec if name not in (self.label_name, self.weight_name)] or list(self.spec)
        images = [name for name in others if isinstance(what := self.spec[name], Encoded) and what.kind == "image"]
        chosen = images or others
        return "x" if "x" in chosen else max(chosen, key=lambda name: _width(self.spec[name]))

    @property
    def label_name(self) -> str | None:
        """Name of the field with the labels, class numbers or not; None if there is none."""
        return "y" if "y" in self.spec else None

    @property
    def class_count(self) -> int | None:
        """Number of classes: the number of class names, else the largest class number plus one; None without classes.

        A subset of a source has the classes of the whole source.

        Raises
        ------
        BadSetting
            If the numbers are too large for class numbers: models have one output per class.
        """
        if self.classes is not None:
            return len(self.classes)
        labels = self.labels
        return _count(labels) if labels is not None and labels.min() >= 0 else None

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns of the data, including columns that are not fields, such as text."""
        return tuple(self.spec)

    def column(self, name: str) -> NDArray[Any]:
        """Return one column with one value per row; it need not be a field, such as the patient of each scan.

        Parameters
        ----------
        name
            One of `column_names`.

        Returns
        -------
        ndarray, shape (n,)
            Numbers or text (dtype ``str``).

        Raises
        ------
        BadSetting
            If the column does not exist, or has more than one value per row.
        """
        if self.classes is not None and name == self.label_name and self.labels is not None:
            return np.array(self.classes)[self.labels]
        if name == "y" and self._labels is not None and self._labels.ndim == 1:
            return self._labels
        what = self.spec.get(name)
        if not isinstance(what, Field) or what.shape:
            raise BadSetting(f"no column {name!r} with one value per row: the columns are {', '.join(self.column_names)}")
        values = np.empty(len(self), what.dtype)
        for start in range(0, len(self), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(self)), dtype=np.int64)
            self.read(rows, {name: values[start : start + len(rows)]})
        return values

    def explain(self, *, measure: bool = True) -> Explanation:
        """Return a summary of the source: rows, inputs, labels, classes, value ranges, decisions, and data left out.

        All labels are read to count the classes.

        Parameters
        ----------
        measure
            Whether to read up to 16 rows to measure the range of values.

        Returns
        -------
        Explanation
            A readable summary when printed; ``to_dict()`` returns it for scripts.

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
        """Return one row for inspection: its decoded fields, with class names instead of numbers, and its path.

        Parameters
        ----------
        row
            Row number; negative numbers count from the end.

        Returns
        -------
        dict of str to ndarray, scalar or str
            A value for each field, and ``"path"``: the path of the row's file, or its name within a file.

        Raises
        ------
        IndexError
            If the row number is out of range.
        BitesizeError
            If the row cannot be read.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> bs.open(np.arange(4), ["a", "b", "a", "b"])[-1]
        {'x': 3, 'y': 'b', 'path': 'row 3'}
        """
        from bitesize.sources.row import read_row

        number = operator.index(row)
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number} is out of range: row numbers are 0 to {len(self) - 1}")
        return read_row(self, number % len(self))

    def describe(self, row: int) -> str:
        """Return a readable name of a row: its path, if it has one."""
        return f"row {row}"

    def path(self, row: int) -> bytes | None:
        """Return the path of the file of a row, or None if files hold many rows or there are no files."""
        return None

    @abstractmethod
    def _identity(self) -> bytes:
        """Return bytes that identify this source: names, labels, spec."""

    def fingerprint(self) -> str:
        """Return a hash of the source: names relative to its folder, labels and spec.

        Changed file contents under unchanged names do not change the hash.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        import xxhash

        spec = repr([(name, str(what)) for name, what in self.spec.items()]).encode()
        return xxhash.xxh3_128_hexdigest(spec + b"\0" + self._identity())

    def check_unchanged(self) -> None:
        """Raise `FileChanged` if a file of many rows has been replaced since it was opened.

        A loader calls this at the start and at the end of each epoch: offsets of the old file would read garbage from the new one.
        """

    def close(self) -> None:
        """Close open files; the source can still be used and opens them again."""

    @classmethod
    def takes(cls, what: Any) -> bool:
        """Return whether a folder, or an object that is not a path, has this format; files are recognized by suffix.

        Implementations must not import packages: recognize a type by the name of its module.
        """
        return False

    @classmethod
    def opened(cls, what: Any, asked: OpenOptions) -> Source:
        """Open files of many rows each (a list of paths), a folder (a path), or an object for which `takes` is true.

        Raises
        ------
        BadFile, BadSetting, NotFound
            If the data cannot be opened.
        """
        raise BadSetting(f"{cls.__name__} does not open data")

    @classmethod
    def of_files(cls, files: Files, asked: OpenOptions) -> Source:
        """Open files of one row each."""
        raise BadSetting(f"{cls.__name__} does not open files of one row each")

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Create a tiny source of this format in a folder, for tests and documentation."""
        raise BadSetting(f"{cls.__name__} does not make an example")

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {what}" for name, what in self.spec.items())
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"{type(self).__name__}({len(self):,} rows of {{{fields}}}{classes})"


def _count(labels: NDArray[np.int64]) -> int:
    """Return the number of classes, which are numbered from 0."""
    greatest = int(labels.max())
    if greatest >= max(MOST_CLASSES, len(labels)):
        raise BadSetting(
            f"class numbers go up to {greatest:,}, but there are only {len(labels):,} rows: number the classes from 0, as "
            "numpy.unique(labels, return_inverse=True) does"
        )
    return greatest + 1


def _width(what: Field | Encoded) -> int:
    """Return the bytes of one row, or 0 if unknown."""
    return what.nbytes if isinstance(what, Field) else 0
