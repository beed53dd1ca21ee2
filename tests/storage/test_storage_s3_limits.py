"""Servers that answer so many requests and no more, and keys that expire: loops go on, with every row right."""

import threading

import numpy as np
import pytest

import bitesize as bs
from bitesize.storage.limiter import LIMITER, START
from bitesize.storage.objects import ObjectStorage
from tests.servers import faults
from tests.servers.credentials import TokenServer
from tests.servers.proxy import Proxy
from tests.servers.s3 import KEYS
from tests.storage.in_bucket import InBucket

pytestmark = [pytest.mark.remote, pytest.mark.timeout(120)]
ROWS = 96


@pytest.fixture
def limiter():
    limit, LIMITER.limit, LIMITER._decreased = LIMITER.limit, START, 0.0
    yield LIMITER
    LIMITER.limit = limit


def filled(place):
    for i in range(ROWS):
        np.save(place.folder / f"{i}.npy", np.full((30, 20), i, np.float32))
    place.put()
    return place


@pytest.fixture
def place(tmp_path, s3_server, bucket, proxy, limiter):
    here = filled(InBucket(tmp_path / "data", s3_server, bucket, proxy.address, timeout="2s"))
    yield here
    here.close()


def source_of(place):
    return bs.open([f"{place.root}/{i}.npy" for i in range(ROWS)])


def all_right(loader, epochs=1):
    seen = []
    for _ in range(epochs):
        for batch in loader:
            assert (batch["x"] == batch.rows[:, None, None]).all()
            seen += batch.rows.tolist()
    return sorted(seen) == sorted([*range(ROWS)] * epochs)


@pytest.mark.parametrize(
    "refusal",
    [pytest.param(faults.slow_down(), id="503"), pytest.param(faults.too_many_requests(), id="429", marks=pytest.mark.slow)],
)
def test_a_server_that_answers_few_at_once_lowers_the_requests_in_flight_and_they_come_back(place, proxy, limiter, refusal):
    source = source_of(place)
    proxy.refusal, proxy.most_at_once, proxy.latency = refusal, 8, 0.02
    with bs.Loader(source, batch_size=16, memory="128 MiB", threads=4) as loader:
        assert all_right(loader, 2)
        requests = loader.stats.requests
        assert requests.throttled > 0
        assert requests.retries >= requests.throttled
        assert proxy.counters.refused >= requests.throttled
        assert limiter.limit < START
        verdict = loader.stats.verdict()
        assert verdict.startswith("request-bound"), verdict
        assert "asked for fewer" in verdict
    proxy.most_at_once = None
    limiter.limit = lowered = 8.0
    with bs.Loader(source, batch_size=16, memory="128 MiB", threads=4) as loader:
        assert all_right(loader, 3)
    assert limiter.limit > lowered


@pytest.mark.slow
def test_a_server_that_answers_few_per_second_is_asked_no_more_often_than_it_answers(place, proxy, limiter):
    source = source_of(place)
    proxy.most_per_second, proxy.latency = 80, 0.05
    with bs.Loader(source, batch_size=16, memory="128 MiB", threads=4) as loader:
        assert all_right(loader)
        assert loader.stats.requests.throttled > 0
    assert limiter.limit < START
    assert proxy.counters.refused < 0.75 * proxy.counters.requests


def test_the_verdict_of_a_slow_server_names_requests(place, proxy):
    source = source_of(place)
    proxy.latency = 0.1
    with bs.Loader(source, batch_size=16, memory="64 MiB", threads=2) as loader:
        assert all_right(loader)
        verdict = loader.stats.verdict()
    assert verdict.startswith("request-bound"), verdict
    assert "requests of" in verdict


# --- keys that expire ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claims", [pytest.param("the truth", marks=pytest.mark.slow), "too much"])
def test_a_loop_outlives_its_keys(tmp_path, s3_server, bucket, limiter, claims):
    """Keys are valid for a second. Where the endpoint says an hour, only refused requests show that they have expired."""
    claimed = {} if claims == "the truth" else {"claimed": 3600.0}
    with TokenServer(KEYS, lifetime=1.0, **claimed) as tokens, Proxy(s3_server.address, guard=tokens.check) as proxy:
        place = filled(InBucket(tmp_path / "data", s3_server, bucket))
        options = {**tokens.options(place.server.options(proxy.address)), "pool_idle_timeout": "100ms"}
        source = bs.open([f"{place.root}/{i}.npy" for i in range(ROWS)], storage_options=options)
        proxy.latency = 0.01
        epochs = 0
        with bs.Loader(source, batch_size=16, memory="128 MiB", threads=4) as loader:
            while len(tokens._issued) < 4:
                assert all_right(loader)
                epochs += 1
        requests = proxy.counters.requests
        place.close()
    assert requests > epochs * ROWS
    if claims == "too much":
        assert tokens.given <= 2 * len(tokens._issued)
    else:
        assert tokens.given < requests / 4


def test_keys_that_have_expired_are_fetched_once_for_all_threads(s3_server, bucket, limiter):
    with TokenServer(KEYS, claimed=3600.0) as tokens, Proxy(s3_server.address, guard=tokens.check) as proxy:
        s3_server.put(bucket, "x", bytes(1000))
        storage = ObjectStorage(f"s3://{bucket}", tokens.options(s3_server.options(proxy.address)))
        version = storage.entry("x").version
        failed = []

        def read():
            try:
                into = bytearray(1000)
                storage.read("x", 0, [memoryview(into)], version)
            except BaseException as error:
                failed.append(error)

        for number in range(1, 4):
            tokens.expire()
            proxy.latency = 0.1  # all requests are on the way with the old keys
            threads = [threading.Thread(target=read) for _ in range(32)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert not failed
            assert tokens.given == 1 + number
