"""What every benchmark shares: its options, its table, its JSON document."""

from harness.report import options, publish

__all__ = ["options", "publish"]
