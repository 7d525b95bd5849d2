"""Samples of the grouped products of mixtures of experts."""

import torch

from tests.symmetry.samples import sample

aten = torch.ops.aten
ENDS = torch.tensor([2, 3, 6], dtype=torch.int32)
SCORES = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def grouped(x, w):
    """In a type that the kernel takes; it is traced only."""
    return torch.nn.functional.grouped_mm(x.float(), w.float(), offs=ENDS)


def product(x, w):
    """The same, for types that the kernel does not take."""
    return torch.cat([x[:2] @ w[0], x[2:3] @ w[1], x[3:] @ w[2]])


def both(multiply):
    return lambda x, up, down: multiply(multiply(x, up.transpose(1, 2)).tanh(), down)


def popular(gate):
    """How many tokens choose each expert."""
    chosen = (SCORES @ gate).topk(2)[1]
    return torch.histc(chosen.reshape(-1).to(SCORES.dtype), bins=4, min=0, max=3)


SAMPLES = [
    sample(aten._grouped_mm.default, ". k, . k n -> . n", grouped, (6, 4), (3, 4, 8), real=product),
    sample(
        aten._grouped_mm.default,
        ". k, . i k, . i o -> . o",
        both(grouped),
        (6, 4),
        (3, 4, 4),
        (3, 4, 8),
        real=both(product),
        case="hidden units of every expert",
    ),
    sample(aten.histc.default, "a b -> .; b|a", lambda x: torch.histc(x, bins=3, min=-1, max=1), (3, 4)),
    sample(aten.histc.default, ". e, e b -> b", lambda gate, w: popular(gate) @ w, (3, 4), (4, 5), case="of numbers"),
    sample(
        aten.histc.default,
        ". . -> .",
        lambda gate: torch.histc((SCORES @ gate).argmax(1).to(SCORES.dtype), bins=3, min=0, max=3),
        (3, 4),
        case="of numbers in other bins",
    ),
]
