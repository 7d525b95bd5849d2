"""Fine-tunes and adapters that are carried from one base to another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.align.networks import NETWORKS, built
from weightspace.align import Alignment, align
from weightspace.align.transport import transport_adapter, transport_fine_tune
from weightspace.errors import CheckpointMismatchError
from weightspace.source import Program
from weightspace.symmetry import Spec, randomized

State = dict[str, Tensor]


def moved_base(name: str) -> tuple[Program, Spec, State, State, Alignment]:
    """A network, the same network in other coordinates, and the alignment of the first to the second."""
    program, spec = built(name)
    a = {n: t.double() if t.is_floating_point() else t for n, t in randomized(program.state(), spec, 0).items()}
    b = spec.apply(spec.random_element(torch.Generator().manual_seed(1)), a)
    return program, spec, a, b, align(b, a, spec, seed=2)


def tuned(state: State, aliases: dict[str, str] | object = ()) -> State:
    generator = torch.Generator().manual_seed(3)
    found: State = {}
    for name, tensor in state.items():
        first = aliases.get(name) if isinstance(aliases, dict) else None
        if first is not None:
            found[name] = found[first]
        elif tensor.is_floating_point():
            found[name] = tensor + 0.05 * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
        else:
            found[name] = tensor
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_between_two_forms_of_one_base_the_function_of_the_fine_tune_is_kept(name: str):
    program, spec, a, b, alignment = moved_base(name)
    fine = tuned(a, dict(spec.aliases))
    carried = transport_fine_tune(fine, a, b, alignment)
    for found, expected in zip(program.outputs(dict(carried)), program.outputs(fine), strict=True):
        assert torch.allclose(found, expected, atol=1e-9)
    assert carried.replaced == []


def test_half_a_difference_is_added():
    _, spec, a, b, alignment = moved_base("mlp")
    fine = tuned(a)
    half = transport_fine_tune(fine, a, b, alignment, scale=0.5)
    moved = spec.apply(alignment.element, {name: fine[name] - a[name] for name in a})
    assert all(torch.allclose(half[name], b[name] + moved[name] / 2) for name in a)


def test_types_are_those_of_the_fine_tune():
    _, _, a, b, alignment = moved_base("cnn")
    fine = {name: t.bfloat16() if t.is_floating_point() else t for name, t in a.items()}
    carried = transport_fine_tune(fine, a, b, alignment)
    assert {name: t.dtype for name, t in carried.items()} == {name: t.dtype for name, t in fine.items()}


def test_a_head_of_another_size_is_taken_over_whole():
    _, spec, a, b, alignment = moved_base("mlp")
    fine = tuned(a)
    fine["4.weight"], fine["4.bias"] = torch.randn(7, 24).double(), torch.randn(7).double()
    carried = transport_fine_tune(fine, a, b, alignment)
    made = dict(carried)
    assert sorted(carried.replaced) == ["4.bias", "4.weight"]
    assert made["4.weight"].shape == (7, 24)
    x = torch.randn(5, 12).double()

    def run(state: State) -> Tensor:
        hidden = torch.relu(x @ state["0.weight"].T + state["0.bias"])
        hidden = torch.tanh(hidden @ state["2.weight"].T + state["2.bias"])
        return hidden @ state["4.weight"].T + state["4.bias"]

    assert torch.allclose(run(made), run(fine), atol=1e-9)
    fine["2.weight"] = torch.randn(24, 23).double()
    with pytest.raises(CheckpointMismatchError, match=r"'2\.weight' of the fine-tune: expected shape \(24, 24\)"):
        dict(transport_fine_tune(fine, a, b, alignment))
    assert spec.tensors["2.weight"].shape == (24, 24)


def test_missing_tensors_are_named():
    _, _, a, b, alignment = moved_base("mlp")
    without = {name: tensor for name, tensor in a.items() if name != "2.bias"}
    with pytest.raises(CheckpointMismatchError, match=r"'2\.bias' of A: expected it in the fine-tune"):
        transport_fine_tune(without, a, b, alignment)
    with pytest.raises(CheckpointMismatchError, match=r"'2\.bias' of the fine-tune: expected it in B"):
        transport_fine_tune(a, a, without, alignment)


def adapter_of(spec: Spec, *, swapped: bool, rank: int = 3) -> tuple[State, State]:
    """A LoRA adapter of every matrix, by PEFT's names, and the changes of the weights that it means."""
    generator = torch.Generator().manual_seed(4)
    adapter: State = {}
    changes: State = {}
    for name, tensor in spec.tensors.items():
        if tensor.kind != "parameter" or len(tensor.shape) != 2:
            continue
        outputs, inputs = tensor.shape if not swapped else tensor.shape[::-1]
        module = f"base_model.model.{name.removesuffix('.weight')}"
        down = torch.randn(rank, inputs, generator=generator, dtype=torch.float64)
        up = torch.randn(outputs, rank, generator=generator, dtype=torch.float64)
        adapter |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
        changes[name] = (up @ down).T if swapped else up @ down
    return adapter, changes


