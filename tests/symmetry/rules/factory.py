"""Samples of operators that make tensors."""

import torch

from tests.symmetry.samples import sample

aten = torch.ops.aten


def filled(make):
    """Storage that is written before it is read."""

    def run(x):
        storage = make(x)
        storage[:2] = x[1:]
        storage[2:] = -x[:1]
        return storage

    return run


def inside(x, w):
    """A matrix written into the middle rows of zeros, then multiplied."""
    z = torch.zeros(5, 4, dtype=x.dtype, device=x.device)
    z.narrow(0, 1, 3).copy_(x)
    return z @ w


def halves(x, y, w):
    """A vector written in two halves, and rows to which one is added."""
    z = torch.zeros(6, dtype=x.dtype, device=x.device)
    z[:3], z[3:] = x, y
    rows = torch.zeros(2, 4, dtype=x.dtype, device=x.device)
    rows += w
    return z, rows


WRITTEN = "[1+a] b -> [a+1] b; a|b"


def made(overload, wanted, run, *operands, case=""):
    return sample(overload, wanted, run, *(operands or ((3, 4),)), case=case)


SAMPLES = [
    # Uniform storage leaves the parameter that meets it free, and takes any permutation itself.
    made(aten.zeros.default, "a b -> a b, _; b|a", lambda x: (x + torch.zeros(3, 4, dtype=x.dtype), torch.zeros(5))),
    made(aten.ones.default, "a b -> a b; b|a", lambda x: x * torch.ones(4, dtype=x.dtype)),
    made(aten.full.default, "a b -> a b; b|a", lambda x: x * torch.full((3, 1), 2.0, dtype=x.dtype)),
    made(aten.zeros_like.default, "a b -> a b, _ _; b|a", lambda x: (x + torch.zeros_like(x), torch.zeros_like(x))),
    made(aten.ones_like.default, "a b -> a b; b|a", lambda x: x * torch.ones_like(x)),
    made(aten.full_like.default, "a b -> a b; b|a", lambda x: x * torch.full_like(x, 3.0)),
    made(aten.new_zeros.default, "a b -> a b; b|a", lambda x: x + x.new_zeros(4)),
    made(aten.new_ones.default, "a b -> a b; b|a", lambda x: x + x.new_ones(3, 4)),
    made(aten.new_full.default, "a b -> a b; b|a", lambda x: x + x.new_full((3, 4), 0.5)),
    made(aten.scalar_tensor.default, "a b -> a b; b|a", lambda x: x * aten.scalar_tensor.default(2.0)),
    # Written storage: what was uniform gets the structure of what is written, through any view.
    made(aten.empty.memory_format, WRITTEN, filled(lambda x: torch.empty(3, 4, dtype=x.dtype, device=x.device))),
    made(aten.empty_like.default, WRITTEN, filled(torch.empty_like)),
    made(
        aten.empty_strided.default,
        WRITTEN,
        filled(lambda x: torch.empty_strided((3, 4), (1, 3), dtype=x.dtype, device=x.device)),
    ),
    made(aten.new_empty.default, WRITTEN, filled(lambda x: x.new_empty(3, 4))),
    made(
        aten.zeros.default, WRITTEN, filled(lambda x: torch.zeros(3, 4, dtype=x.dtype, device=x.device)), case="written"
    ),
    made(
        aten.zeros.default,
        "a b, b c -> [1+a+1] c",
        inside,
        (3, 4),
        (4, 2),
        case="written through a view",
    ),
    made(
        aten.zeros.default,
        "a, b, c -> [a+b], d c; d|c",
        halves,
        (3,),
        (3,),
        (4,),
        case="written in two halves",
    ),
    # Values that count the indices keep in place what meets them.
    made(aten.linspace.default, "a . -> a .", lambda x: x * torch.linspace(0, 1, 4, dtype=x.dtype)),
    # Rows and columns of the identity matrix move together.
    made(aten.eye.default, "a a -> a a", lambda x: x + torch.eye(3, dtype=x.dtype), (3, 3)),
    made(aten.eye.m, ". . -> . .", lambda x: x + torch.eye(3, 4, dtype=x.dtype)),
]
