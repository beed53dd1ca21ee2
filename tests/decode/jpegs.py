"""Tiny JPEGs of kinds that Pillow cannot write: any subsampling, lossless, any precision (ITU T.81)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


class _Bits:
    """Gathers the bits of entropy-coded data, with a zero byte after each 0xFF."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def add(self, value: int, count: int) -> None:
        if count:
            self._bits.append(format(value, f"0{count}b"))

    def add_difference(self, difference: int, code_length: int) -> None:
        """Write a category, whose code is its number, and the bits of a difference (F.1.2.1)."""
        category = abs(difference).bit_length()
        self.add(category, code_length)
        if category < 16:
            self.add(difference if difference >= 0 else difference + (1 << category) - 1, category)

    def bytes(self) -> bytes:
        bits = "".join(self._bits)
        bits += "1" * (-len(bits) % 8)
        data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
        return data.replace(b"\xff", b"\xff\x00")


def _frame(marker: int, bits: int, height: int, width: int, factors: Sequence[tuple[int, int]]) -> bytes:
    components = b"".join(bytes((i + 1, h << 4 | v, 0)) for i, (h, v) in enumerate(factors))
    return _segment(marker, struct.pack(">BHHB", bits, height, width, len(factors)) + components)


def _scan(components: int, first: int, last: int) -> bytes:
    return _segment(0xDA, bytes((components, *(part for i in range(components) for part in (i + 1, 0)), first, last, 0)))


def baseline(factors: Sequence[tuple[int, int]], mcus: tuple[int, int] = (2, 3), seed: int = 0) -> bytes:
    """Make a JPEG of blocks of one value each, with these sampling factors (horizontal, vertical) of each component."""
    random, out = np.random.default_rng(seed), _Bits()
    before = [0] * len(factors)
    for _ in range(mcus[0] * mcus[1]):
        for i, (h, v) in enumerate(factors):
            for _ in range(h * v):
                value = int(random.integers(-60, 60))
                out.add_difference(value - before[i], 4)
                out.add(0, 1)  # the end of the block
                before[i] = value
    height = mcus[0] * 8 * max(v for _, v in factors) - 3
    width = mcus[1] * 8 * max(h for h, _ in factors) - 5
    counts = bytes((0, 0, 0, 12, *[0] * 12))
    tables = _segment(0xC4, b"\x00" + counts + bytes(range(12))) + _segment(0xC4, b"\x10\x01" + bytes(15) + b"\x00")
    return (
        b"\xff\xd8"
        + _segment(0xDB, b"\x00" + bytes([8] * 64))
        + _frame(0xC0, 8, height, width, factors)
        + tables
        + _scan(len(factors), 0, 63)
        + out.bytes()
        + b"\xff\xd9"
    )


def lossless(values: NDArray[np.integer], bits: int) -> bytes:
    """Make a lossless JPEG (SOF3, the left neighbor as predictor) of gray values, shape (height, width)."""
    out, full = _Bits(), 1 << bits
    for y, line in enumerate(values.tolist()):
        for x, value in enumerate(line):
            expected = line[x - 1] if x else values[y - 1, 0].item() if y else full >> 1
            out.add_difference((value - expected + 32768) % 65536 - 32768, 5)
    counts = bytes((0, 0, 0, 0, 17, *[0] * 11))
    return (
        b"\xff\xd8"
        + _frame(0xC3, bits, *values.shape, [(1, 1)])
        + _segment(0xC4, b"\x00" + counts + bytes(range(17)))
        + _scan(1, 1, 0)
        + out.bytes()
        + b"\xff\xd9"
    )
