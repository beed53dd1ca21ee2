"""Vectors of float32, and operations that the compiler does not choose itself.

Every product and sum of kernels is a `fuse`: whether it is rounded once or twice depends on the processor only, not on the place of
a value in a vector or on what the compiler makes of a loop. So the same sum has the same bits in every kernel and at every pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model

from bitesize.kernels.filters import LINES

# Values that are moved and shuffled together; vectors of sums have `LINES`, which shorter registers share.
LANES = 8
_FLOAT, _LANE = ir.FloatType(), ir.IntType(32)
_FOUR, EIGHT, VECTOR = (ir.VectorType(_FLOAT, count) for count in (4, LANES, LINES))
INDEX = types.intp


class _Vector(types.Type):  # type: ignore[misc]
    """Numba's type of some float32 in a register, or in several of a processor with shorter ones."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"float32x{count}")


OF_LANES, OF_LINES = _Vector(LANES), _Vector(LINES)


@register_model(_Vector)
class _VectorModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.VectorType(_FLOAT, kind.count))


def address_of(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Return the address of a value of an array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def load_at(builder: Any, address: Any, vector: Any) -> Any:
    """Load a vector of float32 from any address."""
    loaded = builder.load(builder.bitcast(address, vector.as_pointer()))
    loaded.align = 4
    return loaded


def store_at(builder: Any, value: Any, address: Any) -> Any:
    """Store a vector of float32 at any address."""
    stored = builder.store(value, builder.bitcast(address, value.type.as_pointer()))
    stored.align = 4
    return stored


def shuffle(builder: Any, one: Any, other: Any, lanes: list[int]) -> Any:
    """Return the lanes of two vectors, of which those of the second come after those of the first."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_LANE, len(lanes)), lanes))


def _fuse(builder: Any, product: Any, other: Any, total: Any) -> Any:
    kind = product.type
    name = f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32" if kind == _FLOAT else "f64"
    function = builder.module.declare_intrinsic(f"llvm.fmuladd.{name}", (), ir.FunctionType(kind, (kind,) * 3))
    return builder.call(function, (product, other, total))


@intrinsic  # type: ignore[untyped-decorator]
def fuse(context: Any, product: Any, other: Any, total: Any) -> Any:
    """Return ``product * other + total`` of vectors, float32 or float64, rounded once if the processor has an instruction for it."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        return _fuse(builder, *arguments)

    return total(total, total, total), emit


@intrinsic  # type: ignore[untyped-decorator]
def load(context: Any, values: Any, index: Any) -> Any:
    """Return `LINES` neighbors of a float32 array, from ``index`` on."""
    return OF_LINES(values, INDEX), _emit_load(VECTOR)


@intrinsic  # type: ignore[untyped-decorator]
def load_any(context: Any, values: Any, index: Any) -> Any:
    """Return `LINES` neighbors of an array of any number type, from ``index`` on, as float32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        loaded = load_values(builder, address_of(context, builder, signature.args[0], *arguments), LINES)
        return as_floats(builder, signature.args[0].dtype, loaded)

    return OF_LINES(values, INDEX), emit


@intrinsic  # type: ignore[untyped-decorator]
def load_eight(context: Any, values: Any, index: Any) -> Any:
    """Return `LANES` neighbors of a float32 array, from ``index`` on."""
    return OF_LANES(values, INDEX), _emit_load(EIGHT)


def _emit_load(vector: Any) -> Callable[..., Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        return load_at(builder, address_of(context, builder, signature.args[0], *arguments), vector)

    return emit


@intrinsic  # type: ignore[untyped-decorator]
def store(context: Any, value: Any, values: Any, index: Any) -> Any:
    """Store a vector into a float32 array, from ``index`` on."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        store_at(builder, arguments[0], address_of(context, builder, signature.args[1], *arguments[1:]))
        return context.get_dummy_value()

    return types.void(value, values, INDEX), emit


@intrinsic  # type: ignore[untyped-decorator]
def spread(context: Any, values: Any, index: Any) -> Any:
    """Return `LINES` times one value of a float32 array."""
    return OF_LINES(values, INDEX), _emit_spread(LINES)


@intrinsic  # type: ignore[untyped-decorator]
def spread_eight(context: Any, values: Any, index: Any) -> Any:
    """Return `LANES` times one value of a float32 array."""
    return OF_LANES(values, INDEX), _emit_spread(LANES)


def _emit_spread(count: int) -> Callable[..., Any]:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        value = builder.load(address_of(context, builder, signature.args[0], *arguments))
        nothing = ir.Constant(ir.VectorType(_FLOAT, count), ir.Undefined)
        return shuffle(builder, builder.insert_element(nothing, value, _LANE(0)), nothing, [0] * count)

    return emit


@intrinsic  # type: ignore[untyped-decorator]
def zero(context: Any) -> Any:
    """Return `LINES` zeros."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        return ir.Constant(VECTOR, [0.0] * LINES)

    return OF_LINES(), emit


def load_values(builder: Any, address: Any, count: int) -> Any:
    """Load a vector of any number type from any address."""
    loaded = builder.load(builder.bitcast(address, ir.VectorType(address.type.pointee, count).as_pointer()))
    loaded.align = 1
    return loaded


def as_floats(builder: Any, kind: Any, vector: Any) -> Any:
    """Convert a vector of any number type to float32."""
    floats = ir.VectorType(_FLOAT, vector.type.count)
    if isinstance(kind, types.Float):
        return vector if kind.bitwidth == 32 else builder.fptrunc(vector, floats)
    return builder.sitofp(vector, floats) if getattr(kind, "signed", False) else builder.uitofp(vector, floats)


@intrinsic  # type: ignore[untyped-decorator]
def mix_four(context: Any, source: Any, target: Any, index: Any, colors: Any, channels: Any) -> Any:
    """Mix the colors of a pixel of float32 values, see `store.color_line`; writes four values, whatever the channels."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the code of the intrinsic."""
        source, target, index, colors, channels = arguments
        pixel = load_at(builder, address_of(context, builder, signature.args[0], source, index), _FOUR)
        places = [builder.mul(channels, channels.type(i)) for i in range(5)]
        parts = [load_at(builder, address_of(context, builder, signature.args[3], colors, place), _FOUR) for place in places]
        mixed = _fuse(builder, pixel, parts[0], parts[1])
        for i in range(3):
            mixed = _fuse(builder, shuffle(builder, pixel, pixel, [i] * 4), parts[2 + i], mixed)
        store_at(builder, mixed, address_of(context, builder, signature.args[1], target, index))
        return context.get_dummy_value()

    return types.void(source, target, INDEX, colors, INDEX), emit


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
        _, size, _, at = arguments
        index = size.type
        source = address_of(context, builder, signature.args[0], arguments[0], index(0))
        target = address_of(context, builder, signature.args[2], arguments[2], at)
        place = builder.ptrtoint(target, index)

        def copy(count: int) -> None:
            """Write the loop over vectors of ``count`` values."""
            before, inside, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
            builder.branch(inside)
            builder.position_at_end(inside)
            k = builder.phi(index)
            loaded = load_at(builder, builder.gep(source, [k]), ir.VectorType(_FLOAT, count))
            stored = store_at(builder, loaded, builder.gep(target, [k]))
            stored.align = 4 * count
            stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_LANE, 1)]))
            following = builder.add(k, index(count))
            k.add_incoming(index(0), before)
            k.add_incoming(following, inside)
            builder.cbranch(builder.icmp_signed("<", following, size), inside, done)
            builder.position_at_end(done)

        def fit(count: int) -> Any:
            """Return whether address and size are multiples of such vectors."""
            odd = builder.or_(builder.and_(place, index(4 * count - 1)), builder.and_(size, index(count - 1)))
            return builder.icmp_signed("==", odd, index(0))

        fits = fit(4)
        with builder.if_then(fits), builder.if_else(fit(LINES)) as (wide, narrow):
            with wide:  # whole cache lines
                copy(LINES)
            with narrow:
                copy(4)
        return fits

    return types.boolean(line, INDEX, out, INDEX), emit
