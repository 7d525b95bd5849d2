"""What cannot be traced is refused with the reason and the line; what merely looks odd is traced soundly."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weightspace.errors import TraceError
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, derive, randomized, verify


class Network(nn.Module):
    """Two layers and a counter, and a forward pass that each test gives."""

    def __init__(self, run: Callable[[Network, Tensor], Any]) -> None:
        super().__init__()
        self.run = run
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def network(run: Callable[[Network, Tensor], Any]) -> Network:
    return Network(run).eval()


def refused(run: Callable[[Network, Tensor], Any], module: Network | None = None) -> str:
    with pytest.raises(TraceError) as caught:
        derive(module or network(run), (torch.linspace(-1, 1, 8).reshape(2, 4),))
    message = str(caught.value)
    assert "\n" not in message
    return message


def place(run: Callable[..., Any]) -> str:
    """Where the last line of a function is, as messages show it."""
    lines, first = inspect.getsourcelines(run)
    return f"{Path(__file__).name}:{first + len(lines) - 1}"


# -------------------------------------------------------------------------------------------------- custom kernels


@torch.library.custom_op("weightspace_tests::reversed", mutates_args=())
def reversed_kernel(x: Tensor) -> Tensor:
    return x.flip(-1).clone()


@torch.library.custom_op("weightspace_tests::shaped", mutates_args=())
def shaped_kernel(x: Tensor) -> Tensor:
    return x.flip(-1).clone()


@shaped_kernel.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def by_custom_kernel(net: Network, x: Tensor) -> Tensor:
    return net.second(reversed_kernel(net.first(x)))


def test_a_custom_kernel_that_needs_values_is_refused_by_name():
    message = refused(by_custom_kernel)
    assert message.startswith(f"weightspace_tests.reversed.default at {place(by_custom_kernel)} is a custom kernel")
    assert message.endswith("torch.library.register_fake")


def test_a_custom_kernel_of_known_shape_freezes_what_it_touches_by_name():
    spec = derive(network(lambda net, x: net.second(shaped_kernel(net.first(x)))), (torch.ones(2, 4),))
    assert spec.groups == ()
    (reason,) = {axis.reason for axis in spec.frozen if axis.tensor == "first.bias"}
    assert "weightspace_tests.shaped" in reason


def by_address(net: Network, x: Tensor) -> Tensor:
    hidden = net.first(x)
    return net.second(hidden) * (hidden.data_ptr() % 2)


def test_the_address_of_a_tensor_without_memory_is_not_given_out():
    message = refused(by_address)
    assert message.startswith(f"the network asks for the address of a tensor at {place(by_address)}")
    assert message.endswith("torch.library.custom_op")


def by_address_of_an_input(net: Network, x: Tensor) -> Tensor:
    return net.second(net.first(x)) * float(x.data_ptr() != 0)


def test_real_tensors_have_an_address():
    assert derive(network(by_address_of_an_input), (torch.ones(2, 4),)).groups


class Tanh(torch.autograd.Function):
    """As a wrapper of a kernel is written that runs outside of PyTorch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.from_numpy(np.tanh(x.detach().cpu().numpy()))


def by_array(net: Network, x: Tensor) -> Tensor:
    return net.first(x) * float(net.first.bias.numpy()[0])


@pytest.mark.parametrize(
    ("run", "line"), [(by_array, by_array), (lambda net, x: net.second(Tanh.apply(net.first(x))), Tanh.forward)]
)
def test_leaving_pytorch_is_refused_by_its_line(run: Callable[[Network, Tensor], Tensor], line: Callable[..., Any]):
    message = refused(run)
    assert message.startswith("the network takes values that depend on its weights out of PyTorch")
    assert place(line) in message


# -------------------------------------------------------------------------------------------------- values


def by_count(net: Network, x: Tensor) -> Tensor:
    return net.second(net.first(x))[net.first(x).argmax(0).nonzero()[:, 0] % 2]


def by_distinct(net: Network, x: Tensor) -> Tensor:
    return net.second(net.first(x)).unique()


@pytest.mark.parametrize(("run", "operator"), [(by_count, "nonzero"), (by_distinct, "_unique2")])
def test_results_whose_size_depends_on_weights_are_refused(run: Callable[[Network, Tensor], Tensor], operator: str):
    message = refused(run)
    assert "control flow of the network depends on the values of its weights" in message
    assert place(run) in message
    assert f"aten.{operator}.default" in message


