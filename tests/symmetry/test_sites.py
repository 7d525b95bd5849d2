"""Where networks multiply by their parameters: which parameters, which way round, and what follows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import gpt2, resnet20
from weightspace.symmetry.sites import Site, derive_sites


def sites_of(module: nn.Module, *inputs: Tensor) -> tuple[Site, ...]:
    return derive_sites(module.eval(), inputs).sites


def test_a_perceptron_has_one_site_per_layer():
    one, two = sites_of(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)), torch.randn(5, 3))
    assert (one.weight, one.bias, one.transposed, one.convolution) == ("0.weight", "0.bias", False, None)
    assert (two.weight, two.bias) == ("2.weight", None)
    assert one.number < two.number
    assert one.last == one.number


def test_a_layer_of_one_unit_is_not_mistaken_for_its_transpose():
    (site,) = sites_of(nn.Linear(1, 1), torch.randn(2, 1))
    assert site.weight == "weight"


def test_a_residual_network_names_its_norms_and_the_ends_of_its_branches():
    module, inputs = resnet20()
    found = {site.weight: site for site in derive_sites(module.eval(), inputs.args).sites}
    assert len(found) == sum(isinstance(part, (nn.Conv2d, nn.Linear)) for part in module.modules())
    ends = {name for name, site in found.items() if site.sum is not None}
    assert ends == {
        name for name in found if name.endswith("conv2.weight") or "downsample" in name or "shortcut" in name
    }
    for name, site in found.items():
        if site.convolution is not None:
            assert site.norm is not None
            assert site.norm.affine
            assert site.norm.eps == pytest.approx(1e-5)
            assert site.number < site.norm.number <= site.last, name


def test_the_weights_of_gpt2_are_transposed_and_its_branches_end_in_sums():
    pytest.importorskip("transformers")
    module, inputs = gpt2()
    found = {site.weight: site for site in derive_sites(module.eval(), inputs.args, inputs.kwargs).sites}
    for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
        site = found[f"transformer.h.0.{name}.weight"]
        assert site.transposed
        assert (site.sum is not None) == name.endswith("c_proj")
    assert not found["transformer.wte.weight"].transposed  # the tied head


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both, self.one = nn.Linear(4, 8), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.both.weight.chunk(2)
        return x @ left.T + x @ right.T + self.one(x)


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


def test_parameters_that_are_cut_or_computed_with_have_no_site():
    assert [site.weight for site in sites_of(Cut(), torch.randn(2, 4))] == ["one.weight"]
    assert sites_of(Standardised(2, 3, 3), torch.randn(1, 2, 5, 5)) == ()


def test_convolutions_say_how_they_slide():
    layer = nn.Conv2d(4, 6, (3, 5), stride=2, padding=(1, 2), dilation=(1, 2), groups=2)
    (site,) = sites_of(layer, torch.randn(1, 4, 16, 16))
    slides = site.convolution
    assert slides is not None
    assert (slides.kernel, slides.stride, slides.padding, slides.dilation, slides.groups) == (
        (3, 5), (2, 2), (1, 2), (1, 2), 2,
    )  # fmt: skip
    assert sites_of(nn.ConvTranspose2d(4, 6, 3), torch.randn(1, 4, 8, 8)) == ()


class Shared(nn.Module):
    """What the layer gives is read twice: the sum is not all that becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return (x + y) * y


def test_a_value_that_is_read_twice_ends_no_branch():
    (site,) = sites_of(Shared(), torch.randn(2, 4))
    assert site.sum is None
