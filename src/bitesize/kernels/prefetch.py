"""Prefetching: rows that are read in a random order start to arrive while the row before them is processed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bitesize.kernels.jit import jit

_LINE = 64  # bytes: a cache line
_MOST = 8192  # bytes of a row, and of all rows ahead; the processor itself notices that more of a row are read in order


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(context: Any, array: Any, place: Any) -> Any:
    """Load the cache line of a value of a C-contiguous array for reading, without waiting."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write the instruction."""
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        returns_nothing = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], returns_nothing)
        builder.call(function, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


@jit
def prefetch(rows: Any, row: int) -> None:
    """Prefetch the values of one row of a C-contiguous array with two axes."""
    values = rows.shape[1]
    for place in range(0, min(values, _MOST // rows.itemsize), max(1, _LINE // rows.itemsize)):
        _prefetch(rows, row * values + place)


@jit
def distance(rows: Any) -> Any:
    """Return how many rows ahead of the current row are prefetched."""
    return max(1, _MOST // max(1, rows.shape[1] * rows.itemsize))
