"""Options for opening data, and the result of a scan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from numpy.typing import NDArray

from bitesize.spec import Mode, Pages

if TYPE_CHECKING:
    from bitesize.files.names import Names

LabelsAs = Literal["class", "tags", "masks"]


@dataclass(frozen=True)
class OpenOptions:
    """Options of the user for opening data; see `bitesize.open`.

    Attributes
    ----------
    labels
        As given: one label per row, or the name of a field; None if the source decides.
    fields
        Names of fields to take, or ``{name here: name in the data}``; None for all.
    mode, orient
        Mode and rotation of decoded images; ``"auto"`` is settled by `bitesize.open` when the data are open.
    split
        Split to open, for data that names the split of each row.
    weights
        Name of the column with one sample weight per row; None where the source is to look for one.
    tag_delimiter
        What separates several labels in one cell of text, such as ``" "`` or ``"|"``; None for one label per row.
    file_is_row
        Whether each file is one row, for kinds of files that may hold one row or many; None where the source is to find out.
    storage_options
        Settings of the storage of data at addresses, such as credentials; None for those of the environment.
    listing
        Which list of the objects at an address is used: ``"auto"``, ``"new"``, or a file that replaces it.
    axes
        Axes of rows that are arrays, such as ``"DHW"``; None where the shape decides.
    pages
        What the pages of a TIFF are: ``"first"`` (the others are left out), ``"channels"``, ``"depth"`` or ``"rows"``; None where its
        metadata decide.
    labels_as
        What annotations of objects become: ``"class"``, ``"tags"`` or ``"masks"``; None where the data decides between the first two.
    labels_needed, weights_needed
        Whether a column of labels, or of sample weights, is read. If not, it is left out, and may have gaps; it is not an input either.

    Examples
    --------
    >>> from bitesize.sources import OpenOptions
    >>> options = OpenOptions(labels="species")
    >>> options.labels, options.fields
    ('species', None)
    """

    labels: Any = None
    fields: Sequence[str] | Mapping[str, str] | None = None
    mode: Mode = "auto"
    orient: bool = True
    split: str | None = None
    weights: str | None = None
    tag_delimiter: str | None = None
    file_is_row: bool | None = None
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False)  # they may hold secrets
    listing: str | os.PathLike[str] = "auto"
    axes: str | None = None
    pages: Pages | None = None
    labels_as: LabelsAs | None = None
    labels_needed: bool = True
    weights_needed: bool = True


class RowFiles(NamedTuple):
    """Files that are one row each; see `Source.of_files`.

    Attributes
    ----------
    names : Names
        The files: ``len(names)``, and the path of file i as bytes: ``names.path(i)``.
    labels : ndarray or None
        One label per file, shape (n, ...).
    classes : tuple of str or None
        Names of the classes, where labels are their numbers.
    left_out : Mapping of str to int
        Number of files left out, by reason.

    Examples
    --------
    >>> import numpy as np
    >>> from bitesize.files.names import names_of
    >>> from bitesize.sources import RowFiles
    >>> files = RowFiles(names_of(["pets/1.rec", "pets/2.rec"]), np.array([1, 0]), ("cat", "dog"), {"other files (.txt)": 3})
    >>> len(files.names), files.names.path(1).endswith(b"2.rec")
    (2, True)
    """

    names: Names
    labels: NDArray[Any] | None
    classes: tuple[str, ...] | None
    left_out: Mapping[str, int]
