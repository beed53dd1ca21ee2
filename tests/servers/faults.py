"""Faults for `proxy.Proxy`: what object stores and networks do wrong, and plans of when they do it.

A plan is a function of a `Request` that returns a fault or None. ``in_turn``, ``at_random`` and ``where`` make plans.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from xml.sax.saxutils import escape


@dataclass
class Request:
    """A request, as the client sent it.

    Attributes
    ----------
    path, query : str
        Of its target, encoded.
    headers : dict of str to str
        By names in lower case.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        """Return the value of its Range header, such as ``bytes=0-99``."""
        return self.headers.get("range")

    @property
    def lists(self) -> bool:
        """Return whether it asks for a listing, of S3, GCS or Azure."""
        return self.method == "GET" and ("list-type=2" in self.query or "comp=list" in self.query)


@dataclass(frozen=True)
class Answer:
    """An answer in place of the server's, which does not see the request."""

    kind: str
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """The connection is reset, without an answer."""

    kind: str = "reset"


@dataclass(frozen=True)
class Change:
    """A change of the server's answer.

    Attributes
    ----------
    headers : mapping of str to str
        Replace the answer's headers of these lower-case names.
    without_range : bool
        The server sees no Range header and sends the whole object, with status 200.
    longer : int
        So many bytes more are sent than the server sent, fewer where negative; Content-Length says so too.
    range_by : int
        How far the numbers in Content-Range are moved.
    cut : int or None
        After so many bytes of the body the connection is closed.
    stall : int or None
        After so many bytes of the body nothing is sent for `seconds`.
    seconds : float or None
        None stalls until the client closes the connection.
    """

    kind: str
    headers: Mapping[str, str] = field(default_factory=dict)
    without_range: bool = False
    longer: int = 0
    range_by: int = 0
    cut: int | None = None
    stall: int | None = None
    seconds: float | None = None


Fault = Answer | Reset | Change
Plan = Callable[[Request], Fault | None]


def _s3_error(kind: str, status: int, code: str, message: str, **headers: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(kind, status, body.encode(), {"content-type": "application/xml", **named})


def slow_down() -> Answer:
    """Answer 503 SlowDown, as S3 does above its rate."""
    return _s3_error("slow_down", 503, "SlowDown", "Please reduce your request rate.")


def too_many_requests(retry_after: int = 1) -> Answer:
    """Answer 429 with Retry-After in seconds, as GCS and web servers do."""
    return Answer("too_many_requests", 429, b"slow down", {"retry-after": str(retry_after)})


def internal_error() -> Answer:
    """Answer 500."""
    return _s3_error("internal_error", 500, "InternalError", "We encountered an internal error. Please try again.")


def access_denied() -> Answer:
    """Answer 403 AccessDenied."""
    return _s3_error("access_denied", 403, "AccessDenied", "Access Denied")


def expired_token(status: int = 400) -> Answer:
    """Answer ExpiredToken; S3 does so with 400, other servers with 403."""
    return _s3_error("expired_token", status, "ExpiredToken", "The provided token has expired.")


def not_found() -> Answer:
    """Answer 404, as for an object that was deleted."""
    return _s3_error("not_found", 404, "NoSuchKey", "The specified key does not exist.")


def precondition_failed() -> Answer:
    """Answer 412, as for an object that no longer has the ETag of If-Match."""
    return _s3_error("precondition_failed", 412, "PreconditionFailed", "At least one of the preconditions did not hold.")


def moved(region: str = "eu-west-1") -> Answer:
    """Answer 301: the bucket is in another region."""
    message = "The bucket must be addressed using another endpoint."
    return _s3_error("moved", 301, "PermanentRedirect", message, x_amz_bucket_region=region)


def garbage() -> Answer:
    """Answer 200 with what is no XML, as some gateways do."""
    return Answer("garbage", 200, b"<html><p>Welcome to the <b>guest network</p>", {"content-type": "application/xml"})


def listing(sizes: Mapping[str, int], token: str | None = None, prefixes: Iterable[str] = ()) -> Answer:
    """Answer an S3 listing of these keys and sizes, and of folders by their prefixes; `token` says that more follow."""
    rows = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{'0' * 32}&quot;</ETag><Size>{size}</Size></Contents>"
        for key, size in sizes.items()
    )
    folders = "".join(f"<CommonPrefixes><Prefix>{escape(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes)
    more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{more}{rows}{folders}</ListBucketResult>"
    )
    return Answer("listing", 200, body.encode(), {"content-type": "application/xml"})


def reset() -> Reset:
    """Reset the connection in place of an answer."""
    return Reset()


def cut(after: int) -> Change:
    """Close the connection after some bytes of the body; Content-Length is that of the whole."""
    return Change("cut", cut=after)


def shorter(by: int = 1) -> Change:
    """Leave out the last bytes of the body; Content-Length says the smaller number."""
    return Change("shorter", longer=-by)


def longer(by: int = 1) -> Change:
    """Send more bytes than asked for; Content-Length says the larger number."""
    return Change("longer", longer=by)


def stall(after: int = 0, seconds: float | None = None) -> Change:
    """Stop sending after some bytes of the body, for good or for a time."""
    return Change("stall", stall=after, seconds=seconds)


def whole() -> Change:
    """Answer a request for a range with 200 and the whole object."""
    return Change("whole", without_range=True)


def wrong_range(by: int = 1) -> Change:
    """Send a Content-Range that is moved by some bytes."""
    return Change("wrong_range", range_by=by)


def other_etag(etag: str = '"0123456789abcdef0123456789abcdef"') -> Change:
    """Send another ETag, as of an object that was replaced."""
    return Change("other_etag", headers={"etag": etag})


def in_turn(faults: Iterable[Fault | None]) -> Plan:
    """Plan a fault, or None, for each of the next requests; none afterward."""
    remaining = iter(list(faults))
    return lambda request: next(remaining, None)


def where(condition: Callable[[Request], bool], fault: Fault, times: int | None = None) -> Plan:
    """Plan a fault for the requests that meet a condition: all, or the first few."""
    hits = Counter[str]()

    def plan(request: Request) -> Fault | None:
        if not condition(request) or (times is not None and hits["all"] >= times):
            return None
        hits["all"] += 1
        return fault

    return plan


def at_random(
    rate: float, faults: Iterable[Fault], seed: int = 0, condition: Callable[[Request], bool] = lambda request: True
) -> Plan:
    """Plan one of some faults for a share of the requests that meet a condition.

    A request's fate follows from the seed, from what it asks for, and from how often that was asked for before, not from the order in
    which requests of several threads arrive: a run that fails can be repeated.
    """
    choices = list(faults)
    asked = Counter[str]()
    lock = threading.Lock()

    def plan(request: Request) -> Fault | None:
        name = f"{request.method} {request.path}?{request.query} {request.range}"
        with lock:
            asked[name] += 1
            random = Random(f"{seed} {asked[name]} {name}")
        return random.choice(choices) if condition(request) and random.random() < rate else None

    return plan
