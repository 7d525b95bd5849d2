"""Hand-written specs of small real networks: every random element of the claimed group preserves the function."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from tests.symmetry.oracle import concatenated
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis
from weightspace.symmetry.group import Group
from weightspace.symmetry.spec import Spec, TensorSpec


def fixed(n: int) -> FixedAxis:
    return FixedAxis(n, "test")


def mlp() -> tuple[nn.Module, Tensor, Spec]:
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    a, b = GroupAxis("a", 5), GroupAxis("b", 4)
    tensors = {
        "0.weight": (a, fixed(3)),
        "0.bias": (a,),
        "2.weight": (b, a),
        "2.bias": (b,),
        "4.weight": (fixed(2), b),
        "4.bias": (fixed(2),),
    }
    groups = (Group("a", 5), Group("b", 4))
    return model, torch.randn(6, 3), Spec(groups, {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


def cnn() -> tuple[nn.Module, Tensor, Spec]:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.Flatten(), nn.Linear(16, 2)
    )
    groups = (Group("g", 2), Group("in", 3, ("g",)), Group("out", 2, ("g",)))
    inner, outer = (
        ProductAxis((GroupAxis("g", 2), GroupAxis("in", 3))),
        ProductAxis((GroupAxis("g", 2), GroupAxis("out", 2))),
    )
    tensors = {
        "0.weight": (inner, fixed(3), fixed(3), fixed(3)),
        **{f"1.{name}": (inner,) for name in ("weight", "bias", "running_mean", "running_var")},
        "0.bias": (inner,),
        "3.weight": (outer, GroupAxis("in", 3), fixed(3), fixed(3)),
        "3.bias": (outer,),
        "5.weight": (fixed(2), ProductAxis((GroupAxis("g", 2), GroupAxis("out", 2), fixed(4)))),
    }
    return model, torch.randn(2, 3, 6, 6), Spec(groups, {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


class GroupNormNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 1), nn.GroupNorm(2, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


def group_norm() -> tuple[nn.Module, Tensor, Spec]:
    c = ProductAxis((GroupAxis("g", 2), GroupAxis("c", 3)))
    tensors = {
        "conv.weight": (c, fixed(3), fixed(1), fixed(1)),
        "conv.bias": (c,),
        "norm.weight": (c,),
        "norm.bias": (c,),
        "head.weight": (fixed(2), c),
    }
    groups = (Group("g", 2), Group("c", 3, ("g",)))
    return (
        GroupNormNet(),
        torch.randn(2, 3, 4, 4),
        Spec(groups, {n: TensorSpec(axes) for n, axes in tensors.items()}, {}),
    )


class GroupedQueryAttention(nn.Module):
    """4 query heads on 2 key/value heads with rotary embeddings, head dimension 4, width 6."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = nn.Linear(6, 16), nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q = self.rotate(self.q(x).view(n, t, 4, 4).transpose(1, 2))
        k = self.rotate(self.k(x).view(n, t, 2, 4).transpose(1, 2)).repeat_interleave(2, 1)
        v = self.v(x).view(n, t, 2, 4).transpose(1, 2).repeat_interleave(2, 1)
        y = (q @ k.transpose(-1, -2) / 2).softmax(-1) @ v
        return self.o(y.transpose(1, 2).reshape(n, t, 16))

    @staticmethod
    def rotate(x: Tensor) -> Tensor:
        angle = torch.arange(x.shape[-2])[:, None] * torch.tensor([1.0, 0.1], dtype=x.dtype).repeat(2)
        return x * angle.cos() + torch.cat([-x[..., 2:], x[..., :2]], -1) * angle.sin()


def grouped_queries() -> tuple[nn.Module, Tensor, Spec]:
    kv, per_kv, v = GroupAxis("kv", 2), GroupAxis("queries", 2), GroupAxis("v", 4)
    q_axis, k_axis = ProductAxis((kv, per_kv, fixed(4))), ProductAxis((kv, fixed(4)))
    v_axis, o_axis = ProductAxis((kv, v)), ProductAxis((kv, per_kv, v))
    tensors: dict[str, tuple[Axis, ...]] = {"o.weight": (fixed(6), o_axis)}
    for name, axis in (("q", q_axis), ("k", k_axis), ("v", v_axis)):
        tensors |= {f"{name}.weight": (axis, fixed(6)), f"{name}.bias": (axis,)}
    groups = (Group("kv", 2), Group("queries", 2, ("kv",)), Group("v", 4, ("kv",)))
    model = GroupedQueryAttention()
    return model, torch.randn(2, 5, 6), Spec(groups, {name: TensorSpec(axes) for name, axes in tensors.items()}, {})


def recurrent() -> tuple[nn.Module, Tensor, Spec]:
    model = nn.GRU(3, 4, batch_first=True)
    h = GroupAxis("h", 4)
    gates = concatenated(h, h, h)
    tensors = {
        "weight_ih_l0": (gates, fixed(3)),
        "weight_hh_l0": (gates, h),
        "bias_ih_l0": (gates,),
        "bias_hh_l0": (gates,),
    }
    return model, torch.randn(2, 5, 3), Spec((Group("h", 4),), {n: TensorSpec(axes) for n, axes in tensors.items()}, {})


@pytest.mark.parametrize("build", [mlp, cnn, group_norm, grouped_queries, recurrent])
def test_random_elements_preserve_the_function(build: Callable[[], tuple[nn.Module, Tensor, Spec]]):
    torch.manual_seed(0)
    model, x, symmetry = build()
    model, x = model.double().eval(), x.double()
    state = {name: torch.rand_like(t) + 0.5 if t.dim() == 1 else t for name, t in model.state_dict().items()}

    def output(weights: dict[str, Tensor]) -> Tensor:
        y = functional_call(model, weights, x)
        return y[0].sort(-1).values if isinstance(y, tuple) else y  # the hidden units of a GRU are its output

    expected = output(state)
    for seed in range(5):
        element = symmetry.random_element(torch.Generator().manual_seed(seed))
        assert not element.is_identity()
        assert torch.allclose(output(symmetry.apply(element, state)), expected, rtol=0, atol=1e-12)


def test_a_plain_product_of_groups_would_not_do_for_values():
    # The inner permutation of the values may differ from head to head: that is what the wreath product says.
    _, _, symmetry = grouped_queries()
    assert symmetry.random_element(torch.Generator().manual_seed(0)).perm("v").shape == (2, 4)
