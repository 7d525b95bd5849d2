"""Soft permutations: the Sinkhorn operator in the log domain, a differentiable layer for any loss.

Mena et al. 2018 (Learning latent permutations with Gumbel-Sinkhorn networks, section 2) and Pena et al. 2023
(Re-basin via implicit Sinkhorn differentiation): the matrix exp(scores / temperature), its rows and columns normalised
in turn, tends to a doubly stochastic matrix, and that to the best permutation as the temperature falls. Gradients go
through the unrolled iterations.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.assignment import assign
from weightspace.symmetry import Element, Spec
from weightspace.symmetry.block import Block

Soft = Mapping[str, Tensor]
"""Doubly stochastic matrices by group, (sizes of the outer groups..., n, n): rows are slots, columns units of B."""


def sinkhorn(scores: Tensor, *, temperature: float = 1.0, iterations: int = 20) -> Tensor:
    """Doubly stochastic matrices from scores.

    Args:
        scores: (..., n, n), any real numbers; ``scores[..., i, j]`` speaks for unit j in slot i.
        temperature: Positive; the smaller, the closer to a permutation, and the more iterations that takes.
        iterations: Normalisations of rows and of columns; the rows come last, so they sum to one exactly.

    Returns:
        (..., n, n), non-negative, in the dtype of the scores.

    Raises:
        ValueError: The temperature is not positive, or the matrices are not square.
    """
    if temperature <= 0.0 or scores.dim() < 2 or scores.shape[-1] != scores.shape[-2]:
        raise ValueError(
            f"sinkhorn: expected square matrices and a positive temperature, found {tuple(scores.shape)}, {temperature}"
        )
    logs = scores / temperature
    for _ in range(iterations):
        logs = logs - logs.logsumexp(-2, keepdim=True)
        logs = logs - logs.logsumexp(-1, keepdim=True)
    return logs.exp()


def apply_softly(spec: Spec, soft: Soft, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under soft permutations: `Spec.apply` with every permutation replaced by a doubly stochastic matrix.

    Args:
        spec: The symmetry.
        soft: Matrices by group; with hard permutations the result equals that of `Spec.apply`. Groups that are left out
            stay where they are.
        tensors: Floating tensors by name; names that the spec does not know pass through.

    Returns:
        A new dictionary, differentiable in the matrices and the tensors.
    """
    result = {}
    for name, tensor in tensors.items():
        blocks = spec.blocks.get(spec.aliases.get(name, name), ())
        touched = [block for block in blocks if block.groups & soft.keys()]
        if touched:
            moved = tensor.clone()
            for block in touched:
                block.write(moved, _move(block, soft, block.read(tensor)))
            tensor = moved
        result[name] = tensor
    return result


def rounded(spec: Spec, soft: Soft) -> Element:
    """The permutations that soft ones are closest to."""
    return Element(spec.all_groups, {name: assign(matrix.detach()) for name, matrix in soft.items()})


def _move(block: Block, soft: Soft, values: Tensor) -> Tensor:
    """Inner groups first: their matrices are indexed by the new outer index, so the outer ones are applied before."""
    places = [place for place, dim in enumerate(block.dims) if dim.group in soft]
    for place in sorted(places, key=lambda place: len(block.dims[place].outer)):
        dim = block.dims[place]
        matrix = soft[dim.group or ""]
        letters = [chr(ord("a") + at) for at in range(values.dim())]
        new = "".join("Z" if at == place else letter for at, letter in enumerate(letters))
        outer = "".join(letters[at] for at in dim.outer)
        values = torch.einsum(f"{outer}Z{letters[place]},{''.join(letters)}->{new}", matrix.to(values), values)
    return values
