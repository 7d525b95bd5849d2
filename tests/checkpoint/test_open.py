import argparse
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import TensorInfo, open_checkpoint
from weightspace.errors import CheckpointFormatError


def test_a_torch_file_gives_back_what_was_saved(state, torch_save, tmp_path, assert_same):
    checkpoint = open_checkpoint(torch_save(OrderedDict(state), tmp_path / "weights.pt"))
    assert_same(checkpoint, state)
    assert_same(checkpoint.tensors(), state)
    assert checkpoint.notes == ()
    assert checkpoint.info("bn.bias") == TensorInfo((3,), torch.bfloat16)
    assert checkpoint.config_path is None
    with pytest.raises(KeyError):
        checkpoint["no such tensor"]
    with pytest.raises(KeyError):
        checkpoint.info("no such tensor")


def test_the_content_decides_and_not_the_suffix(state, torch_save, tmp_path, assert_same):
    assert_same(open_checkpoint(torch_save(state, tmp_path / "weights.safetensors")), state)
    save_file(state, tmp_path / "weights.pt")
    assert open_checkpoint(tmp_path / "weights.pt").format == "safetensors"


def test_a_string_is_a_path(state, tmp_path):
    save_file(state, tmp_path / "weights.safetensors")
    assert set(open_checkpoint(str(tmp_path / "weights.safetensors"))) == set(state)


def test_safetensors_names_come_in_the_order_of_their_data(tmp_path):
    save_file(
        {"b": torch.zeros(2), "a": torch.zeros(2), "n": torch.zeros(1, dtype=torch.int64)}, tmp_path / "w.safetensors"
    )
    assert list(open_checkpoint(tmp_path / "w.safetensors")) == ["n", "a", "b"]


def test_info_reads_the_header_alone(tmp_path):
    # A terabyte of weights that take no room on the disk: whoever reads them all runs out of memory.
    count = 2**38
    header = json.dumps({"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode()
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        try:
            file.truncate(8 + len(header) + 4 * count)
        except OSError:
            pytest.skip("the file system has no sparse files of this size")
    assert open_checkpoint(path).info("w") == TensorInfo((count,), torch.float32)


def test_changing_a_tensor_does_not_change_the_file(state, torch_save, tmp_path, assert_same):
    paths = [torch_save(state, tmp_path / "weights.pt"), tmp_path / "weights.safetensors"]
    save_file(state, paths[1])
    for path in paths:
        open_checkpoint(path)["fc2.weight"].zero_()
        assert torch.equal(open_checkpoint(path)["fc2.weight"], state["fc2.weight"])


def test_parameters_come_without_gradients(torch_save, tmp_path):
    checkpoint = open_checkpoint(torch_save({"w": torch.nn.Parameter(torch.ones(2))}, tmp_path / "weights.pt"))
    assert type(checkpoint["w"]) is torch.Tensor
    assert not checkpoint["w"].requires_grad


def test_tied_tensors_stay_tied(torch_save, tmp_path):
    tied = torch.randn(4, 2)
    state = {"embed.weight": tied, "inner": torch.ones(2), "head.weight": tied, "view": tied[:2]}
    checkpoint = open_checkpoint(torch_save(state, tmp_path / "weights.pt"))
    assert checkpoint.aliases() == {"head.weight": "embed.weight"}
    read = checkpoint.tensors()
    assert list(read) == list(state)
    assert read["head.weight"] is read["embed.weight"]
    assert torch.equal(checkpoint["view"], tied[:2])


def test_tied_names_are_normalised_too(torch_save, tmp_path):
    tied = torch.randn(4, 2)
    checkpoint = open_checkpoint(torch_save({"module.a": tied, "module.b": tied}, tmp_path / "weights.pt"))
    assert checkpoint.aliases() == {"b": "a"}


def test_plain_training_data_beside_the_weights_is_no_obstacle(torch_save, tmp_path):
    saved = {
        "state_dict": {"w": torch.ones(2)},
        "args": argparse.Namespace(lr=0.1, nested={"a": [1, 2]}),
        "best_acc1": np.float64(93.5),
        "epoch": np.int64(3),
        "confusion": np.arange(4).reshape(2, 2),
    }
    checkpoint = open_checkpoint(torch_save(saved, tmp_path / "weights.pt"))
    assert list(checkpoint) == ["w"]
    assert checkpoint.notes == ("read from 'state_dict'",)


def test_scalars_as_an_older_numpy_pickled_them(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(
        {"state_dict": {"w": torch.ones(2)}, "best": np.float32(0.5)}, path, _use_new_zipfile_serialization=False
    )
    content = path.read_bytes()
    newer, older = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    assert newer in content or older in content
    path.write_bytes(content.replace(newer, older))
    assert list(open_checkpoint(path)) == ["w"]


def test_entries_that_are_not_tensors_are_reported(torch_save, tmp_path):
    state = {"w": torch.ones(2), "step": 3, "arch": "resnet", "layer._extra_state": None, 4: torch.ones(1)}
    checkpoint = open_checkpoint(torch_save(state, tmp_path / "weights.pt"))
    assert list(checkpoint) == ["w"]
    assert checkpoint.notes == ("ignored 4 entries that are not tensors: 'step', 'arch', 'layer._extra_state', ...",)


def test_everything_that_was_stripped_or_chosen_is_in_the_notes(torch_save, tmp_path):
    saved = {
        "epoch": 3,
        "state_dict": {"module._orig_mod.w": torch.ones(2), "module.step": 3},
        "state_dict_ema": {"module.w": torch.zeros(2)},
    }
    path = torch_save(saved, tmp_path / "weights.pt")
    checkpoint = open_checkpoint(path)
    assert torch.equal(checkpoint["w"], torch.ones(2))
    assert checkpoint.notes == (
        "read from 'state_dict'",
        "averaged (EMA) weights under 'state_dict_ema' were not read; prefer='state_dict_ema' reads them",
        "ignored 1 entry that is not a tensor: 'module.step'",
        "stripped 'module.' from 1 name",
        "stripped '_orig_mod.' from 1 name",
    )
    averaged = open_checkpoint(path, prefer="ema")
    assert torch.equal(averaged["w"], torch.zeros(2))
    assert averaged.notes[:2] == ("read from 'state_dict_ema'", "these are averaged (EMA) weights")


def test_the_hash_is_that_of_the_file(state, tmp_path):
    import hashlib

    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    assert open_checkpoint(path).sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_prefer_is_refused_where_there_is_nothing_to_choose(state, tmp_path):
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointFormatError, match="leave prefer out"):
        open_checkpoint(tmp_path / "weights.safetensors", prefer="ema")


def test_a_checkpoint_describes_itself(state, tmp_path):
    path: Path = tmp_path / "weights.safetensors"
    save_file(state, path)
    assert repr(open_checkpoint(path)) == f"Checkpoint({str(path)!r}, safetensors, 7 tensors)"
