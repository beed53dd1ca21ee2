"""The errors of bitesize: one type a cause, each also a built-in error.

BitesizeError
 +-- BadSetting      (ValueError)         a setting cannot mean anything, or two contradict
 +-- NotFound        (FileNotFoundError)  no such file or folder, or nothing usable in it
 +-- NoPermission    (PermissionError)    the system does not let this process read it
 +-- BadFile         (ValueError)         a file is not what its place demands
 |    +-- UnsupportedFile             a file is in order, and of a kind that is not decoded
 +-- FileChanged     (OSError)            a file vanished or changed since it was listed
 +-- BadRows         (ValueError)         rows that one read could not deliver, each with its cause
 +-- TooManyBadRows  (ValueError)         more bad rows in an epoch than ``max_bad`` allows
 +-- DoesNotFit      (MemoryError)        a need is larger than the room; nothing was allocated
 +-- BatchesHeld     (MemoryError)        the caller keeps every batch, so none is left to fill
 +-- LoaderClosed    (RuntimeError)       the loader, or this iterator of it, has ended
 +-- Stalled         (TimeoutError)       no progress for minutes; names the stage and the row
 +-- BadResult       (ValueError)         a user's function returned what cannot stand in a batch
 +-- WrongModel      (ValueError)         a model does not fit the data
 +-- NotFinite       (FloatingPointError) a loss became NaN or infinite; rows are named that made it so
 +-- NotLazy         (TypeError)          a lazy array cannot do this without being read whole
 +-- DiskFull        (OSError)            a file to be written is larger than the room on its disk
 +-- MissingPackage  (ImportError)        an optional package is not installed
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar


class BitesizeError(Exception):
    """Base of every error that bitesize raises on purpose.

    Attributes
    ----------
    row : int or None
        The row of the data that could not be loaded, where that is what ended a loop.
    """

    row: int | None = None


class BadSetting(BitesizeError, ValueError):
    """A setting cannot mean anything, or two settings contradict each other."""


class NotFound(BitesizeError, FileNotFoundError):
    """A file or folder does not exist, or holds nothing that can be read."""


class NoPermission(BitesizeError, PermissionError):
    """The system does not let this process read a file or folder."""


class BadFile(BitesizeError, ValueError):
    """A file's contents are not what its place demands."""


class UnsupportedFile(BadFile):
    """A file is in order, and of a kind that is not decoded; the message has the way on."""


class FileChanged(BitesizeError, OSError):
    """A file vanished or changed after it had been listed."""


class BadRows(BitesizeError, ValueError):
    """Rows that one `Source.read` could not deliver; the other rows were read.

    Parameters
    ----------
    causes
        The error of each failed row, keyed by its index within the call (not by row number).
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
    """More rows of an epoch were bad than ``max_bad`` allows."""


class DoesNotFit(BitesizeError, MemoryError):
    """Something needs more memory than there is room for; nothing was allocated.

    Attributes
    ----------
    enough : int
        Bytes that the budget would have to be for this need; 0 where that is not known.
    """

    enough = 0


class BatchesHeld(BitesizeError, MemoryError):
    """Every slot of the loader is held by batches that the caller kept."""


class LoaderClosed(BitesizeError, RuntimeError):
    """The loader was closed, or a newer iterator has taken this one's place."""


class Stalled(BitesizeError, TimeoutError):
    """Nothing has moved for minutes: a disk, a network share or a function hangs."""


class BadResult(BitesizeError, ValueError):
    """A function that the user gave to a transform returned what cannot stand in a batch."""


class WrongModel(BitesizeError, ValueError):
    """A model does not fit the data it is given."""


class NotFinite(BitesizeError, FloatingPointError):
    """A loss, or weights, became NaN or infinite while a model was trained; nothing of that was saved.

    Parameters
    ----------
    message
        What happened, and what to try.
    rows
        Numbers of the rows with values that are NaN or infinite, in the source of the loader; none where training itself diverged.
    """

    def __init__(self, message: str, rows: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.rows = rows


class NotLazy(BitesizeError, TypeError):
    """A lazy array cannot do this without being read whole; the message has the ways on."""


class DiskFull(BitesizeError, OSError):
    """A file to be written is larger than the room on its disk; nothing of it was kept."""


class MissingPackage(BitesizeError, ImportError):
    """An optional package is not installed; the message has the install line."""


E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """Drop the tracebacks of an error that is kept, and of its causes: their frames would keep the memory they work on."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error
