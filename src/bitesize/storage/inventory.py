"""Inventories of S3: a manifest that names files with the objects of a bucket."""

from __future__ import annotations

import csv
import json
import posixpath
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from bitesize.errors import BadFile, NotFound, UnsupportedFile
from bitesize.storage import paths
from bitesize.storage.base import Entry
from bitesize.storage.table_rows import parquet_rows, text_of
from bitesize.storage.url import is_url, split_url


def inventory_rows(manifest: str) -> Iterator[tuple[str, Entry]]:
    """Yield bucket and entry of each object of an inventory; old versions and deleted objects are passed over.

    Keys are URL-encoded in CSV files only, with ``+`` for a space.

    Parameters
    ----------
    manifest
        Path or address of its ``manifest.json``. Beside a local one, its files are in the same folder or in ``data``.

    Raises
    ------
    BadFile
        If the manifest is no manifest, or a file does not have the size that it names.
    NotFound
        If a file is missing.
    UnsupportedFile
        If the files are ORC.
    """
    try:
        head = json.loads(paths.read_bytes(manifest))
        form, parts, bucket = (
            head["fileFormat"],
            [(part["key"], part["size"]) for part in head["files"]],
            head["sourceBucket"],
        )
        columns = [_plain(name) for name in head["fileSchema"].split(",")] if form == "CSV" else []
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadFile(f"{manifest} is no manifest of an S3 inventory") from error
    if form not in ("CSV", "Parquet"):
        raise UnsupportedFile(f"{manifest} is an inventory in {form}: CSV and Parquet are supported")
    for key, size in parts:
        name = _part(manifest, key)
        if paths.getsize(name) != size:
            raise BadFile(f"{name} has {paths.getsize(name):,} bytes; {manifest} names {size:,}")
        for row in _csv_rows(name, columns) if form == "CSV" else parquet_rows(name):
            entry = _entry(name, row, is_encoded=form == "CSV")
            if entry is not None:
                yield bucket, entry


def _csv_rows(name: str, columns: list[str]) -> Iterator[Mapping[str, Any]]:
    with text_of(name) as text:
        for values in csv.reader(text):
            if len(values) != len(columns):
                raise BadFile(f"{name} has a line with {len(values)} values in place of {len(columns)}")
            yield dict(zip(columns, values, strict=True))


def _entry(name: str, row: Mapping[str, Any], *, is_encoded: bool) -> Entry | None:
    facts = {_plain(column): value for column, value in row.items()}
    if str(facts.get("islatest", True)).lower() == "false" or str(facts.get("isdeletemarker", False)).lower() == "true":
        return None
    try:
        key, size, etag = facts["key"], facts.get("size"), facts.get("etag")
        key = unquote_plus(key, errors="strict") if is_encoded else key
        return Entry(
            key, int(size) if size not in (None, "") else -1, quoted(etag or ""), _time(facts.get("lastmodifieddate"))
        )
    except (LookupError, ValueError, TypeError) as error:
        raise BadFile(f"{name} has a line that is no object: {dict(row)}"[:300]) from error


def quoted(etag: str) -> str:
    """Return an ETag as servers send it: inventories and tables have it without quotation marks."""
    return etag if not etag or '"' in etag else f'"{etag}"'


def _time(value: Any) -> int:
    if not value:
        return 0
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "")


def _part(manifest: str, key: str) -> str:
    """Return the path of a file of an inventory."""
    if is_url(manifest):
        return f"{split_url(manifest).root}/{key}"
    base, folder = posixpath.basename(key), paths.dirname(paths.abspath(manifest))
    places = [
        paths.join(place, base) for place in (folder, paths.join(folder, "data"), paths.join(paths.dirname(folder), "data"))
    ]
    found: str | None = next((place for place in places if paths.isfile(place)), None)
    if found is None:
        raise NotFound(f"{places[0]} does not exist: {manifest} names it; copy the files of the inventory next to it")
    return found
