"""Alignment by permutations and freedoms together: planted ones are found again, and the function stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.align.networks import Network, gpt2, llama, tokens
from weightspace.align import Alignment, align, check_kinds
from weightspace.errors import AlignmentError
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, Transformation, derive
from weightspace.symmetry.freedom.values import fold
from weightspace.symmetry.verify import relative_error

State = dict[str, Tensor]


def relu_mlp() -> Network:
    layers = nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 5)
    return nn.Sequential(*layers), Inputs((torch.randn(6, 12),))


def normed_cnn() -> Network:
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)), Inputs(
        (torch.randn(4, 3, 9, 9),)
    )


def untied_gpt2() -> Network:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=16, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=False,
    )  # fmt: skip
    return GPT2LMHeadModel(config), tokens()


def untied_llama() -> Network:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=61, hidden_size=36, intermediate_size=48, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=32, tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config), tokens()


def built(network: Callable[[], Network]) -> tuple[Program, Spec, State]:
    torch.manual_seed(0)
    module, inputs = network()
    module.eval()
    for name, parameter in module.named_parameters():  # norms and biases start at 1 and 0
        with torch.no_grad():
            parameter.add_(0.2 * parameter.abs().mean() * torch.randn_like(parameter) + 1e-3 * ("bias" in name))
    spec = derive(module, inputs.args, inputs.kwargs)
    program = Program(module, inputs)
    state = {
        name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in program.state().items()
    }
    return program, spec, {name: tensor for name, tensor in state.items() if name in spec.tensors}


def distance(x: State, y: State) -> float:
    """Relative, without statistics, which have scales of their own."""
    names = [name for name in x if x[name].is_floating_point() and "running" not in name]
    return float(
        (sum((x[n] - y[n]).square().sum() for n in names) / sum(x[n].square().sum() for n in names)).sqrt()  # type: ignore[union-attr]
    )


def tanh_mlp() -> Network:
    layers = nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 5)
    return nn.Sequential(*layers), Inputs((torch.randn(6, 12),))


PLANTED = {
    "tanh mlp, sign": (tanh_mlp, ("sign",)),
    "batch norms, scale and sign": (normed_cnn, ("scale", "sign")),
    "relu mlp, scale": (relu_mlp, ("scale",)),
    "batch norms, scale": (normed_cnn, ("scale",)),
    "gpt2, linear": (gpt2, ("linear",)),
    "gpt2 untied, rotation": (untied_gpt2, ("rotation",)),
    "gpt2 untied, rotation and linear": (untied_gpt2, ("rotation", "linear")),
    "llama, linear and rotary": (llama, ("linear", "rotary")),
    "llama untied, rotation, linear and rotary": (untied_llama, ("rotation", "linear", "rotary")),
}


@pytest.mark.parametrize("which", PLANTED)
def test_planted_transformations_are_found_again(which: str):
    network, kinds = PLANTED[which]
    program, spec, a = built(network)
    assert {freedom.kind for freedom in spec.freedoms.all} >= set(kinds)
    planted = Transformation.random(spec, torch.Generator().manual_seed(1), ("permutation", *kinds))
    b = planted.apply(a)
    assert distance(a, b) > 0.3
    alignment = align(a, b, spec, kinds=("permutation", *kinds), restarts=3, forward=program.outputs)
    assert alignment.preservation_error is not None
    assert alignment.preservation_error < 1e-5  # the Llamas compute parts in float32
    back = alignment.apply(b)
    # Scales keep the geometric mean of what no place decides; linear maps end where L-BFGS ends.
    assert distance(a, back) < 2e-2
    assert relative_error(program.outputs(back), program.outputs(a)) < 1e-4


def test_more_kinds_lead_nearer_on_unrelated_weights():
    program, spec, a = built(untied_gpt2)
    generator = torch.Generator().manual_seed(5)
    b = {
        n: t + t.std() * torch.randn(t.shape, generator=generator, dtype=t.dtype) for n, t in a.items() if t.numel() > 1
    }
    b = Transformation.random(spec, generator, ("permutation", "rotation", "linear")).apply({**a, **b})
    found = [
        align(a, b, spec, kinds=kinds, restarts=2, forward=program.outputs)
        for kinds in (("permutation",), ("permutation", "linear"), ("permutation", "linear", "rotation"))
    ]
    assert all((each.preservation_error or 1.0) < 1e-9 for each in found)

    def folded(state: State) -> State:
        for freedom in spec.freedoms.only("rotation").all:
            for one in freedom.folds:
                state = {**state, **fold(spec.freedoms, one, state)}
        return state

    distances = [distance(folded(a), folded(each.apply(b))) for each in found]
    assert distances[0] > distances[1] > 1.2 * distances[2]


def test_the_middle_is_the_same_as_with_all_norms_folded():
    program, spec, a = built(untied_gpt2)
    b = Transformation.random(spec, torch.Generator().manual_seed(1), ("permutation", "rotation")).apply(a)
    b = {n: t + 0.3 * t.std() * torch.randn_like(t) if t.numel() > 1 else t for n, t in b.items()}
    aligned = align(a, b, spec, kinds=("permutation", "rotation")).apply(b)
    ends = []
    for state in (a, aligned):
        for freedom in spec.freedoms.only("rotation").all:
            for one in freedom.folds:
                state = {**state, **fold(spec.freedoms, one, state)}
        ends.append(state)
    middle, folded = ({n: (x[n] + y[n]) / 2 for n in x} for x, y in ((a, aligned), ends))
    scales = {one.scale for freedom in spec.freedoms.all for one in freedom.folds}
    assert all(torch.allclose(a[name], aligned[name]) for name in scales)
    assert relative_error(program.outputs(middle), program.outputs(folded)) < 1e-9


def test_alignments_with_freedoms_come_back_from_disk(tmp_path: Path):
    _, spec, a = built(untied_llama)
    kinds = ("rotation", "linear", "rotary")
    b = Transformation.random(spec, torch.Generator().manual_seed(1), ("permutation", *kinds)).apply(a)
    alignment = align(a, b, spec, kinds=("permutation", *kinds))
    alignment.save(tmp_path / "alignment.safetensors")
    again = Alignment.load(tmp_path / "alignment.safetensors", spec)
    assert again.report() == alignment.report()
    assert set(alignment.report()["freedoms"]) == set(kinds)
    one, two = alignment.apply(b), again.apply(b)
    assert all(torch.equal(one[name], two[name]) for name in b)


def test_alignments_compose_and_invert():
    _, spec, a = built(untied_gpt2)
    kinds = ("permutation", "rotation", "linear")
    b, c = (Transformation.random(spec, torch.Generator().manual_seed(s), kinds).apply(a) for s in (1, 2))
    c_to_b, b_to_a = align(b, c, spec, kinds=kinds), align(a, b, spec, kinds=kinds)
    straight, twice = c_to_b.then(b_to_a).apply(c), b_to_a.apply(c_to_b.apply(c))
    assert distance(twice, straight) < 1e-9
    back = b_to_a.inverse().apply(b_to_a.apply(b))
    scales = {one.scale for freedom in spec.freedoms.all for one in freedom.folds}
    assert all(bool((back[name] == 1).all()) for name in scales)  # what was folded stays so
    folded = Transformation(
        spec, spec.identity(), {n: torch.eye(v.shape[-1]).double().expand_as(v) for n, v in b_to_a.values.items()}
    )
    assert distance(folded.apply(b), back) < 1e-9


def test_unknown_kinds_are_refused_with_the_nearest():
    with pytest.raises(AlignmentError, match=r"kind .rotatoin.: expected some of .*did you mean .rotation."):
        check_kinds(("permutation", "rotatoin"))
    with pytest.raises(AlignmentError, match="expected permutation among them"):
        check_kinds(("scale",))
