"""A proxy in front of a server of HTTP/1.1, with latency, limits and faults::

    with Proxy(server.address, latency=0.05) as proxy:
        store = S3Store("photos", **server.options(proxy.address))
        proxy.plan = in_turn([slow_down(), None, cut(after=100)])

The Host header passes unchanged, so that signatures stay valid.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from tests.servers.exchange import Connection, Exchange
from tests.servers.faults import Answer, Fault, Plan, Request, slow_down
from tests.servers.messages import Head, read_head
from tests.servers.programs import MODULES, running
from tests.servers.signature import Keys

Guard = Callable[[Request], Answer | None]


@dataclass
class Counters:
    """What passed a proxy.

    Attributes
    ----------
    requests, sent : int
        Requests, and bytes of bodies sent to clients.
    in_flight, most_in_flight : int
        Requests not yet answered in full: now, and the most at a time.
    refused : int
        Requests above a limit.
    faults : Counter of str
        Faults that took effect, by kind: no cut after 100 bytes of a body of 50.
    recent : deque of (method, path, range)
        The last 100,000 requests.
    """

    requests: int = 0
    sent: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    recent: deque[tuple[str, str, str | None]] = field(default_factory=lambda: deque(maxlen=100_000))


class Proxy:
    """A proxy in a thread of its own, from ``with`` to the end of the block.

    Parameters
    ----------
    target : str
        Host and port of the server.
    latency : float
        Seconds that each request waits.
    most_at_once : int, optional
        Requests in flight above which `refusal` is answered.
    most_per_second : int, optional
        Requests within a second above which `refusal` is answered.
    refusal : Answer
        By default 503 SlowDown.
    plan : Plan, optional
        Returns the fault of a request, or None.
    guard : function of a Request, optional
        Returns an answer in place of the server's, or None; may change the request.
    keys : Keys, optional
        Those of an S3 server: a signed request that the proxy changes is signed again.
    port : int
        Where it listens; 0 takes a free one.

    All but the last are attributes that a test may set while the proxy runs.
    """

    def __init__(
        self,
        target: str,
        *,
        latency: float = 0.0,
        most_at_once: int | None = None,
        most_per_second: int | None = None,
        refusal: Answer | None = None,
        plan: Plan | None = None,
        guard: Guard | None = None,
        keys: Keys | None = None,
        port: int = 0,
    ) -> None:
        self.target = target
        self.latency = latency
        self.most_at_once = most_at_once
        self.most_per_second = most_per_second
        self.refusal = refusal or slow_down()
        self.plan = plan
        self.guard = guard
        self.keys = keys
        self.port = port
        self.counters = Counters()
        self.address = ""
        self.in_service = 0
        self.idle: list[Connection] = []
        self._accepted: deque[float] = deque()
        self._errors: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="proxy", daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if not self.address:
            self._thread.join()
            self._loop.close()
            raise self._errors[0]
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()
        if self._errors and kind is None:
            raise self._errors[0]  # of a plan, a guard or the proxy itself: the client saw no more than a closed connection

    def _work(self) -> None:
        try:
            self._loop.run_until_complete(self._run())
        except Exception as error:
            self._errors.append(error)
        finally:
            self._ready.set()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=1024)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:  # of connections that were just accepted, too
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        for _, writer in self.idle:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (head := await read_head(reader)) is not None:
                if not await self._counted(head, reader, writer):
                    break
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client, the server or the test has gone
        except Exception as error:
            self._errors.append(error)
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except (OSError, asyncio.CancelledError):
                writer.transport.abort()  # a client that does not read what was sent to it would hold the socket

    async def _counted(self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        method, target, _ = head.first.split(" ", 2)
        path, _, query = target.partition("?")
        request = Request(method, path, query, {name.lower(): value for name, value in head.headers})
        counters = self.counters
        counters.requests += 1
        counters.recent.append((method, path, request.range))
        counters.in_flight += 1
        counters.most_in_flight = max(counters.most_in_flight, counters.in_flight)
        try:
            return await Exchange(self, request, head, reader, writer).run()
        finally:
            counters.in_flight -= 1

    def fault_of(self, request: Request) -> Fault | None:
        """Return what happens to a request: a refusal, the guard's answer, the plan's fault, or nothing."""
        if self._above_limit():
            self.counters.refused += 1
            return self.refusal
        return (self.guard and self.guard(request)) or (self.plan and self.plan(request)) or None

    def _above_limit(self) -> bool:
        now = time.monotonic()
        while self._accepted and self._accepted[0] <= now - 1:
            self._accepted.popleft()
        most, rate = self.most_at_once, self.most_per_second
        if (most is not None and self.in_service >= most) or (rate is not None and len(self._accepted) >= rate):
            return True
        if rate is not None:
            self._accepted.append(now)
        return False


@contextlib.contextmanager
def separate_proxy(target: str, **limits: float) -> Iterator[str]:
    """Run a proxy in a process of its own, and yield its address: for benchmarks, whose own threads it does not hold up.

    `limits` are `latency`, `most_at_once` and `most_per_second`.
    """
    options = [f"--{name.replace('_', '-')}={value}" for name, value in limits.items()]
    with running(
        lambda ports, _: [sys.executable, "-m", "tests.servers.proxy", target, str(ports[0]), *options], environment=MODULES
    ) as program:
        yield program.address


def main() -> None:
    """Run a proxy until the process is ended."""
    parser = argparse.ArgumentParser(description="A proxy in front of a server, with latency and limits.")
    parser.add_argument("target", help="host:port of the server")
    parser.add_argument("port", type=int)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--most-at-once", type=int)
    parser.add_argument("--most-per-second", type=int)
    with Proxy(**vars(parser.parse_args())):
        threading.Event().wait()


if __name__ == "__main__":
    main()
