"""`Format`: how `bitesize.open` recognizes the data of a source."""

from __future__ import annotations

from typing import Any, ClassVar


class Format:
    """Marks by which data of a format is recognized.

    Attributes
    ----------
    suffixes : tuple of str
        File suffixes of the format, in lower case with the dot.
    file_is_row : bool
        Whether each file is one row. If so, `Source.of_files` creates the source, else `Source.opened`.
    has_names : bool
        Whether files of one row each have several named fields, which ``fields=`` selects.
    has_members : bool
        Whether a file holds named arrays that ``"file::name"`` can open.
    has_splits : bool
        Whether data of this format may assign each row to a split, such as training or validation (``split=``).
    package : str
        Name of the third-party module that the format needs, or empty.

    Examples
    --------
    >>> from bitesize.sources.npy import NpyFiles
    >>> NpyFiles.suffixes, NpyFiles.file_is_row, NpyFiles.package
    (('.npy',), True, '')
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    file_is_row: ClassVar[bool] = False
    has_names: ClassVar[bool] = False
    has_members: ClassVar[bool] = False
    has_splits: ClassVar[bool] = False
    package: ClassVar[str] = ""

    @classmethod
    def takes(cls, data: Any) -> bool:
        """Return whether a folder, or an object that is not a path, has this format. Files are recognized by suffix if this is False.

        Implementations must not import packages: recognize a type by the name of its module.

        Parameters
        ----------
        data
            Path of a folder, or an object that is not a path.

        Returns
        -------
        bool
            Whether `Source.opened` can open it.

        Examples
        --------
        >>> import bitesize as bs
        >>> bs.Source.takes("photos")
        False
        """
        return False
