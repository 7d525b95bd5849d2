"""What passes the layers of a running network, against forward hooks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import resnet20
from weightspace.source import Inputs, Program
from weightspace.source.watching import Passing
from weightspace.symmetry.sites import Site


def test_it_sees_what_hooks_see_and_sums():
    module, inputs = resnet20()
    expected: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        part.register_forward_hook(
            lambda _, args, out, name=name: expected.update({name: (args[0].clone(), out.clone())})
        )
        for name, part in module.eval().named_modules()
        if isinstance(part, (nn.Conv2d, nn.Linear, nn.BatchNorm2d))
    ]
    with torch.no_grad():
        module(*inputs.args)
    for hook in hooks:
        hook.remove()
    program = Program(module, inputs)
    sites = program.sites(inputs)
    seen: dict[str, Passing] = {}
    program.watch(
        program.state(), inputs, sites, sites.sites, lambda site, passing: seen.update({site.weight: passing})
    )
    assert list(seen) == [site.weight for site in sorted(sites.sites, key=lambda site: site.last)]
    for site in sites.sites:
        inside, out = expected[site.weight.removesuffix(".weight")]
        passing = seen[site.weight]
        assert torch.equal(passing.inputs, inside)
        assert torch.equal(passing.output, out)
        if site.norm is not None:
            assert torch.equal(passing.normed, expected[site.norm.mean.removesuffix(".running_mean")][1])
        if site.sum is None:
            assert torch.equal(passing.summed, passing.normed)


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(torch.relu_(self.inner(x)))


def test_at_the_end_of_a_branch_it_sees_the_stream():
    module = Branch()
    x = torch.randn(2, 7, 3)
    program = Program(module, Inputs((x,)))
    sites = program.sites(program.inputs)
    seen: list[Passing] = []
    program.watch(program.state(), program.inputs, sites, sites.sites, lambda _, passing: seen.append(passing))
    inner, outer = seen
    assert bool((inner.output < 0).any())  # before the activation in place
    torch.testing.assert_close(outer.summed - outer.output, x.flatten(0, 1))


class Stubborn(nn.Module):
    """Catches what it can, and then does more."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.finished = 0

    def forward(self, x: Tensor) -> Tensor:
        try:
            x = self.first(x)
        except Exception:
            x = x + 1
        return self.second(x)


def test_a_run_ends_after_the_last_site_that_was_asked_for():
    program = Program(Stubborn(), Inputs((torch.randn(4, 3),)))
    sites = program.sites(program.inputs)
    seen: list[Site] = []
    program.watch(program.state(), program.inputs, sites, sites.sites[:1], lambda site, _: seen.append(site))
    assert [site.weight for site in seen] == ["first.weight"]


@pytest.mark.parametrize("samples", [1, 6])
def test_other_batch_sizes_have_sites_of_their_own(samples: int):
    program = Program(Branch(), Inputs((torch.randn(2, 3),)))
    inputs = Inputs((torch.randn(samples, 3),))
    sites = program.sites(inputs)
    shapes: list[tuple[int, ...]] = []
    program.watch(program.state(), inputs, sites, sites.sites, lambda _, passing: shapes.append(passing.inputs.shape))
    assert shapes == [(samples, 3), (samples, 5)]
