"""Operations that the compiler does not vectorize itself: sums over pixels of interleaved channels, and stores past the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bitesize.kernels.filters import LINES

_LANES = 4
_VECTOR = ir.VectorType(ir.FloatType(), _LANES)
_LANE = ir.IntType(32)
_FUSE = ["contract"]
_INDEX = types.intp


class _Emitter:
    """Writes the intermediate code of one intrinsic."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.signature, self.arguments = context, builder, signature, arguments

    def pointer(self, number: int, place: Any = None) -> Any:
        """Return the address of an array argument, or of one of its values."""
        data = self.context.make_array(self.signature.args[number])(self.context, self.builder, self.arguments[number]).data
        return data if place is None else self.builder.gep(data, [place])

    def load(self, address: Any) -> Any:
        """Load four floats from any address."""
        loaded = self.builder.load(self.builder.bitcast(address, _VECTOR.as_pointer()))
        loaded.align = 4
        return loaded

    def store(self, value: Any, address: Any) -> Any:
        """Store four floats at any address."""
        stored = self.builder.store(value, self.builder.bitcast(address, _VECTOR.as_pointer()))
        stored.align = 4
        return stored

    def fused(self, product: Any, other: Any, total: Any) -> Any:
        """Return ``product * other + total``, rounded once if the processor supports it."""
        return self.builder.fadd(self.builder.fmul(product, other, flags=_FUSE), total, flags=_FUSE)

    def spread(self, vector: Any, lane: int) -> Any:
        """Return a vector that repeats one value."""
        picked = ir.Constant(ir.VectorType(_LANE, _LANES), [lane] * _LANES)
        return self.builder.shuffle_vector(vector, ir.Constant(_VECTOR, ir.Undefined), picked)

    def loop(self, count: Any, step: int, values: list[tuple[Any, Any]], body: Callable[..., list[Any]]) -> list[Any]:
        """Write ``for k in range(0, count, step)``, run at least once; the body updates ``values`` (type, initial)."""
        builder, index = self.builder, count.type
        before = builder.block
        inside, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(inside)
        builder.position_at_end(inside)
        k, carried = builder.phi(index), [builder.phi(kind) for kind, _ in values]
        renewed = body(k, *carried)
        following = builder.add(k, ir.Constant(index, step))
        for phi, initial, new in zip(
            [k, *carried], [ir.Constant(index, 0), *(value for _, value in values)], [following, *renewed], strict=True
        ):
            phi.add_incoming(initial, before)
            phi.add_incoming(new, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), inside, done)
        builder.position_at_end(done)
        return renewed


