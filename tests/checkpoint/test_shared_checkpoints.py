"""Checkpoints that others trained and saved."""

import pytest
import torch

from weightspace.checkpoint import check_compatible, check_finite, open_checkpoint, write_checkpoint
from weightspace.errors import CheckpointFormatError, CheckpointMismatchError, UnsafeCheckpointError

RESNETS = "resnet_cifar10/resnet20"


@pytest.mark.parametrize(
    ("name", "form", "count", "notes"),
    [
        (f"{RESNETS}/DanSun18_run_8_1_model.th", "PyTorch legacy", 116, 2),
        (f"{RESNETS}/DanSun18_run_8_1_checkpoint.th", "PyTorch legacy", 116, 2),
        (f"{RESNETS}/akamaster_akamaster_pretrained.th", "PyTorch legacy", 97, 2),
        ("resnet_cifar10/lineage/resnet20_akamaster_qpsk_ft1_best.pth", "PyTorch zip", 116, 1),
        ("mlp_seeds/mnist_mlp_seed0.pt", "PyTorch zip", 6, 0),
        ("cifar_lenet/camron_cifar_net.pth", "PyTorch legacy", 10, 0),
        ("honk/res8.pt", "PyTorch legacy", 30, 0),
        ("acasxu/ACASXU_run2a_1_1.safetensors", "safetensors", 19, 0),
        ("rl_zoo/ppo/ppo_Acrobot-v1_final_ba9a5a.safetensors", "safetensors", 12, 0),
        ("silero/silero_vad_16k.safetensors", "safetensors", 15, 0),
    ],
)
def test_it_opens_and_survives_writing(name, form, count, notes, shared_data, tmp_path, assert_same):
    checkpoint = open_checkpoint(shared_data / name)
    assert checkpoint.format == form
    assert len(checkpoint) == count
    assert len(checkpoint.notes) == notes, checkpoint.notes
    check_finite(checkpoint)
    assert not any(part in {"module", "_orig_mod"} for key in checkpoint for part in key.split("."))
    write_checkpoint(tmp_path / "out.safetensors", checkpoint, provenance=None, inputs=[checkpoint.path])
    again = open_checkpoint(tmp_path / "out.safetensors")
    assert_same(again, checkpoint.tensors())
    check_compatible(checkpoint, again)


def test_a_transformers_folder_opens_with_its_config(shared_data):
    folder = shared_data / "shakespeare" / "gpt2_0"
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config_path == folder / "config.json"
    assert checkpoint.info("transformer.wte.weight").dtype.is_floating_point


def test_two_runs_of_one_architecture_fit(shared_data):
    runs = [open_checkpoint(shared_data / RESNETS / f"DanSun18_run_8_{i}_model.th") for i in (1, 2)]
    check_compatible(*runs)
    assert not torch.equal(runs[0]["conv1.weight"], runs[1]["conv1.weight"])


def test_two_architectures_do_not(shared_data):
    mlp = open_checkpoint(shared_data / "mlp_seeds" / "mnist_mlp_seed0.pt")
    resnet = open_checkpoint(shared_data / RESNETS / "DanSun18_run_8_1_model.th")
    with pytest.raises(CheckpointMismatchError, match="no tensor name in common"):
        check_compatible(mlp, resnet)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("refuse/broken_249_bytes.pth", CheckpointFormatError, "truncated"),
        ("refuse/git_lfs_pointer.pth", CheckpointFormatError, "git lfs pull"),
        ("refuse/whole_module_pruned.pth", UnsafeCheckpointError, r"engine\.models\.cifar\.resnet_tiny\.ResNet"),
        ("refuse/whole_module_zip.pth", UnsafeCheckpointError, r"models\.CIFAR10ConvNet"),
        ("refuse/whole_module_zip2.pt", UnsafeCheckpointError, r"model_gm\.SimpleNet"),
        ("refuse", CheckpointFormatError, "found 5: "),
        ("silero/silero_vad_half.onnx", CheckpointFormatError, "an ONNX graph"),
        ("textgenrnn/v2_hacker_news.hdf5", CheckpointFormatError, "an HDF5 file"),
        ("stories260K/stories260K.bin", CheckpointFormatError, "unknown format"),
        ("acasxu/ACASXU_run2a_1_1.nnet", CheckpointFormatError, "unknown format"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(name, error, message, shared_data):
    with pytest.raises(error, match=message) as caught:
        open_checkpoint(shared_data / name)
    assert str(caught.value).startswith(str(shared_data / name))
    assert "\n" not in str(caught.value)
