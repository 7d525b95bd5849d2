"""The way back from queries or keys to the projection that they come from."""

from __future__ import annotations

from dataclasses import dataclass

from weightspace.symmetry.call import Call, TensorRef
from weightspace.symmetry.freedom.replay import LINEAR
from weightspace.symmetry.freedom.wiring import Wiring

_MATRIX = ("mm", "addmm")


@dataclass(frozen=True, eq=False)
class Side:
    """How queries or keys come about: one projection, then linear operators with constants.

    Attributes:
        product: The projection's matrix product.
        tensors: The projection's weight and bias, each with the axis of the heads.
        calls: The operators between.
        result: What enters the scores.
    """

    product: Call
    tensors: tuple[tuple[str, int], ...]
    calls: tuple[Call, ...]
    result: TensorRef


def projected(ref: TensorRef, wiring: Wiring) -> Side | None:
    """The way back from a tensor to one projection, if all of it is linear."""
    product: Call | None = None
    tensors: list[tuple[str, int]] = []
    calls: dict[int, Call] = {}
    waiting = [ref]
    while waiting:
        current = waiting.pop()
        if current.key in wiring.values:
            continue
        call = wiring.makers.get(current.key)
        if call is None:
            return None
        if id(call) in calls:
            continue
        if call.name in _MATRIX:
            if product is not None and product is not call:
                return None
            if product is None:
                product = call
                weight = _projection(call, wiring)
                if weight is None:
                    return None
                tensors = weight
            continue
        if call.name not in LINEAR or call.written:
            return None
        calls[id(call)] = call
        inputs = [one for one in call.inputs if one.key not in wiring.values]
        if call.name in ("mul", "div") and len(inputs) > 1:
            return None
        waiting += inputs
    if product is None:
        return None
    return Side(product, tuple(tensors), tuple(wiring.in_order(calls.values())), ref)


def _projection(call: Call, wiring: Wiring) -> list[tuple[str, int]] | None:
    """Weight and bias of a matrix product, with the axis of its outputs."""
    weight: TensorRef = call["mat2"]
    axis = 1
    if weight.key not in wiring.owned:
        maker = wiring.makers.get(weight.key)
        if maker is None or maker.name not in ("t", "transpose") or maker.inputs[0].key not in wiring.owned:
            return None
        weight, axis = maker.inputs[0], 0
    readers = [reader for ref in (call["mat2"], weight) for reader in wiring.readers[ref.key] if reader is not call]
    if len(readers) > (weight is not call["mat2"]):  # another use of the weight would see the pairs as well
        return None
    found = [(wiring.owned[weight.key], axis)]
    if call.name == "addmm":
        bias: TensorRef = call["self"]
        if bias.key not in wiring.owned or len(bias.shape) != 1 or len(wiring.readers[bias.key]) > 1:
            return None
        found.append((wiring.owned[call["self"].key], 0))
    return found
