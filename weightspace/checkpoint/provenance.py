"""Where a written checkpoint comes from."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

import weightspace


def current_versions() -> dict[str, str]:
    """Versions of what computes: weightspace, torch and Python."""
    return {"weightspace": weightspace.__version__, "torch": torch.__version__, "python": platform.python_version()}


@dataclass(frozen=True)
class Provenance:
    """What is needed to make the same file again. It holds no date, so that the same inputs give the same bytes.

    Attributes:
        command: The command, as a user types it.
        recipe: Every choice that the result depends on, resolved; JSON values.
        inputs: SHA-256 of each input, by path as given.
        seed: The seed of everything random, or None if nothing was.
        versions: Versions of what computed it.
    """

    command: str
    recipe: Mapping[str, Any]
    inputs: Mapping[str, str]
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=current_versions)

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON text with sorted keys.

        Raises:
            TypeError: If the recipe holds something that is not JSON.
            ValueError: If it holds NaN or infinity.
        """
        return json.dumps(asdict(self), indent=indent, sort_keys=True, allow_nan=False, ensure_ascii=False)
