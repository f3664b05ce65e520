"""Two instructions of the processor that Python has no word for: asking for memory early, and the lowest bit set.

A kernel that knows which entry comes some calls later asks for it now and does not wait.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_READ, _KEEP, _DATA = 0, 3, 1  # LLVM language reference, llvm.prefetch: rw, locality, cache type


def _fetch(_: Any, array: Any, _item: Any) -> Any:
    """Bring the line of element `_item` of a contiguous array near, counted over all its dimensions.

    Unlike a read it waits for nothing and cannot fail: any place may be named, also outside of the array.
    """

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        place, word = builder.bitcast(builder.gep(data, [values[1]]), cgutils.voidptr_t), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(prefetch, [place, word(_READ), word(_KEEP), word(_DATA)])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


fetch: Any = intrinsic(_fetch)


def _lowest_bit(_: Any, _word: Any) -> Any:
    """The place, 0 to 63, of the lowest bit that is set in a uint64; 64 where none is."""

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.IntType(1)(0))

    return types.int64(types.uint64), emit


lowest_bit: Any = intrinsic(_lowest_bit)
