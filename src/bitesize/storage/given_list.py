"""A list of objects from a file, in place of listing: an S3 inventory, or a table with a column of names.

A table has one of the columns ``url`` (whole addresses), ``key`` (keys in the bucket) or ``path`` (after the prefix; also ``file_name``,
``filename``, ``file``, ``name``), and may have ``size`` and ``etag``. A value that is an address is taken as such in each of them.
Sizes that are missing are asked for when an object is needed.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bitesize.errors import BadFile, BadSetting, NotFound
from bitesize.storage import paths, remote
from bitesize.storage.base import Entry
from bitesize.storage.inventory import inventory_rows, quoted
from bitesize.storage.making import Given
from bitesize.storage.table_rows import parquet_rows, text_of
from bitesize.storage.url import is_url, split_url

_PAGE = 1000
_URLS, _KEYS = ("url", "address", "uri"), ("key",)
_PATHS = ("path", "file_name", "filename", "file", "name")
_ETAGS, _SIZES = ("etag", "e_tag", "version"), ("size", "bytes")
_FORMATS = ".csv, .tsv, .parquet, .jsonl or an S3 inventory's manifest.json"
_S3_ETAG = re.compile(r"[0-9a-f]{32}(-\d+)?")
_log = logging.getLogger("bitesize")
Row = Mapping[str, Any]


def _pages(name: str, top: str) -> Iterator[Sequence[Entry]]:
    """Yield the objects below a prefix that a file names, in pages.

    Raises
    ------
    BadFile
        If the file has no column of names, or a value that is no name or size.
    NotFound
        If it names no object below the prefix.
    """
    page: list[Entry] = []
    count = outside = 0
    for entry in _entries(name, top):
        if entry is None:
            outside += 1
            continue
        count += 1
        page.append(entry)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
    if not count:
        raise NotFound(f"{name} names no object below {top} ({outside:,} objects elsewhere)")
    if outside:
        _log.warning("%s: %s objects that are not below %s are left out", name, f"{outside:,}", top)


def _entries(name: str, top: str) -> Iterator[Entry | None]:
    root, prefix = split_url(top)
    if paths.basename(name).lower().endswith(".json"):
        for bucket, entry in inventory_rows(name):
            yield entry if bucket == root.partition("://")[2] and entry.key.startswith(prefix) else None
        return
    make: Callable[[Row], Entry | None] | None = None
    for row in _rows(name):
        if make is None:
            make = _reader(name, list(row), root, prefix)
        yield make(row)


def find(listing: str | os.PathLike[str], top: str) -> Given:
    """Return the file that replaces listing.

    Raises
    ------
    BadSetting
        If it is no file of a known format.
    """
    name = os.fspath(listing)
    ending = name.lower().removesuffix(".gz")
    if not ending.endswith((".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")):
        raise BadSetting(f'listing must be "auto", "new", or a file that lists objects ({_FORMATS}), not {name!r}')
    if not paths.isfile(name):
        raise NotFound(f"{name} does not exist: listing= names the file that lists the objects of {top}")
    if is_url(name):
        entry = remote.entry(name)
        return Given(name, f"{name} {entry.size} {entry.version}", top, lambda: _pages(name, top))
    status = os.stat(name)
    return Given(name, f"{os.path.abspath(name)} {status.st_size} {status.st_mtime_ns}", top, lambda: _pages(name, top))


def _reader(name: str, columns: Sequence[str], root: str, prefix: str) -> Callable[[Row], Entry | None]:
    """Return a function that makes an entry of a row: None for an object elsewhere."""
    known = {column.strip().lower(): column for column in columns if column}
    names = next((known[each] for each in (*_URLS, *_KEYS, *_PATHS) if each in known), None)
    if names is None:
        raise BadFile(
            f"{name} has no column of names: it needs url, key or path, and has {', '.join(known)[:200] or 'none'}"
        )
    kind = names.strip().lower()
    start = prefix if kind in _PATHS else ""
    size = next((known[each] for each in _SIZES if each in known), None)
    etag = next((known[each] for each in _ETAGS if each in known), None)

    def make(row: Row) -> Entry | None:
        value = row.get(names)
        if not isinstance(value, str) or not value:
            raise BadFile(f"{name}: {value!r} in the column {names} is no name of an object")
        if is_url(value):
            url = split_url(value)
            if url.root != root:
                return None
            key = url.key
        elif kind in _URLS:
            raise BadFile(f"{name}: {value!r} in the column {names} is no address such as {root}/{prefix}a")
        else:
            key = start + value
        if not key.startswith(prefix):
            return None
        version = str(row.get(etag) or "") if etag else ""
        return Entry(
            key, _size(name, row.get(size)) if size else -1, quoted(version) if _S3_ETAG.fullmatch(version) else version
        )

    return make


def _size(name: str, value: Any) -> int:
    if value is None or value == "":
        return -1
    try:
        size = int(value)
    except (TypeError, ValueError) as error:
        raise BadFile(f"{name}: {value!r} is no size in bytes") from error
    return max(-1, size)


def _rows(name: str) -> Iterator[Row]:
    """Yield the rows of a table."""
    ending = name.lower().removesuffix(".gz")
    if ending.endswith(".parquet"):
        yield from parquet_rows(name)
        return
    with text_of(name) as text:
        if not ending.endswith((".jsonl", ".ndjson")):
            yield from csv.DictReader(text, delimiter="\t" if ending.endswith(".tsv") else ",")
            return
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise BadFile(f"{name}: line {number:,} is no JSON") from error
            if not isinstance(row, dict):
                raise BadFile(f"{name}: line {number:,} is no JSON object")
            yield row
