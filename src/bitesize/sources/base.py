"""`Source`, the base class of all data formats. A new format is one module in this folder with one subclass."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import ArrayLike

from bitesize.errors import BadSetting
from bitesize.sources.format import Format
from bitesize.sources.options import OpenOptions as OpenOptions
from bitesize.sources.options import RowFiles as RowFiles
from bitesize.sources.row_source import RowSource

if TYPE_CHECKING:
    from bitesize.sources.explanation import Explanation


@dataclass(frozen=True)
class Combinators:
    """The functions behind the methods of `Source` that return other sources.

    They are in `bitesize.sources.combine`, which sets `Source.combinators`: derived sources are subclasses of `Source`.
    """

    subset: Callable[[Source, ArrayLike], Source]
    split: Callable[[Source, Sequence[float], int, str | ArrayLike | None], tuple[Source, ...]]
    folds: Callable[[Source, int, int, str | ArrayLike | None], list[tuple[Source, Source]]]
    one_hot: Callable[[Source], Source]
    renumber: Callable[[Source, Sequence[str]], Source]
    map_labels: Callable[[Source, Mapping[Any, str] | Callable[[Any], str]], Source]


class Source(RowSource, Format):
    """Rows of named fields; immutable, picklable, and read from several threads at once.

    A source reads rows (`RowContract`: ``spec``, ``read`` ...), knows facts about them (`RowSource`: ``classes``, ``labels``, ``choices`` ...),
    and has a format (`Format`: ``suffixes``, ``takes`` ...). This class adds opening, and methods that return other sources.

    Attributes
    ----------
    one_row_kind, many_rows_kind : type or None
        Classes that read each file as one row and as many rows (``file_is_row=``).

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
    >>> source
    Arrays(3 rows of {x: (2,) float64, y: () int64}, 2 classes)
    >>> source.classes, source.labels.tolist()
    (('cat', 'dog'), [0, 1, 0])
    """

    one_row_kind: ClassVar[type[Source] | None] = None
    many_rows_kind: ClassVar[type[Source] | None] = None
    combinators: ClassVar[Combinators]

    @classmethod
    def opened(cls, data: Any, options: OpenOptions) -> Source:
        """Open files of many rows each (a list of paths), a folder (a path), or an object for which `takes` is true.

        Parameters
        ----------
        data
            List of paths, path of a folder, or object.
        options
            Options of `bitesize.open`.

        Returns
        -------
        Source
            Rows of the data.

        Raises
        ------
        BadFile, BadSetting, NotFound
            If the data cannot be opened, or the format does not open such data.

        Examples
        --------
        >>> import bitesize as bs
        >>> from bitesize.sources import OpenOptions
        >>> bs.Source.opened(["a.npy"], OpenOptions())
        Traceback (most recent call last):
            ...
        bitesize.errors.BadSetting: Source does not open data
        """
        raise BadSetting(f"{cls.__name__} does not open data")

    @classmethod
    def of_files(cls, files: RowFiles, options: OpenOptions) -> Source:
        """Open files of one row each.

        Parameters
        ----------
        files
            Paths of the files, with their classes.
        options
            Options of `bitesize.open`.

        Returns
        -------
        Source
            One row per file.

        Raises
        ------
        BadSetting
            If the format does not open files of one row each.

        Examples
        --------
        >>> import bitesize as bs
        >>> from bitesize.sources import OpenOptions
        >>> bs.Source.of_files(None, OpenOptions())
        Traceback (most recent call last):
            ...
        bitesize.errors.BadSetting: Source does not open files of one row each
        """
        raise BadSetting(f"{cls.__name__} does not open files of one row each")

    @classmethod
    def example(cls, folder: Path, rows: int) -> Source:
        """Create a tiny source of this format in a folder, for tests and documentation.

        Parameters
        ----------
        folder
            Existing folder for the files.
        rows
            Number of rows, at least 1.

        Returns
        -------
        Source
            The new source.

        Raises
        ------
        BadSetting
            If the format does not make an example.

        Examples
        --------
        >>> import pathlib, tempfile, bitesize as bs
        >>> from bitesize.sources.npy import NpyFiles
        >>> len(NpyFiles.example(pathlib.Path(tempfile.mkdtemp()), rows=3))
        3
        """
        raise BadSetting(f"{cls.__name__} does not make an example")

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

    def explain(self, *, measure: bool = True) -> Explanation:
        """Return a summary of the source: rows, inputs, labels, classes, value ranges, decisions, and data left out.

        Parameters
        ----------
        measure
            Whether to read up to 16 rows to measure the range of values.

        Returns
        -------
        Explanation
            A readable summary when printed; ``to_dict()`` returns it for scripts. All labels were read to count the classes.

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

    def _repr_html_(self) -> str:
        from bitesize.sources.source_html import source_html

        return source_html(self)

    def subset(self, rows: ArrayLike) -> Source:
        """Return a source of some rows, in the given order.

        Parameters
        ----------
        rows
            Row numbers in 0..n-1, or a bool array of shape (n,).

        Returns
        -------
        Source
            The rows, which still have all classes.

        Raises
        ------
        BadSetting
            If a row number is out of range, or there are no rows.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.subset([2, 0]).column("y").tolist()
        ['cat', 'cat']
        >>> len(source.subset(source.labels == 0))
        2
        """
        return self.combinators.subset(self, rows)

    def split(self, *fractions: float, seed: int = 0, by: str | ArrayLike | None = None) -> tuple[Source, ...]:
        r"""Split the rows at random, reproducibly, into two or more parts; each class is split separately.

        Parameters
        ----------
        *fractions
            Fraction of the first part, such as ``0.9``, between 0 and 1: the rest is the second part. Or the fractions of all parts, such as ``0.7, 0.15, 0.15``.
        seed
            Any integer.
        by
            Groups of rows that stay in one part, such as all images of a patient. One group per row, shape (n,); or the name of a column;
            or ``"folder"``, the folder of the file: its path below the class folder, so that ``ill/p3/1.png`` and ``well/p3/7.png``
            belong to one group, ``p3``; or a regular expression with one group in parentheses, which is searched for in the path
            relative to `paths_root`: ``r"(patient\d+)"``. A string is first compared with ``"folder"``, then with the column names.
            For windows of `bitesize.timeseries`, ``"time"``: the first part has the earliest steps, and windows across a border are left out.
            Groups are split as units: fractions are approximated as far as group sizes allow, and classes are ignored.

        Returns
        -------
        tuple of Source
            The parts; rows keep their order. `choices` describes the groups, or, without ``by``, signs of groups in the data.

        Raises
        ------
        BadSetting
            If fractions do not sum to 1, a part would be empty, or rows have no group.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> scans = bs.open(np.zeros((100, 4)), np.arange(100) % 2)
        >>> [len(part) for part in scans.split(0.7, 0.15, 0.15)]
        [70, 14, 16]
        >>> train, val = scans.split(0.8, by=np.arange(100) // 10)
        >>> len(train), len(val)
        (80, 20)
        """
        return self.combinators.split(self, fractions, seed, by)

    def folds(self, k: int, *, seed: int = 0, by: str | ArrayLike | None = None) -> list[tuple[Source, Source]]:
        """Return k pairs of training and validation sources for cross-validation; each row is in exactly one validation source.

        Parameters
        ----------
        k
            Number of folds, at least 2.
        seed
            Any integer.
        by
            Groups of rows that stay in one fold, as for `split`.

        Returns
        -------
        list of (Source, Source)
            Training and validation rows of each fold. Without groups, fold sizes differ by at most one row, in total and in each class.
            With groups, whole groups are assigned to folds so that classes are as even as the groups allow.

        Raises
        ------
        BadSetting
            If there are fewer rows or groups than folds, or rows have no group.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> scans = bs.open(np.zeros((10, 4)), np.arange(10) % 2)
        >>> [(len(train), len(val)) for train, val in scans.folds(5)]
        [(8, 2), (8, 2), (8, 2), (8, 2), (8, 2)]
        """
        return self.combinators.folds(self, k, seed, by)

    def one_hot(self) -> Source:
        """Return the source with class labels as float32 of shape (classes,), as ``categorical_crossentropy`` of Keras expects.

        `labels` and `classes` are unchanged, so that splits and balanced orders still work.

        Returns
        -------
        Source
            The same rows with a vector per label.

        Raises
        ------
        BadSetting
            If rows have no class labels.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.zeros((3, 2)), ["dog", "cat", "dog"]).one_hot()
        >>> with bs.Loader(source, batch_size=3, memory="16 MiB", shuffle=False) as loader:
        ...     next(iter(loader))["y"].tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
        """
        return self.combinators.one_hot(self)

    def renumber(self, classes: Sequence[str]) -> Source:
        """Return the source with classes numbered by their position in another list of names, such as that of a trained model.

        Parameters
        ----------
        classes
            Class names, which must include every class of this source.

        Returns
        -------
        Source
            The same rows with other class numbers.

        Raises
        ------
        BadSetting
            If the source has no classes, or a class is not in the list.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.renumber(["dog", "bird", "cat"]).labels.tolist()
        [2, 0, 2]
        """
        return self.combinators.renumber(self, classes)

    def map_labels(self, names: Mapping[Any, str] | Callable[[Any], str]) -> Source:
        """Return the source with renamed classes; classes with the same new name are merged.

        Parameters
        ----------
        names
            New name of each class by its old name (by its number, if classes have no names), or a function that
            returns it.

        Returns
        -------
        Source
            The same rows with the new classes, in natural order of their names.

        Raises
        ------
        BadSetting
            If rows have no class labels, or the new name of a class is missing or is not text.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> pets = bs.open(np.zeros((3, 2)), ["husky", "poodle", "siamese"])
        >>> pets.map_labels({"husky": "dog", "poodle": "dog", "siamese": "cat"}).classes
        ('cat', 'dog')
        """
        return self.combinators.map_labels(self, names)
