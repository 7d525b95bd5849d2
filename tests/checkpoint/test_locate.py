import os

import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import CheckpointFormatError


@pytest.fixture
def save(tmp_path):
    def write(*names: str) -> None:
        for value, name in enumerate(names):
            if name.endswith(".safetensors"):
                save_file({"w": torch.tensor([float(value)])}, tmp_path / name)
            else:
                torch.save({"w": torch.tensor([float(value)])}, tmp_path / name)

    return write


def test_safetensors_come_before_pickles(save, tmp_path):
    save("pytorch_model.bin", "model.safetensors", "other.pt")
    assert open_checkpoint(tmp_path)["w"] == 1


def test_the_only_checkpoint_of_a_folder_is_meant(save, tmp_path):
    save("optimizer.pt", "rng_state_0.pth", "training_args.bin", "step_1000.ckpt")
    (tmp_path / "README.md").write_text("a run")
    assert open_checkpoint(tmp_path)["w"] == 3
    assert open_checkpoint(tmp_path).path == tmp_path


def test_a_config_beside_the_weights_is_found(save, tmp_path):
    save("model.safetensors", "mine.pt")
    config = tmp_path / "config.json"
    config.write_text("{}")
    assert open_checkpoint(tmp_path).config_path == config
    assert open_checkpoint(tmp_path / "model.safetensors").config_path == config
    assert open_checkpoint(tmp_path / "mine.pt").config_path is None


def test_several_checkpoints_are_listed(save, tmp_path):
    save("a.pt", "b.safetensors")
    with pytest.raises(
        CheckpointFormatError, match=r"one checkpoint in the folder, found 2: a\.pt, b\.safetensors; name"
    ):
        open_checkpoint(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(CheckpointFormatError, match="found it empty"):
        open_checkpoint(tmp_path)


def test_a_folder_of_other_things_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "runs").mkdir()
    with pytest.raises(CheckpointFormatError, match=r"found only notes\.txt, runs/; name the file"):
        open_checkpoint(tmp_path)


def test_a_distributed_checkpoint_says_how_to_convert_it(tmp_path):
    (tmp_path / ".metadata").write_bytes(b"")
    (tmp_path / "__0_0.distcp").write_bytes(b"")
    with pytest.raises(CheckpointFormatError, match="dcp_to_torch"):
        open_checkpoint(tmp_path)


def test_a_missing_file_suggests_the_nearest(save, tmp_path):
    save("resnet20.pt")
    with pytest.raises(CheckpointFormatError, match=r"found no such file; did you mean .*resnet20\.pt\?"):
        open_checkpoint(tmp_path / "resnet2.pt")
    with pytest.raises(CheckpointFormatError, match="found no such file; look in"):
        open_checkpoint(tmp_path / "entirely-different")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointFormatError, match=r"no such folder as .*runs; "):
        open_checkpoint(tmp_path / "runs" / "w.pt")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(CheckpointFormatError, match="a device or a pipe"):
        open_checkpoint(tmp_path / "pipe.pt")
