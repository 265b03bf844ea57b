"""Memory of a process that serves and does nothing else: what is given back, and what the collector looks at."""

from __future__ import annotations

import ctypes
import gc
import sys

__all__ = ["give_back_large_blocks", "own_process", "settle"]

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


#: Containers made and not let go before the youngest are looked at, then the times before the older ones are.
_THRESHOLDS = (10_000, 20, 20)
#: Longest a thread keeps the interpreter from another that waits, in seconds.
_SWITCH = 0.001

_owned = False


def own_process() -> None:
    """Say that this process serves a gateway and nothing else: :func:`settle` then has an effect."""
    global _owned
    _owned = True
    give_back_large_blocks()


def settle() -> None:
    """Once everything is loaded: what is there is never garbage, and threads wait less for one another.

    Left alone, the collector goes through all that was loaded again and again, for a tenth of the time that documents
    take, and holds the event loop each time. Nothing is done in a process that does other things (tests).
    """
    if not _owned:
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    sys.setswitchinterval(_SWITCH)
