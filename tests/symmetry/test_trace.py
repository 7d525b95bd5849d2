"""Tracing: what is recorded, what is refused, and that the network is left alone."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from weightspace.errors import TraceError
from weightspace.symmetry import derive
from weightspace.symmetry.trace import Trace, trace


class Network(nn.Module):
    """One layer, a buffer, a buffer outside of the state dict, and a forward pass that each test gives."""

    def __init__(self, run: Callable[[Network, Tensor], Any]) -> None:
        super().__init__()
        self.run = run
        self.layer = nn.Linear(4, 6)
        self.register_buffer("kept", torch.zeros(6))
        self.register_buffer("outside", torch.zeros(6), persistent=False)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def traced(run: Callable[[Network, Tensor], Any], x: Tensor | None = None) -> Trace:
    return trace(Network(run).eval(), (torch.ones(2, 4) if x is None else x,))


def operators(found: Trace) -> list[str]:
    return [call.name for call in found.calls if call.name not in ("detach", "lift_fresh")]


# -------------------------------------------------------------------------------------------------- recording


def test_a_trace_names_tensors_as_the_state_dict_does():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()
    found = trace(module, (torch.ones(2, 3),))
    assert list(found.tensors) == list(module.state_dict())
    assert found.parameters == {name for name, _ in module.named_parameters()}
    assert found.aliases == {}
    assert [ref.shape for ref in (*found.inputs, *found.outputs)] == [(2, 3), (2, 4)]


def test_tied_parameters_come_out_as_aliases():
    module = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 3, bias=False), nn.Linear(3, 5, bias=False)).eval()
    module[2].weight = module[0].weight
    found = trace(module, (torch.tensor([1, 2]),))
    assert list(found.tensors) == ["0.weight", "1.weight"]
    assert found.aliases == {"2.weight": "0.weight"}
    spec = derive(module, (torch.tensor([1, 2]),))
    assert spec.aliases == found.aliases
    (group,) = spec.groups  # the width goes in and out of the layer, and through the tied table at both ends
    assert spec.occurrences(group.name) == [("0.weight", 1), ("1.weight", 0), ("1.weight", 1)]


def test_arguments_are_bound_by_their_names_with_defaults():
    (call,) = [c for c in traced(lambda net, x: net.layer(x)[:, :3]).calls if c.name == "slice"]
    assert (call["dim"], call["start"], call["end"], call["step"]) == (1, 0, 3, 1)
    assert call["self"].shape == (2, 6)
    assert call.output.shape == (2, 3)
    assert call.inputs == [call["self"]]
    assert call.written == []


def test_writes_in_place_are_seen_by_storage():
    found = traced(lambda net, x: net.layer(x).view(12).relu_())
    view, write = found.calls[-2:]
    assert (view.name, write.name) == ("view", "relu_")
    assert [ref.key for ref in write.written] == [view.output.key]
    assert write.written[0].storage == view["self"].storage
    assert view["self"].key != view.output.key


def test_outputs_are_found_in_nested_structures():
    found = traced(lambda net, x: {"first": [net.layer(x)], "second": (x, net.layer(x)[0])})
    assert [ref.shape for ref in found.outputs] == [(2, 6), (2, 4), (6,)]


def test_keyword_arguments_are_inputs_too():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 6)

        def forward(self, x: Tensor, *, scale: Tensor) -> Tensor:
            return self.layer(x) * scale

    found = trace(Two().eval(), (torch.ones(2, 4),), {"scale": torch.ones(6)})
    assert [ref.shape for ref in found.inputs] == [(2, 4), (6,)]


def test_constants_are_told_by_where_they_vary():
    constant = torch.tensor([[1.0, 2, 3], [1, 2, 3]])
    found = traced(lambda net, x: net.layer(x)[:, :3] + constant)
    assert list(found.constants.values()) == [(False, True)]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_network_and_its_inputs_are_left_alone(device: str):
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True)).eval().to(device)
    x = torch.ones(2, 4)
    tensors = module.state_dict(keep_vars=True)
    versions = {name: tensor._version for name, tensor in tensors.items()}
    values = copy.deepcopy(module.state_dict())
    fast_path = torch.backends.mha.get_fastpath_enabled()
    trace(module, (x,))
    assert torch.backends.mha.get_fastpath_enabled() == fast_path
    assert torch.is_grad_enabled()
    assert torch.equal(x, torch.ones(2, 4))
    for name, tensor in module.state_dict(keep_vars=True).items():
        assert tensor is tensors[name]
        assert tensor._version == versions[name]
        assert tensor.device.type == device
        assert tensor.is_meta or torch.equal(tensor, values[name])


def test_a_failing_trace_leaves_the_fast_path_as_it_was():
    before = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(TraceError):
        traced(lambda net, x: net.missing)
    assert torch.backends.mha.get_fastpath_enabled() == before


# -------------------------------------------------------------------------------------------------- values


def mask_by_position(net: Network, x: Tensor) -> Tensor:
    """A causal mask on the device of the weights, with code that looks at it, as transformers do."""
    position = torch.arange(6, device=net.layer.weight.device)
    mask = position[None, :] > position[:, None]
    if not mask.any() or int(mask.sum()) != 15:
        raise AssertionError("the mask has lost its values")
    return net.layer(x) @ torch.zeros(6, 6, device=mask.device).masked_fill(mask, -1.0)


def mask_that_moves(net: Network, x: Tensor) -> Tensor:
    """A mask made elsewhere and taken to the device of the weights."""
    mask = torch.tensor([True, False, True, False, True, False]).to(net.layer.weight.device)
    return net.layer(x)[:, : int(mask.sum())]


def mask_written_in_place(net: Network, x: Tensor) -> Tensor:
    """A mask that is put together by writing."""
    mask = torch.zeros(6, 6, device=net.layer.weight.device)
    mask[2:, :2] = 1.0
    mask += torch.eye(6, device=mask.device)
    return net.layer(x)[:, : int(mask.sum().item()) - 10]


def mask_of_the_input(net: Network, x: Tensor) -> Tensor:
    """Numbers and choices that only the input decides."""
    if x.sum().item() != 8.0 or not x.bool().any():
        raise AssertionError("the input has lost its values")
    return net.layer(x)[x[:, 0] > 0]


@pytest.mark.parametrize("run", [mask_of_the_input, mask_by_position, mask_that_moves, mask_written_in_place])
def test_values_that_do_not_depend_on_weights_are_known(run: Callable[[Network, Tensor], Tensor]):
    found = traced(run)
    assert found.outputs[0].shape[0] == 2
    assert "_local_scalar_dense" not in operators(found)


def by_item(net: Network, x: Tensor) -> Tensor:
    return net.layer(x) * net.layer.weight.sum().item()


def by_branch(net: Network, x: Tensor) -> Tensor:
    return net.layer(x) if net.layer(x).sum() > 0 else x


def by_list(net: Network, x: Tensor) -> Tensor:
    return net.layer(x) * net.layer.bias.tolist()[0]


def by_mask(net: Network, x: Tensor) -> Tensor:
    return net.layer(x)[net.layer(x) > 0]


def by_stale_view(net: Network, x: Tensor) -> Tensor:
    zeros = torch.zeros(6, device=net.layer.weight.device)
    view = zeros[:2]
    zeros.add_(net.layer.bias)
    return net.layer(x) if view.sum() > 0 else x


def by_stale_storage(net: Network, x: Tensor) -> Tensor:
    zeros = torch.zeros(6)
    zeros[2:] = net.layer.bias[2:]
    return net.layer(x) if zeros.view(2, 3)[1].sum() > 0 else x


@pytest.mark.parametrize("run", [by_item, by_branch, by_list, by_mask, by_stale_view, by_stale_storage])
def test_control_flow_that_depends_on_weights_is_refused_by_its_line(run: Callable[[Network, Tensor], Tensor]):
    lines, first = inspect.getsourcelines(run)
    with pytest.raises(TraceError, match="control flow of the network depends on the values of its weights") as caught:
        traced(run)
    message = str(caught.value)
    assert f" {Path(__file__).name}:{first + len(lines) - 1}" in message
    assert "\n" not in message


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_take_real_inputs(layer: type[nn.RNNBase]):
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = layer(3, 5, num_layers=2, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x)[0][:, -1])

    spec = derive(Last().eval(), (torch.ones(2, 4, 3),))
    assert [group.size for group in spec.groups] == [5, 5]


def test_tensors_go_along_when_they_are_sent_to_another_device():
    found = traced(lambda net, x: net.layer(x).to(x.device).type_as(x).cpu() + 1)
    assert operators(found)[-1] == "add"
    assert found.outputs[0].shape == (2, 6)


@pytest.mark.parametrize(
    ("numbers", "sliced"), [([1, 2, 3], True), ([-2, -1], True), ([0], True), ([2, 1], False), ([0, 2], False)]
)
def test_consecutive_numbers_that_stand_in_the_code_are_a_slice(numbers: list[int], sliced: bool):
    found = traced(lambda net, x: net.layer(x)[:, numbers])
    assert ("index" not in operators(found)) == sliced
    assert found.outputs[0].shape == (2, len(numbers))
    if sliced:
        (call,) = [call for call in found.calls if call.name == "slice"]
        assert list(range(6))[call["start"] : call["end"]] == [number % 6 for number in numbers]


# -------------------------------------------------------------------------------------------------- writing


def outputs_by_step(net: Network, x: Tensor) -> Tensor:
    """A recurrence that collects its states in storage on the CPU."""
    states, state = torch.zeros(3, 2, 6), torch.zeros(2, 6)
    for step in range(3):
        state = torch.tanh(net.layer(x) + state)
        states[step] = state
    return states.sum((0, 2))


def halves(net: Network, x: Tensor) -> Tensor:
    """Storage like the input, written through views of it."""
    storage = torch.zeros_like(x).repeat(1, 3)
    left, right = storage.chunk(2, 1)
    left.copy_(net.layer(x))
    right.add_(net.layer(x))
    return storage.sum(1)


def total(net: Network, x: Tensor) -> Tensor:
    """A sum that starts from a number."""
    result = torch.tensor(0.0)
    result += net.layer(x).sum()
    return result


@pytest.mark.parametrize(("run", "sizes"), [(outputs_by_step, [6]), (halves, [6]), (total, [6])])
def test_storage_that_the_network_makes_may_be_written(run: Callable[[Network, Tensor], Tensor], sizes: list[int]):
    module = Network(run).eval()
    assert [group.size for group in derive(module, (torch.ones(2, 4),)).groups] == sizes


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: net.outside.add_(net.layer(x)[0]),
        lambda net, x: net.outside[2:].copy_(net.layer(x)[0, 2:]),
        lambda net, x: CONSTANT.mul_(net.layer(x)[0]),
    ],
)
def test_writing_weights_into_a_constant_is_refused(run: Callable[[Network, Tensor], Tensor]):
    with pytest.raises(TraceError, match="a constant is overwritten in place with values that depend on the weights"):
        traced(run)
    assert torch.equal(CONSTANT, torch.ones(6))


CONSTANT = torch.ones(6)


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: net.layer(x.mul_(2)),
        lambda net, x: x[:, :2].add_(net.layer(x)[:, :2]),
        lambda net, x: x.copy_(net.layer(x)[:, :4]),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_writing_an_input_is_refused_and_does_not_happen(run: Callable[[Network, Tensor], Tensor], device: str):
    x = torch.ones(2, 4, device=device)
    with pytest.raises(TraceError, match="the network overwrites its input in place; let it work on a copy"):
        traced(run, x)
    assert x._version == 0


def test_buffers_of_the_state_dict_may_be_written():
    module = Network(lambda net, x: net.layer(x) + net.kept.add_(1)).eval()
    trace(module, (torch.ones(2, 4),))
    assert torch.equal(module.kept, torch.zeros(6))


# -------------------------------------------------------------------------------------------------- refusals


def test_training_mode_is_refused():
    with pytest.raises(TraceError, match=r"training mode, where its function is random; call eval\(\) first"):
        trace(nn.Linear(2, 2), (torch.ones(1, 2),))


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: None,
        lambda net, x: 1.0,
        lambda net, x: (net.layer(x), net.outside),
        lambda net, x: (net.layer(x), CONSTANT),
    ],
)
def test_outputs_that_no_operator_made_are_refused(run: Callable[[Network, Tensor], Any]):
    with pytest.raises(TraceError, match="an output of the network is not the result of an operator"):
        traced(run)


# -------------------------------------------------------------------------------------------------- size


def test_a_7b_network_costs_no_memory():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, vocab_size=32000
    )
    with torch.device("meta"):
        module = transformers.LlamaForCausalLM(config).eval()
    assert sum(parameter.numel() for parameter in module.parameters()) > 6.7e9
    spec = derive(module, (torch.ones(1, 8, dtype=torch.int64),), {"use_cache": False})
    sizes = [group.size for group in spec.groups]
    assert sizes.count(4096) == 1  # the residual stream
    assert sizes.count(11008) == 32  # the hidden units of every layer
    assert sizes.count(32) == 32  # heads
    assert sizes.count(128) == 32  # the values within a head; rotary embeddings keep queries and keys in order
    assert len(sizes) == 97
