"""An upper bound on the matching objective: what no group element exceeds.

The objective is a sum over blocks. Blocks in which one group alone moves, once, are a linear assignment, solved
exactly, all of a group at once. Every other block is bounded by itself, by the smallest of these:

- the product of its Frobenius norms (Cauchy-Schwarz);
- permutations being orthogonal: the sum of the products of its singular values, in order (von Neumann), where two axes
  move, and the nuclear norm of the product of A and B, where one does;
- whatever a second group does, the inner product of two rows is at most that of their sorted entries (Hardy, Littlewood
  & Pólya, Inequalities, section 10.2): an assignment of sorted rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from weightspace.align.contraction import contract
from weightspace.align.problem import Problem
from weightspace.align.term import Term
from weightspace.assignment import solve

ROUNDING = 1e-6  # float32 may err by this share: the bound is raised by it


def upper_bound(problem: Problem) -> float:
    """What no group element exceeds, with the weights of the objective.

    Args:
        problem: Anywhere; where B has been moved to changes the bound only by rounding.

    Returns:
        At most the bound of Cauchy-Schwarz; the best objective itself where every block is moved by one group alone.
    """
    total = 0.0
    linear: dict[str, list[Term]] = {}
    for term in problem.terms:
        moving = _moving(problem, term)
        groups = [term.block.dims[dim].group or "" for dim in moving]
        if len(groups) == 1 and term.is_plain(groups[0]):
            linear.setdefault(groups[0], []).append(term)
            continue
        a, b = problem.norms[term]
        bounds = [term.weight * a * b, *_spectral(problem, term)]
        if len(groups) == 2 and all(term.is_plain(group) for group in groups):
            bounds += _sorted_rows(problem, term, moving)
        total += min(bounds)
    for group, terms in linear.items():
        total += _assigned(problem.scores(group, terms))
    return min(total + ROUNDING * abs(total), problem.upper_bound())


def _moving(problem: Problem, term: Term) -> list[int]:
    """Dimensions of a block that a movable group permutes."""
    return [place for place, dim in enumerate(term.block.dims) if dim.group in problem.movable]


def _sorted_rows(problem: Problem, term: Term, moving: list[int]) -> list[float]:
    """The bounds of a block that two groups move, with the one or the other matched."""
    a, b = problem.a(term).float(), problem.b(term).float()
    return [
        _assigned(contract(a.sort(dim=other).values, b.sort(dim=other).values, (), place, term.weight, None))
        for place, other in (moving, reversed(moving))
    ]


def _assigned(scores: Tensor) -> float:
    matching = solve(scores)
    return float(matching.value) + float(matching.gap)


def _spectral(problem: Problem, term: Term) -> list[float]:
    """The bound by singular values, where the groups act on each axis of the tensor by themselves."""
    axis_of = [axis for axis, piece in enumerate(term.block.pieces) for _ in piece.groups]
    if any(axis_of[outer] != axis_of[place] for place, dim in enumerate(term.block.dims) for outer in dim.outer):
        return []
    sizes = [piece.index.numel() for piece in term.block.pieces]
    moving = sorted({axis_of[place] for place in _moving(problem, term)})
    fixed = [axis for axis in range(len(sizes)) if axis not in moving]
    a, b = (t.reshape(sizes).double() for t in (problem.a(term), problem.b(term)))
    if len(moving) == 1:
        x, y = (t.permute(*moving, *fixed).reshape(sizes[moving[0]], -1) for t in (a, b))
        small = x @ y.T if x.shape[0] <= x.shape[1] else _root_product(x, y)
        return [term.weight * float(torch.linalg.svdvals(small).sum())]
    if len(moving) == 2:
        x, y = (_singular_values(t.permute(*fixed, *moving).reshape(-1, *(sizes[m] for m in moving))) for t in (a, b))
        return [term.weight * math.fsum((x * y).sum(-1).tolist())]
    return []


def _root_product(x: Tensor, y: Tensor) -> Tensor:
    """A small matrix with the singular values of x y^T, for tall x and y: by their triangular factors."""
    return torch.linalg.qr(x, mode="r").R @ torch.linalg.qr(y, mode="r").R.T


def _singular_values(matrices: Tensor) -> Tensor:
    """float64 (batch, min(p, q)), descending; of float64 (batch, p, q), by the smaller Gram matrix."""
    tall = matrices if matrices.shape[1] >= matrices.shape[2] else matrices.transpose(1, 2)
    return torch.linalg.eigvalsh(tall.transpose(1, 2) @ tall).clamp(min=0).sqrt().flip(-1)