def _sum_taps(mixes: bool) -> Callable[..., Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the loop over all lines and taps."""
        e = _Emitter(context, builder, signature, arguments)
        _, apart, start, step, _, first, count, _, _, lines_apart, at = arguments
        index = count.type
        origin, weight = e.pointer(0, start), e.pointer(4, first)
        rows = [builder.gep(origin, [builder.mul(apart, ir.Constant(index, r))]) for r in range(LINES)]

        def add_tap(k: Any, shift: Any, *totals: Any) -> list[Any]:
            """Add one line of samples, times its weight, to the totals."""
            one = builder.insert_element(
                ir.Constant(_VECTOR, ir.Undefined), builder.load(builder.gep(weight, [k])), _LANE(0)
            )
            weights = e.spread(one, 0)
            sums = [
                e.fused(e.load(builder.gep(row, [shift])), weights, total) for row, total in zip(rows, totals, strict=True)
            ]
            return [builder.add(shift, step), *sums]

        zeros = ir.Constant(_VECTOR, [0.0] * _LANES)
        _, *sums = e.loop(count, 1, [(index, ir.Constant(index, 0)), *[(_VECTOR, zeros)] * LINES], add_tap)
        colors = [e.load(e.pointer(7, ir.Constant(index, _LANES * i))) for i in range(5 if mixes else 2)]
        target = e.pointer(8, at)
        for r, total in enumerate(sums):
            colored = e.fused(total, colors[0], colors[1])
            for i in range(3 if mixes else 0):
                colored = e.fused(e.spread(total, i), colors[2 + i], colored)
            e.store(colored, builder.gep(target, [builder.mul(lines_apart, ir.Constant(index, r))]))
        return context.get_dummy_value()

    return emit


@intrinsic  # type: ignore[untyped-decorator]
def sum_taps(
    context: Any, rows: Any, apart: Any, start: Any, step: Any, weights: Any, first: Any, count: Any, colors: Any,
    lines: Any, lines_apart: Any, at: Any
) -> Any:  # fmt: skip
    """Sum ``count`` weighted pixels of each of `LINES` rows, color, and store.

    For each row r and each of four lanes::

        total = sum(weights[first + k] * rows[r * apart + start + k * step + lane] for k in range(count))
        lines[r * lines_apart + at + lane] = total * colors[lane] + colors[4 + lane]

    There are always four lanes. With three channels, the last lane has an unused value of a neighbor, so rows and lines need
    space for one more value. One load and one multiplication per tap, for all channels together, is twice as fast as the same loop
    for each channel; and several rows at once share the weights.

    Parameters
    ----------
    rows, weights, colors, lines
        float32, contiguous.
    apart, start, step, first, count, lines_apart, at
        Indices and counts as above; count >= 1. They are not checked.
    """
    signature = types.void(rows, *[_INDEX] * 3, weights, _INDEX, _INDEX, colors, lines, _INDEX, _INDEX)
    return signature, _sum_taps(mixes=False)


@intrinsic  # type: ignore[untyped-decorator]
def sum_taps_mixed(
    context: Any, rows: Any, apart: Any, start: Any, step: Any, weights: Any, first: Any, count: Any, colors: Any,
    lines: Any, lines_apart: Any, at: Any
) -> Any:  # fmt: skip
    """Sum like `sum_taps`, and add ``colors[8 + 4 * i + lane]`` times the sum of lane i, for i from 0 to 2."""
    signature = types.void(rows, *[_INDEX] * 3, weights, _INDEX, _INDEX, colors, lines, _INDEX, _INDEX)
    return signature, _sum_taps(mixes=True)


@intrinsic  # type: ignore[untyped-decorator]
def stream(context: Any, line: Any, size: Any, out: Any, at: Any) -> Any:
    """Copy the first ``size`` values of ``line`` to ``out`` from ``at`` on, past the cache.

    The output is far larger than the cache, and this thread does not read it again, so its cache lines need not be loaded first.
    The address must be a multiple of 16, ``size`` a multiple of 4, and ``out`` float32. Otherwise nothing is written.

    Parameters
    ----------
    line
        float32, contiguous.
    out
        Any number type, contiguous.
    size, at
        Count and index.

    Returns
    -------
    bool
        Whether the values were written.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the loop, if the processor has the instruction."""
        if out.dtype != types.float32:
            return context.get_constant(types.boolean, False)
        e = _Emitter(context, builder, signature, arguments)
        _, size, _, at = arguments
        source, target = e.pointer(0), e.pointer(2, at)
        address = builder.ptrtoint(target, size.type)
        odd = builder.or_(
            builder.and_(address, ir.Constant(size.type, 15)), builder.and_(size, ir.Constant(size.type, _LANES - 1))
        )
        fits = builder.icmp_signed("==", odd, ir.Constant(size.type, 0))

        def copy(k: Any) -> list[Any]:
            """Store one vector past the cache."""
            stored = e.store(e.load(builder.gep(source, [k])), builder.gep(target, [k]))
            stored.align = 16
            stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_LANE, 1)]))
            return []

        with builder.if_then(fits):
            e.loop(size, _LANES, [], copy)
        return fits

    return types.boolean(line, _INDEX, out, _INDEX), emit
