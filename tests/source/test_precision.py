"""Running in float64 throughout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from weightspace.errors import SourceError
from weightspace.source import Inputs, Program
from weightspace.source.precision import InDouble


class Network(nn.Module):
    """One matrix, and a forward pass that each test gives."""

    def __init__(self, run: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run
        self.weight = nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, self.weight)


def outputs(run: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> Tensor:
    program = Program(Network(run).eval(), Inputs(args=(torch.linspace(0.1, 1.3, 8).reshape(2, 4),)))
    state = {name: tensor.to(dtype) for name, tensor in program.state().items()}
    return program.outputs(state)[0]


def norm_in_single(x: Tensor, weight: Tensor) -> Tensor:
    """As the root-mean-square norm of language models is written."""
    hidden = (x @ weight.T).to(torch.float32)
    return (hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def norm(x: Tensor, weight: Tensor) -> Tensor:
    hidden = x @ weight.T
    return hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6)


def softmax_in_single(x: Tensor, weight: Tensor) -> Tensor:
    return torch.softmax(x @ weight.T, -1, dtype=torch.float32).type_as(x)


def softmax(x: Tensor, weight: Tensor) -> Tensor:
    return torch.softmax(x @ weight.T, -1)


def factories_in_single(x: Tensor, weight: Tensor) -> Tensor:
    """Angles made in float32, and a matrix of the default type that meets the weights."""
    angles = torch.arange(4, dtype=torch.float32) / torch.tensor(3.0)
    return (x * angles.cos().half()) @ torch.eye(4) @ weight.T


def factories(x: Tensor, weight: Tensor) -> Tensor:
    return (x * (torch.arange(4, dtype=torch.float64) / 3).cos()) @ weight.T


@pytest.mark.parametrize(
    ("lowered", "exact"), [(norm_in_single, norm), (softmax_in_single, softmax), (factories_in_single, factories)]
)
def test_casts_to_less_precision_keep_float64(
    lowered: Callable[[Tensor, Tensor], Tensor], exact: Callable[[Tensor, Tensor], Tensor]
):
    found = outputs(lowered, torch.float64)
    assert found.dtype == torch.float64
    assert torch.allclose(found, outputs(exact, torch.float64), rtol=1e-14, atol=1e-15)


def test_float32_runs_as_written():
    assert torch.equal(outputs(norm_in_single, torch.float32), outputs(norm, torch.float32))
    half = outputs(lambda x, weight: (x @ weight.T).half(), torch.float32)
    assert half.dtype == torch.float16


@pytest.mark.parametrize("bias", [False, True])
def test_grouped_products_have_a_float64_form(bias: bool):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(10, 8, generator=generator), torch.randn(3, 8, 4, generator=generator)
    ends = torch.tensor([4, 4, 10], dtype=torch.int32)  # the second group is empty
    shift = torch.randn(3, 4, generator=generator, dtype=torch.float64) if bias else None
    with InDouble():
        found = torch.nn.functional.grouped_mm(x.double(), weight.double(), offs=ends, bias=shift)
    owner = torch.tensor([0] * 4 + [2] * 6)
    expected = torch.einsum("nk,nkm->nm", x.double(), weight.double()[owner])
    assert torch.allclose(found, expected if shift is None else expected + shift[owner], rtol=1e-12)
    assert torch.allclose(torch.nn.functional.grouped_mm(x, weight, offs=ends).double(), expected, atol=1e-5)


def test_grouped_products_of_other_shapes_are_refused():
    def run(x: Tensor, weight: Tensor) -> Tensor:
        return torch.nn.functional.grouped_mm(x[None], weight.T[None])

    with pytest.raises(SourceError, match="grouped products of shapes"):
        outputs(run, torch.float64)


def test_the_default_type_is_restored_even_after_a_failure():
    def run(x: Tensor, weight: Tensor) -> Tensor:
        raise ValueError("broken")

    with pytest.raises(SourceError, match="broken"):
        outputs(run, torch.float64)
    assert torch.get_default_dtype() == torch.float32
