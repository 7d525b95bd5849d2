"""The device that a command computes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightspace.errors import WeightspaceError

if TYPE_CHECKING:
    import torch


def checked_device(name: str) -> torch.device:
    """The device of a name, once it has been seen to work.

    Raises:
        WeightspaceError: There is no such device here.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise WeightspaceError(f"--device {name}: expected cpu, cuda or cuda:N; name one of these") from None
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise WeightspaceError(f"--device {name}: expected cpu, cuda or cuda:N; name one of these")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise WeightspaceError(f"--device {name}: expected a CUDA device, found none; use --device cpu")
    if device.index is not None and device.index >= count:
        raise WeightspaceError(f"--device {name}: expected a number below {count}, the CUDA devices here; name another")
    return device
