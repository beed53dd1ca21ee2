"""Errors of bitesize: one type for each cause. Each type is also a built-in error.

BitesizeError
 +-- BadSetting      (ValueError)         a setting is not valid, or two settings contradict each other
 +-- NotFound        (FileNotFoundError)  a file or folder does not exist, or holds no usable data
 +-- NoPermission    (PermissionError)    this process is not allowed to read a file or folder
 +-- BadFile         (ValueError)         a file is damaged, or has contents that were not expected
 |    +-- UnsupportedFile             a file is valid, but its format is not supported
 |    +-- PackedError                 a packed store or one of its shards is incomplete, damaged, or of another version
 +-- FileChanged     (OSError)            a file was removed or changed after it was listed
 +-- RequestFailed   (ConnectionError)    a server did not answer a request as it should, within the deadline
 +-- BadRows         (ValueError)         rows that could not be read, each with its cause
 +-- TooManyBadRows  (ValueError)         an epoch has more bad rows than ``max_bad`` allows
 +-- DoesNotFit      (MemoryError)        more memory is needed than is available; nothing was allocated
 +-- BatchesHeld     (MemoryError)        the caller keeps every batch, so no slot can be refilled
 +-- LoaderClosed    (RuntimeError)       the loader is closed, or this iterator has ended
 +-- Stalled         (TimeoutError)       no progress for minutes; the message names the stage and the row
 +-- WorkerFailed    (RuntimeError)       a process or a machine that shares the work has ended, or does not answer
 +-- BadResult       (ValueError)         a user's function returned a value that cannot be part of a batch
 +-- WrongModel      (ValueError)         a model does not fit the data
 +-- NotFinite       (FloatingPointError) a loss became NaN or infinite; the message names the rows that caused it
 +-- NotLazy         (TypeError)          an operation would read a whole lazy array
 +-- DiskFull        (OSError)            a file to be written is larger than the free space on its disk
 +-- MissingPackage  (ImportError)        an optional package is not installed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar


class BitesizeError(Exception):
    """Base class of every error that bitesize raises on purpose.

    Attributes
    ----------
    row : int or None
        Number of the row that could not be loaded, if such a row ended a loop; otherwise None.

    Examples
    --------
    >>> import bitesize as bs
    >>> try:
    ...     bs.open("no/such/folder")
    ... except bs.BitesizeError as error:
    ...     print(type(error).__name__, error.row)
    NotFound None
    """

    row: int | None = None


class BadSetting(BitesizeError, ValueError):
    """A setting is not valid, or two settings contradict each other.

    Examples
    --------
    >>> import bitesize as bs
    >>> bs.Flip(2.0)
    Traceback (most recent call last):
        ...
    bitesize.errors.BadSetting: Flip: horizontal must be a probability from 0 to 1, not 2.0
    """


class NotFound(BitesizeError, FileNotFoundError):
    """A file or folder does not exist, or holds no data that can be read.

    Examples
    --------
    >>> import bitesize as bs
    >>> try:
    ...     bs.open("no/such/folder")
    ... except FileNotFoundError as error:
    ...     isinstance(error, bs.NotFound)
    True
    """


class NoPermission(BitesizeError, PermissionError):
    """A file or folder that this process is not allowed to read.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.NoPermission, PermissionError)
    True
    """


class BadFile(BitesizeError, ValueError):
    """A file is damaged, or has contents that were not expected.

    Examples
    --------
    >>> import bitesize as bs, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "rows.npy")
    ...     _ = file.write_bytes(b"no array")
    ...     try:
    ...         bs.open(file)
    ...     except bs.BadFile as error:
    ...         isinstance(error, ValueError)
    True
    """


class UnsupportedFile(BadFile):
    """A file is valid, but its format is not supported. The message names an alternative.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.UnsupportedFile, bs.BadFile)
    True
    """


class PackedError(BadFile):
    """A packed store or one of its shards is incomplete, damaged, or of another version. The message names the file.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.PackedError, bs.BadFile)
    True
    """


class FileChanged(BitesizeError, OSError):
    """A file was removed or changed after it was listed.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.FileChanged, OSError)
    True
    """


class RequestFailed(BitesizeError, ConnectionError):
    """A server did not answer a request as it should, within the deadline of all tries. The message names the address.

    Parameters
    ----------
    message
        What was asked for, and what came.
    status
        HTTP status of the last answer; 0 if there was none.
    request_id
        Identifier that the server gave to the request; empty if it gave none.

    Examples
    --------
    >>> import bitesize as bs
    >>> error = bs.RequestFailed("s3://bucket/a.jpg: 503 SlowDown after 12 tries in 60 s", status=503)
    >>> error.status, isinstance(error, ConnectionError)
    (503, True)
    """

    def __init__(self, message: str, status: int = 0, request_id: str = "") -> None:
        super().__init__(message)
        self.status, self.request_id = status, request_id

    def __reduce__(self) -> tuple[type[RequestFailed], tuple[str, int, str]]:
        return type(self), (str(self), self.status, self.request_id)


class BadRows(BitesizeError, ValueError):
    """Rows that one call of `Source.read` could not read. All other rows were read.

    Parameters
    ----------
    causes
        The error of each failed row, by the index of the row within the call (not by row number).

    Examples
    --------
    >>> import bitesize as bs
    >>> error = bs.BadRows({2: bs.BadFile("photo.jpg is damaged")})
    >>> str(error), list(error.causes)
    ('1 row could not be read; the first: photo.jpg is damaged', [2])
    """

    def __init__(self, causes: Mapping[int, Exception]) -> None:
        self.causes = dict(causes)
        first = next(iter(self.causes.values()))
        super().__init__(
            f"{len(self.causes)} {'row' if len(self.causes) == 1 else 'rows'} could not be read; the first: {first}"
        )

    def __reduce__(self) -> tuple[type[BadRows], tuple[dict[int, Exception]]]:
        return type(self), (self.causes,)


class TooManyBadRows(BitesizeError, ValueError):
    """An epoch has more bad rows than ``max_bad`` allows.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.TooManyBadRows, ValueError)
    True
    """


class DoesNotFit(BitesizeError, MemoryError):
    """More memory is needed than is available. Nothing was allocated.

    Attributes
    ----------
    enough : int
        Size in bytes of a budget that is large enough; 0 if unknown.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> try:
    ...     bs.Loader(bs.open(np.zeros((100, 1000))), batch_size=100, memory="100 KiB")
    ... except bs.DoesNotFit as error:
    ...     isinstance(error, MemoryError)
    True
    """

    enough = 0


class BatchesHeld(BitesizeError, MemoryError):
    """The caller keeps batches in every slot of the loader, so no slot can be refilled.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.BatchesHeld, MemoryError)
    True
    """


class LoaderClosed(BitesizeError, RuntimeError):
    """The loader is closed, or a newer iterator has replaced this iterator.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> loader = bs.Loader(bs.open(np.zeros(4)), batch_size=2, memory="16 MiB")
    >>> loader.close()
    >>> iter(loader)
    Traceback (most recent call last):
        ...
    bitesize.errors.LoaderClosed: the loader is closed
    """


class Stalled(BitesizeError, TimeoutError):
    """The loader made no progress for minutes: a disk, a network share or a function hangs.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.Stalled, TimeoutError)
    True
    """


class WorkerFailed(BitesizeError, RuntimeError):
    """A process or a machine that shares the work has ended, or does not answer.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.WorkerFailed, RuntimeError)
    True
    """


class BadResult(BitesizeError, ValueError):
    """A user's function in a transform returned a value that cannot be part of a batch.

    Examples
    --------
    >>> import numpy as np, bitesize as bs
    >>> try:
    ...     bs.Loader(bs.open(np.zeros(4)), batch_size=2, memory="16 MiB", transforms=[bs.Map(str)])
    ... except bs.BadResult as error:
    ...     isinstance(error, ValueError)
    True
    """


class WrongModel(BitesizeError, ValueError):
    """A model does not fit the data.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.WrongModel, ValueError)
    True
    """


class NotFinite(BitesizeError, FloatingPointError):
    """A loss or a weight became NaN or infinite during training. No such weights were saved.

    Parameters
    ----------
    message
        Cause of the error, and possible remedies.
    rows
        Numbers of the rows of the loader's source that have NaN or infinite values; empty if training itself diverged.

    Examples
    --------
    >>> import bitesize as bs
    >>> error = bs.NotFinite("the loss is NaN", rows=(3, 17))
    >>> error.rows, isinstance(error, FloatingPointError)
    ((3, 17), True)
    """

    def __init__(self, message: str, rows: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.rows = rows


class NotLazy(BitesizeError, TypeError):
    """An operation would read a whole lazy array. The message names alternatives.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.NotLazy, TypeError)
    True
    """


class DiskFull(BitesizeError, OSError):
    """A file to be written is larger than the free space on its disk. No part of the file was kept.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.DiskFull, OSError)
    True
    """


class MissingPackage(BitesizeError, ImportError):
    """An optional package is not installed. The message contains the install command.

    Examples
    --------
    >>> import bitesize as bs
    >>> issubclass(bs.MissingPackage, ImportError)
    True
    """


E = TypeVar("E", bound=BaseException)


def one_line(error: object, most: int = 200) -> str:
    """Return the text of an error of another library in one line of at most ``most`` characters."""
    return " ".join(str(error).split())[:most]


def first_few(items: Sequence[Any], most: int, show: Callable[[Any], str] = str) -> str:
    """Return the first items of a list for a message, with an ellipsis if there are more.

    Examples
    --------
    >>> first_few("abcde", 3)
    'a, b, c, ...'
    """
    return ", ".join(map(show, items[:most])) + (", ..." if len(items) > most else "")


def without_frames(error: E) -> E:
    """Remove the tracebacks of an error and of its causes, so that their frames do not keep memory alive."""
    each: BaseException | None = error
    seen: set[int] = set()
    while each is not None and id(each) not in seen:  # an error may be its own cause
        seen.add(id(each))
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error
