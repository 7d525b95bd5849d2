"""Values that differ from layer to layer and from tensor to tensor, as recipes write them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

Scalar = bool | int | float | str
Gradient = Scalar | list[bool | float] | list[str]


class Conditional(BaseModel):
    """A value for the tensors whose names hold a text.

    Attributes:
        value: The value: one for all layers, or several that are spread over them.
        filter: What the name has to hold; all tensors without it, or with `*`.
    """

    model_config = ConfigDict(extra="forbid")

    value: Gradient
    filter: str | None = None


Setting = Gradient | Conditional | list[Conditional]


def value_at(setting: Setting, name: str, depth: float) -> Scalar | None:
    """What a setting says about a tensor; None where it says nothing.

    Args:
        setting: The setting; of several conditions the first counts that holds.
        name: Name of the tensor.
        depth: From 0 in the first layer to 1 in the last; between the values of a gradient is a straight line.
    """
    if isinstance(setting, (bool, int, float, str)):
        return setting
    if isinstance(setting, Conditional):
        setting = [setting]
    if setting and isinstance(setting[0], Conditional):
        for each in setting:
            assert isinstance(each, Conditional)
            if each.filter in (None, "*") or str(each.filter) in name:
                return value_at(each.value, name, depth)
        return None
    numbers = [each for each in setting if isinstance(each, (int, float)) and not isinstance(each, bool)]
    if len(numbers) == len(setting):
        return _between(numbers, depth)
    chosen = setting[int(depth * (len(setting) - 1))]
    assert not isinstance(chosen, Conditional)
    return chosen


def _between(values: Sequence[float], depth: float) -> float:
    at = depth * (len(values) - 1)
    low = int(at)
    high = min(len(values) - 1, low + 1)
    return values[low] + (at - low) * (values[high] - values[low])
