"""Give freed memory back to the system at once, where the C library would rather keep it."""

from __future__ import annotations

import ctypes

_MMAP_THRESHOLD = -3  # of mallopt(3)
_SMALLEST = 4 << 20  # bytes


def give_back_when_freed() -> None:
    """Let every large tensor return to the system when it is dropped.

    glibc raises the size from which it does so to 32 MB as a program goes on, and keeps what is smaller: close to a
    gigabyte where blocks of that size come and go by the thousand. Other C libraries have no such setting.
    """
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _SMALLEST)
    except (OSError, TypeError, AttributeError):  # no such library, or no such function in it
        return
