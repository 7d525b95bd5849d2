"""Taps: what a group element does to the weights, it does to the values at every tap."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.align import networks as larger
from tests.symmetry import networks as small
from weightspace.errors import SourceError
from weightspace.source import Inputs, Program
from weightspace.symmetry import Element, Spec, derive
from weightspace.symmetry.taps import Depth, Tap

# Hidden units of token mixing, one for every channel: their values always carry the channels, too.
HIDDEN = {"mixer": {f"blocks.{block}.mlp_tokens.fc1" for block in range(2)}}
DEPTHS: tuple[Depth, ...] = ("made", "read", "all")
BUILDERS = {
    **{name: larger.NETWORKS[name] for name in ("cnn", "gru", "gpt2", "llama")},
    **{
        build.__name__: build
        for build in (
            small.vgg, small.dense, small.cifar_resnet20, small.grouped_convolutions, small.norms, small.autoencoder,
            small.attention, small.cross_attention, small.encoder, small.slopes, small.mixer,
        )
    },
}  # fmt: skip


def built(name: str) -> tuple[Program, Spec]:
    torch.manual_seed(0)
    module, *rest = BUILDERS[name]()
    inputs = rest[0] if isinstance(rest[0], Inputs) else Inputs(*rest)
    module.eval()
    return Program(module, inputs), derive(module, inputs.args, inputs.kwargs)


def values(program: Program, state: dict[str, Tensor], inputs: Inputs) -> dict[Tap, Tensor]:
    found: dict[Tap, Tensor] = {}
    program.visit(state, inputs, program.taps(inputs), lambda tap, seen: found.update({tap: seen.clone()}))
    return found


def moved(values: Tensor, group: str, element: Element) -> Tensor:
    """Values (samples, outer..., n) under an element, one index at a time."""
    depends_on = {each.name: each.depends_on for each in element.groups}
    names = [*depends_on[group], group]
    result = torch.empty_like(values)
    for new in torch.cartesian_prod(*(torch.arange(size) for size in values.shape[1:])).reshape(-1, len(names)):
        place = dict(zip(names, new.tolist(), strict=True))
        old = [int(element.perm(name)[tuple(place[o] for o in (*depends_on[name], name))]) for name in names]
        result[(slice(None), *new.tolist())] = values[(slice(None), *old)]
    return result


@pytest.mark.parametrize("name", BUILDERS)
def test_values_at_taps_move_with_the_weights(name: str) -> None:
    program, spec = built(name)
    element = spec.random_element(torch.Generator().manual_seed(1))
    state = {key: tensor.double() if tensor.is_floating_point() else tensor for key, tensor in program.state().items()}
    before, after = (values(program, each, program.inputs) for each in (state, spec.apply(element, state)))
    assert before
    assert list(before) == list(after)
    for tap, seen in before.items():
        torch.testing.assert_close(after[tap], moved(seen, tap.group, element), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_movable_group_that_can_be_seen_at_every_depth(name: str) -> None:
    program, spec = built(name)
    taps = program.taps(program.inputs)
    assert taps.spec.hash == spec.hash
    for depth in DEPTHS:
        shown = {tap.group for tap in taps.chosen(depth).taps}
        outer = {name for group in spec.groups if group.name in shown for name in group.depends_on}
        assert {group.name for group in spec.groups} - shown - outer == HIDDEN.get(name, set())


def test_depths_of_a_plain_network() -> None:
    first, x = nn.Linear(3, 4), torch.randn(5, 3)
    program = Program(nn.Sequential(first, nn.ReLU(), nn.Linear(4, 2)), Inputs((x,)))
    seen = values(program, program.state(), program.inputs)
    assert [(tap.made, tap.read) for tap in seen] == [(True, False), (False, True)]
    made, read = seen.values()
    torch.testing.assert_close(made, first(x))
    torch.testing.assert_close(read, first(x).relu())


def test_a_residual_stream_is_made_by_every_branch_and_read_by_every_branch() -> None:
    program, _ = built("gpt2")
    stream = [tap for tap in program.taps(program.inputs).taps if tap.group == "transformer.wte"]
    blocks = 2
    assert sum(tap.made for tap in stream) == 1 + 2 * blocks  # embedding, attention and mlp of every block
    assert sum(tap.read for tap in stream) == 2 * blocks + 1  # what they read after the norm, and the logits


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_any_batch_size(batch: int) -> None:
    program, _ = built("llama")
    inputs = program.inputs_for(torch.randint(61, (batch, 7)))
    for tap, seen in values(program, program.state(), inputs).items():
        assert len(seen) % (batch * 7) == 0, tap.group


def test_positions_are_samples() -> None:
    conv, x = nn.Conv2d(2, 3, 1), torch.randn(2, 2, 4, 5)
    program = Program(nn.Sequential(conv, nn.ReLU(), nn.Conv2d(3, 1, 1)), Inputs((x,)))
    made = next(iter(values(program, program.state(), program.inputs).values()))
    torch.testing.assert_close(made, conv(x).movedim(1, -1).reshape(-1, 3))


def test_values_that_are_overwritten_in_place_are_seen_before() -> None:
    layers = nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)
    program = Program(nn.Sequential(*layers), Inputs((torch.randn(5, 3),)))
    made, read = values(program, program.state(), program.inputs).values()
    assert float(made.min()) < 0
    torch.testing.assert_close(read, made.relu())


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        return self.second(hidden.relu() if x.sum() > 0 else hidden.tanh())


def test_a_run_that_goes_another_way_than_its_trace_is_refused() -> None:
    program = Program(Branching(), Inputs((torch.ones(2, 3),)))
    taps = program.taps(program.inputs)
    with pytest.raises(SourceError, match=r"expected aten\.relu\.default as in its trace, found aten\.tanh\.default"):
        program.visit(program.state(), Inputs((-torch.ones(2, 3),)), taps, lambda tap, seen: None)


def test_a_layer_that_runs_one_fused_kernel_is_refused() -> None:
    module, args, kwargs = small.lstm()
    program = Program(module, Inputs(args, kwargs))
    with pytest.raises(SourceError, match="a method that goes by weights alone"):
        program.visit(program.state(), program.inputs, program.taps(program.inputs), lambda tap, seen: None)
