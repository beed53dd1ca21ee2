"""Listing of a bucket of S3 by own requests, which obstore signs: it refuses whole pages for a single name that it cannot request."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from bitesize.errors import one_line
from bitesize.storage.base import Entry
from bitesize.storage.connect import Connector
from bitesize.storage.limiter import Passing

_VALID = timedelta(minutes=5)
_TIMEOUT = 20.0  # seconds
_LARGEST = 64 << 20  # bytes of a page, whose 1,000 names have at most 1 KiB each, or six times as much where all is escaped


class SignedPage(NamedTuple):
    """A page of a listing.

    Attributes
    ----------
    entries : list of Entry
        The objects.
    folders : list of str
        Common prefixes, each with a slash at its end.
    token : str
        Of the next page; empty after the last.
    """

    entries: list[Entry]
    folders: list[str]
    token: str


class ListingFailed(OSError):
    """The server has answered with an error; the text is like that of an error of obstore."""


def signed_page(connector: Connector, prefix: str, *, token: str = "", after: str = "", deep: bool = True) -> SignedPage:
    """Return a page of the objects of a bucket of S3.

    Parameters
    ----------
    connector
        Connections to the bucket.
    prefix
        Prefix of all keys.
    token
        Of this page; empty for the first.
    after
        Key after which the listing starts, in the order of the server.
    deep
        Whether objects in folders below the prefix are listed, in place of these folders.

    Raises
    ------
    ListingFailed
        If the answer is an error.
    OSError
        If the server cannot be reached.
    Passing
        If the answer is no listing.
    """
    asked = {"list-type": "2", "prefix": prefix, "continuation-token": token, "start-after": "" if token else after}
    asked["delimiter"] = "" if deep else "/"
    query = urlencode({name: value for name, value in asked.items() if value}, quote_via=quote)
    request = urllib.request.Request(_signed(connector, query))  # noqa: S310 - the endpoint of the user
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            body = answer.read(_LARGEST)
    except urllib.error.HTTPError as error:
        raise ListingFailed(f"status: {error.code}: {error.read(10_000).decode(errors='replace')}") from None
    try:
        return _parsed(body)
    except (ElementTree.ParseError, ValueError) as error:
        raise Passing(f"the answer is no listing of S3 ({one_line(error)})") from error


def _signed(connector: Connector, query: str) -> str:
    """Return the address of a listing with a signature.

    Obstore signs addresses of objects. Here the endpoint of the bucket has the query, and the name of the object is empty: the slash before
    it becomes the value of ``x-id``, which servers ignore.
    """
    import obstore
    from obstore.store import S3Store

    store: Any = connector.connect()
    config = dict(store.config)
    bucket, region = config.pop("bucket"), config.get("region", "us-east-1")
    endpoint = config.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL") or f"https://s3.{region}.amazonaws.com"
    of_bucket = str(config.get("virtual_hosted_style_request", "false")).lower() == "true" and config.get("endpoint")
    top = endpoint.rstrip("/") if of_bucket else f"{endpoint.rstrip('/')}/{bucket}"
    if str(config.get("request_payer", "false")).lower() == "true":
        query = f"{query}&x-amz-request-payer=requester"
    if str(config.get("skip_signature", "false")).lower() == "true":
        return f"{top}?{query}"
    config |= {"endpoint": f"{top}?{query}&x-id=", "virtual_hosted_style_request": "true"}
    signing = S3Store(bucket, client_options=store.client_options, credential_provider=store.credential_provider, **config)
    return obstore.sign(signing, "GET", "", _VALID)


def _parsed(body: bytes) -> SignedPage:
    root = ElementTree.fromstring(body)  # noqa: S314 - Expat limits entities
    if not root.tag.endswith("ListBucketResult"):
        raise ValueError(f"it begins with {root.tag}")
    entries = []
    for each in root.iterfind("{*}Contents"):
        modified = datetime.fromisoformat(each.findtext("{*}LastModified", "1970-01-01T00:00:00Z"))
        version = each.findtext("{*}ETag", "").strip('"')
        nanoseconds = int(modified.timestamp()) * 1_000_000_000 + modified.microsecond * 1000
        entries.append(Entry(each.findtext("{*}Key", ""), int(each.findtext("{*}Size", "0")), version, nanoseconds))
    folders = [each.text or "" for each in root.iterfind("{*}CommonPrefixes/{*}Prefix")]
    more = root.findtext("{*}IsTruncated") == "true"
    return SignedPage(entries, folders, root.findtext("{*}NextContinuationToken", "") if more else "")
