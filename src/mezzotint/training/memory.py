"""Memory of the process: what a step has freed stays with it for the next step to take, and how much it came to."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt(3)."""


def keep_freed() -> bool:
    """Have glibc reuse large blocks instead of giving each back to the kernel; whether it could be had.

    By default every tensor of more than 32 MB (and many smaller ones) is mapped anew, and the kernel fills each of its
    pages with zeros at the first touch, again in each step. The price is that memory once
    used is not returned before the program ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False  # not glibc
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 << 20))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def peak_mb() -> int | None:
    """The most memory that this process has held so far, in units of 2²⁰ bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
