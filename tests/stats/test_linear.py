"""Layers in closed form against an oracle that forms all patches at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from weightspace.stats import linear
from weightspace.stats.linear import LinearMoments
from weightspace.symmetry.sites import Site, derive_sites

LAYERS = {
    "linear": (nn.Linear(5, 3), (40, 5)),
    "convolution": (nn.Conv2d(3, 4, 3, padding=1), (6, 3, 7, 7)),
    "strided": (nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2)), (9, 2, 9, 8)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (8, 4, 7, 7)),
    "depthwise": (nn.Conv2d(5, 5, 3, padding=1, groups=5), (4, 5, 6, 6)),
    "one dimension": (nn.Conv1d(3, 4, 3, stride=2), (9, 3, 15)),
    "three dimensions": (nn.Conv3d(2, 3, 2), (4, 2, 5, 4, 4)),
}


def site_of(module: nn.Module, inputs: Tensor) -> Site:
    (site,) = derive_sites(module.eval(), (inputs,)).sites
    return site


def oracle(layer: nn.Module, inputs: Tensor, targets: Tensor, start: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Minimises by the normal equations of the layer itself: its Jacobian, written out."""
    size = start.numel()
    out = targets.shape[1]

    def apply(flat: Tensor) -> Tensor:
        tensors = {"weight": flat[:size].reshape(start.shape), "bias": flat[size:]}
        return torch.func.functional_call(layer, tensors, (inputs.double(),)).flatten()

    jacobian = torch.autograd.functional.jacobian(apply, torch.zeros(size + out, dtype=torch.float64))
    groups = getattr(layer, "groups", 1)
    squares = torch.stack(
        [jacobian[:, [i]].square().sum() for i in range(size)]
    ).reshape(groups, out // groups, -1)  # fmt: skip
    pull = (ridge * squares.mean(-1, keepdim=True)).expand_as(squares).flatten()
    gram = jacobian.T @ jacobian + torch.diag(torch.cat([pull, torch.zeros(out, dtype=torch.float64)]))
    right = jacobian.T @ targets.double().flatten() + torch.cat([pull * start.double().flatten(), torch.zeros(out)])
    solution = torch.linalg.solve(gram, right)
    return solution[:size].reshape(start.shape), solution[size:]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("ridge", [1e-8, 0.1])
def test_it_is_the_least_squares_solution(name: str, ridge: float, monkeypatch):
    monkeypatch.setattr(linear, "_CHUNK", 500)  # several pieces
    torch.manual_seed(0)
    layer, shape = LAYERS[name]
    inputs = torch.randn(shape) + 0.5
    targets = torch.randn_like(layer(inputs))
    start = torch.randn_like(layer.weight)
    moments = LinearMoments(site_of(layer, inputs))
    for x, y in zip(inputs.split(2), targets.split(2), strict=True):
        moments.add(x, y)
    fitted = moments.solve(start, ridge=ridge)
    weight, bias = oracle(layer, inputs, targets, start, ridge)
    torch.testing.assert_close(fitted.weight, weight, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(fitted.bias, bias, atol=1e-6, rtol=1e-6)
    given = torch.func.functional_call(
        layer.double(), {"weight": fitted.weight, "bias": fitted.bias}, (inputs.double(),)
    )
    layer.float()
    left = (given - targets.double()).square().sum()
    wanted = targets.double().transpose(0, 1).flatten(1)
    spread = (wanted - wanted.mean(1, keepdim=True)).square().sum()
    assert fitted.residual == pytest.approx(float(left / spread), rel=1e-6)
    products = given.transpose(0, 1).flatten(1) - fitted.bias[:, None]
    torch.testing.assert_close(fitted.mean, products.mean(1), atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(fitted.variance, products.var(1, correction=0), atol=1e-8, rtol=1e-6)


class Conv1D(nn.Module):
    """A layer with weights (in, out), as GPT-2's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


def test_transposed_weights_come_back_transposed():
    layer, x = Conv1D(), torch.randn(50, 4)
    with torch.no_grad():
        y = layer(x)
    moments = LinearMoments(site_of(layer, x))
    moments.add(x, y)
    fitted = moments.solve(torch.zeros(4, 4), ridge=1e-10)
    torch.testing.assert_close(fitted.weight.float(), layer.weight.detach(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fitted.bias.float(), layer.bias.detach(), atol=1e-4, rtol=1e-4)
    assert fitted.residual < 1e-8


def test_dead_and_equal_inputs_stay_where_they_start():
    layer = nn.Linear(6, 2)
    x = torch.randn(30, 6)
    x[:, 2] = 0.0
    x[:, 4] = x[:, 3]
    moments = LinearMoments(site_of(layer, x))
    with torch.no_grad():
        moments.add(x, layer(x))
    fitted = moments.solve(layer.weight.detach(), ridge=1e-6)
    torch.testing.assert_close(fitted.weight.float(), layer.weight.detach(), atol=1e-5, rtol=1e-5)


def test_all_inputs_dead_leaves_the_weights_and_fits_the_bias():
    layer, x = nn.Linear(3, 2), torch.zeros(10, 3)
    moments = LinearMoments(site_of(layer, x))
    moments.add(x, torch.ones(10, 2))
    fitted = moments.solve(layer.weight.detach(), ridge=1e-4)
    torch.testing.assert_close(fitted.weight.float(), layer.weight.detach())
    torch.testing.assert_close(fitted.bias.float(), torch.ones(2))


@pytest.mark.parametrize("ridge", [0.0, 1e-8, 1e-4])
@pytest.mark.parametrize("name", ["linear", "convolution", "grouped"])
def test_dead_channels_keep_their_weights(name: str, ridge: float):
    """Of an input that is always zero the data say nothing; the others are fitted as if it were not there."""
    torch.manual_seed(0)
    layer, shape = LAYERS[name]
    inputs = torch.randn(shape)
    inputs[:, 1] = 0
    wanted = torch.func.functional_call(layer, {"weight": 2 * layer.weight, "bias": layer.bias + 1}, (inputs,)).detach()
    start = torch.randn_like(layer.weight)
    moments = LinearMoments(site_of(layer, inputs))
    moments.add(inputs, wanted)
    fitted = moments.solve(start, ridge=ridge)
    dead = torch.zeros_like(start, dtype=torch.bool)
    per_group = start.shape[1]
    dead[: len(dead) * per_group // inputs.shape[1], 1] = True  # of a convolution in groups, in the first of these
    torch.testing.assert_close(fitted.weight[dead], start.double()[dead], rtol=1e-9, atol=1e-9)
    tolerance = 1e-3 if ridge == 1e-4 else 1e-5
    torch.testing.assert_close(fitted.weight[~dead], 2 * layer.weight.double()[~dead], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(fitted.bias, layer.bias.double() + 1, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("ridge", [0.0, 1e-8, 1e-4])
def test_fewer_samples_than_inputs_leave_what_they_do_not_show(ridge: float):
    torch.manual_seed(0)
    layer, x, wanted = nn.Linear(20, 3), torch.randn(7, 20), torch.randn(7, 3)
    start = torch.randn(3, 20)
    moments = LinearMoments(site_of(layer, x))
    moments.add(x, wanted)
    fitted = moments.solve(start, ridge=ridge)
    change = fitted.weight - start.double()
    seen = torch.linalg.svd(x.double(), full_matrices=True).Vh
    assert float((change @ seen[7:].T).abs().max()) < 1e-6  # nothing across what the samples span
    assert float(change.norm()) < 10
    torch.testing.assert_close(
        x.double() @ fitted.weight.T + fitted.bias, wanted.double(), rtol=0, atol=1e-2 if ridge == 1e-4 else 1e-5
    )


@pytest.mark.parametrize("ridge", [0.0, 1e-8, 1e-4])
def test_inputs_that_repeat_each_other_share_what_is_missing(ridge: float):
    layer, base = nn.Linear(4, 1), torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    x = torch.cat([base, base], dim=1)
    moments = LinearMoments(site_of(layer, x))
    moments.add(x, base.sum(1, keepdim=True))
    fitted = moments.solve(torch.tensor([[1.0, 0.0, 2.0, 0.0]]), ridge=ridge)
    torch.testing.assert_close(fitted.weight, torch.tensor([[0.0, 0.5, 1.0, 0.5]]).double(), rtol=1e-3, atol=1e-3)


def test_the_ridge_draws_towards_the_start():
    layer, x = nn.Linear(4, 3), torch.randn(60, 4)
    start = torch.randn(3, 4)
    moments = LinearMoments(site_of(layer, x))
    moments.add(x, torch.randn(60, 3))
    near, far = (moments.solve(start, ridge=ridge).weight for ridge in (1e6, 1e-3))
    assert float((near - start).norm()) < 1e-4 * float((far - start).norm())


def test_without_samples_there_is_nothing_to_solve():
    with pytest.raises(ValueError, match="no samples"):
        LinearMoments(site_of(nn.Linear(2, 2), torch.randn(1, 2))).solve(torch.zeros(2, 2), ridge=0.0)
