"""How kernels are compiled: without the interpreter's lock, kept beside the module, without counted references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def lean(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba.njit for a kernel that makes no arrays: all of them come from the caller, who keeps them alive.

    Counting references to arrays is an atomic operation at every call of a small function; leaving it out makes kernels
    of many small steps two to three times as fast. A kernel that does make an array does not compile this way.
    """
    decorate: Any = njit  # the option that leaves out the counting is not in numba's type annotations
    compiled: Callable[[Callable[..., Any]], Any] = decorate(cache=True, nogil=True, _nrt=False, **options)
    return compiled
