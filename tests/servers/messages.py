"""HTTP/1.1 messages on asyncio streams: heads, and the three ways in which bodies end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

PIECE = 1 << 18


@dataclass
class Head:
    """First line and headers of a message; names as sent."""

    first: str
    headers: list[tuple[str, str]]

    def get(self, name: str) -> str | None:
        """Return the value of a header by its lower-case name."""
        return next((value for each, value in self.headers if each.lower() == name), None)

    def replace(self, name: str, value: str | None) -> None:
        """Replace a header of a lower-case name; None leaves it out."""
        self.headers = [pair for pair in self.headers if pair[0].lower() != name]
        if value is not None:
            self.headers.append((name, value))

    def to_bytes(self) -> bytes:
        """Return the head as sent."""
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    @property
    def status(self) -> int:
        """Return the status of an answer."""
        return int(self.first.split(" ", 2)[1])


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read first line and headers; None where the connection ended before."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = text[:-4].split("\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    return Head(first, headers)


async def pieces(reader: asyncio.StreamReader, head: Head, request: bool = False) -> AsyncIterator[bytes]:
    """Read a body piece by piece, as on the wire: chunked bodies with their frames."""
    length = head.get("content-length")
    if (head.get("transfer-encoding") or "").lower() == "chunked":
        async for piece in _chunks(reader):
            yield piece
    elif length is not None:
        remaining = int(length)
        while remaining:
            piece = await reader.read(min(remaining, PIECE))
            if not piece:
                raise ConnectionResetError("the body ended early")
            remaining -= len(piece)
            yield piece
    elif not request:
        while piece := await reader.read(PIECE):
            yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        yield line + (await reader.readexactly(size + 2) if size else b"")
        if not size:
            break
    while True:  # trailers
        line = await reader.readuntil(b"\r\n")
        yield line
        if line == b"\r\n":
            return
