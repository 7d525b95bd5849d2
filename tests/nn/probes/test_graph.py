"""Networks as recorded graphs, against running them one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.nn import small
from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.errors import SourceError
from weightspace.nn.probes.graph import record, run, run_batch

KINDS = [networks.mlp, networks.grouped_convolutions, networks.attention, networks.mixer, small.siren, small.cnn]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("activations", [False, True])
def test_a_graph_gives_what_a_loop_gives(make: Callable[[], Network], activations: bool) -> None:
    program, spec = small.program_of(make)
    batch = small.random_networks(spec, 3)
    example = program.inputs.tensors()[0]
    x = torch.randn(5, *example.shape[1:], dtype=torch.float64)
    taps = program.taps(program.inputs_for(x)).chosen("read") if activations else None
    shared = {name: each for name, each in program.state().items() if name not in batch}
    graph = record(program, shared | {name: each[0] for name, each in batch.items()}, x, taps)
    other = torch.randn_like(x)
    outputs, seen = run_batch(graph, batch, shared, other)
    assert bool(seen) == activations
    for place in range(3):
        state = shared | {name: each[place] for name, each in batch.items()}
        for wanted, found in zip(run(program, state, other, taps), (outputs, seen), strict=True):
            assert len(wanted) == len(found)
            assert all(small.close(b[place], a, 1e-11) for a, b in zip(wanted, found, strict=True))


def test_gradients_are_those_of_a_loop() -> None:
    program, spec = small.program_of(small.cnn)
    batch = small.random_networks(spec, 3)
    x = torch.randn(2, 1, 9, 9, dtype=torch.float64)
    read = [name for name in batch if "running" not in name]
    graph = record(program, {name: each[0] for name, each in batch.items()}, x, None)

    def gradients(outputs: Callable[[small.Tensors, Tensor], Tensor]) -> list[Tensor]:
        leaves = {name: batch[name].clone().requires_grad_() for name in read}
        probes = x.clone().requires_grad_()
        result = outputs(batch | leaves, probes).sin().sum()
        return list(torch.autograd.grad(result, [*leaves.values(), probes]))

    def looped(tensors: small.Tensors, probes: Tensor) -> Tensor:
        each = [{name: tensor[place] for name, tensor in tensors.items()} for place in range(3)]
        inputs = program.inputs_for(probes)
        return torch.stack([program.outputs(state, inputs, differentiable=True)[0] for state in each])

    at_once = gradients(lambda tensors, probes: run_batch(graph, tensors, {}, probes)[0][0])
    assert all(small.close(a, b) for a, b in zip(at_once, gradients(looped), strict=True))


class Writing(nn.Module):
    """Writes into what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.shift = nn.Linear(3, 2), nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        x += self.shift
        return self.layer(x).relu_()


def test_a_network_that_writes_into_its_input_leaves_the_probes_alone() -> None:
    program = small.Program(Writing().double(), small.Inputs((torch.zeros(2, 3),)))
    batch = {name: torch.randn(3, *each.shape, dtype=torch.float64) for name, each in program.state().items()}
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    graph = record(program, {name: each[0] for name, each in batch.items()}, x, None)
    ((output,), _) = run_batch(graph, batch, {}, x)
    shifted = x + batch["shift"][:, None]
    assert small.close(output, (shifted @ batch["layer.weight"].mT + batch["layer.bias"][:, None]).relu())
    assert torch.equal(x.detach(), before)


class Branching(nn.Module):
    """Goes another way for other numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y if float(y.detach().sum()) > 0 else -y


def test_a_network_that_branches_on_what_it_computes_is_refused() -> None:
    program = small.Program(Branching(), small.Inputs((torch.zeros(2, 3),)))
    with pytest.raises(SourceError, match="expected operators that do not depend on what it computes"):
        record(program, program.state(), torch.zeros(4, 3), None)
