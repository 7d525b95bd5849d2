"""Values of freedoms as parameters that gradients move: near the identity, every value is an exponential."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from weightspace.symmetry import Transformation
from weightspace.symmetry.freedom import Freedom

LEARNABLE = ("linear", "rotation", "rotary")  # not factors: where a norm undoes them, B would be learned away


class LearnedFreedoms:
    """The freedoms of a transformation, to be learned from where they stand.

    A rotation is learned as exp(S - S^T) R, an invertible map as exp(X) M, an angle and size as exp(x + iy) z; so no
    step leaves the group. Factors and signs stay.

    Attributes:
        parameters: What an optimiser moves, all zero at first, float32.
    """

    def __init__(self, start: Transformation, kinds: Collection[str], device: torch.device) -> None:
        """Prepares the parameters.

        Args:
            start: Where to begin; its permutations and norms stay.
            kinds: Kinds of freedoms to learn.
            device: Where.
        """
        self._start = start
        freedoms = start.spec.freedoms
        learnable = {*kinds} & {*LEARNABLE}
        self._chosen = [f for f in freedoms.all if f.name in start.values and f.kind in learnable]
        self.parameters: list[Tensor] = []
        for freedom in self._chosen:
            shape = freedoms.shape(freedom)
            full = (*shape, 2) if freedom.kind == "rotary" else shape
            self.parameters.append(torch.zeros(full, device=device, requires_grad=True))

    def transformation(self) -> Transformation:
        """The transformation as it is now, with gradients by the parameters."""
        start = self._start
        values = dict(start.values)
        for freedom, step in zip(self._chosen, self.parameters, strict=True):
            values[freedom.name] = _moved(freedom, start.values[freedom.name].to(step.device), step)
        return Transformation(start.spec, start.element, values, start.norms)

    def settled(self) -> Transformation:
        """The same without gradients, on the CPU."""
        found = self.transformation()
        values = {name: value.detach().cpu() for name, value in found.values.items()}
        return Transformation(found.spec, found.element, values, found.norms)


def _moved(freedom: Freedom, value: Tensor, step: Tensor) -> Tensor:
    if freedom.kind == "rotary":
        return value * torch.exp(torch.view_as_complex(step.double()))
    step = step.double()
    if freedom.kind == "rotation":
        step = step - step.mT
        if freedom.centred:  # the vector of ones stays
            step = step - step.mean(-1, keepdim=True)
            step = step - step.mean(-2, keepdim=True)
    flat = step.reshape(-1, *step.shape[-2:])
    return torch.linalg.matrix_exp(flat).reshape(step.shape) @ value
