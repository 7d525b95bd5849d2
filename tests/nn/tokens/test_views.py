"""Views of networks by random symmetries."""

from __future__ import annotations

import torch

from tests.nn import small
from weightspace.nn.tokens import random_view


def test_views_are_the_same_functions_in_another_order() -> None:
    program, spec = small.program_of(small.cnn)
    tensors = small.random_networks(spec, 3)
    view = random_view(spec, tensors, torch.Generator().manual_seed(0))
    assert list(view) == list(tensors)
    assert not torch.equal(view["3.weight"], tensors["3.weight"])
    shared = {name: each for name, each in program.state().items() if name not in tensors}
    for place in range(3):
        before, after = (
            program.outputs(shared | {name: each[place] for name, each in state.items()})[0]
            for state in (tensors, view)
        )
        assert small.close(after, before)
    again = random_view(spec, tensors, torch.Generator().manual_seed(0))
    assert all(torch.equal(again[name], view[name]) for name in view)


def test_every_network_moves_on_its_own() -> None:
    _, spec = small.program_of(small.cnn)
    tensors = {name: each[:1].expand(8, *each.shape[1:]) for name, each in small.random_networks(spec, 1).items()}
    view = random_view(spec, tensors, torch.Generator().manual_seed(0))
    assert len({tuple(bias.tolist()) for bias in view["3.bias"]}) > 1
