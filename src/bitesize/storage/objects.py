"""Objects of S3, GCS, Azure and HTTP servers, through obstore."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import unquote

from bitesize.errors import BadFile, BadSetting, FileChanged, LoaderClosed, NoPermission, RequestFailed, one_line
from bitesize.storage.answers import WHOLE, Answer, RefusedNames, raise_for
from bitesize.storage.base import Entry, Level
from bitesize.storage.bodies import PART, after, copied, first_of, in_parts
from bitesize.storage.connect import Connector
from bitesize.storage.limiter import DEADLINE, LIMITER, Passing, seconds_of
from bitesize.storage.signed_listing import SignedPage, signed_page

T = TypeVar("T")

SCHEMES = ("s3", "gs", "az", "https", "http")
# Bytes that obstore collects before it hands them over: they are copied from there into our memory.
_CHUNK = 64 << 10
_RENEWING = 15.0  # seconds in which new keys must be good: wrong ones get the same answers as expired ones
_MODIFIED = "modified "  # begins versions of servers without ETags
_log = logging.getLogger("bitesize")


def open_objects(root: str, options: Mapping[str, Any]) -> ObjectStorage:
    """Return the storage of a root such as ``s3://bucket``."""
    return ObjectStorage(root, options)


class ObjectStorage:
    """A bucket, a container, or an HTTP server as storage.

    Parameters
    ----------
    root
        ``s3://bucket``, ``gs://bucket``, ``az://container`` or ``https://host``.
    options
        Settings of obstore, flat: credentials, ``endpoint``, ``region``, and those of its HTTP client, such as ``allow_http``; and
        ``anonymous`` (no signature), ``requester_pays``, ``profile`` (of AWS), ``deadline`` (seconds for all tries of a request).

    Raises
    ------
    MissingPackage
        If obstore is not installed.
    BadSetting
        If an option is unknown.
    """

    def __init__(self, root: str, options: Mapping[str, Any]) -> None:
        options = dict(options)
        self._deadline = seconds_of(options.pop("deadline", DEADLINE))
        self.root, self._connector = root, Connector(root, options)
        self._store, self._age = self._connector.connect(), 0
        self._whole = False  # whether the server has shown that it does not answer ranges
        self._lock, self._process = threading.Lock(), os.getpid()

    @property
    def server(self) -> str:
        """Return the endpoint of the settings or of the environment; empty for that of the provider."""
        return self._connector.server

    # --- names -------------------------------------------------------------------------------------------------------

    def list(self, prefix: str) -> Iterator[Sequence[Entry]]:
        """Yield all objects whose keys start with a prefix, in pages; with S3 also those whose names `refuses` refuses."""
        import obstore

        self._refuse_web("listed")
        folder = prefix.rpartition("/")[0]
        if self._lists_itself and folder and self.refuses(folder):
            yield from self._signed_list(prefix, "")
            return
        stream: list[Iterator[Any]] = []
        last = ""

        def page() -> list[Any] | None:
            try:
                if not stream:  # at the beginning, or after an error: a listing that broke would end too early
                    stream.append(
                        iter(
                            obstore.list(
                                self._store,
                                folder or None,
                                offset=(last or None) if self._connector.lists_in_order else None,
                                chunk_size=1000,
                            )
                        )
                    )
                return list(next(stream[0]))
            except StopIteration:
                return None
            except BaseException:
                stream.clear()
                raise

        try:
            while (found := self._ask(page, f"{self.root}/{prefix}", listed=False)) is not None:
                last = found[-1]["path"] if found else last
                yield [entry for entry in map(_entry, found) if entry.key.startswith(prefix)]
        except RefusedNames:
            if not self._lists_itself:
                raise
        else:
            return
        yield from self._signed_list(prefix, last)

    def level(self, prefix: str) -> Level:
        """Return what lies directly below a prefix."""
        import obstore

        if self._connector.is_web:
            return Level([], [])
        try:
            found = self._ask(
                lambda: obstore.list_with_delimiter(self._store, prefix.rstrip("/") or None),
                f"{self.root}/{prefix}",
                listed=False,
            )
        except RefusedNames:
            if not self._lists_itself:
                raise
            pages = [*self._signed_pages(prefix, "", deep=False)]
            folders = [folder for page in pages for folder in page.folders]
            return Level(folders, [entry for page in pages for entry in page.entries if entry.key != prefix])
        folders = [f"{folder.rstrip('/')}/" for folder in found["common_prefixes"]]
        return Level(folders, [_entry(each) for each in found["objects"] if each["path"] != prefix.rstrip("/")])

    def entry(self, key: str) -> Entry:
        """Return size and version of one object."""
        import obstore

        path = self._path(key)
        return _entry(self._ask(lambda: obstore.head(self._store, path), f"{self.root}/{key}", listed=False))._replace(
            key=key
        )

    @property
    def _lists_itself(self) -> bool:
        """Return whether there is another way to list than that of obstore."""
        return self._connector.scheme == "s3"

    def _signed_list(self, prefix: str, after: str) -> Iterator[Sequence[Entry]]:
        for page in self._signed_pages(prefix, after, deep=True):
            yield [entry._replace(key=entry.key.removesuffix("/")) for entry in page.entries]  # as obstore does it

    def _signed_pages(self, prefix: str, after: str, *, deep: bool) -> Iterator[SignedPage]:
        token = ""
        while True:
            page = self._ask(
                lambda token=token: signed_page(self._connector, prefix, token=token, after=after, deep=deep),  # type: ignore[misc]
                f"{self.root}/{prefix}",
                listed=False,
            )
            yield page
            if not (token := page.token):
                return

    def refuses(self, key: str) -> bool:
        """Return whether a name cannot be requested: obstore sends none with an empty part, or with . or .. as a part."""
        if not ("//" in key or "/." in key or key.startswith((".", "/"))):  # quickly, for most of millions
            return False
        return any(part in ("", ".", "..") for part in key.removesuffix("/").split("/"))

    # --- bytes -------------------------------------------------------------------------------------------------------

    def read(self, key: str, offset: int, into: Sequence[memoryview], version: str = "") -> None:
        """Fill consecutive buffers with the bytes of an object from an offset on."""
        want = sum(buffer.nbytes for buffer in into)
        if not want:
            return
        path, address = self._path(key), f"{self.root}/{key}"
        options: dict[str, Any] = {"range": (offset, offset + want)}
        # Weak ones never match; and a web server may break a request with a condition, so its answers are checked.
        if version and not version.startswith(("W/", _MODIFIED)) and not self._connector.is_web:
            options["if_match"] = f'"{version}"'

        def attempt() -> None:
            import obstore

            if self._whole:
                self._read_whole(path, address, offset, into, version)
                return
            result = obstore.get(self._store, path, options=options)  # type: ignore[arg-type]
            self._check_version(result.meta, address, version)
            start, stop = result.range
            if start == offset and stop < offset + want and stop == result.meta["size"]:
                raise BadFile(f"{address} ends after {stop:,} bytes; {offset + want:,} are needed")
            if (start, stop) != (offset, offset + want):
                raise Passing(f"the server has sent bytes {start:,} to {stop:,}, not those that were asked for", 206)
            done = copied(result.stream(min_chunk_size=_CHUNK), into)
            if done != want:
                raise Passing(f"the body has {done:,} bytes; {want:,} were asked for")

        try:
            self._ask(attempt, address, listed=True, nbytes=want)
        except RequestFailed as error:
            if not self._connector.is_web or error.status != WHOLE:
                raise
            with self._lock:
                first, self._whole = not self._whole, True
            if first:
                _log.warning(
                    "%s does not answer requests for ranges: each read requests a whole file, which is slow for files of many rows",
                    self.root,
                )
            self._ask(attempt, address, listed=True, nbytes=want)

    def _read_whole(self, path: str, address: str, offset: int, into: Sequence[memoryview], version: str) -> None:
        """Request a whole object, and copy some of its bytes."""
        import obstore

        result = obstore.get(self._store, path)
        self._check_version(result.meta, address, version)
        size, want = result.meta["size"], sum(buffer.nbytes for buffer in into)
        if offset + want > size:
            raise BadFile(f"{address} ends after {size:,} bytes; {offset + want:,} are needed")
        chunks = after(result.stream(min_chunk_size=_CHUNK), offset)
        done = copied(first_of(chunks, want), into)
        if done != want:
            raise Passing(f"the body has {offset + done:,} bytes; {size:,} were announced")

    def _check_version(self, meta: Any, address: str, version: str) -> None:
        """Raise an error if an answer is about another version of an object."""
        there = _version(meta)
        if version and there and there != version:
            raise FileChanged(f"{address} was replaced since it was listed ({there}, then {version}): open the data again")

    def write(self, key: str, pieces: Iterable[bytes | memoryview]) -> Entry:
        """Write an object; large ones in several parts, of which nothing is seen before the last."""
        import obstore

        self._refuse_web("written")
        path = self._path(key)
        parts = in_parts(pieces)
        first = next(parts, b"")
        second = next(parts, None)
        if second is None:
            self._ask(lambda: obstore.put(self._store, path, first, use_multipart=False), f"{self.root}/{key}", listed=False)
        else:

            def every_part() -> Iterator[bytes]:
                yield first
                yield second
                yield from parts

            try:  # the pieces exist once, so there is no second try: the parts themselves are repeated by obstore
                obstore.put(self._connector.connect(retries=10), path, every_part(), chunk_size=PART)
            except Exception as error:
                if not _of_obstore(error):
                    raise
                self._raise_last(error, f"{self.root}/{key}")
        return self.entry(key)

    def remove(self, key: str) -> None:
        """Remove an object; it need not exist."""
        import obstore

        self._refuse_web("removed")
        path = self._path(key)

        def attempt() -> None:
            try:
                obstore.delete(self._store, path)
            except FileNotFoundError:
                return

        self._ask(attempt, f"{self.root}/{key}", listed=False)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _ask(self, attempt: Callable[[], T], address: str, *, listed: bool, nbytes: int = 0) -> T:
        """Return the result of a request; credentials that have expired are renewed once for all threads."""
        if os.getpid() != self._process:
            raise LoaderClosed(
                f"{address} cannot be read in a forked process: start processes with "
                'multiprocessing.get_context("spawn"), or open the data there'
            )

        refused = 0.0  # since when the server has called keys expired

        def once() -> T:
            nonlocal refused
            age = self._age
            try:
                return attempt()
            except (Passing, BadFile, FileChanged):
                raise
            except Exception as error:
                if not _of_obstore(error):
                    raise
                answer = Answer(error)
                if answer.expired:
                    self._renew(age)
                    refused = refused or time.monotonic()
                    if time.monotonic() - refused > _RENEWING:
                        raise NoPermission(
                            f"no permission for {address}: the keys are refused, also after they were loaded again ({answer.line}): check "
                            "the credentials"
                        ) from None
                try:
                    raise_for(error, address, listed=listed, region_of=self._connector.region_of_bucket)
                except Passing as passing:
                    if passing.status == WHOLE and self._connector.is_web:  # it would answer the same again
                        raise RequestFailed(f"{address}: {passing}", WHOLE) from None
                    raise
                raise AssertionError from error
            except BaseException as error:
                if type(error).__name__ != "PanicException":  # of compiled code, and no Exception: others would wait forever
                    raise
                raise RequestFailed(
                    f"{address}: the request cannot be sent ({one_line(error)}): check the endpoint"
                ) from None

        return LIMITER.perform(address, once, nbytes, self._deadline)

    def _renew(self, age: int) -> None:
        """Connect again, which loads credentials anew, unless another thread has done so since ``age``."""
        with self._lock:
            if self._age == age:
                self._store, self._age = self._connector.connect(), age + 1

    def _raise_last(self, error: Exception, address: str) -> None:
        try:
            raise_for(error, address, listed=False)
        except Passing as passing:
            raise RequestFailed(f"{address}: {passing}", passing.status, passing.request_id) from None

    def _path(self, key: str) -> str:
        if self._connector.is_web:
            if "?" in key:
                raise BadSetting(f"{self.root}/{key.partition('?')[0]}?...: addresses with a query are not supported")
            key = unquote(key)  # in addresses of the web, names are quoted
        parts = key.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise BadSetting(
                f"{self.root}/{key}: obstore cannot ask for names with an empty part, or with . or .. as a part: rename or copy the object"
            )
        return key

    def _refuse_web(self, done: str) -> None:
        if self._connector.is_web:
            raise BadSetting(
                f"{self.root} is a web server, which cannot be {done}: "
                + (
                    "name the files, or a table of their whole addresses"
                    if done == "listed"
                    else "write to a folder or a bucket"
                )
            )


def _entry(found: Any) -> Entry:
    time: datetime | None = found["last_modified"]
    nanoseconds = int(time.timestamp()) * 1_000_000_000 + time.microsecond * 1000 if time is not None else 0
    return Entry(found["path"], int(found["size"]), _version(found), nanoseconds)


def _version(meta: Any) -> str:
    """Return the ETag of an object, or else the time of its last modification."""
    if meta["e_tag"]:
        return str(meta["e_tag"]).strip('"')  # listings of Azure have no quotes, and answers do
    time: datetime | None = meta["last_modified"]
    return f"{_MODIFIED}{time.isoformat()}" if time is not None else ""


def _of_obstore(error: BaseException) -> bool:
    return type(error).__module__.startswith("obstore") or isinstance(error, FileNotFoundError | ValueError | OSError)
