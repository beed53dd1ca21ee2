"""Bodies end by their length, by their last chunk, or with the connection."""

from __future__ import annotations

import asyncio

import pytest

from tests.servers.messages import Head, pieces, read_head


def read(data: bytes, request: bool = False) -> tuple[Head | None, bytes, bytes]:
    """Read one message, and return its head, its body as on the wire, and what follows."""

    async def work() -> tuple[Head | None, bytes, bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        head = await read_head(reader)
        body = b"".join([piece async for piece in pieces(reader, head, request)]) if head else b""
        return head, body, await reader.read()

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"Content-Length: 5\r\n", b"hello"),
        (b"Content-Length: 0\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"),
        (b"transfer-encoding: chunked\r\n", b"0\r\nTrailer: 1\r\n\r\n"),
    ],
)
def test_what_follows_is_left(headers, body):
    head, found, rest = read(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n" + body + b"HTTP/1.1 404")
    assert head is not None
    assert (head.status, found, rest) == (200, body, b"HTTP/1.1 404")
    assert head.to_bytes() == b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n"


def test_an_answer_without_a_length_ends_with_the_connection():
    assert read(b"HTTP/1.0 200 OK\r\n\r\nhello")[1:] == (b"hello", b"")


def test_a_request_without_a_length_has_no_body():
    assert read(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /next", request=True)[1:] == (b"", b"GET /next")


def test_a_body_that_ends_early_is_an_error():
    with pytest.raises(ConnectionResetError):
        read(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")


def test_no_message():
    assert read(b"") == (None, b"", b"")
    with pytest.raises(EOFError):
        read(b"HTTP/1.1 200")
