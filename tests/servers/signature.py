"""Signatures of S3 requests (AWS Signature Version 4), for keys that no client library sends unchanged."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from tests.servers.faults import Request

REGION = "us-east-1"
EMPTY = hashlib.sha256(b"").hexdigest()


class Keys(NamedTuple):
    """What requests are signed with."""

    key_id: str
    secret: str


def encoded(key: str) -> str:
    """Return a key as it stands in a URL: all but letters, digits, ``-._~`` and ``/`` in percents."""
    return quote(key, safe="/-._~")


def canonical_query(query: str) -> str:
    """Return a query string with its parameters encoded and in order."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    return "&".join(
        sorted(
            f"{quote(unquote_plus(name), safe='-._~')}={quote(unquote_plus(value), safe='-._~')}" for name, _, value in pairs
        )
    )


def signature(
    method: str, path: str, query: str, headers: Mapping[str, str], signed: list[str], secret: str, scope: str
) -> str:
    """Return the signature of a request.

    Parameters
    ----------
    path, query : str
        As sent, encoded.
    headers : mapping of str to str
        By names in lower case; ``x-amz-date`` and ``x-amz-content-sha256`` among them.
    signed : list of str
        Names of the headers to sign, in order.
    scope : str
        ``date/region/service/aws4_request``.
    """
    lines = [f"{name}:{' '.join(headers[name].split())}\n" for name in signed]
    request = "\n".join(
        [method, path, canonical_query(query), "".join(lines), ";".join(signed), headers["x-amz-content-sha256"]]
    )
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def sign(method: str, path: str, query: str, headers: dict[str, str], keys: Keys, digest: str = EMPTY) -> dict[str, str]:
    """Return headers with date, digest of the body and ``authorization`` for a request; ``host`` must be among them."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**headers, "x-amz-date": now, "x-amz-content-sha256": digest}
    signed = sorted(name for name in headers if name == "host" or name.startswith("x-amz-"))
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    value = signature(method, path, query, headers, signed, keys.secret, scope)
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.key_id}/{scope}, SignedHeaders={';'.join(signed)}, Signature={value}"
    )
    return headers


def sign_again(request: Request, keys: Keys) -> None:
    """Sign a request that a proxy has changed, or that came with other keys or none."""
    digest = request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    kept = {name: value for name, value in request.headers.items() if name not in ("authorization", "x-amz-security-token")}
    request.headers = sign(request.method, request.path, request.query, kept, keys, digest)
