"""Arrays that were made to hurt: `.npy` and `.npz` whose headers lie, overflow, or run code if they are believed."""

from __future__ import annotations

import io
import struct
import zipfile
from functools import cache

import numpy as np

# What a row of the folder in which hostile files lie is; some of them are told to be just that.
SHAPE, DTYPE = (6, 5, 3), "<f4"
_DESCRIPTIONS = (
    "'<f4'", "'>f4'", "'<f8'", "'|O'", "'O'", "'|V8'", "'<U4'", "'|S0'", "'<M8[ns]'", "'<f2'", "'<c16'", "'|b1'", "'<f16'",
    "[('a', '<f4')]", "[('a', '|O')]", "('<f4', (2, 2))", "None", "4", "'garbage'", "'<f4' * 9", "[]", "{}", "'<i99'",
)  # fmt: skip
_SHAPES = (
    repr(SHAPE), "()", "(0,)", "(-1,)", "(6, -5, 3)", "(True, 5, 3)", "(10**12,)", "(2**63,)", "(2**64 + 90,)", "(2**32, 2**32)",
    "(6, 5, 3.0)", "6", "None", "[6, 5, 3]", "(6, 5, 3) * 9", repr((1,) * 64), repr((1,) * 65), repr((2,) * 64), "('6',)", "(0, 2**62)",
)  # fmt: skip
_ORDERS = ("False", "True", "None", "1", "'no'", "__import__('os')")


def hostile_npy(random: np.random.Generator) -> bytes:
    """Make one: a header put together from odd parts, or a good file damaged in some way."""
    how = random.integers(8)
    if how == 0:
        return _good(random)
    if how <= 3:
        return _lying(random)
    if how == 4:
        return _pickled(random)
    return damaged(_good(random), random)


def hostile_npz(random: np.random.Generator) -> bytes:
    """Make an archive whose member is hostile, or which is damaged itself."""
    how = random.integers(6)
    if how == 0:
        return _bomb(random)
    member = _good(random) if how <= 2 else hostile_npy(random)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][random.integers(2)]) as archive:
        archive.writestr("x.npy", member)
        if how == 1:
            archive.writestr("../../x.npy", member)
    return damaged(stream.getvalue(), random) if how <= 3 else stream.getvalue()


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Flip bits, cut, repeat, or put extreme numbers somewhere; early bytes are hit most, for headers lie there."""
    out = bytearray(data)
    for _ in range(random.integers(1, 6)):
        if len(out) < 2:
            break
        near = random.integers(2)
        at = int(random.integers(min(len(out), 160) if near else len(out)))
        size = int(random.integers(1, 40))
        match random.integers(7):
            case 0 | 1:
                out[at] ^= 1 << int(random.integers(8))
            case 2:
                del out[at : at + size]
            case 3:
                out[at:at] = out[at : at + size] * int(random.integers(1, 4))
            case 4:
                out[at:at] = random.bytes(size)
            case 5:
                number = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1]))
                new = number.to_bytes(8, "little" if random.integers(2) else "big")
                new = new[: int(random.choice([1, 2, 4]))] if random.integers(2) else new[-int(random.choice([1, 2, 4])) :]
                out[at : at + len(new)] = new
            case _:
                del out[at:]
    return bytes(out)


def _good(random: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    array = random.random(SHAPE).astype(random.choice(["<f4", ">f4"]))
    np.lib.format.write_array(
        stream, np.asarray(array, order=random.choice(["C", "F"])), [(1, 0), (2, 0), (3, 0)][random.integers(3)]
    )
    return stream.getvalue()


def _lying(random: np.random.Generator) -> bytes:
    """Write a header of parts, each likely to be a good one, with a payload of some size."""

    def one(of: tuple[str, ...]) -> str:
        return of[0] if random.integers(3) == 0 else of[random.integers(len(of))]

    parts = [f"'descr': {one(_DESCRIPTIONS)}", f"'fortran_order': {one(_ORDERS)}", f"'shape': {one(_SHAPES)}"]
    match random.integers(12):
        case 0:
            parts.pop()
        case 1:
            parts.append("'more': 1")
        case 2:
            parts = ["(" * 300 + ")" * 300]
        case 3:
            parts.append("'pad': '" + "x" * int(random.integers(9_000, 70_000)) + "'")
    text = ("{" + ", ".join(parts) + "}").encode() + b" " * int(random.integers(64)) + b"\n"
    version = int(random.choice([1, 1, 2, 2, 3, 0, 9]))
    declared = len(text) if random.integers(4) else int(random.choice([0, 1, 0xFFFF, len(text) + 1, 2 * len(text)]))
    length = (
        struct.pack("<H", declared & 0xFFFF)
        if version == 1
        else struct.pack("<I", declared if random.integers(9) else 2**32 - 1)
    )
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + length
        + text
        + random.bytes(int(random.choice([0, 1, 359, 360, 361, 720, 4096])))
    )


class _Runs:
    """Would create a file if it were unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("UNPICKLED", "w")


def _pickled(random: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    array = np.full(int(random.integers(1, 4)), _Runs(), dtype=object)
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def _bomb(random: np.random.Generator) -> bytes:
    """Make an archive of few bytes that says, truly or not, that it becomes many."""
    huge = int(random.choice([1, 2, 30])) << 20
    header = io.BytesIO()
    shape = SHAPE if random.integers(2) else (huge // 4,)
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    data = bytearray(_grown(header.getvalue(), huge))
    if random.integers(2):  # and what the directory says of its size is something else
        at = data.rindex(b"PK\x01\x02") + 24
        data[at : at + 4] = struct.pack("<I", int(random.choice([360 + len(header.getvalue()), 0, 2**32 - 2])))
    return bytes(data)


@cache
def _grown(start: bytes, zeros: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", start + bytes(zeros))
    return stream.getvalue()
