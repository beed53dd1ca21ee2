"""Source: where rows come from. A new kind of data is one file beside this one with one class in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitesize.errors import BadSetting
from bitesize.files.scan import class_key
from bitesize.order.mixture import Mixture
from bitesize.sources.choices import Choice
from bitesize.sources.labels import split_classes, split_groups
from bitesize.sources.rows import Into, Located, Runs
from bitesize.spec import Encoded, Field, Mode, Spec

if TYPE_CHECKING:
    from bitesize.files.names import Names
    from bitesize.memory.budget import Budget
    from bitesize.sources.statistics import Statistics


# Class numbers above this, and above the number of rows, are no class numbers, but would take memory as if they were.
_MOST_CLASSES = 100_000
# Rows of a column that are read at a time where all of it is.
_AT_ONCE = 65_536


@dataclass(frozen=True)
class Asked:
    """What a user asks of the data that is opened; see `bitesize.open`.

    Attributes
    ----------
    labels
        As given: one label a row, or the name of a field; None where the source is to find out.
    fields
        Names of fields to take, or ``{name here: name in the data}``; None for all.
    mode, orient
        How images are to come out.
    split
        Which part of the rows to take, for data that tells the part of each row.
    weights
        Name of the column with one sample weight a row; None where the source is to look for one.
    tag_delimiter
        What separates several labels in one cell of text, such as ``" "`` or ``"|"``; None for one label a row.
    file_is_row
        Whether each file is one row, for kinds of files that may hold one row or many; None where the source is to find out.
    """

    labels: Any = None
    fields: Sequence[str] | Mapping[str, str] | None = None
    mode: Mode = "RGB"
    orient: bool = True
    split: str | None = None
    weights: str | None = None
    tag_delimiter: str | None = None
    file_is_row: bool | None = None


class Files(NamedTuple):
    """Files that are one row each; see `Source.of_files`.

    Attributes
    ----------
    names : Names
        The files.
    labels : ndarray or None
        One label a file, shape (n, ...).
    classes : tuple of str or None
        Names of the classes, where labels are their numbers.
    classes_of : Mapping of str to (tuple of str)
        Names of the classes of further fields that are labels.
    left_out : Mapping of str to int
        What was found and not taken, by reason.
    """

    names: Names
    labels: NDArray[Any] | None
    classes: tuple[str, ...] | None
    left_out: Mapping[str, int]


class Source(ABC):
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
    extra : str
        What brings it: ``pip install "bitesize[extra]"``.
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
    extra: ClassVar[str] = ""
    reads_files = False
    spec: Spec
    classes: tuple[str, ...] | None = None
    classes_of: Mapping[str, tuple[str, ...]] = {}
    left_out: Mapping[str, int] = {}
    layout: str = ""
    choices: tuple[Choice, ...] = ()
    weight_name: str | None = None
    feature_names: tuple[str, ...] | None = None
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
        """Tell where the field `main` of rows lies on disk, or None if it must be asked of `read`.

        Rows that can be located are read and cast in one step. Whatever cannot be read in this way is asked of `read`.
        """
        return None

    def read_beside(self, rows: NDArray[np.int64], into: Into) -> None:
        """Read all fields but `main`, of rows that were located."""
        if self._labels is not None and "y" in into:
            into["y"][...] = self._labels[rows]

    def runs(self) -> Runs | None:
        """Tell which rows are cheap to read together (a chunk, a row group, a part of a file), or None if it makes no odds.

        An `Order` with a window reads run after run, each of them whole.
        """
        return None

    @property
    def in_runs(self) -> bool:
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
    def main(self) -> str:
        """Name of the field that transforms draw and ``dtype`` casts: the images, or else ``x``, or else the widest field."""
        others = [name for name in self.spec if name != self.label_name] or list(self.spec)
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

    def subset(self, rows: ArrayLike) -> Source:
        """Take some rows, in the order given.

        Parameters
        ----------
        rows
            Row numbers in 0..n-1, or a bool array of shape (n,).

        Raises
        ------
        BadSetting
            If a number is out of range, or none is given.
        """
        try:
            chosen = np.asarray(rows)
        except ValueError as error:
            raise BadSetting(f"rows must be a list of row numbers: {error}") from error
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise BadSetting(f"a mask of shape {chosen.shape} does not fit {len(self)} rows")
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
            raise BadSetting("rows must be a one-dimensional, non-empty list of row numbers")
        if chosen.min() < 0 or chosen.max() >= len(self):
            raise BadSetting(f"row numbers must lie within 0 to {len(self) - 1}: got {chosen.min()} to {chosen.max()}")
        from bitesize.sources.subset import Subset  # it builds upon this module

        return Subset(self, chosen.astype(np.int64))

    def renumber(self, classes: Sequence[str]) -> Source:
        """Number the classes by their place in another list of names, such as that of a trained model.

        Parameters
        ----------
        classes
            Names, among which every class of this source must be.

        Raises
        ------
        BadSetting
            If the source has no classes, or one that is not in the list.
        """
        if self.classes is None or self.labels is None:
            raise BadSetting(f"{self!r} has no classes")
        if isinstance(classes, str) or not isinstance(classes, Sequence):
            raise BadSetting(f"renumber needs a list of names, not {classes!r:.100}")
        if not all(isinstance(name, str) for name in classes) or len({*classes}) < len(classes):
            raise BadSetting(f"renumber needs names, each of them once, and not {list(classes)!r:.100}")
        there = set(classes)
        unknown = [name for name in self.classes if name not in there]
        if unknown:
            raise BadSetting(f"the class {unknown[0]!r} is none of {', '.join(classes[:10])}")
        if tuple(classes) == self.classes:
            return self
        place = {name: i for i, name in enumerate(classes)}
        numbers = np.array([place[name] for name in self.classes], np.int64)
        from bitesize.sources.beside import Beside

        label = self.label_name or "y"
        return Beside(self, {label: numbers[self.labels]}, tuple(classes), label)

    def map_labels(self, names: Mapping[Any, str] | Callable[[Any], str]) -> Source:
        """Give classes other names; several may get the same, and are one class then.

        Parameters
        ----------
        names
            The new name of each class, by its old name (by its number, where classes have no names), or a function that
            gives it.

        Raises
        ------
        BadSetting
            If rows have no class labels, or a class has no new name, or one that is no text.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> pets = bs.open(np.zeros((3, 2)), ["husky", "poodle", "siamese"])
        >>> pets.map_labels({"husky": "dog", "poodle": "dog", "siamese": "cat"}).classes
        ('cat', 'dog')
        """
        labels = self.labels
        if labels is None:
            raise BadSetting(f"{self!r} has no class labels")
        if not callable(names) and not isinstance(names, Mapping):
            raise BadSetting(f"map_labels needs a mapping of old names to new ones, or a function, not {names!r:.100}")
        old: Sequence[Any] = self.classes if self.classes is not None else range(int(labels.max()) + 1)
        if self.classes is None and (labels.min() < 0 or len(old) > max(_MOST_CLASSES, len(labels))):
            numbered, labels = np.unique(labels, return_inverse=True)  # those that are there, such as -1
            old = numbered.tolist()
        try:
            new = [names(name) if callable(names) else names[name] for name in old]
        except KeyError as error:
            raise BadSetting(f"map_labels has no new name for the class {error}") from error
        for name, other in zip(old, new, strict=True):
            if not isinstance(other, str | int | np.integer):
                raise BadSetting(
                    f"map_labels gives the class {name!r} the name {other!r}, which is neither text nor a whole number"
                )
        new = [str(name) for name in new]
        classes = sorted(set(new), key=class_key)
        from bitesize.sources.beside import Beside

        place = {name: i for i, name in enumerate(classes)}
        numbers = np.array([place[name] for name in new], np.int64)
        label = self.label_name or "y"
        return Beside(self, {label: numbers[labels]}, tuple(classes), label)

    def statistics(
        self,
        memory: int | str | Budget = "auto",
        *,
        threads: int | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        progress: Callable[[int, int], None] | None = None,
    ) -> Statistics:
        """Measure mean, deviation, least and greatest value of each channel of ``x`` (see `main`), and count the classes.

        Every row is read, and decoded as it is stored, once.

        Parameters
        ----------
        memory
            What may be held: bytes, a string such as ``"512 MiB"``, a `Budget`, or ``"auto"``.
        threads
            Threads that read and decode; as many as there are processors if not given.
        on_error
            A row that cannot be read: ``"raise"``, or ``"skip"``.
        progress
            Called with the rows done so far, and all rows.

        Raises
        ------
        BadSetting
            If the source has no numbers.
        DoesNotFit
            If one image cannot be decoded within the budget.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> found = bs.open(np.arange(12.0).reshape(6, 2), [0, 1, 1, 0, 1, 1]).statistics()
        >>> found.mean, found.greatest, found.classes
        ((5.5,), (11.0,), {'0': 2, '1': 4})
        """
        from bitesize.sources.statistics import measure

        return measure(self, memory, threads, on_error, progress)

    def split(self, fraction: float, *, seed: int = 0, by: ArrayLike | None = None) -> tuple[Source, Source]:
        """Split the rows in two, at random but repeatably; each class is split by itself.

        Parameters
        ----------
        fraction
            Share of the first part, between 0 and 1.
        seed
            Any integer.
        by
            A group for each row, shape (n,): rows of a group stay together (the same patient, the same video).
            Groups are split by themselves then, classes are not looked at.

        Raises
        ------
        BadSetting
            If one part would be empty.
        """
        if not (np.isreal(fraction) and 0 < fraction < 1):
            raise BadSetting(f"fraction must lie between 0 and 1, such as 0.9, not {fraction!r}")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise BadSetting(f"seed must be a whole number, not {seed!r}")
        random = np.random.default_rng(np.random.SeedSequence((int(seed) & (2**64 - 1), 0x5F117)))
        if by is not None:
            first = split_groups(by, len(self), fraction, random)
        else:
            first = split_classes(self.labels, len(self), fraction, random)
        if not 0 < first.sum() < len(self):
            raise BadSetting(f"{len(self)} rows cannot be split {fraction:g} to {1 - fraction:g}: one part would be empty")
        return self.subset(first), self.subset(~first)

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
    def opened(cls, what: Any, asked: Asked) -> Source:
        """Open files that hold many rows each (a list of paths), a folder (a path), or an object that it `takes`.

        Raises
        ------
        BadFile, BadSetting, NotFound
            If that cannot be.
        """
        raise BadSetting(f"{cls.__name__} opens no data")

    @classmethod
    def of_files(cls, files: Files, asked: Asked) -> Source:
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
    if greatest >= max(_MOST_CLASSES, len(labels)):
        raise BadSetting(
            f"class numbers go up to {greatest:,}, and there are {len(labels):,} rows: number the classes from 0 on, as "
            "numpy.unique(labels, return_inverse=True) does"
        )
    return greatest + 1


def _width(what: Field | Encoded) -> int:
    """Tell the bytes of a row, as far as they are known."""
    return what.nbytes if isinstance(what, Field) else 0
