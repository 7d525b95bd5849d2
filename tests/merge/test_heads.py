"""Networks with different classes as one network with the classes of all: exact where the rest is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from tests.align.networks import resnet20
from weightspace.align import align
from weightspace.errors import CheckpointMismatchError, SourceError
from weightspace.merge import interpolate, join_heads, pleas
from weightspace.source import Inputs, Program, Source
from weightspace.source.head import Resized, head_of, with_outputs
from weightspace.structure import copy_structure
from weightspace.symmetry import Spec, derive, randomized
from weightspace.symmetry.verify import relative_error

State = dict[str, Tensor]


@dataclass(frozen=True)
class Built(Source):
    """A network that a function builds."""

    label: str
    factory: Callable[[], nn.Module]
    shape: tuple[int, ...]

    @override
    def build(self, *, meta: bool = False) -> nn.Module:
        torch.manual_seed(0)
        module = self.factory().eval()
        return copy_structure(module, meta=True) if meta else module

    @override
    def example_inputs(self, *, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Inputs:
        generator = torch.Generator().manual_seed(seed)
        return Inputs((torch.randn(batch, *self.shape, generator=generator, dtype=dtype),))


class Transposed(nn.Module):
    """A head whose weight is (in, out), as in GPT-2."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.nf = nn.Linear(7, 12), 4
        self.weight, self.bias = nn.Parameter(torch.randn(12, 4)), nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, self.into(x).relu(), self.weight)


class Twice(nn.Module):
    """A head that is registered under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.head = nn.Linear(7, 12), nn.Linear(12, 4)
        self.same = self.head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.into(x).tanh())


def perceptron(*last: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(7, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 4), *last)


def convolutions() -> nn.Module:
    """A head over every pixel, then a mean."""
    features = nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()
    return nn.Sequential(*features, nn.Conv2d(6, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


MLP = Built("mlp", perceptron(), (7,))
SOURCES = [
    MLP,
    Built("convolutions", convolutions, (2, 6, 6)),
    Built("transposed", Transposed, (7,)),
    Built("twice", Twice, (7,)),
    Built("resnet20", lambda: resnet20()[0], (3, 32, 32)),
    Built("rows", perceptron(), (5, 7)),
]


def built(source: Source) -> tuple[Program, Spec]:
    inputs = source.example_inputs()
    return Program.from_source(source), derive(source.build(meta=True), inputs.args, inputs.kwargs)


def network(source: Source, classes: int, seed: int) -> tuple[Program, State]:
    """The network with so many outputs, and random weights."""
    program, spec = built(with_outputs(source, head_of(source), classes))
    return program, randomized(program.state(), spec, seed)


def output(program: Program, state: State) -> Tensor:
    (found,) = program.outputs(state)
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.label)
@pytest.mark.parametrize("classes", [(4, 4), (3, 5), (2, 4, 1)])
def test_each_network_gives_its_outputs_and_their_mean_all_side_by_side(source: Source, classes: tuple[int, ...]):
    networks = [network(source, count, seed) for seed, count in enumerate(classes)]
    joint = join_heads(source, [state for _, state in networks])
    program, _ = built(joint.source)
    states = [dict(joint.state(at, state)) for at, (_, state) in enumerate(networks)]
    alone = [output(*each) for each in networks]
    along = alone[0].dim() - 1
    mean = torch.stack([output(program, state) for state in states]).mean(0)
    torch.testing.assert_close(mean, torch.cat(alone, along), rtol=1e-10, atol=1e-10)
    for block, state, own in zip(joint.outputs, states, alone, strict=True):
        found = output(program, state)
        rest = [at for at in range(sum(classes)) if at not in block]
        torch.testing.assert_close(found.narrow(along, block.start, len(block)), own * len(classes))
        assert not found.index_select(along, torch.tensor(rest)).any()


def test_a_tied_tensor_may_have_another_name_in_each():
    source = SOURCES[3]
    a, b = network(source, 4, 0)[1], network(source, 3, 1)[1]
    b = {name.replace("head", "same"): tensor for name, tensor in b.items()}
    assert join_heads(source, [{**a, "same.weight": a["head.weight"]}, b]).outputs == (range(4), range(4, 7))


def permuted_with_another_head(source: Source) -> tuple[tuple[Program, State], tuple[Program, State]]:
    """A network, and one with other classes that is its copy up to the head, its units in another order."""
    first, a = network(source, 4, 0)
    second, spec = built(with_outputs(source, head_of(source), 3))
    other = randomized(second.state(), spec, 1)
    b = {name: other[name] if name in head_of(source).axes else tensor for name, tensor in a.items()}
    return (first, a), (second, spec.apply(spec.random_element(torch.Generator().manual_seed(2)), b))


@pytest.mark.parametrize("source", SOURCES[:4], ids=lambda source: source.label)
def test_a_permuted_copy_with_another_head_merges_to_both_functions(source: Source):
    (first, a), (second, b) = permuted_with_another_head(source)
    joint = join_heads(source, [a, b])
    program, spec = built(joint.source)
    one, two = (dict(joint.state(at, state)) for at, state in enumerate((a, b)))
    aligned = align(one, two, spec).apply(two)
    merged = output(program, interpolate(one, aligned, 0.5))
    torch.testing.assert_close(merged, torch.cat([output(first, a), output(second, b)], 1), rtol=1e-9, atol=1e-9)


def test_so_it_does_by_activations_and_least_squares():
    (first, a), (second, b) = permuted_with_another_head(MLP)
    joint = join_heads(MLP, [a, b])
    program, spec = built(joint.source)
    one, two = (dict(joint.state(at, state)) for at, state in enumerate((a, b)))
    generator = torch.Generator().manual_seed(3)
    calls = [Inputs((torch.randn(64, 7, generator=generator, dtype=torch.float64),)) for _ in range(4)]
    aligned = align(one, two, spec, method="activations", program=program, batches=lambda: calls).apply(two)
    merged = pleas((one, aligned), program, lambda: calls, passes=0).state
    for inputs in calls:
        expected = torch.cat([first.outputs(a, inputs)[0], second.outputs(b, inputs)[0]], 1)
        assert relative_error(program.outputs(merged, inputs), [expected]) < 1e-5


def test_shares_other_than_a_half_keep_both_heads_too():
    (first, a), (second, b) = network(MLP, 4, 0), network(MLP, 3, 1)
    joint = join_heads(MLP, [a, b], (0.7, 0.3))
    merged = interpolate(dict(joint.state(0, a)), dict(joint.state(1, b)), 0.3)
    torch.testing.assert_close(merged["4.weight"], torch.cat([a["4.weight"], b["4.weight"]]))
    torch.testing.assert_close(merged["4.bias"], torch.cat([a["4.bias"], b["4.bias"]]))
    torch.testing.assert_close(merged["0.bias"], 0.7 * a["0.bias"] + 0.3 * b["0.bias"])
    assert joint.recipe() == {"weight": "4.weight", "bias": "4.bias", "outputs": [[0, 4], [4, 7]]}
    assert output(first, a).shape[1] + output(second, b).shape[1] == 7


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.one, self.two = nn.Linear(7, 12), nn.Linear(12, 4), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x).relu()
        return self.one(x) + self.two(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(7, 12), nn.Linear(12, 7, bias=False)
        self.out.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.table(x.abs().long() % 7).relu())


class Counted(nn.Module):
    """Knows the number of its outputs by heart."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(7, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.into(x).relu()).reshape(-1, 4)


