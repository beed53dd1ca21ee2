"""What filesystems of fsspec return and raise, as entries and errors of bitesize: each filesystem has its own names for the same things."""

from __future__ import annotations

import ftplib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bitesize.errors import BadSetting, BitesizeError, FileChanged, NoPermission, NotFound, RequestFailed, one_line
from bitesize.storage.base import Entry
from bitesize.storage.limiter import Passing

# Names of what changes with the content, the best first; and of times, in the same order.
_IDENTITIES = (
    "ETag", "etag", "e_tag", "generation", "xet_hash", "blob_id", "sha", "hex", "content_hash", "md5Checksum", "md5", "checksum",
)  # fmt: skip
_TIMES = (
    "mtime", "LastModified", "last_modified", "modified", "modifiedTime", "modificationTime", "modification_time", "updated", "modify",
    "last_write_time", "created",
)  # fmt: skip
_MILLISECONDS = 1e11  # times after the year 5138, in seconds
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_THROTTLED = {429, 503}
_MISSING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
# Parts of the names of errors, of HTTP clients and of SSH, for connections that failed.
_CONNECTION = (
    "Connect", "Timeout", "Disconnected", "SSHException", "ChunkedEncoding", "IncompleteRead", "RemoteProtocol", "ReadError",
)  # fmt: skip


def entry_of(key: str, info: Mapping[str, Any]) -> Entry:
    """Return an entry for what a filesystem knows of a file; its size is -1 if the filesystem gives none.

    The version is a hash of the content if there is one, else the size with the time of the last change; empty without both.
    """
    size = info.get("size")
    nbytes = -1 if size is None else int(size)
    identity = next((str(info[name]).strip('"') for name in _IDENTITIES if info.get(name)), "")
    stamp = next((info[name] for name in _TIMES if info.get(name)), None)
    time = _nanoseconds(stamp)
    if not identity and stamp is not None:
        identity = f"{nbytes:x}-{time:x}" if time else f"{nbytes:x}-{stamp}"
    return Entry(key, nbytes, identity, time)


def _nanoseconds(stamp: Any) -> int:
    """Return a time in nanoseconds since 1970; 0 if it cannot be understood. Microseconds count: numbers and dates then agree."""
    if isinstance(stamp, str):
        try:
            stamp = datetime.fromisoformat(stamp)
        except ValueError:
            return 0
    if isinstance(stamp, datetime):
        stamp = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    if not isinstance(stamp, int | float):
        return 0
    seconds = float(stamp)
    while seconds > _MILLISECONDS:
        seconds /= 1000
    return round(seconds * 1e6) * 1000


def translated(error: Exception, address: str, *, listed: bool) -> Exception:
    """Return the error of bitesize for an error of a filesystem, or `Passing` if another try may succeed.

    Parameters
    ----------
    error
        Error of a filesystem of fsspec, or of the library that it uses.
    address
        Address of the object or prefix.
    listed
        Whether the object has been seen before, so that it must have been removed if it is not there.
    """
    if isinstance(error, BitesizeError | Passing):
        return error
    line = f"{type(error).__name__}: {one_line(error)}".rstrip(": ")
    status = _status(error)
    if isinstance(error, _MISSING) or status in (404, 410, 550):
        if listed:
            return FileChanged(f"{address} no longer exists: it existed when it was listed ({line})")
        return NotFound(f"{address} does not exist ({line})")
    if isinstance(error, PermissionError) or status in (401, 403, 530, 532) or "AuthenticationException" in _kinds(error):
        return NoPermission(f"no permission for {address} ({line}): check the credentials in storage_options")
    if status == 416:
        return FileChanged(f"{address} has become shorter since it was listed ({line})")
    if isinstance(error, NotImplementedError):
        return BadSetting(f"{address}: this filesystem of fsspec cannot do what is needed ({line}): copy the data")
    if status in _PASSING:
        return Passing(line, status, throttled=status in _THROTTLED)
    if isinstance(error, ConnectionError | TimeoutError | EOFError | ftplib.error_temp) or (
        not status and any(part in kind for kind in _kinds(error) for part in _CONNECTION)
    ):
        return Passing(line)
    return RequestFailed(f"{address}: {line}", status)


def _kinds(error: Exception) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]


def _status(error: Exception) -> int:
    """Return the status of HTTP, or the code of FTP, that an error is about; 0 if there is none."""
    if isinstance(error, ftplib.Error):
        code = str(error)[:3]
        return int(code) if code.isdigit() else 0
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return 0
