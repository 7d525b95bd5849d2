"""Frank-Wolfe: gradients against autograd, polynomials against evaluation, lengths against a grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.align.many.test_relaxed import SPECS, element, names
from tests.align.oracle import random_state
from weightspace.align.many import frank_wolfe as module
from weightspace.align.many.family import Family
from weightspace.align.many.frank_wolfe import frank_wolfe
from weightspace.align.many.relaxed import centre, chains, vertex
from weightspace.symmetry import Spec

CPU = torch.device("cpu")
Points = list[dict[str, Tensor]]


def family_of(spec: Spec, count: int = 3) -> Family:
    return Family([random_state(spec, seed) for seed in range(count)], spec, CPU)


def points_of(spec: Spec, seed: int, count: int = 3) -> Points:
    """Points inside of the hull."""
    middle = centre(spec, names(spec), CPU)
    corners = [vertex(element(spec, 10 * seed + number), names(spec), CPU) for number in range(count)]
    return [{name: torch.lerp(matrix, middle[name], 0.4) for name, matrix in corner.items()} for corner in corners]


def relaxed_objective(family: Family, points: Points) -> Tensor:
    """The definition: over all pairs and blocks, the inner product of the networks with their matrices applied."""
    total = torch.zeros(())
    for block in family.blocks:
        moved = []
        for state, point in zip(family.states, points, strict=True):
            values = block.read(state[block.tensor])
            for chain in chains(block, family.spec):
                values = chain.act(point[chain.group], values)
            moved.append(values)
        total = total + sum((x * y).sum() for x, y in itertools.combinations(moved, 2))
    return total


def blocks_of(family: Family):
    found = module._blocks(family.spec, family.blocks, names(family.spec))
    return [(acting, [block.read(state[block.tensor]) for state in family.states]) for block, acting in found]


@pytest.mark.parametrize("name", SPECS)
def test_the_gradient_is_that_of_the_relaxed_objective(name: str):
    family = family_of(SPECS[name])
    points = points_of(family.spec, 1)
    found = [{group: torch.zeros_like(matrix) for group, matrix in point.items()} for point in points]
    for acting, values in blocks_of(family):
        module._add_gradients(found, acting, values, points)
    for point in points:
        for matrix in point.values():
            matrix.requires_grad_()
    relaxed_objective(family, points).backward()
    for gradient, point in zip(found, points, strict=True):
        for group, matrix in point.items():
            expected = torch.zeros_like(matrix) if matrix.grad is None else matrix.grad
            torch.testing.assert_close(gradient[group], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SPECS)
def test_the_polynomial_is_the_relaxed_objective_on_the_segment(name: str):
    family = family_of(SPECS[name])
    points, ends = points_of(family.spec, 1), points_of(family.spec, 2)
    steps = [{group: end[group] - point[group] for group in point} for point, end in zip(points, ends, strict=True)]
    polynomial = np.zeros(1)
    for acting, values in blocks_of(family):
        polynomial = np.polynomial.polynomial.polyadd(polynomial, module._on_segment(acting, values, points, steps))
    for t in (0.0, 0.3, 0.8, 1.0):
        there = [
            {group: point[group] + t * step[group] for group in point}
            for point, step in zip(points, steps, strict=True)
        ]
        expected = float(relaxed_objective(family, there))
        assert np.polynomial.polynomial.polyval(t, polynomial) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_the_length_is_the_best_of_a_grid(seed: int):
    random = np.random.default_rng(seed)
    polynomial = random.normal(size=1 + seed % 6)
    grid = np.linspace(0, 1, 2001)
    best = np.polynomial.polynomial.polyval(grid, polynomial).max()
    length = module._best_length(polynomial)
    assert 0.0 <= length <= 1.0
    assert np.polynomial.polynomial.polyval(length, polynomial) >= best - 1e-12


def test_the_length_of_a_flat_segment_is_zero():
    assert module._best_length(np.array([3.0])) == 0.0
    assert module._best_length(np.array([3.0, 0.0, 0.0])) == 0.0
    assert module._best_length(np.zeros(5)) == 0.0


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("seed", range(3))
def test_the_relaxed_objective_rises_to_what_is_reported(name: str, seed: int):
    family = family_of(SPECS[name])
    start = points_of(family.spec, seed)
    found = frank_wolfe(family, family.states, start)
    end = float(relaxed_objective(family, found.points))
    assert end == pytest.approx(found.objective, rel=1e-4, abs=1e-4)
    assert end > float(relaxed_objective(family, start))
    for point in found.points:
        for matrix in point.values():
            assert float(matrix.min()) > -1e-6
            torch.testing.assert_close(matrix.sum(-1), torch.ones(matrix.shape[:-1]), atol=1e-4, rtol=0)
            torch.testing.assert_close(matrix.sum(-2), torch.ones(matrix.shape[:-1]), atol=1e-4, rtol=0)
