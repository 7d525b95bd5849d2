"""Every operator between parameters and linear readers: what it lets pass is true, and is all that it should let pass.

The signature of a sample has one word per dimension, commas between operands: ``s`` says that the units of the
dimension may be scaled, ``g`` that their signs are free, ``l`` that any invertible matrix over them is (scale and sign
are cases of it), ``r`` that rotations are; ``.`` stands for none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from tests.symmetry.freedom.checks import broken
from tests.symmetry.samples import Sample, sample, undecomposed
from tests.symmetry.test_rules import FAMILIES
from weightspace.symmetry import derive
from weightspace.symmetry.freedom import demands
from weightspace.symmetry.freedom.registry import demanding
from weightspace.symmetry.rules import covered, find_rule
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.trace import trace

aten = torch.ops.aten
OPERATORS: list[Sample] = [
    entry for family in FAMILIES for entry in importlib.import_module(f"tests.symmetry.rules.{family}").SAMPLES
]
LETTERS = {"scale": "s", "sign": "g", "linear": "l", "rotation": "r"}


class ReadOut(nn.Module):
    """A function of parameters, every result of which is read along every dimension by a matrix of its own."""

    def __init__(self, run: Callable[..., Any], values: Sequence[Tensor], sizes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.run = run
        self.count = len(values)
        generator = torch.Generator().manual_seed(1)
        readers = [torch.randn(2, n, generator=generator, dtype=torch.float64) for shape in sizes for n in shape]
        for number, value in enumerate([*values, *readers]):
            self.register_parameter(str(number), nn.Parameter(value, requires_grad=False))

    def forward(self) -> list[Tensor]:
        parameters = [*self.parameters()]
        operands, readers = parameters[: self.count], parameters[self.count :]
        results = []
        for y in _results(self.run(*operands)):
            if not y.is_floating_point():
                results.append(y * 1)
                continue
            y = y if y.dtype == torch.float64 else y.double()
            for _ in y.shape:
                y = torch.einsum("a...,ra->...r", y, readers.pop(0))
            results.append(y * 1.0)
        return results


def _results(value: Any) -> list[Tensor]:
    return [torch.view_as_real(y) if y.is_complex() else y for y in tree_leaves(value) if isinstance(y, Tensor)]


def read_out(entry: Sample) -> tuple[ReadOut, ReadOut]:
    """The network of a sample to derive from, and the same one to compute with."""
    values = entry.values
    sizes = [
        y.shape for y in _results((entry.real or entry.run)(*(x.clone() for x in values))) if y.is_floating_point()
    ]
    return tuple(ReadOut(run, values, sizes).eval() for run in (entry.run, entry.real or entry.run))  # type: ignore


def soundly_derived(entry: Sample) -> Spec:
    """The spec of a sample, whose freedoms the values have."""
    symbolic, real = read_out(entry)
    spec = derive(symbolic, ())
    state = {name: tensor.detach() for name, tensor in real.state_dict().items()}

    def forward(tensors):
        return functional_call(real, {name: tensor.clone() for name, tensor in tensors.items()})

    if all(bool(y.isfinite().all()) for y in forward(state)):
        assert not broken(spec, forward, state, torch.Generator().manual_seed(2))
    return spec


def signature(spec: Spec, operands: Sequence[Tensor]) -> str:
    words = []
    for number, operand in enumerate(operands):
        found = ["" for _ in operand.shape]
        for freedom in spec.freedoms.all:
            for place in freedom.places:
                if place.tensor == str(number):
                    block = spec.freedoms.blocks[place.tensor][place.block]
                    axis = [i for i, piece in enumerate(block.pieces) for _ in piece.groups][place.dim]
                    found[axis] += LETTERS[freedom.kind]
        words.append(" ".join("".join(sorted(set(word))) or "." for word in found))
    return ", ".join(words)


@pytest.mark.parametrize("entry", OPERATORS)
def test_freedoms_of_every_operator_are_those_of_its_values(entry: Sample):
    if all(value.numel() for value in _results((entry.real or entry.run)(*entry.values))):
        soundly_derived(entry)


X = (3, 4)
VARIANCE = torch.tensor([0.5, 0.7, 1.1, 1.3], dtype=torch.float64)
PER_CHANNEL = [(3, 4), (4,), (4,), (4,), VARIANCE]
MASK = torch.tensor([[True, False, True, True]] * 3)
IMAGE = (2, 3, 4, 4)


def unary(signature: str, *functions: Callable[[Tensor], Tensor], shape: tuple[int, ...] = X) -> list[Sample]:
    return [sample(None, signature, f, shape, case=f"{signature} {number}") for number, f in enumerate(functions)]


def normed(*call: Callable[..., Any]) -> list[Sample]:
    """Batch norms: the input and its statistics, then the output with scale and shift."""
    return [
        sample(None, ". gs, gs, gs, gs, s", f, *PER_CHANNEL, real=_batch_norm, case=f"batch norm {number}")
        for number, f in enumerate(call)
    ]


def _batch_norm(x: Tensor, w: Tensor, b: Tensor, m: Tensor, v: Tensor) -> Tensor:
    return F.batch_norm(x, m, v, w, b)


HOMOGENEOUS = [torch.relu, F.leaky_relu, lambda x: x.clamp_min(0), lambda x: x.clamp(min=0), lambda x: x.clamp(max=0)]
ODD = [torch.tanh, torch.sin, torch.asinh, torch.atan, torch.erf, F.hardshrink, torch.sinh, F.softshrink, torch.tan,
       F.hardtanh, lambda x: x.clamp(-0.3, 0.3)]  # fmt: skip
LINEAR = [torch.neg, lambda x: 2 * x, lambda x: x / 2, torch.t, lambda x: x.clone(), lambda x: x.unsqueeze(1),
          lambda x: 0.0 - x, lambda x: x[:, None].expand(3, 2, 4), lambda x: x + x]  # fmt: skip
NOTHING = [torch.sigmoid, F.gelu, torch.exp, F.relu6, lambda x: x + 1, lambda x: x.clamp(-1, 2), lambda x: x.softmax(1),
           lambda x: x.cumsum(1), lambda x: x.pow(2.1234567)]  # fmt: skip
TIGHT: list[Sample] = [
    *unary("s s", *HOMOGENEOUS),
    *unary("g g", *ODD),
    *unary("l l", *LINEAR),
    *unary(". .", *NOTHING),
    *unary("g g", torch.cos, torch.cosh),
    *unary("gs gs", torch.abs, torch.square, lambda x: x * x, lambda x: x.pow(3), lambda x: x.pow(-2)),
    *unary("gs gs", torch.reciprocal, lambda x: x.pow(-1), lambda x: x.square().rsqrt(), lambda x: x.abs().sqrt()),
    *unary("l .", lambda x: x.mean(1), lambda x: x.sum(1)),
    *unary("s .", lambda x: x.amax(1), lambda x: x.amin(1)),
    *unary("l gs", lambda x: x.masked_fill(MASK, 0.0), lambda x: torch.where(MASK, x, -x)),
    *unary(". .", lambda x: x.masked_fill(MASK, 1.0), lambda x: torch.where(MASK, x, 1.0)),
    *unary(". g", lambda x: x.square().sum(1)),
    *unary("l l", lambda x: F.pad(x, (1, 2)), lambda x: torch.cat([x, 2 * x]), lambda x: torch.stack([x, x])),
    *unary("l l . .", lambda x: F.avg_pool2d(x, 2), lambda x: F.interpolate(x, scale_factor=2), shape=IMAGE),
    *unary("s s . .", lambda x: F.max_pool2d(x, 2), lambda x: F.adaptive_max_pool2d(x, 2), shape=IMAGE),
    *unary("l . . .", lambda x: F.conv2d(x, torch.ones(1, 3, 2, 2).double()), shape=IMAGE),
    *unary(". g", lambda x: x.sin().sum(0)),
    *normed(
        lambda x, w, b, m, v: aten._native_batch_norm_legit_no_training.default(x, w, b, m, v, 0.1, 1e-5)[0],
        lambda x, w, b, m, v: aten._batch_norm_no_update.default(x, w, b, m, v, 0.1, 1e-5)[0],
        lambda x, w, b, m, v: aten.native_batch_norm.default(x, w, b, m, v, False, 0.1, 1e-5)[0],
        lambda x, w, b, m, v: aten.cudnn_batch_norm.default(x, w, b, m, v, False, 0.1, 1e-5)[0],
    ),
    sample(None, ". r, gs, grs", lambda x, w, b: F.layer_norm(x, (4,), w, b), (3, 4), (4,), (4,), case="layer norm"),
    sample(None, "g gr, gs", lambda x, w: F.rms_norm(x, (4,), w, 1e-5), (3, 4), (4,), case="rms norm"),
    sample(None, ". ., gs, gs", lambda x, w, b: F.group_norm(x, 2, w, b), (3, 4), (4,), (4,), case="group norm"),
    sample(None, "gs ., gs .", lambda v, g: aten._weight_norm_interface.default(v, g)[0], (3, 4), (3, 1), case="wn"),
    sample(None, "gs gs, gs gs", torch.mul, X, X, case="factors"),
    sample(None, "l grs, gs", torch.mul, X, (4,), case="a factor per unit"),
    sample(None, "gs gs, gs gs", torch.div, X, X, case="quotient"),
    sample(None, "l l, l l", torch.add, X, X, case="summands"),
    sample(None, ". l, l", torch.add, X, (4,), case="a bias"),
    sample(None, "s s, s s", torch.maximum, X, X, case="maximum"),
    sample(None, "s s, s s", torch.minimum, X, X, case="minimum"),
    sample(None, "l l", lambda x: x.clone().zero_() + x, X, case="zeroed"),
    *unary("gs gs", undecomposed(aten.square.default)),
    *unary(". l", lambda x: F.embedding(torch.zeros(2, dtype=torch.long), x), lambda x: x[[0, 2]]),
    sample(
        None,
        ". ., gs, gs, ., .",
        lambda x, w, b, m, v: aten._native_batch_norm_legit.default(x, w, b, m, v, False, 0.1, 1e-5)[0],
        *PER_CHANNEL,
        real=_batch_norm,
        case="a batch norm whose schema says that it writes its statistics",
    ),
    sample(None, "l l, l l", lambda x, y: torch.zeros_like(x).copy_(x) - y, X, X, case="copied and subtracted"),
    sample(None, "l l, l l", torch.mm, X, (4, 5), case="matrices"),
    sample(None, ". l l, gs l l", torch.bmm, (2, 3, 4), (2, 4, 5), case="batches of matrices"),
    sample(None, "s s, .", F.prelu, X, (4,), case="slopes"),
    sample(None, "gs .", lambda x: F.glu(x, 0), (4, 3), case="gated"),
]


@pytest.mark.parametrize("entry", TIGHT)
def test_operators_let_pass_what_they_should(entry: Sample):
    operands = [torch.empty(x) if isinstance(x, tuple) else x for x in entry.operands]
    assert signature(soundly_derived(entry), operands) == entry.signature


def test_every_demand_has_a_sample():
    names = {call.name.removesuffix("_") for entry in TIGHT for call in trace(read_out(entry)[0], ()).calls}
    names |= {entry.op._schema.name.split("::")[1] for entry in OPERATORS if entry.op is not None}
    assert [name for name in demanding() if name not in names] == []
    sampled = {entry.op for entry in OPERATORS}
    carrying = demands._CARRYING | demands._LOOKING_UP
    assert [str(op) for op in covered() if find_rule(op) in carrying and op not in sampled] == []
