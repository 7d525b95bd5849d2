"""Derivation from end to end on real architectures: the groups are the known ones, and verification confirms them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch

from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.source import Inputs, Program
from weightspace.symmetry import Spec, Verification, derive, randomized, verify
from weightspace.symmetry.axis import GroupAxis, ProductAxis, Run, SumAxis

Groups = dict[str, tuple[int, tuple[str, ...]]]  # name -> size, outer groups


def derived(build: Callable[[], Network]) -> tuple[Spec, Program]:
    torch.manual_seed(0)
    module, args, kwargs = build()
    module.eval()
    return derive(module, args, kwargs), Program(module, Inputs(args, kwargs))


def verified(spec: Spec, program: Program, **options: Any) -> Verification:
    found = verify(spec, program.outputs, randomized(program.state(), spec), **options)
    assert (found.wrong, found.insensitive) == ((), ())
    assert found.verified
    assert {check.name for check in found.groups} <= {group.name for group in spec.groups}
    assert all(check.control is None or check.control > 1e-3 for check in found.groups)
    return found


def groups(spec: Spec) -> Groups:
    return {group.name: (group.size, group.depends_on) for group in spec.groups}


def units(sizes: Mapping[str, int]) -> Groups:
    return {name: (size, ()) for name, size in sizes.items()}


def heads(name: str, count: int, width: int) -> Groups:
    """The heads of a fused projection, with one basis for queries and keys and one for values in each."""
    return {name: (count, ()), f"{name}#2": (width, (name,)), f"{name}#3": (width, (name,))}


def sizes(spec: Spec) -> list[int]:
    return sorted(group.size for group in spec.groups)


SEPARATE = {
    "attention.q_proj_weight": (2, ()),
    "attention.q_proj_weight#2": (4, ("attention.q_proj_weight",)),
    "attention.v_proj_weight": (4, ("attention.q_proj_weight",)),
}
ENCODER = {"0": (8, ())}
for layer in (1, 2):
    ENCODER |= heads(f"{layer}.self_attn.in_proj_weight", 2, 4) | units({f"{layer}.linear1": 12})
EXPECTED: list[tuple[Callable[[], Network], Groups]] = [
    (networks.mlp, units({"0": 5, "2": 4})),
    (networks.vgg, units({"0": 4, "4": 6, "7": 7})),
    (networks.dense, units({"stem": 4, "norms.1": 3, "norms.2": 3, "layers.2": 3, "transition": 6})),
    (networks.residual, units({"stem": 4, "project.0": 8, "first.0": 5, "second.0": 5})),
    (networks.grouped_convolutions, {"0": (4, ()), "0#2": (2, ("0",)), "2": (3, ("0",)), "4": (5, ())}),
    (networks.depthwise_separable, units({"0": 8, "4": 5})),
    (networks.norms, {"0": (2, ()), "0#2": (3, ("0",))} | units({"3": 8, "9": 5, "12": 4})),
    (networks.autoencoder, {"down": (2, ()), "down#2": (3, ("down",)), "up": (2, ("down",))}),
    (networks.gru, units({"layers.weight_ih_l0": 5, "layers.weight_ih_l1": 5})),
    (networks.lstm, units({"layers.weight_ih_l0": 5, "layers.weight_ih_l1": 5})),
    (networks.attention, units({"embed": 8, "head": 8}) | heads("attention.in_proj_weight", 2, 4)),
    (networks.attention_with_bias_keys, units({"embed": 8, "head": 8}) | heads("attention.in_proj_weight", 2, 4)),
    (networks.cross_attention, units({"query": 8, "memory": 6, "attention.out_proj": 8}) | SEPARATE),
    (networks.encoder, ENCODER),
]


@pytest.mark.parametrize(("build", "expected"), EXPECTED, ids=[build.__name__ for build, _ in EXPECTED])
def test_groups_of_a_network(build: Callable[[], Network], expected: Groups):
    spec, program = derived(build)
    assert groups(spec) == expected
    assert spec.completeness == 1.0
    assert set(spec.tensors) == set(program.state()) - set(spec.aliases)
    assert all(spec.tensors[name].shape == tuple(tensor.shape) for name, tensor in program.state().items())
    assert verified(spec, program).max_error < 1e-12


# -------------------------------------------------------------------------------------------------- convolutions


def test_option_a_shortcuts_make_one_group_of_both_padded_sides():
    spec, program = derived(networks.cifar_resnet20)
    inside = {f"layer{number}.{block}.conv1": 8 * 2**number for number in (1, 2, 3) for block in range(3)}
    # The channels that stages 2 and 3 add lie half before and half after those that they take over.
    assert groups(spec) == units({"conv1": 16, "layer2.0.conv2": 16, "layer3.0.conv2": 32} | inside)
    first, second = GroupAxis("conv1", 16), GroupAxis("layer2.0.conv2", 16)
    third = GroupAxis("layer3.0.conv2", 32)
    second_stage = SumAxis((second, first), (Run(0, 0, 8), Run(1, 0, 16), Run(0, 8, 8)))
    third_stage = SumAxis(
        (third, second, first), (Run(0, 0, 16), Run(1, 0, 8), Run(2, 0, 16), Run(1, 8, 8), Run(0, 16, 16))
    )
    for number, axis in ((1, first), (2, second_stage), (3, third_stage)):
        written = [(f"layer{number}.{block}.{layer}.weight", 0) for block in range(3) for layer in ("conv2", "bn2")]
        read = [(f"layer{number}.{block}.conv1.weight", 1) for block in (1, 2)]
        read += [(f"layer{number + 1}.0.conv1.weight", 1)] if number < 3 else [("linear.weight", 1)]
        for tensor, dim in written + read:
            assert spec.tensors[tensor].axes[dim] == axis, tensor
    for name in inside:
        block = name.removesuffix(".conv1")
        statistics = [(f"{block}.bn1.{part}", 0) for part in ("weight", "bias", "running_mean", "running_var")]
        assert spec.occurrences(name) == [(f"{name}.weight", 0), *statistics, (f"{block}.conv2.weight", 1)]
    assert spec.completeness == 1.0
    verified(spec, program)


def test_a_flattened_convolution_is_channels_by_pixels():
    spec, _ = derived(networks.vgg)
    axis = spec.tensors["7.weight"].axes[1]
    assert isinstance(axis, ProductAxis)
    assert axis.factors[0] == GroupAxis("4", 6)
    assert axis.factors[1].size == 4


def test_a_concatenation_is_the_sum_of_what_it_reads():
    spec, _ = derived(networks.dense)
    parts = [GroupAxis("stem", 4), *(GroupAxis(name, 3) for name in ("norms.1", "norms.2", "layers.2"))]
    runs = tuple(Run(number, 0, part.size) for number, part in enumerate(parts))
    assert spec.tensors["transition.weight"].axes[1] == SumAxis(tuple(parts), runs)
    assert spec.tensors["norms.2.running_var"].axes == (SumAxis(tuple(parts[:3]), runs[:3]),)


def test_running_statistics_are_told_from_other_buffers():
    spec, _ = derived(networks.residual)
    kinds = {name.rsplit(".", 1)[-1]: tensor.kind for name, tensor in spec.tensors.items()}
    assert kinds["running_mean"] == kinds["running_var"] == "statistic"
    assert kinds["num_batches_tracked"] == "buffer"
    assert kinds["weight"] == kinds["bias"] == "parameter"


# -------------------------------------------------------------------------------------------------- attention


def test_a_fused_projection_is_three_projections():
    spec, _ = derived(networks.attention)
    name = "attention.in_proj_weight"
    outer, keys, values = (GroupAxis(name, 2), GroupAxis(f"{name}#2", 4), GroupAxis(f"{name}#3", 4))
    axis = spec.tensors[name].axes[0]
    assert isinstance(axis, SumAxis)
    assert axis.parts == (ProductAxis((outer, keys)), ProductAxis((outer, keys)), ProductAxis((outer, values)))
    assert spec.tensors["attention.in_proj_bias"].axes == (axis,)
    assert spec.tensors["attention.out_proj.weight"].axes[1] == ProductAxis((outer, values))


def test_heads_that_differ_are_ordered_and_keep_their_inner_groups():
    spec, program = derived(networks.slopes)
    (ordered,) = [group for group in spec.all_groups if not group.movable]
    assert ordered.size == 2
    assert [(group.size, group.depends_on) for group in spec.groups] == [(4, (ordered.name,))] * 2
    assert "ordered" in {frozen.reason for frozen in spec.frozen}
    verified(spec, program)


def test_gpt2():
    pytest.importorskip("transformers")
    spec, program = derived(networks.gpt2)
    expected = units({"transformer.wte": 8})
    for number in (0, 1):
        block = f"transformer.h.{number}"
        expected |= heads(f"{block}.attn.c_attn", 2, 4) | units({f"{block}.mlp.c_fc": 32})
    assert groups(spec) == expected
    assert spec.aliases == {"lm_head.weight": "transformer.wte.weight"}
    assert spec.completeness == 1.0
    assert [frozen.size for frozen in spec.frozen if frozen.tensor == "transformer.wte.weight"] == [19]
    verified(spec, program)


@pytest.mark.parametrize("tied", [True, False])
def test_llama_with_grouped_queries(tied: bool):
    pytest.importorskip("transformers")
    spec, program = derived(partial(networks.llama, tied))
    expected = units({"model.embed_tokens": 16})
    for number in (0, 1):
        attention = f"model.layers.{number}.self_attn"
        shared = f"{attention}.q_proj"  # heads of keys and values, each with two heads of queries
        expected |= {shared: (2, ()), f"{shared}#2": (2, (shared,)), f"{attention}.v_proj": (4, (shared,))}
        expected |= units({f"model.layers.{number}.mlp.gate_proj": 12})
        # Rotary embeddings tell the dimensions of queries and keys apart.
        for name, outer in (("q_proj", 2), ("k_proj", 1)):
            axis = spec.tensors[f"{attention}.{name}.weight"].axes[0]
            assert isinstance(axis, ProductAxis)
            assert [factor.size for factor in axis.factors] == [2] * outer + [4]
            assert not isinstance(axis.factors[-1], GroupAxis)
    assert groups(spec) == expected
    assert spec.aliases == ({"lm_head.weight": "model.embed_tokens.weight"} if tied else {})
    assert spec.completeness == 1.0
    verified(spec, program)


# -------------------------------------------------------------------------------------------------- timm


def test_timm_resnet18():
    pytest.importorskip("timm")
    spec, program = derived(partial(networks.timm_model, "resnet18", 32))
    assert sizes(spec) == sorted([64, 64, 64, *([128] * 3), *([256] * 3), *([512] * 3)])
    assert spec.completeness == 1.0
    verified(spec, program, elements=1, groups=2)


def test_timm_vision_transformer():
    pytest.importorskip("timm")
    spec, program = derived(partial(networks.timm_model, "vit_tiny_patch16_224", 32, img_size=32, depth=2))
    expected = units({"cls_token": 192})
    for block in ("blocks.0", "blocks.1"):
        expected |= heads(f"{block}.attn.qkv", 3, 64) | units({f"{block}.mlp.fc1": 768})
    assert groups(spec) == expected
    assert spec.completeness == 1.0
    verified(spec, program, elements=1, groups=3)


def test_timm_convnext():
    pytest.importorskip("timm")
    spec, program = derived(partial(networks.timm_model, "convnext_atto", 32))
    widths, depths = (40, 80, 160, 320), (2, 2, 6, 2)
    expected = {"stem.0": 40} | {f"stages.{stage}.downsample.1": widths[stage] for stage in (1, 2, 3)}
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        expected |= {f"stages.{stage}.blocks.{block}.mlp.fc1": 4 * width for block in range(depth)}
    assert groups(spec) == units(expected)
    assert spec.completeness == 1.0
    verified(spec, program, elements=1, groups=3)


def test_timm_mixer():
    pytest.importorskip("timm")
    spec, program = derived(networks.mixer)
    expected = {"stem.proj": 8}
    for block in ("blocks.0", "blocks.1"):  # hidden units over 9 patches, which are ordered, and over channels
        expected |= {f"{block}.mlp_tokens.fc1": 4, f"{block}.mlp_channels.fc1": 32}
    assert groups(spec) == units(expected)
    assert spec.completeness == 1.0
    verified(spec, program)


@pytest.mark.slow
def test_timm_vgg11():
    pytest.importorskip("timm")
    spec, program = derived(partial(networks.timm_model, "vgg11", 32))
    assert sizes(spec) == sorted([64, 128, 256, 256, 512, 512, 512, 512, 4096, 4096])
    assert spec.completeness == 1.0
    verified(spec, program, elements=1, groups=2)
