"""What servers do wrong: each row is right, or a typed error with its address comes before the deadline."""

from __future__ import annotations

import random
import threading
import time

import pytest

import bitesize as bs
from bitesize.storage import objects
from bitesize.storage.objects import ObjectStorage
from tests.servers import faults

pytestmark = pytest.mark.remote

BODY = random.Random(0).randbytes(300_000)
DEADLINE = 2.0
PASSING = {
    "slow_down": faults.slow_down(),
    "too_many_requests": faults.too_many_requests(),
    "internal_error": faults.internal_error(),
    "reset": faults.reset(),
    "cut": faults.cut(after=100_000),
    "cut_at_once": faults.cut(after=0),
    "shorter": faults.shorter(),
    "longer": faults.longer(),
    "stall": faults.stall(after=50_000),
    "whole": faults.whole(),
    "wrong_range": faults.wrong_range(),
    "expired": faults.expired_token(),
    "expired_403": faults.expired_token(403),
}
FINAL = {
    "other_etag": (faults.other_etag(), bs.FileChanged),
    "precondition": (faults.precondition_failed(), bs.FileChanged),
    "deleted": (faults.not_found(), bs.FileChanged),
    "denied": (faults.access_denied(), bs.NoPermission),
    "moved": (faults.moved("eu-west-1"), bs.RequestFailed),
}


@pytest.fixture
def storage(s3_server, bucket, proxy):
    s3_server.put(bucket, "x.bin", BODY)
    options = {**s3_server.options(proxy.address), "deadline": DEADLINE, "timeout": "400ms"}
    return ObjectStorage(f"s3://{bucket}", options)


def read(storage, offset=1000, nbytes=200_000, version=None):
    into = memoryview(bytearray(nbytes))
    version = storage.entry("x.bin").version if version is None else version
    storage.read("x.bin", offset, [into[:7], into[7:]], version)
    return bytes(into)


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_is_not_noticed(storage, proxy, name):
    version = storage.entry("x.bin").version
    proxy.plan = faults.in_turn([PASSING[name], PASSING[name], None])
    assert read(storage, version=version) == BODY[1000:201_000]
    assert sum(proxy.counters.faults.values()) >= 1


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_stays_is_an_error_with_address_before_the_deadline(storage, proxy, name):
    version = storage.entry("x.bin").version
    proxy.plan = lambda request: PASSING[name]
    begun = time.monotonic()
    with pytest.raises(bs.RequestFailed, match=r"s3://.*/x\.bin: .* \(tried \d+ times in") as caught:
        read(storage, version=version)
    assert time.monotonic() - begun < DEADLINE + 3  # the last try may take its own time limit
    if name in ("slow_down", "internal_error"):
        assert caught.value.status in (500, 503)


def test_keys_that_are_refused_again_and_again_are_no_permission(storage, proxy, monkeypatch):
    monkeypatch.setattr(objects, "_RENEWING", 0.5)
    version = storage.entry("x.bin").version
    proxy.plan = lambda request: faults.expired_token()
    with pytest.raises(
        bs.NoPermission, match=r"x\.bin: the keys are refused, also after they were loaded again \(400 ExpiredToken"
    ):
        read(storage, version=version)


@pytest.mark.parametrize("name", FINAL)
def test_an_object_that_is_not_the_one_is_a_typed_error(storage, proxy, name):
    fault, kind = FINAL[name]
    version = storage.entry("x.bin").version
    proxy.plan = lambda request: fault
    with pytest.raises(kind, match=r"s3://.*/x\.bin") as caught:
        read(storage, version=version)
    assert "\n" not in str(caught.value)
    if name == "moved":
        assert "eu-west-1" in str(caught.value)


def test_a_replaced_object_is_noticed(storage, s3_server):
    version = storage.entry("x.bin").version
    s3_server.put(storage.root.removeprefix("s3://"), "x.bin", BODY[::-1])
    with pytest.raises(bs.FileChanged, match="replaced"):
        read(storage, version=version)


def test_a_range_past_the_end_is_an_error(storage):
    with pytest.raises(bs.BadFile, match=r"ends after 300,000 bytes; 300,001 are needed"):
        read(storage, offset=299_999, nbytes=2)
    with pytest.raises(bs.FileChanged, match="shorter"):
        read(storage, offset=400_000, nbytes=2)


def test_a_listing_that_breaks_is_complete_or_an_error(storage, s3_server, proxy):
    bucket = storage.root.removeprefix("s3://")
    for i in range(1500):
        s3_server.put(bucket, f"many/{i:04}", b"x")
    expected = {f"many/{i:04}" for i in range(1500)}
    for fault in (faults.internal_error(), faults.cut(after=2000), faults.garbage(), faults.reset()):
        for turn in ([fault, None, None], [None, fault, None, None], [None, fault, fault]):
            proxy.plan = faults.in_turn(turn)
            try:
                keys = [entry.key for page in storage.list("many/") for entry in page]
            except bs.RequestFailed:
                continue
            assert set(keys) == expected
            assert len(keys) == len(expected)


def test_a_thousand_faults_in_many_threads_are_never_a_wrong_byte(storage, proxy):
    """Faults of all kinds at random: every read is right, or raises a typed error."""
    version, kinds = storage.entry("x.bin").version, [*PASSING.values(), *(fault for fault, _ in FINAL.values())]
    proxy.plan = faults.at_random(0.5, kinds, seed=7)
    outcomes: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        while sum(proxy.counters.faults.values()) < 1000:
            offset, nbytes = chance.randrange(0, 250_000), chance.randrange(1, 50_000)
            try:
                good = read(storage, offset, nbytes, version) == BODY[offset : offset + nbytes]
                outcomes.append("right" if good else "wrong")
            except (bs.RequestFailed, bs.FileChanged, bs.NoPermission) as error:
                outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    assert "wrong" not in outcomes
    assert outcomes.count("right") > 100
    assert {"FileChanged", "NoPermission"} <= set(outcomes)