@pytest.mark.parametrize("name", ["mlp", "llama", "gpt2"])
def test_an_adapter_means_the_same_change_in_the_other_coordinates(name: str):
    _, spec, _, _, alignment = moved_base(name)
    swapped = name == "gpt2"  # not so for its embeddings, but the test below only compares products
    adapter, changes = adapter_of(spec, swapped=swapped)
    carried = transport_adapter(adapter, alignment, fan_in_fan_out=swapped)
    assert list(carried) == list(adapter)
    expected = spec.apply(alignment.element, changes)
    for weight, change in expected.items():
        module = f"base_model.model.{weight.removesuffix('.weight')}"
        product = carried[f"{module}.lora_B.weight"] @ carried[f"{module}.lora_A.weight"]
        assert torch.allclose(product.T if swapped else product, change)


def test_embeddings_magnitudes_and_whole_modules_come_along():
    _, spec, a, _, alignment = moved_base("llama")
    embedding = "model.embed_tokens.weight"
    tokens, width = spec.tensors[embedding].shape
    down, up = torch.randn(2, tokens), torch.randn(width, 2)
    magnitude = torch.randn(spec.tensors["model.layers.0.mlp.up_proj.weight"].shape[0])
    carried = transport_adapter(
        {
            "base_model.model.model.embed_tokens.lora_embedding_A": down,
            "base_model.model.model.embed_tokens.lora_embedding_B": up,
            "base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector": magnitude,
            "base_model.model.model.norm.weight": a["model.norm.weight"],
            "model.layers.1.mlp.down_proj.lora_A.default.weight": torch.randn(2, 48),
        },
        alignment,
    )
    change = (carried["base_model.model.model.embed_tokens.lora_embedding_B"]
              @ carried["base_model.model.model.embed_tokens.lora_embedding_A"]).T  # fmt: skip
    assert torch.allclose(change, spec.apply_tensor(alignment.element, embedding, (up @ down).T))
    up_name = "model.layers.0.mlp.up_proj.weight"
    rows = spec.apply_tensor(alignment.element, up_name, magnitude[:, None].expand(spec.tensors[up_name].shape))
    assert torch.equal(carried["base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector"], rows[:, 0])
    norm = spec.apply_tensor(alignment.element, "model.norm.weight", a["model.norm.weight"])
    assert torch.equal(carried["base_model.model.model.norm.weight"], norm)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("base_model.model.model.layers.9.mlp.up_proj.lora_A.weight", (2, 36), "expected a weight 'model.layers.9"),
        ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", (2, 35), "expected size 36 along axis 1"),
        ("base_model.model.score.weight", (2, 36), "expected it to be part of the base, found no 'score.weight'"),
        ("base_model.model.model.norm.weight", (35,), r"expected shape \(36,\)"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name: str, shape: tuple[int, ...], message: str):
    _, _, _, _, alignment = moved_base("llama")
    with pytest.raises(CheckpointMismatchError, match=message) as caught:
        transport_adapter({name: torch.randn(shape)}, alignment)
    assert name in str(caught.value)
