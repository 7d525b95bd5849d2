"""Families of score matrices, like those that aligning networks produces: the inner products of units' weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Weights = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def _shuffled(weights: Tensor, generator: torch.Generator) -> Tensor:
    return weights[torch.randperm(len(weights), generator=generator, device=generator.device)]


def _noisy(weights: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """With noise of a share of every unit's own norm; a unit that is zero stays zero."""
    size = weights.norm(dim=1, keepdim=True) / weights.shape[1] ** 0.5
    return weights + share * size * torch.randn(weights.shape, generator=generator, device=generator.device)


def _spectrum(n: int, decay: float, generator: torch.Generator) -> Tensor:
    """n units whose singular values fall like a power, as those of trained layers do."""
    values = torch.arange(1, n + 1, device=generator.device).float() ** -decay
    left = torch.randn(n, n, generator=generator, device=generator.device) * values
    return left @ torch.randn(n, n, generator=generator, device=generator.device)


def _worn(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Unequal norms; a tenth of the units dead, a tenth almost copies of others, a twentieth copies."""
    n = len(weights)
    weights = weights * torch.exp(0.7 * torch.randn(n, 1, generator=generator, device=generator.device))
    order, tenth, half = torch.randperm(n, generator=generator, device=generator.device), n // 10, n // 20
    dead, near, of_near, copies, of_copies = order[: 5 * tenth].split(tenth)
    weights[dead] = 0
    weights[near] = weights[of_near] * (1 + 1e-3 * torch.randn(tenth, 1, generator=generator, device=generator.device))
    weights[copies[:half]] = weights[of_copies[:half]]
    return weights


def _planted(noise: float) -> Weights:
    def pair(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        a = torch.randn(n, n, generator=generator, device=generator.device)
        return a, _noisy(_shuffled(a, generator), noise, generator)

    return pair


def _independent(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(n, n, generator=generator, device=generator.device), torch.randn(n, n, generator=generator)


def _trained(decay: float) -> Weights:
    """Two networks that share their leading directions, each with its own dead and duplicate units."""

    def pair(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        a = _spectrum(n, decay, generator)
        inside = torch.linalg.qr(torch.randn(n, min(n, 64), generator=generator, device=generator.device))[0]
        b = (
            _shuffled(a, generator)
            @ inside
            @ torch.randn(inside.shape[1], n, generator=generator, device=generator.device)
        )
        return _worn(a, generator), _worn(b / 8, generator)

    return pair


def _trained_planted(decay: float) -> Weights:
    """One network with dead and duplicate units, and the same shuffled, with noise as large as its weights."""

    def pair(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        a = _worn(_spectrum(n, decay, generator), generator)
        return a, _noisy(_shuffled(a, generator), 1.0, generator)

    return pair


FAMILIES: dict[str, Weights] = {
    "planted": _planted(0.3),
    "planted, noise 2": _planted(2.0),
    "independent": _independent,
    "trained, decay 0.5": _trained(0.5),
    "trained, decay 1": _trained(1.0),
    "trained, planted": _trained_planted(0.5),
}


def pair(family: str, n: int, seed: int = 0, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """The weights (n, n) of the units of two layers, float32; devices draw different numbers."""
    return FAMILIES[family](n, torch.Generator(device).manual_seed(seed))


def scores(family: str, n: int, seed: int = 0) -> Tensor:
    """The score of every unit of one layer with every unit of the other: (n, n), float32."""
    a, b = pair(family, n, seed)
    return a @ b.T
