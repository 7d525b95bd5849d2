"""Which tensors of a result count."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from weightspace.outputs import result_tensors
from weightspace.source import Inputs, Program
from weightspace.symmetry import derive

A, B, C = torch.zeros(1), torch.zeros(2), torch.zeros(3)


@dataclass
class Pair:
    first: Tensor
    rest: Any


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (A, [A]),
        ((A, [B, None], {"hidden_states": C}), [A, B, C]),
        (Pair(A, (B, Pair(C, "text"))), [A, B, C]),
        ("text", []),
        ([], []),
    ],
)
def test_every_tensor_counts(result: Any, expected: list[Tensor]):
    found = result_tensors(result)
    assert [id(tensor) for tensor in found] == [id(tensor) for tensor in expected]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"logits": A, "past_key_values": ((B, B),), "encoder_last_hidden_state": C}, [A]),
        ({"last_hidden_state": A, "pooler_output": B, "hidden_states": (A, C)}, [A, B]),
        ({"hidden_states": (A, B)}, [A, B]),
        ({"loss": None, "encoder_last_hidden_state": A}, [A]),
        ({"logits_per_image": A, "text_embeds": B, "text_model_output": {"last_hidden_state": C}}, [A, B]),
        ({"start_logits": A, "end_logits": B, "encoder_attentions": (C,)}, [A, B]),
        ({"logits": A, "router_logits": (B,), "aux_loss": C}, [A, C]),
    ],
)
def test_internals_of_a_transformers_model_do_not_count_beside_results(fields: dict[str, Any], expected: list[Tensor]):
    utils = pytest.importorskip("transformers.utils")

    found = result_tensors(utils.ModelOutput(**fields))
    assert [id(tensor) for tensor in found] == [id(tensor) for tensor in expected]


def test_hidden_states_may_move_where_logits_are_the_function():
    utils = pytest.importorskip("transformers.utils")

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = nn.Linear(3, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Any:
            hidden = self.hidden(x).relu()
            return utils.ModelOutput(logits=self.out(hidden), hidden_states=(hidden,))

    network = Network().eval()
    inputs = Inputs((torch.randn(4, 3),))
    assert [(group.name, group.size) for group in derive(network, inputs.args).groups] == [("hidden", 5)]
    program = Program(network, inputs)
    assert [tuple(tensor.shape) for tensor in program.outputs(program.state())] == [(4, 2)]
