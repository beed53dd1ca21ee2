"""The way of one request through `proxy.Proxy`: to the server and back, or to a fault."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from tests.servers.faults import Answer, Change, Fault, Request, Reset
from tests.servers.messages import Head, pieces, read_head
from tests.servers.signature import sign_again

if TYPE_CHECKING:
    from tests.servers.proxy import Proxy

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
UNCHANGED = Change("unchanged")
# Linger on, for no time: closing sends a reset.
LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Exchange:
    """One request of a client, and what it gets."""

    def __init__(
        self, proxy: Proxy, request: Request, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.proxy = proxy
        self.request = request
        self.head = head
        self.fault: Fault | None = None
        self.reader = reader
        self.writer = writer
        self.has_body = head.get("content-length") not in (None, "0") or head.get("transfer-encoding") is not None

    async def run(self) -> bool:
        """Answer, and return whether the client's connection stays open."""
        if self.request.headers.pop("expect", None):
            self.head.replace("expect", None)
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        fault = self.proxy.fault_of(self.request)
        if self.proxy.guard:
            self._take_changes()
        self.fault = fault
        self.proxy.in_service += 1
        try:
            if self.proxy.latency:
                await asyncio.sleep(self.proxy.latency)
            if isinstance(fault, Reset):
                self._takes_effect()
                self._reset()
                return False
            if isinstance(fault, Answer):
                self._takes_effect()
                return await self._answer(fault)
            return await self._forward(fault or UNCHANGED)
        finally:
            self.proxy.in_service -= 1

    def _takes_effect(self) -> None:
        """Count the fault, once, if it is not a refusal."""
        if self.fault is not None and self.fault is not self.proxy.refusal:
            self.proxy.counters.faults[self.fault.kind] += 1
        self.fault = None

    def _reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        self.writer.transport.abort()

    async def _answer(self, answer: Answer) -> bool:
        async for _ in pieces(self.reader, self.head, request=True):
            pass
        headers = [*answer.headers.items(), ("content-length", str(len(answer.body)))]
        head = Head(f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", headers)
        await self._send(head.to_bytes() + (b"" if self.request.method == "HEAD" else answer.body))
        return True

    async def _send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def _forward(self, change: Change) -> bool:
        if change.without_range:
            self._drop_range()
        server_reader, server_writer, answer = await self._ask()
        open_at_server = open_at_client = False
        try:
            self._change_head(answer, change)
            ends = answer.get("content-length") or answer.get("transfer-encoding")
            bodiless = self.request.method == "HEAD" or answer.status in (204, 304)
            if bodiless:
                await self._send(answer.to_bytes())
                open_at_client = True
            else:
                body = self._changed(pieces(server_reader, self.expected), change)
                open_at_client = await self._pass_on(answer.to_bytes(), body, change) and bool(ends)
            closes = (answer.get("connection") or "").lower() == "close" or answer.first.startswith("HTTP/1.0")
            open_at_server = open_at_client and not closes and bool(ends or bodiless)
            return open_at_client and not closes
        finally:
            if open_at_server:
                self.proxy.idle.append((server_reader, server_writer))
            else:
                server_writer.close()

    def _take_changes(self) -> None:
        request = self.request
        target = f"{request.path}?{request.query}" if request.query else request.path
        self.head = Head(f"{request.method} {target} HTTP/1.1", list(request.headers.items()))

    def _drop_range(self) -> None:
        if self.request.headers.pop("range", None) is None:
            return
        if self.proxy.keys and "authorization" in self.request.headers:
            sign_again(self.request, self.proxy.keys)  # the range may be signed
        self._take_changes()
        self._takes_effect()

    async def _ask(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Head]:
        while True:
            # A connection that was kept may be closed by now: only what can be sent again goes through it.
            kept = bool(self.proxy.idle) and not self.has_body
            host, port = self.proxy.target.rsplit(":", 1)
            reader, writer = self.proxy.idle.pop() if kept else await asyncio.open_connection(host, int(port))
            try:
                writer.write(self.head.to_bytes())
                async for piece in pieces(self.reader, self.head, request=True):
                    writer.write(piece)
                    await writer.drain()
                answer = await read_head(reader)
                while answer is not None and answer.status < 200:
                    answer = await read_head(reader)
            except (OSError, EOFError):
                answer = None
            except BaseException:
                writer.close()
                raise
            if answer is not None:
                return reader, writer, answer
            writer.close()
            if not kept:
                raise ConnectionResetError("the server closed the connection")

    def _change_head(self, answer: Head, change: Change) -> None:
        self.expected = Head(answer.first, list(answer.headers))
        for name, value in change.headers.items():
            answer.replace(name, value)
            self._takes_effect()
        length, range_ = answer.get("content-length"), answer.get("content-range")
        if change.longer and length is not None:
            answer.replace("content-length", str(max(0, int(length) + change.longer)))
            self._takes_effect()
        if change.range_by and range_ is not None:
            moved = re.sub(r"(\d+)-(\d+)", lambda m: f"{int(m[1]) + change.range_by}-{int(m[2]) + change.range_by}", range_)
            answer.replace("content-range", moved)
            self._takes_effect()

    async def _changed(self, body: AsyncIterator[bytes], change: Change) -> AsyncIterator[bytes]:
        if not change.longer or self.expected.get("content-length") is None:
            async for piece in body:
                yield piece
            return
        whole = b"".join([piece async for piece in body])
        yield whole[: change.longer] if change.longer < 0 else whole + b"\xff" * change.longer

    async def _pass_on(self, head: bytes, body: AsyncIterator[bytes], change: Change) -> bool:
        """Send an answer, and return whether the client's connection stays open."""
        stop = min(point for point in (change.cut, change.stall, sys.maxsize) if point is not None)
        sent, pending = 0, head
        async for piece in body:
            if sent + len(piece) > stop:
                self._takes_effect()
                await self._send(pending + piece[: stop - sent])
                self.proxy.counters.sent += stop - sent
                if change.stall is None or await self._client_leaves(change.seconds):
                    return False
                pending, piece, sent, stop = b"", piece[stop - sent :], stop, sys.maxsize
            await self._send(pending + piece)
            pending = b""
            sent += len(piece)
            self.proxy.counters.sent += len(piece)
        if pending:
            await self._send(pending)
        return True

    async def _client_leaves(self, seconds: float | None) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), seconds) == b""
        except TimeoutError:
            return False
