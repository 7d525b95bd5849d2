"""Options of merge methods: what they are called in recipes, what they may be, and what they do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from weightspace.errors import MergeError

Value = float | bool


@dataclass(frozen=True)
class Option:
    """One option of a merge method.

    Attributes:
        name: As recipes and `--set` write it.
        help: What it does, in a line.
        default: Its value where none is given.
        kind: A number, or yes and no.
        per_model: Whether every model has its own.
        low: Least number.
        high: Largest number.
        above: What a number must be larger than.
    """

    name: str
    help: str
    default: Value
    kind: Literal["number", "flag"] = "number"
    per_model: bool = False
    low: float | None = None
    high: float | None = None
    above: float | None = None

    def checked(self, value: object) -> Value:
        """The value, if it is one.

        Raises:
            MergeError: It is of another type, or out of range.
        """
        if self.kind == "flag":
            if isinstance(value, bool) or value in (0, 1):
                return bool(value)
            raise MergeError(f"option '{self.name}': expected true or false, found {value!r}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise MergeError(f"option '{self.name}': expected a number, found {value!r}")
        if (
            (self.low is not None and value < self.low)
            or (self.high is not None and value > self.high)
            or (self.above is not None and value <= self.above)
        ):
            raise MergeError(f"option '{self.name}': expected a number {self._span()}, found {value:g}")
        return float(value)

    def _span(self) -> str:
        if self.above is not None:
            return f"above {self.above:g}" + ("" if self.high is None else f" and of at most {self.high:g}")
        if self.low is None or self.high is None:
            return f"of at most {self.high:g}" if self.low is None else f"of at least {self.low:g}"
        return f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Settings:
    """The options of a merge method for one tensor.

    Attributes:
        shared: Options of the merge, by name.
        own: Options of every model but the base, by name, in the order of the models.
    """

    shared: Mapping[str, Value]
    own: Mapping[str, tuple[float, ...]]

    def flag(self, name: str) -> bool:
        """An option that is yes or no."""
        return bool(self.shared[name])

    def number(self, name: str) -> float:
        """An option that is a number."""
        return float(self.shared[name])

    def of_models(self, name: str) -> tuple[float, ...]:
        """An option that every model has, in their order."""
        return self.own[name]
