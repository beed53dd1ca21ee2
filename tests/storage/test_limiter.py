"""How many requests are in flight: never more than allowed, in order, and nobody waits forever."""

from __future__ import annotations

import threading
import time

import pytest

from bitesize.errors import RequestFailed
from bitesize.storage.limiter import LEAST, Limiter, Passing

WAIT = 20.0


def start(work, *args):
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread


def wait_for(condition):
    deadline = time.monotonic() + WAIT
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert condition()


def test_requests_are_sent_in_the_order_in_which_they_were_asked_for():
    """Also if threads whose requests have ended ask for more: rows that are needed first would wait for later ones."""
    limiter, gate, order = Limiter(limit=LEAST), threading.Event(), []

    def hold():
        limiter.perform("first", gate.wait)
        limiter.perform("later", lambda: order.append("later"))

    holders = [start(hold) for _ in range(LEAST)]
    wait_for(lambda: limiter.in_flight == LEAST)
    waiting = []
    for i in range(20):
        waiting.append(start(limiter.perform, "second", lambda i=i: order.append(i)))
        wait_for(lambda i=i: len(limiter._waiting) == i + 1)
    gate.set()
    for thread in (*holders, *waiting):
        thread.join(WAIT)
    assert [each for each in order[:10] if each == "later"] == []
    assert len(order) == 24
    assert limiter.in_flight == 0


def test_time_in_which_others_keep_a_request_waiting_is_not_that_of_its_tries():
    limiter, gate = Limiter(), threading.Event()
    limiter.allow("owner", 1)
    holder = start(limiter.perform, "slow", gate.wait)
    wait_for(lambda: limiter.in_flight == 1)
    tries, failed = [], []

    def fail():
        tries.append(time.monotonic())
        raise Passing("500", 500)

    def ask():
        try:
            limiter.perform("x://a/b", fail, deadline=0.5)
        except RequestFailed as error:
            failed.append(error)

    asker = start(ask)
    wait_for(lambda: len(limiter._waiting) == 1)
    time.sleep(0.6)
    gate.set()
    asker.join(WAIT)
    holder.join(WAIT)
    assert len(tries) > 1
    assert "x://a/b: 500" in str(failed[0])


def test_an_owner_that_allows_more_wakes_all_who_may_go_on():
    limiter, gate = Limiter(), threading.Event()
    limiter.allow("small", 2)
    threads = [start(limiter.perform, "x", gate.wait) for _ in range(10)]
    wait_for(lambda: len(limiter._waiting) == 8)
    limiter.allow("large", 6)
    wait_for(lambda: limiter.in_flight == 8)
    limiter.allow("large", 0)
    gate.set()
    for thread in threads:
        thread.join(WAIT)
    assert limiter.in_flight == 0
    assert limiter.counts.most == 8


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_a_request_that_ends_with_an_error_returns_its_permit(fault):
    limiter = Limiter(limit=LEAST)

    def fail():
        raise fault

    for _ in range(3 * LEAST):
        with pytest.raises(fault):
            limiter.perform("x", fail)
    assert limiter.in_flight == 0


def test_a_storm_of_refusals_is_recovered_from():
    limiter, until = Limiter(), time.monotonic() + 1.2

    def ask():
        if time.monotonic() < until:
            raise Passing("503", 503, throttled=True)
        time.sleep(0.001)

    def work():
        for _ in range(20):
            limiter.perform("x", ask)

    threads = [start(work) for _ in range(64)]
    for thread in threads:
        thread.join(WAIT)
    assert limiter.counts.requests == 64 * 20
    assert limiter.limit >= LEAST
    assert limiter.in_flight == 0
