"""What a server answered, as an error of bitesize: one line with the address, the status and the identifier of the request."""

from __future__ import annotations

import re
from collections.abc import Callable

from bitesize.errors import BadSetting, BitesizeError, FileChanged, NoPermission, NotFound, RequestFailed, one_line
from bitesize.storage.limiter import Passing

_STATUS = re.compile(r"non-2xx status code: (\d{3})|status: (\d{3})|\((\d{3}) [A-Z]")
_CODE = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_REQUEST = re.compile(r"<RequestId>([^<]+)</RequestId>|RequestId:\s*([0-9A-Za-z-]+)")
_REGION = re.compile(r"<Region>([^<]+)</Region>|region[\"' :=]+([a-z]{2}(?:-[a-z]+)+-\d)")
WHOLE = 200  # status of a request for a range that was answered with everything
_OTHER_RANGE = re.compile(r"Requested \d+\.\.\d+, got")
_CAUSE = re.compile(
    r'"([^"\n]*(?:refused|reset|closed|timed out|lookup|unreachable|broken pipe|end of file)[^"\n]*)"', re.IGNORECASE
)
_SERVER = re.compile(r"(https?://)(?:[^/@\s]*@)?([^/?\s]+)")  # without a password
# Answers after which another try may succeed, and those of them that ask for fewer requests.
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_THROTTLED = {429, 503}
# Codes of credentials that were good and are not any more.
EXPIRED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "TokenRefreshRequired",
    "InvalidToken",
    "AuthenticationFailed",
)
# Beginnings of texts for connections that failed.
_CONNECTION = (
    "error sending request", "error decoding response body", "connection", "timed out", "timeout", "body", "end of file", "incomplete",
    "reset by peer", "dns error",
)  # fmt: skip


class RefusedNames(BadSetting):
    """A listing has names that cannot be requested, and obstore returns none of the others."""


class Answer:
    """Facts about a failed request.

    Parameters
    ----------
    error
        Error of obstore.

    Attributes
    ----------
    status : int
        HTTP status, or 0.
    code, request_id, region : str
        Error code, identifier of the request, and region that the server names; empty if unknown.
    """

    def __init__(self, error: BaseException) -> None:
        text = str(error)
        status = _STATUS.search(text)
        self.status = int(next(filter(None, status.groups()))) if status else 0
        self.code = _first(_CODE, text)
        self.request_id = _first(_REQUEST, text)
        self.region = _first(_REGION, text)
        self.message = _first(_MESSAGE, text)
        head = text.partition("\n\nDebug source:")[0].partition("<?xml")[0]
        self.head = one_line(head, 300)
        self.whole = text

    @property
    def expired(self) -> bool:
        """Return whether credentials have expired."""
        return any(code in self.whole for code in EXPIRED) or self.status == 401

    @property
    def elsewhere(self) -> bool:
        """Return whether the bucket is in another region."""
        codes = (
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "redirect without LOCATION",
        )
        return self.status in (301, 307, 308) or any(code in self.whole for code in codes)

    @property
    def line(self) -> str:
        """Return status, code and identifier of the request in one line."""
        said = " ".join(filter(None, (str(self.status or ""), self.code)))
        if not said:
            cause = _CAUSE.search(self.whole)
            server = _SERVER.search(self.head)
            if server and "ConnectError" in self.whole:
                reason = f"{cause[1]}; " if cause else ""
                return f"no connection to {server[1]}{server[2]} ({reason}check the endpoint and the network)"
            return (self.head.rpartition(" - ")[2] or self.head) + (f" ({cause[1]})" if cause else "")
        request = f", request {self.request_id}" if self.request_id else ""
        message = f" ({one_line(self.message, 120)})" if self.message else ""
        return f"{said}{message}{request}"


def raise_for(error: Exception, address: str, *, listed: bool, region_of: Callable[[], str] = str) -> None:
    """Raise the error of bitesize for an error of obstore, or `Passing` if another try may succeed.

    Parameters
    ----------
    error
        Error of obstore.
    address
        Address of the object or prefix.
    listed
        Whether the object has been seen before, so that it must have been removed if it is not there.
    region_of
        Returns the region of the bucket if it is asked for; empty if it is unknown.
    """
    raise _translated(error, address, listed, region_of) from None


def _translated(error: Exception, address: str, listed: bool, region_of: Callable[[], str]) -> Exception:
    if isinstance(error, BitesizeError | Passing):
        return error
    answer, kind = Answer(error), type(error).__name__
    if kind == "InvalidPathError":
        return RefusedNames(
            f"{address}: obstore cannot list names with an empty part, or with . or .. as a part ({answer.head}): rename or copy these "
            "objects, or open a table of the others"
        )
    if answer.code in ("NoSuchBucket", "ContainerNotFound"):
        return NotFound(f"{address}: there is no such bucket ({answer.line})")
    if isinstance(error, FileNotFoundError):
        if listed:
            return FileChanged(f"{address} no longer exists: it existed when it was listed ({answer.line})")
        return NotFound(f"{address} does not exist ({answer.line})")
    if kind == "PreconditionError" or answer.status == 412:
        return FileChanged(f"{address} was replaced since it was listed ({answer.line}): open the data again")
    if answer.elsewhere:
        region = answer.region or region_of()
        where = f", {region}" if region else ""
        return RequestFailed(
            f"{address} is in another region{where} ({answer.line}): set storage_options={{'region': {region or '...'!r}}}, or AWS_REGION",
            answer.status,
            answer.request_id,
        )
    if answer.expired:
        return Passing(f"credentials have expired ({answer.line})", answer.status, answer.request_id)
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or answer.status == 403:
        return NoPermission(
            f"no permission for {address} ({answer.line}): check the credentials, or anonymous=True in storage_options"
        )
    if answer.status in _PASSING:
        return Passing(answer.line, answer.status, answer.request_id, answer.status in _THROTTLED)
    if answer.status == 416:
        return FileChanged(f"{address} has become shorter since it was listed ({answer.line})")
    if "builder error" in answer.head:  # no request was sent
        return RequestFailed(
            f"{address}: the request cannot be sent ({answer.line}): check the endpoint and storage_options"
        )
    if answer.status == 0 and any(word in answer.whole.lower() for word in _CONNECTION):
        return Passing(answer.line)
    if kind == "NotSupportedError" or "partial" in answer.whole.lower():
        return Passing("the server has sent the whole object in place of a range", WHOLE)
    if _OTHER_RANGE.search(answer.head):
        return Passing(f"the server has sent another range than the one that was asked for ({answer.head})", 206)
    return RequestFailed(f"{address}: {answer.line}", answer.status, answer.request_id)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return next((group for group in found.groups() if group), "") if found else ""