class Features(nn.Module):
    """Gives its features beside its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(7, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.into(x).relu()
        return self.out(x), x


@pytest.mark.parametrize(
    ("factory", "found"),
    [
        (perceptron(nn.Softmax(1)), "outputs that are off by"),
        (perceptron(nn.LogSoftmax(1)), "outputs that are off by"),
        (perceptron(nn.Sigmoid()), "outputs that are off by"),
        (perceptron(nn.LayerNorm(4, elementwise_affine=False)), "does not take another number"),
        (TwoHeads, "does not take another number"),
        (Tied, "other parts of the network read too"),
        (Counted, "outputs of shape"),
        (Features, "2 outputs"),
        (lambda: nn.Sequential(nn.ReLU()), "found none"),
    ],
)
def test_outputs_that_are_not_those_of_one_head_are_refused(factory: Callable[[], nn.Module], found: str):
    source = Built("net", factory, (7,))
    state = Program.from_source(source).state()
    with pytest.raises(SourceError, match=f"^net: expected .*{found}"):
        join_heads(source, [state, state])


def test_what_differs_elsewhere_is_named():
    a = network(MLP, 4, 0)[1]
    for name, other in (("2.weight", torch.zeros(11, 12)), ("4.weight", torch.zeros(3, 11))):
        with pytest.raises(CheckpointMismatchError, match=rf"^{name}: expected .*differ in their heads alone"):
            join_heads(MLP, [a, {**a, "4.bias": torch.zeros(3), "4.weight": torch.zeros(3, 12), name: other}])
    with pytest.raises(CheckpointMismatchError, match=r"^4\.weight: expected the weight of a head, found none"):
        join_heads(MLP, [a, {"0.weight": a["0.weight"]}])


def test_a_module_that_is_returned_again_and_again_stays_as_it_is():
    once = perceptron()()
    source = Built("once", lambda: once, (7,))
    larger = Resized("once", source, head_of(source), 9)
    assert larger.build().state_dict()["4.weight"].shape == (9, 12)
    assert once.get_submodule("4").weight.shape == (4, 12)
    assert larger.build(meta=True).state_dict()["4.bias"].shape == (9,)
