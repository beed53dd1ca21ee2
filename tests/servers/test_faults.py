"""Each fault of the proxy as a plain HTTP client sees it, and plans of when they happen."""

from __future__ import annotations

import http.client
import time
from xml.etree import ElementTree

import pytest

from tests.servers import faults
from tests.servers.faults import Fault, Request
from tests.servers.s3 import KEYS
from tests.servers.signature import encoded, sign

BODY = bytes(range(256)) * 4


@pytest.fixture
def ask(s3_server, bucket, proxy):
    """Read bytes 10 to 199 of an object: a function of a fault that returns status, headers and body."""
    s3_server.put(bucket, "x", BODY)
    path = f"/{bucket}/{encoded('x')}"

    def ask(fault: Fault | None, timeout: float = 20) -> tuple[int, dict[str, str], bytes]:
        proxy.plan = faults.in_turn([fault])
        connection = http.client.HTTPConnection(proxy.address, timeout=timeout)
        try:
            headers = {"host": proxy.address, "range": "bytes=10-199"}
            connection.request("GET", path, headers=sign("GET", path, "", headers, KEYS))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()
            assert proxy.counters.faults == ({fault.kind: 1} if fault else {})
            proxy.counters.faults.clear()

    return ask


ANSWERS = [
    (faults.slow_down(), 503, "SlowDown"),
    (faults.internal_error(), 500, "InternalError"),
    (faults.access_denied(), 403, "AccessDenied"),
    (faults.expired_token(), 400, "ExpiredToken"),
    (faults.expired_token(403), 403, "ExpiredToken"),
    (faults.not_found(), 404, "NoSuchKey"),
    (faults.precondition_failed(), 412, "PreconditionFailed"),
    (faults.moved(), 301, "PermanentRedirect"),
]


@pytest.mark.remote
def test_no_fault(ask):
    status, headers, body = ask(None)
    assert (status, headers["content-range"], body) == (206, "bytes 10-199/1024", BODY[10:200])


@pytest.mark.remote
@pytest.mark.parametrize(("fault", "status", "code"), ANSWERS, ids=lambda value: value if isinstance(value, str) else "")
def test_an_error_of_s3(ask, fault, status, code):
    found, headers, body = ask(fault)
    assert (found, ElementTree.fromstring(body).findtext("Code")) == (status, code)
    assert headers.get("x-amz-bucket-region") == ("eu-west-1" if status == 301 else None)


@pytest.mark.remote
def test_too_many_requests_says_when_to_come_back(ask):
    status, headers, _ = ask(faults.too_many_requests(7))
    assert (status, headers["retry-after"]) == (429, "7")


@pytest.mark.remote
def test_garbage_is_no_xml(ask):
    status, _, body = ask(faults.garbage())
    assert status == 200
    with pytest.raises(ElementTree.ParseError):
        ElementTree.fromstring(body)


@pytest.mark.remote
def test_a_listing_may_have_any_key(ask):
    _, _, body = ask(faults.listing({"a//b": 3, "c&d": 4}, token="next"))
    assert [each.text for each in ElementTree.fromstring(body).findall("{*}Contents/{*}Key")] == ["a//b", "c&d"]
    assert ElementTree.fromstring(body).findtext("{*}NextContinuationToken") == "next"


@pytest.mark.remote
def test_reset(ask):
    with pytest.raises(ConnectionResetError):
        ask(faults.reset())


@pytest.mark.remote
@pytest.mark.parametrize("after", [0, 100, 189])
def test_cut(ask, after):
    with pytest.raises(http.client.IncompleteRead) as error:
        ask(faults.cut(after))
    assert (error.value.partial, error.value.expected) == (BODY[10 : 10 + after], 190 - after)


@pytest.mark.remote
def test_shorter(ask):
    _, headers, body = ask(faults.shorter(5))
    assert (headers["content-length"], headers["content-range"], body) == ("185", "bytes 10-199/1024", BODY[10:195])


@pytest.mark.remote
def test_longer(ask):
    status, headers, body = ask(faults.longer(5))
    assert (status, headers["content-length"], headers["content-range"]) == (206, "195", "bytes 10-199/1024")
    assert (body[:190], len(body)) == (BODY[10:200], 195)


@pytest.mark.remote
def test_stall_for_a_time(ask):
    start = time.monotonic()
    assert ask(faults.stall(after=50, seconds=0.3))[2] == BODY[10:200]
    assert time.monotonic() - start >= 0.3


@pytest.mark.remote
def test_stall_for_good(ask):
    with pytest.raises(TimeoutError):
        ask(faults.stall(), timeout=0.5)


@pytest.mark.remote
def test_the_whole_object_in_place_of_a_range(ask):
    status, headers, body = ask(faults.whole())
    assert (status, headers.get("content-range"), body) == (200, None, BODY)


@pytest.mark.remote
def test_wrong_range(ask):
    _, headers, body = ask(faults.wrong_range(3))
    assert (headers["content-range"], body) == ("bytes 13-202/1024", BODY[10:200])


@pytest.mark.remote
def test_other_etag(ask):
    before = ask(None)[1]["etag"]
    assert ask(faults.other_etag('"other"'))[1]["etag"] == '"other"' != before


@pytest.mark.remote
def test_what_takes_no_effect_is_not_counted(s3_server, bucket, proxy):
    s3_server.put(bucket, "x", b"short")
    for fault in (faults.cut(100), faults.wrong_range(), faults.whole()):
        proxy.plan = faults.in_turn([fault])
        connection = http.client.HTTPConnection(proxy.address)
        headers = sign("GET", f"/{bucket}/x", "", {"host": proxy.address}, KEYS)
        connection.request("GET", f"/{bucket}/x", headers=headers)
        assert connection.getresponse().read() == b"short"
        connection.close()
    assert not proxy.counters.faults


def requests(count: int) -> list[Request]:
    return [Request("GET", f"/b/{number % 50}", "", {"range": f"bytes=0-{number % 7}"}) for number in range(count)]


def test_random_faults_follow_from_the_seed_not_from_the_order_of_requests():
    kinds = [faults.slow_down(), faults.reset(), faults.cut(3)]
    asked = requests(300)

    def run(seed: int, order: int) -> dict[str, list[str | None]]:
        plan, found = faults.at_random(0.3, kinds, seed), {}
        for request in asked[::order]:
            fault = plan(request)
            found.setdefault(f"{request.path} {request.range}", []).append(fault and fault.kind)
        return found

    assert run(1, 1) == run(1, -1) != run(2, 1)
    hit = [kind for kinds_ in run(1, 1).values() for kind in kinds_ if kind]
    assert 50 < len(hit) < 130
    assert set(hit) == {"slow_down", "reset", "cut"}
    first = faults.at_random(1, kinds, condition=lambda request: request.range == "bytes=0-0")
    assert {request.range for request in asked if first(request)} == {"bytes=0-0"}


def test_faults_where_a_condition_holds():
    plan = faults.where(lambda request: request.path == "/b/3", faults.reset(), times=2)
    assert [request.path for request in requests(300) if plan(request)] == ["/b/3", "/b/3"]
    always = faults.where(lambda request: request.lists, faults.garbage())
    assert always(Request("GET", "/b", "list-type=2&prefix=x", {}))
    assert not always(Request("GET", "/b/x", "", {}))
