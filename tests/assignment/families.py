"""Score matrices of the kinds that matching networks produces, and the oracle they are judged by."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from weightspace.assignment import Matching, assigned_score, certificate

GAP = 1e-9  # what "optimal" allows, in units of `unit`


def independent(n: int, m: int, seed: int = 0) -> Tensor:
    return torch.randn(n, m, generator=torch.Generator().manual_seed(seed))


def planted(n: int, noise: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, 3 * n, generator=generator)
    b = a[torch.randperm(n, generator=generator)] + noise * torch.randn(n, 3 * n, generator=generator)
    return a @ b.T


def trained(n: int, seed: int = 0) -> Tensor:
    """Decaying spectrum, unequal norms, a tenth dead, a tenth almost equal, a twentieth equal."""
    generator = torch.Generator().manual_seed(seed)
    decay = torch.arange(1, n + 1).float() ** -0.5
    shared = torch.randn(n, 3 * n, generator=generator)

    def net() -> Tensor:
        weights = (torch.randn(n, n, generator=generator) * decay) @ shared
        weights *= torch.exp(0.7 * torch.randn(n, 1, generator=generator))
        order, tenth = torch.randperm(n, generator=generator), n // 10
        parts = order.split(tenth) if tenth else ()
        if tenth:
            weights[parts[0]] = 0
            weights[parts[1]] = weights[parts[2]] * (1 + 1e-3 * torch.randn(tenth, 1, generator=generator))
            half = tenth // 2
            weights[parts[3][:half]] = weights[parts[4][:half]]
        return weights

    return net() @ net().T


def unit(scores: Tensor) -> float:
    """What a gap is relative to: the value, or the rounding of float32 scores if that is larger."""
    if scores.numel() == 0:
        return 1.0
    rounding = min(scores.shape) * torch.finfo(torch.float32).eps * float(scores.abs().max())
    return max(abs(best_value(scores)), rounding, 1e-300)


def best_value(scores: Tensor) -> float:
    """The optimum according to scipy."""
    rows, columns = linear_sum_assignment(scores.double().numpy(), maximize=True)
    return float(scores.double()[torch.from_numpy(rows), torch.from_numpy(columns)].sum())


def check_matching(scores: Tensor, found: Matching, gap: float = GAP) -> None:
    """A matching of one matrix: well formed, as good as scipy's, and its certificate says so."""
    n, m = scores.shape
    assert (found.columns.dtype, found.prices.dtype) == (torch.int64, torch.float64)
    assert (found.value.dtype, found.gap.dtype) == (torch.float64, torch.float64)
    assert {tensor.device.type for tensor in (found.columns, found.prices, found.value, found.gap)} == {"cpu"}
    assert (found.columns.shape, found.prices.shape) == ((n,), (m,))
    assert (found.value.shape, found.gap.shape) == ((), ())
    used = found.columns[found.columns >= 0].tolist()
    assert len(used) == min(n, m)
    assert len(set(used)) == len(used)
    assert max(used, default=-1) < m
    allowed = gap * unit(scores)
    assert float(found.value) >= best_value(scores) - allowed
    assert float(found.value) == float(assigned_score(scores, found.columns)) or abs(
        float(found.value) - float(assigned_score(scores, found.columns))
    ) <= 1e-12 * unit(scores)
    assert 0 <= float(found.gap) <= allowed
    assert float(certificate(scores, found.columns, found.prices)) <= allowed
