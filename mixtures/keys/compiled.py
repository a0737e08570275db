"""How kernels are compiled. Import it late, and what uses it: it brings numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Machine code, made at the first call and kept for later processes, beside the module, in the
    user's cache folder or in NUMBA_CACHE_DIR. It leaves the interpreter's lock; a division by zero
    is the caller's to rule out.

    What is kept is known by the date of the function's own file, and holds what it calls. So no
    kernel calls one of another file, of which it would keep an older one.
    """
    try:
        made: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither folder can be written: every process makes its own
        made = njit(nogil=True, error_model="numpy")(function)
    return made  # type: ignore[no-any-return]  # numba types what it makes as its own
