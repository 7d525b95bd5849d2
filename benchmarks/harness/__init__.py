"""What every benchmark shares: its options, its table, its JSON document."""

import sys

from harness.report import options, publish

# numba looks for the package coverage when it is imported; our script of that name, which lies first on the path of
# every benchmark, is not that. A name that is None counts as not installed.
sys.modules.setdefault("coverage", None)  # pyright: ignore[reportArgumentType]

__all__ = ["options", "publish"]
