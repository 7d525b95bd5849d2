"""Random networks: whatever freedom is derived, the function has it."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from tests.symmetry.freedom.checks import broken
from tests.symmetry.freedom.programs import network
from weightspace.errors import TraceError
from weightspace.symmetry import derive
from weightspace.symmetry.verify import perturbed, relative_error

ROUNDING = 1e-10  # programs that amplify a rounding step beyond this are left out


def check_networks(seeds: range) -> None:
    checked = 0
    for seed in seeds:
        module, inputs = network(seed)
        try:
            spec = derive(module, inputs)
        except TraceError:  # it writes its own input
            continue
        state = {name: tensor.detach() for name, tensor in module.state_dict().items()}

        def forward(tensors, module=module, inputs=inputs):
            return functional_call(module, dict(tensors), tuple(x.clone() for x in inputs))

        expected = forward(state)
        if any(float(y.abs().max()) < 1e-9 or not bool(y.isfinite().all()) for y in expected):
            continue
        if relative_error(forward(perturbed(state, _generator(seed))), expected) > ROUNDING:
            continue
        wrong = broken(spec, forward, state, _generator(seed))
        assert not wrong, f"network {seed}: {wrong}"
        checked += len(spec.freedoms.all)
    assert checked > len(seeds)  # else there was little to check


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("first", range(0, 160, 20))
def test_derived_freedoms_are_those_of_the_function(first: int):
    check_networks(range(first, first + 20))


@pytest.mark.slow
def test_derived_freedoms_are_those_of_the_function_of_many_networks():
    check_networks(range(1000, 4000))
