"""Freedoms of hand-written networks: each is verified on values, and together they are all that there should be."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.symmetry.freedom.checks import expected, freedoms, verified
from weightspace.errors import SpecError
from weightspace.symmetry.transformation import Transformation


def stack(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("activation", "kinds"),
    [
        (nn.ReLU(), ["scale"]),
        (nn.LeakyReLU(0.2), ["scale"]),
        (nn.ReLU6(), []),
        (nn.Tanh(), ["sign"]),
        (nn.Hardtanh(), ["sign"]),
        (nn.GELU(), []),
        (nn.Softsign(), ["sign"]),
        (nn.Identity(), ["linear"]),
    ],
)
def test_activations(activation: nn.Module, kinds: list[str]):
    spec = verified(stack(nn.Linear(4, 5), activation, nn.Linear(5, 3)), torch.randn(2, 4))
    shape = (5, 5) if kinds == ["linear"] else (5,)
    other = 1 if kinds == ["sign"] else -1
    places = {"0.weight": 1, "0.bias": 1, "2.weight": other}
    assert freedoms(spec) == expected(*((kind, shape, places) for kind in kinds))


def test_slopes_of_a_prelu_keep_their_values():
    spec = verified(stack(nn.Linear(4, 5), nn.PReLU(5), nn.Linear(5, 3)), torch.randn(2, 4))
    assert freedoms(spec) == expected(("scale", (5,), {"0.weight": 1, "0.bias": 1, "2.weight": -1}))


def test_max_pool():
    spec = verified(stack(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 2, 2)), torch.randn(2, 3, 8, 8))
    assert freedoms(spec) == expected(("scale", (4,), {"0.weight": 1, "0.bias": 1, "2.weight": -1}))


def test_two_scales_and_a_sign_around_a_batch_norm():
    module = stack(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 2))
    spec = verified(module, torch.randn(2, 3, 8, 8))
    before = {"0.weight": 1, "0.bias": 1, "1.running_mean": 1}
    assert freedoms(spec) == expected(
        ("scale", (4,), {**before, "1.running_var": 2}),
        ("scale", (4,), {"1.weight": 1, "1.bias": 1, "3.weight": -1}),
        ("sign", (4,), {**before, "1.weight": 1}),
    )
    (variance,) = [p for f in spec.freedoms.all for p in f.places if p.tensor == "1.running_var"]
    assert variance.offset == module[1].eps


def test_a_variance_that_would_become_negative_is_refused():
    module = stack(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=0.05), nn.ReLU(), nn.Conv2d(4, 2, 2)).eval()
    spec = verified(module, torch.randn(2, 3, 8, 8))
    (name,) = [f.name for f in spec.freedoms.all if any(p.offset for p in f.places)]
    values = {name: torch.full((4,), 0.1, dtype=torch.float64)}
    with pytest.raises(SpecError, match=r"'1.running_var': expected scales under which the variance stays positive"):
        Transformation(spec, spec.identity(), values).apply(module.state_dict())


class Gated(nn.Module):
    """A gated perceptron after a norm, on a residual stream."""

    def __init__(self, norm: nn.Module, *, bias: bool = True) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.norm = norm
        self.gate, self.up, self.down = nn.Linear(4, 6, bias), nn.Linear(4, 6), nn.Linear(6, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        y = self.norm(x)
        return self.head(x + self.down(F.silu(self.gate(y)) * self.up(y)))


def test_gated_perceptron_after_a_layer_norm():
    spec = verified(Gated(nn.LayerNorm(4)), torch.randn(2, 3))
    gated = {"up.weight": 1, "up.bias": 1}
    normed = {"norm.weight": 1, "norm.bias": 1}
    stream = {"embed.weight": 1, "embed.bias": 1, "down.weight": 1, "down.bias": 1, "head.weight": 1}
    assert freedoms(spec, "scale") == expected(
        ("scale", (6,), {**gated, "down.weight": -1}),
        ("scale", (4,), {**normed, "gate.weight": -1, "up.weight": -1}),
    )
    assert ("rotation", (4, 4), frozenset({**stream, "gate.weight": 1, "up.weight": 1}.items())) in freedoms(spec)
    (rotation,) = spec.freedoms.only("rotation").all
    assert rotation.centred
    assert [(one.scale, one.shift) for one in rotation.folds] == [("norm.weight", "norm.bias")]
    assert not [f for f in spec.freedoms.only("scale").all if any(p.tensor == "embed.weight" for p in f.places)]


def test_rms_norm_rotates_off_centre_and_without_a_scale_as_well():
    for affine in (True, False):
        spec = verified(Gated(nn.RMSNorm(4, eps=1e-5, elementwise_affine=affine)), torch.randn(2, 3))
        (rotation,) = spec.freedoms.only("rotation").all
        assert not rotation.centred
        assert len(rotation.folds) == affine


def test_a_shift_without_a_bias_to_take_it_up_turns_with_the_stream():
    module = Gated(nn.LayerNorm(4), bias=False)
    (rotation,) = verified(module, torch.randn(2, 3)).freedoms.only("rotation").all
    (fold,) = rotation.folds
    assert fold.keeps_shift
    assert [(place.tensor, bias) for place, bias in fold.readers] == [("gate.weight", None), ("up.weight", None)]
    assert {"norm.bias": 1}.items() <= {place.tensor: place.exponent for place in rotation.places}.items()
    assert fold.touched == {"norm.weight", "norm.bias", "gate.weight", "up.weight"}


class Tied(nn.Module):
    """A tied output head after a final norm."""

    def __init__(self, scaled: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm = nn.RMSNorm(4, eps=1e-5, elementwise_affine=scaled)
        self.up, self.down = nn.Linear(4, 6), nn.Linear(6, 4)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + self.down(F.gelu(self.up(x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt())))
        return self.norm(x) @ self.embed.weight.T


def test_a_tied_head_rotates_only_where_no_scale_must_be_folded_into_it():
    ids = torch.arange(5)[None]
    assert freedoms(verified(Tied(True), ids), "rotation") == []
    assert len(freedoms(verified(Tied(False), ids), "rotation")) == 1


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_passes_no_scale_of_its_input(groups: int):
    module = stack(nn.Conv1d(3, 4, 2), nn.GroupNorm(groups, 4), nn.Conv1d(4, 2, 2))
    spec = verified(module, torch.randn(2, 3, 6))
    after = {"1.weight": 1, "1.bias": 1, "2.weight": -1}
    shape = (2, 2) if groups == 2 else (4,)
    signs = dict.fromkeys(after, 1)
    assert freedoms(spec) == expected(("scale", shape, after), ("sign", shape, signs))


class Attention(nn.Module):
    """Attention with grouped queries."""

    def __init__(self, heads: int, shared: int, size: int, *, normed: bool = False) -> None:
        super().__init__()
        self.size, self.copies = size, heads // shared
        self.q, self.k, self.v = nn.Linear(4, heads * size), nn.Linear(4, shared * size), nn.Linear(4, shared * size)
        self.o = nn.Linear(heads * size, 4)
        self.norms = nn.ModuleList(nn.RMSNorm(size, eps=1e-5) for _ in range(2)) if normed else None

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (-1, self.size)).transpose(1, 2) for f in (self.q, self.k, self.v))
        if self.norms is not None:
            q, k = self.norms[0](q), self.norms[1](k)
        k, v = (y.repeat_interleave(self.copies, 1) for y in (k, v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("shared", [4, 2, 1])
def test_maps_inside_of_every_head(shared: int):
    spec = verified(Attention(4, shared, 3), torch.randn(2, 5, 4))
    shape = (shared, 3, 3) if shared > 1 else (3, 3)
    assert freedoms(spec) == expected(
        ("linear", shape, {"q.weight": 1, "q.bias": 1, "k.weight": -1, "k.bias": -1}),
        ("linear", shape, {"v.weight": 1, "v.bias": 1, "o.weight": -1}),
    )


def test_normed_queries_and_keys_have_no_map():
    spec = verified(Attention(2, 2, 3, normed=True), torch.randn(2, 5, 4))
    assert freedoms(spec, "linear") == expected(("linear", (2, 3, 3), {"v.weight": 1, "v.bias": 1, "o.weight": -1}))


class Siren(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 5), nn.Linear(5, 6), nn.Linear(6, 1)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in list(self.layers)[:-1]:
            x = torch.sin(30 * layer(x))
        return self.layers[-1](x)


def test_siren():
    found = freedoms(verified(Siren(), torch.rand(8, 2) / 10))
    assert found == expected(
        ("sign", (5,), {"layers.0.weight": 1, "layers.0.bias": 1, "layers.1.weight": 1}),
        ("sign", (6,), {"layers.1.weight": 1, "layers.1.bias": 1, "layers.2.weight": 1}),
    )


def test_recurrent_tanh():
    spec = verified(nn.RNN(3, 4, batch_first=True), torch.randn(2, 5, 3))
    assert freedoms(spec) == []  # its output is the hidden state itself


class RecurrentReadOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.RNNCell(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.zeros(x.shape[0], 4, dtype=x.dtype)
        for step in x.unbind(1):
            hidden = self.cell(step, hidden)
        return self.head(hidden)


def test_recurrent_tanh_with_a_read_out():
    cell = {f"cell.{name}": 1 for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    assert freedoms(verified(RecurrentReadOut(), torch.randn(2, 5, 3))) == expected(
        ("sign", (4,), {**cell, "head.weight": 1})
    )


class RepVgg(nn.Module):
    """A convolution, a pointwise one and the identity, each with its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.convolutions = nn.ModuleList([nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 1, bias=False)])
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        branches = [self.convolutions[0](x), self.convolutions[1](x), x]
        normed = torch.stack([norm(y) for norm, y in zip(self.norms, branches, strict=True)])
        return self.head(F.relu(normed.sum(0)))


def test_branches_of_repvgg():
    found = freedoms(verified(RepVgg(), torch.randn(2, 3, 5, 5)), "scale")
    norms = [f"norms.{i}" for i in range(3)]
    after = {f"{norm}.{part}": 1 for norm in norms for part in ("weight", "bias")}
    stream = {"stem.weight": 1, "stem.bias": 1, "convolutions.0.weight": -1, "convolutions.1.weight": -1}
    first, second = (
        {f"convolutions.{i}.weight": 1, f"norms.{i}.running_mean": 1, f"norms.{i}.running_var": 2} for i in (0, 1)
    )
    assert found == expected(
        ("scale", (4,), {**after, "head.weight": -1}),
        ("scale", (4,), {**stream, "norms.2.running_mean": 1, "norms.2.running_var": 2}),
        ("scale", (4,), first),
        ("scale", (4,), second),
    )
