"""A random group element, planted in a random network of a derived spec, is found again."""

from __future__ import annotations

import pytest
import torch

from tests.align.networks import NETWORKS, built
from tests.align.oracle import State
from weightspace.align import align
from weightspace.source import Program
from weightspace.symmetry import Element, Spec, randomized

TOLERANCE = 1e-6


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> tuple[Program, Spec]:
    if request.param in ("gpt2", "llama"):
        pytest.importorskip("transformers")
    return built(request.param)


def planted(network: tuple[Program, Spec], seed: int) -> tuple[State, Element, State]:
    program, spec = network
    a = randomized(program.state(), spec, seed)
    element = spec.random_element(torch.Generator().manual_seed(seed + 100))
    return a, element, spec.apply(element, a)


def distance(found: State, expected: State) -> float:
    """Norm of the difference over the norm of what was expected, over all floating tensors."""
    names = [name for name, tensor in expected.items() if tensor.is_floating_point()]
    missed = sum(float((found[name] - expected[name]).double().square().sum()) for name in names)
    return (missed / sum(float(expected[name].double().square().sum()) for name in names)) ** 0.5


@pytest.mark.parametrize("method", ["weights", "git-rebasin"])  # the others have tests of their own
@pytest.mark.parametrize("seed", range(3))
def test_the_planted_element_comes_back(network: tuple[Program, Spec], method: str, seed: int):
    program, spec = network
    a, element, b = planted(network, seed)
    assert distance(b, a) > 0.1
    result = align(a, b, spec, method=method, seed=seed, forward=program.outputs)
    assert distance(result.apply(b), a) < TOLERANCE
    assert element.then(result.element).is_identity()
    assert result.preservation_error is not None
    assert result.preservation_error < TOLERANCE
    outputs, expected = program.outputs(result.apply(b)), program.outputs(a)
    assert all(torch.allclose(y, reference, atol=1e-6) for y, reference in zip(outputs, expected, strict=True))


def test_it_comes_back_from_under_noise(network: tuple[Program, Spec]):
    _, spec = network
    a, element, b = planted(network, 5)
    generator = torch.Generator().manual_seed(6)
    noisy = {
        name: tensor + 0.2 * tensor.std(correction=0) * torch.randn(tensor.shape, generator=generator).double()
        if tensor.is_floating_point()
        else tensor
        for name, tensor in b.items()
    }
    result = align(a, noisy, spec)
    assert element.then(result.element).is_identity()
    assert distance(result.apply(b), a) == 0.0


def test_it_comes_back_from_half_precision(network: tuple[Program, Spec]):
    _, spec = network
    a, element, _ = planted(network, 8)
    half = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in a.items()}
    b = spec.apply(element, half)
    result = align(half, b, spec, restarts=1)
    aligned = result.apply(b)
    assert all(torch.equal(aligned[name], half[name]) for name in half)


def test_tied_names_stay_tied(network: tuple[Program, Spec]):
    program, spec = network
    a, _, b = planted(network, 9)
    both = {**b, **{alias: b[name] for alias, name in spec.aliases.items()}}
    aligned = align({**a, **{alias: a[name] for alias, name in spec.aliases.items()}}, both, spec).apply(both)
    assert set(aligned) == set(program.state_names)
    for alias, name in spec.aliases.items():
        assert torch.equal(aligned[alias], aligned[name])
