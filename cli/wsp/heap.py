"""What the C library does with freed memory: large blocks return to the system at once, small ones are used again."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_SMALLEST = 4 << 20  # bytes
_KEPT = 64 << 20  # bytes


def give_back_when_freed() -> None:
    """Let every large tensor return to the system when it is dropped, and smaller ones be used again.

    glibc raises the size from which tensors return to 32 MB as a program goes on, and keeps what is smaller: close to a
    gigabyte where blocks of that size come and go by the thousand. Where that size is set it gives back the end of the
    heap whenever 128 KB of it are free, and pages that come anew with every chunk take ten times longer than what is
    computed on them. Other C libraries have no such settings.
    """
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _SMALLEST)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
    except (OSError, TypeError, AttributeError):  # no such library, or no such function in it
        return
