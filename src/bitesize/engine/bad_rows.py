"""Bad rows: rows that cannot be read, and the policy for them."""

from __future__ import annotations

import logging
import threading
from typing import Literal, NamedTuple

from bitesize.errors import BadSetting, BitesizeError, TooManyBadRows

# The first _LOGGED bad rows are all logged; after them, one in _LOGGED.
_LOGGED = 100
_rows_log = logging.getLogger("bitesize.rows")  # separate, so that users who read `loader.bad` can silence it


class SkippedRow(NamedTuple):
    """A row that was skipped because it could not be read."""

    row: int
    path: str
    reason: str


class BadRowPolicy:
    """Policy for bad rows.

    Parameters
    ----------
    on_error
        ``"raise"``, or ``"skip"``: another row replaces a bad row when shuffling; otherwise the bad row is masked.
    max_bad
        Largest share of an epoch's rows that may be bad. One bad row is always allowed.
    rows
        Number of rows in an epoch.
    """

    attempts = 16  # replacements to try before a place is masked

    def __init__(self, on_error: Literal["raise", "skip"], max_bad: float, rows: int) -> None:
        if on_error not in ("raise", "skip"):
            raise BadSetting(f'on_error must be "raise" or "skip", not {on_error!r}')
        if not 0 <= max_bad <= 1:
            raise BadSetting(f"max_bad must be a share from 0 to 1, not {max_bad}")
        self.skips = on_error == "skip"
        self._share = max_bad
        self._most = max(1, int(max_bad * rows))
        self._rows = rows
        self._lock = threading.Lock()
        self._of_epoch: dict[int, set[int]] = {}
        self.bad: dict[int, SkippedRow] = {}
        self.kinds: dict[int, type[Exception]] = {}  # type of the error of each bad row

    def report(self, epoch: int, row: int, path: str, error: Exception) -> None:
        """Record a bad row.

        Raises
        ------
        BitesizeError
            If bad rows are not skipped: the error, with the row number.
        TooManyBadRows
            If the epoch has more bad rows than allowed.
        """
        if not self.skips:
            kind = type(error) if isinstance(error, BitesizeError) else BitesizeError
            raise _of_row(kind(f"{error} (row {row}, epoch {epoch})"), row) from error
        with self._lock:
            for old in [known for known in self._of_epoch if known < epoch - 1]:
                del self._of_epoch[old]
            rows = self._of_epoch.setdefault(epoch, set())
            rows.add(row)
            fresh = row not in self.bad
            self.bad[row] = SkippedRow(row, path, str(error))
            self.kinds[row] = type(error)
            of_epoch, total = len(rows), len(self.bad)
        if fresh:
            self._log(row, epoch, path, error, total)
        if of_epoch > self._most:
            raise TooManyBadRows(
                f"{of_epoch} of {self._rows} rows are bad in epoch {epoch} so far, but max_bad={self._share:g} allows {self._most}; the "
                f"last: {error}"
            ) from error

    def _log(self, row: int, epoch: int, path: str, error: Exception, total: int) -> None:
        """Log a row that is bad for the first time; after 100 rows, log every 100th."""
        if total > _LOGGED and total % _LOGGED:
            return
        text = str(error)
        where = "" if path in text else f"{path}: "
        if total < _LOGGED:
            _rows_log.warning("skipped row %d (epoch %d): %s%s", row, epoch, where, text)
        else:
            _rows_log.warning(
                "skipped row %d (epoch %d): %s%s; %d bad rows so far: from now on, every %dth is logged, and loader.bad lists "
                "all", row, epoch, where, text, total, _LOGGED
            )  # fmt: skip


def _of_row(error: BitesizeError, row: int) -> BitesizeError:
    """Attach the row number to an error. A separate function, so that the raising frame, which refers to slots, holds no reference."""
    error.row = row
    return error
