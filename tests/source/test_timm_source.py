import pytest
import torch

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import SourceError
from weightspace.source import Program, TimmSource, resolve_source
from weightspace.source.head import head_of, with_outputs

timm = pytest.importorskip("timm")


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "swinv2_tiny_window8_256"])
def test_meta_build_holds_no_weights_and_has_the_real_shapes(name: str) -> None:
    # swinv2 computes with its parameters while it is built, so it takes the second way to meta.
    module = resolve_source(f"timm:{name}").build(meta=True)
    assert all(parameter.is_meta for parameter in module.parameters())
    assert not module.training
    expected = {k: v.shape for k, v in timm.create_model(name).state_dict().items()}
    assert {k: v.shape for k, v in module.state_dict().items()} == expected


def test_meta_build_keeps_the_values_of_constant_tables() -> None:
    name = "swin_tiny_patch4_window7_224"
    tables = dict(resolve_source(f"timm:{name}").build(meta=True).named_buffers())
    index = "layers.0.blocks.0.attn.relative_position_index"
    torch.testing.assert_close(tables[index], dict(timm.create_model(name).named_buffers())[index])


def test_build_is_the_same_every_time_and_leaves_the_random_state_alone() -> None:
    source = resolve_source("timm:resnet18")
    before = torch.get_rng_state()
    first, second = source.build().state_dict(), source.build().state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_inputs_and_normalization_are_those_of_the_configuration() -> None:
    source = resolve_source("timm:test_vit")
    (x,) = source.example_inputs(batch=3, seed=1, dtype=torch.float64).args
    assert x.shape == (3, *timm.get_pretrained_cfg("test_vit").input_size)
    assert x.dtype == torch.float64
    assert torch.equal(x, source.example_inputs(batch=3, seed=1, dtype=torch.float64).args[0])
    assert source.normalization is not None
    assert source.normalization.mean == tuple(timm.get_pretrained_cfg("test_vit").mean)
    assert source.evaluation_refusal() is None


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SourceError, match=r"did you mean .*timm:resnet18"):
        resolve_source("timm:resnt18")


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet18.a1_in1k", "local-dir:/tmp/x"])
def test_addresses_are_refused(name: str) -> None:
    with pytest.raises(SourceError, match="address"):
        resolve_source(f"timm:{name}")


def test_unknown_tag_is_one_line() -> None:
    with pytest.raises(SourceError, match="resnet18") as caught:
        resolve_source("timm:resnet18.no_such_tag").build(meta=True)
    assert "\n" not in str(caught.value)


def test_classes_and_channels_follow_a_fine_tuned_checkpoint(tmp_path) -> None:
    fine_tuned = timm.create_model("test_resnet", num_classes=7, in_chans=1)
    torch.save(fine_tuned.state_dict(), tmp_path / "tuned.pth")
    checkpoint = open_checkpoint(tmp_path / "tuned.pth")
    source = resolve_source("timm:test_resnet", checkpoint=checkpoint)
    assert isinstance(source, TimmSource)
    assert (source.num_classes, source.in_chans) == (7, 1)
    program = Program.from_source(source)
    program.check_state(checkpoint)
    (logits,) = program.outputs(checkpoint.tensors())
    expected = fine_tuned.eval()(source.example_inputs().args[0])
    torch.testing.assert_close(logits, expected)


def test_a_timm_folder_from_the_hub_is_recognised(tmp_path) -> None:
    (tmp_path / "config.json").write_text(
        '{"architecture": "test_resnet", "num_classes": 5, "pretrained_cfg": {"tag": "r160_in1k"}}'
    )
    source = resolve_source(str(tmp_path))
    assert isinstance(source, TimmSource)
    assert source.name == "test_resnet.r160_in1k"
    assert source.build(meta=True).get_classifier().out_features == 5


def test_another_number_of_classes() -> None:
    source = resolve_source("timm:test_vit")
    assert isinstance(source, TimmSource)
    assert source.with_classes(7).build(meta=True).state_dict()["head.weight"].shape[0] == 7
    assert isinstance(with_outputs(source, head_of(source), 7), TimmSource)
