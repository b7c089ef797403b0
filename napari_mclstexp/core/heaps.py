"""Large pieces of memory go back to the system as soon as they are let go of."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_MMAP_THRESHOLD = -3
"""As glibc's malloc.h has it."""
LARGE_BYTES = 2**17


def return_large_pieces() -> None:
    """Have glibc take each piece of 128 kB or more from the system by itself; elsewhere do nothing.

    It begins so, too, but raises that bound, up to 32 MB, with each such piece that is let go of. The maps
    and pictures of a prediction then lie in heaps of its threads, beside what stays: a window that predicted
    over and over grew by 340 MB.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
