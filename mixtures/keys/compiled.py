"""How kernels are compiled. Import it late, and what uses it: it brings numba."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Machine code, made at the first call and kept for later processes, beside the module, in the
    user's cache folder or in NUMBA_CACHE_DIR. It leaves the interpreter's lock; a division by zero
    is the caller's to rule out.

    What is kept is known by the date of the function's own file, and holds what it calls. So no
    kernel calls one of another file, of which it would keep an older one.
    """
    made: Any = njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # neither folder can be written: every process makes its own
        made._cache = _Kept(function)  # type: ignore[no-untyped-call]  # numba's, untyped
    return made  # type: ignore[no-any-return]  # numba types what it makes as its own


class _Kept(FunctionCache):
    """numba's own cache, which imports all that numba can compile before it looks for a kernel:
    0.15 CPU seconds of a process whose kernels are all kept. What is not kept is compiled, and the
    compiler does that first.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)  # what kernels call at run time
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
