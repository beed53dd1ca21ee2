"""`RowSource`: what is known about rows, such as their labels and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bitesize.checks import refuse_renamed
from bitesize.errors import BadSetting
from bitesize.order.mixture import Mixture
from bitesize.sources.choices import Choice
from bitesize.sources.contract import RowContract
from bitesize.sources.protocol import Extents
from bitesize.spec import Encoded, Field

# Numbers above this and above the number of rows are not class numbers: counting classes would need too much memory.
MOST_CLASSES = 100_000
# Rows per read when a whole column is read.
_AT_ONCE = 65_536
# Names that members of sources had before, which classes of users may still define.
_RENAMED = {"main": "primary", "runs": "chunks", "in_runs": "reads_by_chunk", "read_beside": "read_other_fields"}


class RowSource(RowContract):
    """Rows with what is known about them: labels, classes, columns, and how the data was understood.

    Attributes
    ----------
    title : str
        Name of the format, for messages; empty for sources that `bitesize.open` does not create.
    classes : tuple of str or None
        Names of the classes, by label.
    classes_of : Mapping of str to (tuple of str)
        Names of the classes of fields other than the labels, where these are class numbers too.
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
    target_names : tuple of str or None
        Columns of a table that the labels are, where these are one or several numbers; None for classes, tags and numbers without names.
    takes_pages : bool
        Whether the option ``pages`` of `bitesize.open` has a meaning for the rows.
    first_images : Mapping of str to bytes
        Beginnings of the first image of fields, where opening has read them: rows stored in large parts are not read for it.
    mixture : Mixture or None
        Shares of the joined sources, for sources made by `bitesize.mix`.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
    >>> source.classes, source.class_count, source.labels.tolist()
    (('cat', 'dog'), 2, [0, 1, 0])
    >>> source.primary, source.label_name, source.column_names
    ('x', 'y', ('x', 'y'))
    """

    title: ClassVar[str] = ""
    classes: tuple[str, ...] | None = None
    classes_of: Mapping[str, tuple[str, ...]] = {}
    left_out: Mapping[str, int] = {}
    layout: str = ""
    choices: tuple[Choice, ...] = ()
    weight_name: str | None = None
    feature_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None
    takes_pages: ClassVar[bool] = False
    first_images: Mapping[str, bytes] = {}
    mixture: Mixture | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        refuse_renamed(cls, _RENAMED)

    @property
    def derived_from(self) -> Sequence[RowSource]:
        """Sources that this source is derived from; empty if it reads data itself."""
        return ()

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class number of every row, shape (n,), or None if rows have no class."""
        labels = self._labels
        return labels if labels is not None and labels.dtype == np.int64 and labels.ndim == 1 else None

    @cached_property
    def primary(self) -> str:
        """Name of the field that transforms and ``dtype`` apply to: the images, else ``x``, else the widest field."""
        others = [name for name in self.spec if name not in (self.label_name, self.weight_name)] or list(self.spec)
        images = [name for name in others if isinstance(field := self.spec[name], Encoded) and field.kind == "image"]
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

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> source = bs.open(np.arange(6.0).reshape(3, 2), ["cat", "dog", "cat"])
        >>> source.column("y").tolist()
        ['cat', 'dog', 'cat']
        """
        if self.classes is not None and name == self.label_name and self.labels is not None:
            return np.array(self.classes)[self.labels]
        if name == "y" and self._labels is not None and self._labels.ndim == 1:
            return self._labels
        field = self.spec.get(name)
        if not isinstance(field, Field) or field.shape:
            raise BadSetting(f"no column {name!r} with one value per row: the columns are {', '.join(self.column_names)}")
        values = np.empty(len(self), field.dtype)
        for start in range(0, len(self), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(self)), dtype=np.int64)
            self.read(rows, {name: values[start : start + len(rows)]})
        return values

    def extents(self, rows: NDArray[np.int64]) -> Extents | None:
        """Return which steps rows cover if they are windows of a time series, which may overlap; None for other rows.

        ``split(..., by="time")`` needs them.

        Parameters
        ----------
        rows
            Row numbers, shape (k,), in any order.

        Returns
        -------
        Extents or None
            Recording, first and last step of each row.

        Examples
        --------
        >>> import numpy as np, bitesize as bs
        >>> bs.timeseries(np.arange(10.0), sequence_length=3).extents(np.array([0, 7])).last.tolist()
        [2, 9]
        """
        return None

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {field}" for name, field in self.spec.items())
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


def _width(field: Field | Encoded) -> int:
    """Return the bytes of one row, or 0 if unknown."""
    return field.nbytes if isinstance(field, Field) else 0
