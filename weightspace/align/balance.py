"""Weights of the blocks in the matching objective, so that no layer decides alone.

The scale of a layer is arbitrary: batch norm undoes it, and under ReLU it moves freely to the next layer. Yet in the
plain sum of inner products (Git Re-Basin, section 3.2) the layer with the largest norms outvotes the others. Cosines
instead of inner products give the smallest vector the vote of the largest matrix. The middle is what works: each matrix
block is divided by the square root of the product of its norms, and vectors (biases, scales) take the weight of the
matrices beside them. ``benchmarks/real_pairs.py`` shows what it buys on independently trained networks.
"""

from __future__ import annotations

from collections.abc import Sequence

from weightspace.symmetry.block import Block


def block_weights(blocks: Sequence[Block], norms: Sequence[tuple[float, float]]) -> list[float]:
    """The weight of every block; it depends on norms alone, so that no permutation changes it.

    Args:
        blocks: All blocks of the objective.
        norms: Frobenius norms of A and of B in each.
    """
    own = [_inverse_root(a * b) for a, b in norms]
    beside: dict[str, float] = {}
    for block, weight in zip(blocks, own, strict=True):
        if _is_matrix(block) and weight:
            for group in block.groups:
                beside[group] = min(weight, beside.get(group, weight))
    weights = []
    for block, weight in zip(blocks, own, strict=True):
        known = [beside[group] for group in block.groups if group in beside]
        weights.append(weight if _is_matrix(block) or not known else min(known))
    return weights


def _is_matrix(block: Block) -> bool:
    """Whether the tensor extends along more than one axis. A fused bias has several dims on one."""
    return sum(piece.index.numel() > 1 for piece in block.pieces) > 1


def _inverse_root(product: float) -> float:
    return product**-0.5 if product > 0.0 else 0.0
