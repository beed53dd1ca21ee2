"""The proxy passes requests on, adds latency, refuses what is above its limits, and counts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

obstore = pytest.importorskip("obstore")
from obstore.store import S3Store  # noqa: E402

from tests.servers import faults  # noqa: E402
from tests.servers.proxy import Proxy, separate_proxy  # noqa: E402

pytestmark = pytest.mark.remote
BODY = bytes(range(256)) * 4


@pytest.fixture
def connect(s3_server, bucket, proxy):
    s3_server.put(bucket, "x", BODY)
    return lambda retries=0: S3Store(bucket, **s3_server.options(proxy.address), retry_config={"max_retries": retries})


def read(store, start=10, stop=200) -> bytes:
    return bytes(obstore.get(store, "x", options={"range": (start, stop)}).bytes())


def wait_until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_signed_requests_of_all_kinds_pass(proxy, connect, bucket):
    store, large = connect(), bytes(8_000_000)
    obstore.put(store, "large", large)
    assert bytes(obstore.get(store, "large").bytes()) == large
    assert read(store) == BODY[10:200]
    assert [each["path"] for page in obstore.list(store) for each in page] == ["large", "x"]
    obstore.delete(store, "large")
    with pytest.raises(FileNotFoundError):
        obstore.head(store, "large")
    assert ("GET", f"/{bucket}/x", "bytes=10-199") in proxy.counters.recent
    assert proxy.counters.sent >= len(large) + 190
    wait_until(lambda: proxy.counters.in_flight == 0)
    assert not proxy.counters.faults


def test_latency_is_added_to_each_request_but_not_one_after_another(proxy, connect):
    proxy.latency = 0.3
    store, start = connect(), time.monotonic()
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: read(store), range(20)))
    assert time.monotonic() - start >= 0.3
    assert proxy.counters.most_in_flight > 1


def test_requests_above_the_most_at_once_are_refused(proxy, connect):
    proxy.latency, proxy.most_at_once = 0.2, 5
    store = connect()

    def status(_) -> str:
        try:
            return str(len(read(store)))
        except obstore.exceptions.BaseError as error:
            return "slow" if "503" in str(error) and "SlowDown" in str(error) else str(error)

    with ThreadPoolExecutor(10) as threads:
        found = list(threads.map(status, range(10)))
    assert set(found) == {"190", "slow"}
    assert proxy.counters.refused == found.count("slow")


def test_requests_above_the_most_per_second_are_refused(proxy, connect):
    proxy.most_per_second, proxy.refusal = 5, faults.too_many_requests()
    store, start = connect(retries=10), time.monotonic()
    assert [len(read(store)) for _ in range(6)] == [190] * 6
    assert time.monotonic() - start >= 1
    assert proxy.counters.refused


def test_an_error_of_a_plan_comes_out_at_the_end(s3_server, bucket):
    def plan(request: faults.Request) -> None:
        raise ZeroDivisionError

    def ask() -> None:
        with Proxy(s3_server.address, plan=plan) as proxy, pytest.raises(obstore.exceptions.BaseError):
            read(S3Store(bucket, **s3_server.options(proxy.address), retry_config={"max_retries": 0}))

    with pytest.raises(ZeroDivisionError):
        ask()


def test_a_port_that_is_taken_is_an_error_at_once(proxy):
    with pytest.raises(OSError, match="in use"):
        Proxy(proxy.target, port=int(proxy.address.split(":")[1])).__enter__()


def test_it_ends_with_requests_in_flight(s3_server, bucket):
    s3_server.put(bucket, "x", BODY)
    with Proxy(s3_server.address, plan=lambda _: faults.stall()) as proxy:
        store = S3Store(bucket, **s3_server.options(proxy.address), retry_config={"max_retries": 0})

        def ask() -> None:
            with pytest.raises(obstore.exceptions.BaseError):
                read(store)

        reader = threading.Thread(target=ask)
        reader.start()
        wait_until(lambda: proxy.counters.faults)
    reader.join(30)
    assert not reader.is_alive()


def test_a_proxy_in_a_process_of_its_own(s3_server, bucket):
    s3_server.put(bucket, "x", BODY)
    with separate_proxy(s3_server.address, latency=0.2, most_per_second=3) as address:
        store = S3Store(bucket, **s3_server.options(address), retry_config={"max_retries": 0})
        start = time.monotonic()
        assert read(store) == BODY[10:200]
        assert time.monotonic() - start >= 0.2
        with ThreadPoolExecutor(8) as threads, pytest.raises(obstore.exceptions.GenericError, match="SlowDown"):
            list(threads.map(lambda _: read(store), range(8)))
