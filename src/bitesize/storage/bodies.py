"""Bodies of requests, in the chunks in which they come and go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

PART = 8 << 20  # of an upload in several parts


def copied(chunks: Iterable[Any], into: Sequence[memoryview]) -> int:
    """Copy chunks into consecutive buffers; return the number of bytes that came, which may be too large or too small."""
    buffers = iter(into)
    room = next(buffers)
    done = 0
    for chunk in chunks:
        view = memoryview(chunk)
        while view.nbytes:
            while not room.nbytes:
                following = next(buffers, None)
                if following is None:
                    return done + view.nbytes
                room = following
            count = min(room.nbytes, view.nbytes)
            room[:count] = view[:count]
            room, view, done = room[count:], view[count:], done + count
    return done


def in_parts(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield pieces again, in parts of at least `PART` bytes but for the last."""
    part = bytearray()
    for piece in pieces:
        part += piece
        while len(part) >= PART:
            yield bytes(part[:PART])
            del part[:PART]
    if part:
        yield bytes(part)


def after(chunks: Iterable[Any], skip: int) -> Iterator[memoryview]:
    """Yield chunks without their first ``skip`` bytes."""
    for chunk in chunks:
        view = memoryview(chunk)
        yield view[min(skip, view.nbytes) :]
        skip -= min(skip, view.nbytes)


def first_of(chunks: Iterable[memoryview], most: int) -> Iterator[memoryview]:
    """Yield chunks until they have ``most`` bytes."""
    for chunk in chunks:
        if most <= 0:
            return
        yield chunk[:most]
        most -= min(most, chunk.nbytes)
