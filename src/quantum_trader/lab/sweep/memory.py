"""Bare memory for the sweep's inner loop.

A numba array view carries a reference count that is kept up to date at every call it is handed to; with bundles of
some forty arrays that costs more than the rules themselves. So the loop works on pointers: indexed like arrays,
without shape. The caller of :func:`quantum_trader.lab.sweep.kernel.run_setting` keeps the arrays alive during the call.

A call that the compiler does not inline still copies every pointer of the bundles it is given. So one call runs all
moments, and what is called at each of them takes the tables that it reads, not whole bundles.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


@intrinsic
def pointer(typingctx: Any, array: Any) -> Any:
    """A pointer to the first element of a contiguous *array*."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def shift(typingctx: Any, base: Any, offset: Any) -> Any:
    """The pointer *offset* elements behind *base*."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return base(base, types.intp), codegen
