"""Shuffles of pixels that the compiler does not choose itself: transposed blocks, mirrored and turned pixels, planes of channels."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bitesize.kernels.filters import LINES
from bitesize.kernels.vector import (
    EIGHT,
    INDEX,
    LANES,
    OF_LANES,
    address_of,
    as_floats,
    load_at,
    load_values,
    shuffle,
    store_at,
)


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def load_three(context: Any, values: Any, index: Any, planes: Any, mirrored: Any) -> Any:
    """Return eight pixels of three channels, of an array of any number type, as three vectors of float32.

    Parameters
    ----------
    values
        Interleaved pixels, contiguous.
    index
        Of the first value.
    planes
        Literal: whether each vector is one channel; otherwise pixels stay interleaved.
    mirrored
        Literal: whether the last pixel comes first.
    """
    if not all(isinstance(each, types.BooleanLiteral) for each in (planes, mirrored)):
        return None
    pixels = [7 - i if mirrored.literal_value else i for i in range(LANES)]
    if planes.literal_value:
        chosen = [[3 * i + c for i in pixels] for c in range(3)]
    else:
        flat = [3 * i + c for i in pixels for c in range(3)]
        chosen = [flat[:8], flat[8:16], flat[16:]]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        kind = signature.args[0].dtype
        address = address_of(context, builder, signature.args[0], *arguments[:2])
        loaded = load_values(builder, address, 3 * LANES)
        parts = [as_floats(builder, kind, shuffle(builder, loaded, loaded, lanes)) for lanes in chosen]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(OF_LANES, 3)(values, INDEX, planes, mirrored), emit


def _transpose(builder: Any, vectors: list[Any]) -> list[Any]:
    """Swap lines and columns of eight vectors, for each block of 8 x 8 values by itself."""
    count = vectors[0].type.count

    def pair(one: int, other: int, lanes: list[int]) -> Any:
        repeated = [lane % 8 + block + (count if lane >= 8 else 0) for block in range(0, count, 8) for lane in lanes]
        return shuffle(builder, vectors[one], vectors[other], repeated)

    # Pairs, then fours, as processors shuffle within quarters of a vector, and last the quarters themselves.
    low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
    vectors = [pair(r, r + 1, part) for r in (0, 2, 4, 6) for part in (low, high)]
    low, high = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    vectors = [pair(r, r + 2, part) for r in (0, 1, 4, 5) for part in (low, high)]
    low, high = [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]
    return [pair(r, r + 4, part) for part in (low, high) for r in range(4)]


@intrinsic  # type: ignore[untyped-decorator]
def lines_to_columns(context: Any, lines: Any, start: Any, apart: Any, columns: Any, at: Any) -> Any:
    """Write eight neighbors of each of `LINES` float32 lines as eight vectors.

    For each line r and j from 0 to 7: ``columns[at + j * LINES + r] = lines[start + r * apart + j]``.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        _, start, apart, _, at = arguments
        origin = address_of(context, builder, signature.args[0], arguments[0], start)
        place = address_of(context, builder, signature.args[3], arguments[3], at)
        lines = [load_at(builder, builder.gep(origin, [builder.mul(apart, apart.type(r))]), EIGHT) for r in range(LINES)]
        both = [shuffle(builder, lines[r], lines[r + LANES], list(range(LINES))) for r in range(LANES)]
        for j, column in enumerate(_transpose(builder, both)):
            store_at(builder, column, builder.gep(place, [at.type(LINES * j)]))
        return context.get_dummy_value()

    return types.void(lines, INDEX, INDEX, columns, INDEX), emit


@intrinsic  # type: ignore[untyped-decorator]
def columns_to_lines(context: Any, columns: Any, start: Any, distance: Any, lines: Any, at: Any, apart: Any) -> Any:
    """Write eight vectors as eight neighbors of each of `LINES` float32 lines.

    For each line r and j from 0 to 7: ``lines[at + r * apart + j] = columns[start + j * distance + r]``.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        _, start, distance, _, at, apart = arguments
        origin = address_of(context, builder, signature.args[0], arguments[0], start)
        place = address_of(context, builder, signature.args[3], arguments[3], at)
        for half in (0, LANES):
            places = [builder.add(builder.mul(distance, at.type(j)), at.type(half)) for j in range(LANES)]
            columns = [load_at(builder, builder.gep(origin, [each]), EIGHT) for each in places]
            for r, line in enumerate(_transpose(builder, columns)):
                store_at(builder, line, builder.gep(place, [builder.mul(apart, at.type(r + half))]))
        return context.get_dummy_value()

    return types.void(columns, INDEX, INDEX, lines, INDEX, INDEX), emit


@intrinsic  # type: ignore[untyped-decorator]
def copy_four(context: Any, source: Any, start: Any, target: Any, at: Any) -> Any:
    """Copy four neighbors from one array to another of the same type."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        origin = address_of(context, builder, signature.args[0], *arguments[:2])
        place = address_of(context, builder, signature.args[2], *arguments[2:])
        four = ir.VectorType(origin.type.pointee, 4).as_pointer()
        value = builder.load(builder.bitcast(origin, four))
        stored = builder.store(value, builder.bitcast(place, four))
        value.align = stored.align = 1
        return context.get_dummy_value()

    return types.void(source, INDEX, target, INDEX), emit


@intrinsic  # type: ignore[untyped-decorator]
def turn_three(context: Any, source: Any, start: Any, apart: Any, target: Any, at: Any, distance: Any) -> Any:
    """Swap lines and columns of 8 x 8 pixels of three channels, of types of up to 2 bytes; does nothing for others.

    For y and x from 0 to 7, pixel ``source[start + y * apart + 3 * x]`` is copied to ``target[at + x * distance + 3 * y]``.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        _, start, apart, _, at, distance = arguments
        origin = address_of(context, builder, signature.args[0], arguments[0], start)
        place = address_of(context, builder, signature.args[3], arguments[3], at)
        value = origin.type.pointee
        if not isinstance(value, ir.IntType) or value.width > 16:
            return context.get_dummy_value()
        # With an unused fourth value, a pixel is one integer.
        pixels, values = ir.VectorType(ir.IntType(4 * value.width), LANES), ir.VectorType(value, 4 * LANES)
        wide, narrow = (
            [3 * x + min(c, 2) for x in range(LANES) for c in range(4)],
            [4 * y + c for y in range(LANES) for c in range(3)],
        )
        lines = []
        for y in range(LANES):
            loaded = load_values(builder, builder.gep(origin, [builder.mul(apart, apart.type(y))]), 3 * LANES)
            lines.append(builder.bitcast(shuffle(builder, loaded, loaded, wide), pixels))
        for x, column in enumerate(_transpose(builder, lines)):
            flat = builder.bitcast(column, values)
            stored = store_at(
                builder, shuffle(builder, flat, flat, narrow), builder.gep(place, [builder.mul(distance, at.type(x))])
            )
            stored.align = 1
        return context.get_dummy_value()

    return types.void(source, INDEX, INDEX, target, INDEX, INDEX), emit
