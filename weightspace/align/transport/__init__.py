"""Carrying what was learned on one base into the coordinates of another: task vectors, fine-tunes, adapters."""

from weightspace.align.transport.adapter import transport_adapter
from weightspace.align.transport.fine_tune import Transported, transport_fine_tune

__all__ = ["Transported", "transport_adapter", "transport_fine_tune"]
