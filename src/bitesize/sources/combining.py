"""Methods that derive a source: subsets, splits, folds, other labels. Each delegates to a function separate module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from bitesize.sources.base import Source


class Combining:
    """Methods of `Source` that return a derived source."""

    @property
    def _source(self) -> Source:
        return cast("Source", self)

    def subset(self, rows: ArrayLike) -> Source:
        """Return a source of some rows, in the given order.

        Parameters
        ----------
        rows
            Row numbers in 0..n-1, or a bool array of shape (n,).

        Raises
        ------
        BadSetting
            If a row number is out of range, or there are no rows.
        """
        from bitesize.sources.subset import subset_of

        return subset_of(self._source, rows)

    def split(self, *fractions: float, seed: int = 0, by: str | ArrayLike | None = None) -> tuple[Source, ...]:
        r"""Split the rows at random, reproducibly, into two or more parts; each class is split separately.

        Parameters
        ----------
        *fractions
            Fraction of the first part, such as ``0.9``, between 0 and 1: the rest is the second part. Or the fractions of all parts, such as
            ``0.7, 0.15, 0.15``, which sum to 1.
        seed
            Any integer.
        by
            Groups of rows that stay in one part, such as all images of a patient. One group per row, shape (n,); or the name of a column;
            or ``"folder"``, the folder of the file: its path below the class folder, so that ``ill/p3/1.png`` and ``well/p3/7.png``
            belong to one group, ``p3``; or a regular expression with one group in parentheses, which is searched for in the path
            relative to `paths_root`: ``r"(patient\d+)"``. A string is first compared with ``"folder"``, then with the column names.
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
        from bitesize.sources.partition import split

        return split(self._source, fractions, seed, by)

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
        from bitesize.sources.partition import folds

        return folds(self._source, k, seed, by)

    def one_hot(self) -> Source:
        """Return the source with class labels as float32 of shape (classes,), as ``categorical_crossentropy`` of Keras expects.

        `labels` and `classes` are unchanged, so that splits and balanced orders still work.

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
        from bitesize.sources.one_hot import OneHot

        return OneHot(self._source)

    def renumber(self, classes: Sequence[str]) -> Source:
        """Return the source with classes numbered by their position in another list of names, such as that of a trained model.

        Parameters
        ----------
        classes
            Class names, which must include every class of this source.

        Raises
        ------
        BadSetting
            If the source has no classes, or a class is not in the list.
        """
        from bitesize.sources.relabel import renumber

        return renumber(self._source, classes)

    def map_labels(self, names: Mapping[Any, str] | Callable[[Any], str]) -> Source:
        """Return the source with renamed classes; classes with the same new name are merged.

        Parameters
        ----------
        names
            New name of each class by its old name (by its number, if classes have no names), or a function that
            returns it.

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
        from bitesize.sources.relabel import map_labels

        return map_labels(self._source, names)
