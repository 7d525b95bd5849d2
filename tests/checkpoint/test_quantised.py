import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import CheckpointFormatError


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("layers.0.q_proj.qweight", "GPTQ or AWQ"),
        ("layers.0.q_proj.weight.absmax", "bitsandbytes 4-bit"),
        ("layers.0.q_proj.weight.quant_state.bitsandbytes__nf4", "bitsandbytes 4-bit"),
        ("layers.0.q_proj.SCB", "bitsandbytes 8-bit"),
        ("layers.0.q_proj.weight_scale_inv", "block-wise FP8"),
        ("layers.0.q_proj.weight_packed", "compressed-tensors"),
    ],
)
def test_quantised_weights_are_recognised_by_their_names(name, scheme, tmp_path):
    save_file({"embed.weight": torch.ones(2), name: torch.zeros(2, dtype=torch.uint8)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointFormatError, match=f"tensor '{name}': expected plain weights, found {scheme} codes"):
        open_checkpoint(tmp_path / "w.safetensors")


def test_names_that_only_resemble_them_are_fine(tmp_path):
    save_file({"qweight_scale": torch.ones(2), "absmax": torch.ones(2)}, tmp_path / "w.safetensors")
    assert len(open_checkpoint(tmp_path / "w.safetensors")) == 2