def by_input(net: Network, x: Tensor) -> Tensor:
    choice = (x.clamp(min=0) > 0).to(net.first.weight.device).any()
    return net.second(net.first(x)) if choice else net.first(x)


def by_length_of_input(net: Network, x: Tensor) -> Tensor:
    mask = torch.ones(len(x), dtype=torch.bool)
    return net.second(net.first(x))[mask] if mask.all() else x


@pytest.mark.parametrize(("run", "looks"), [(by_input, True), (by_length_of_input, False)])
def test_lines_that_look_at_the_values_of_the_input_are_listed(run: Callable[[Network, Tensor], Tensor], looks: bool):
    spec = derive(network(run), (torch.ones(2, 4),))
    assert list(spec.looks) == ([place(run)] if looks else [])
    assert Spec.from_json(spec.to_json()).looks == spec.looks
    assert Spec(spec.all_groups, spec.tensors, spec.aliases).hash == spec.hash


# -------------------------------------------------------------------------------------------------- failing code


def by_exit(net: Network, x: Tensor) -> Tensor:
    raise SystemExit(3)


def by_refusing_meta(net: Network, x: Tensor) -> Tensor:
    return net.second(net.first(x).numpy_free() if net.first(x).is_meta else net.first(x))


def test_code_that_runs_with_values_only_is_not_called_faulty():
    message = refused(by_refusing_meta)
    assert message.startswith("the network runs, but not on the tensors without values of a trace: it fails at ")
    assert "AttributeError: 'Tensor' object has no attribute 'numpy_free'" in message


def by_misfit(net: Network, x: Tensor) -> Tensor:
    net.seen.add_(1)
    x.add_(1)
    return net.second(x)


def by_missing_item(net: Network, x: Tensor) -> Tensor:
    return net.second(net.items(x))


def by_short_input(net: Network, x: Tensor) -> Tensor:
    return net.second(x[:, :3])


@pytest.mark.parametrize("run", [by_missing_item, by_short_input, by_exit])
def test_code_of_the_network_that_fails_with_values_too_is_its_own_fault(run: Callable[[Network, Tensor], Tensor]):
    message = refused(run)
    assert message.startswith(f"the network's own code fails at {place(run)}: ")


def test_without_values_nobody_knows_whose_fault_it_is():
    message = refused(by_missing_item, network(by_missing_item).to("meta"))
    assert "own code" not in message
    assert place(by_missing_item) in message


def test_trying_the_code_changes_neither_the_network_nor_its_inputs():
    module, x = network(by_misfit), torch.ones(2, 4)
    module.run = lambda net, x: by_misfit(net, x.clone())
    with pytest.raises(TraceError, match="own code fails"):
        derive(module, (x,))
    assert float(module.seen) == 0
    assert torch.equal(x, torch.ones(2, 4))


# -------------------------------------------------------------------------------------------------- odd outputs


def output_written_afterwards(net: Network, x: Tensor) -> Any:
    hidden = net.first(x).relu()
    result = net.second(hidden)
    hidden.mul_(2)
    result.add_(1)
    return result, hidden.sum(1)


def view_written_afterwards(net: Network, x: Tensor) -> Any:
    hidden = net.second(net.first(x).relu())
    view = hidden.view(-1)
    hidden.cumsum_(1)
    return view


def hidden_units_shown_by_a_later_write(net: Network, x: Tensor) -> Any:
    hidden = net.first(x).relu()
    result = torch.zeros(2, 6, device=hidden.device)
    rows = result.view(-1)
    rows.add_(hidden.view(-1))
    return result


def parameter_as_an_output(net: Network, x: Tensor) -> Any:
    return net.second(net.first(x)), net.first.bias


def view_of_a_parameter_as_an_output(net: Network, x: Tensor) -> Any:
    return net.second(net.first(x)), net.second.weight.t()


@pytest.mark.parametrize(
    ("run", "groups"),
    [
        (output_written_afterwards, 1),
        (view_written_afterwards, 1),
        (hidden_units_shown_by_a_later_write, 0),
        (parameter_as_an_output, 0),
        (view_of_a_parameter_as_an_output, 0),
    ],
)
def test_outputs_that_are_written_or_are_parameters_are_kept_in_place(
    run: Callable[[Network, Tensor], Any], groups: int
):
    module = network(run)
    inputs = Inputs(args=(torch.linspace(-1, 1, 8).reshape(2, 4),))
    spec = derive(module, inputs.args)
    assert len(spec.groups) == groups
    program = Program(module, inputs)
    assert verify(spec, program.outputs, randomized(program.state(), spec)).verified
