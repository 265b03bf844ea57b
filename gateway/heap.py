"""How the C library gives memory back: what a large document took returns to the system as soon as it is let go."""

from __future__ import annotations

import ctypes

__all__ = ["give_back_large_blocks"]

# malloc.h: parameters of mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def give_back_large_blocks() -> bool:
    """Have blocks over 256 KiB mapped apart, so that freeing one returns it; false where the C library has no mallopt.

    Left alone, glibc raises that limit to the size of the first large block freed: a report of some megabytes then
    leaves holes in the heap that no other fills, and a process that saw a few keeps a hundred megabytes. The second
    setting keeps what glibc would have learnt for the rest: small documents grow and shrink nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 256 * 1024)) and bool(mallopt(_M_TRIM_THRESHOLD, 16 * 1024 * 1024))
