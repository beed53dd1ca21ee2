"""What can be made of a source: parts of it, folds, other labels. Each is a function of a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from bitesize.memory.budget import Budget
    from bitesize.sources.base import Source
    from bitesize.sources.statistics import Statistics


class Combining:
    """The methods of a `Source` that make another source of it."""

    @property
    def _source(self) -> Source:
        return cast("Source", self)

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
        from bitesize.sources.subset import subset_of

        return subset_of(self._source, rows)

    def split(self, *fractions: float, seed: int = 0, by: str | ArrayLike | None = None) -> tuple[Source, ...]:
        r"""Split the rows at random but repeatably into two parts or more; each class is split by itself.

        Parameters
        ----------
        *fractions
            Share of the first part, such as ``0.9``, between 0 and 1: the rest is the second part. Or the shares of all parts, such as
            ``0.7, 0.15, 0.15``, which sum to 1.
        seed
            Any integer.
        by
            Rows of one group stay in one part, such as all images of a patient. One group a row, shape (n,); or the name of a column; or
            ``"folder"``, the folder that holds the file: its path below the folder of the class, so that ``ill/p3/1.png`` and
            ``well/p3/7.png`` are of one group, ``p3``; or a regular expression with one group in parentheses, which is searched for in
            the path relative to `paths_root`: ``r"(patient\d+)"``. A name is first compared with ``"folder"``, then with the columns.
            Groups are split by themselves then: fractions are met as far as their sizes allow, and classes are not looked at.

        Returns
        -------
        tuple of Source
            Rows stay in their order. `choices` says what the groups are; or, without ``by``, where the data look as if they had some.

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
        """Return k pairs of training and validation rows for cross-validation: each row is in exactly one validation part.

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
            Training and validation rows of each fold. Without groups, folds differ by at most one row, and by at most one row of each
            class. With groups, these are given to folds one by one, so that classes are as even as groups allow.

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
        """Return the source with class labels as float32 of shape (classes,), as ``categorical_crossentropy`` of Keras takes them.

        `labels` and `classes` stay, so that splits and balanced orders work as before.

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
        from bitesize.sources.relabel import renumber

        return renumber(self._source, classes)

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
        from bitesize.sources.relabel import map_labels

        return map_labels(self._source, names)

    def statistics(
        self,
        memory: int | str | Budget = "auto",
        *,
        threads: int | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        progress: Callable[[int, int], None] | None = None,
    ) -> Statistics:
        """Measure mean, deviation, least and greatest value of each channel of ``x`` (see `primary`), and count the classes.

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

        return measure(self._source, memory, threads, on_error, progress)
