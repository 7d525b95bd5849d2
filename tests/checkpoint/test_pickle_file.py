"""Hostile and damaged PyTorch files."""

import collections
import os
import pickle
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import CheckpointError, CheckpointFormatError, UnsafeCheckpointError

LEGACY_HEAD = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + pickle.dumps(1001, protocol=2)
LEGACY_HEAD += pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, protocol=2)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_pickle_is_named_and_never_run(torch_save, tmp_path):
    trap = tmp_path / "sprung"
    path = torch_save({"state_dict": {"w": torch.ones(2)}, "extra": Trap(trap)}, tmp_path / "weights.pt")
    with pytest.raises(
        UnsafeCheckpointError, match=r"needs code \((posix|nt)\.mkdir\).*save model\.state_dict"
    ) as caught:
        open_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert not trap.exists()


def test_a_whole_module_is_refused(torch_save, tmp_path):
    path = torch_save(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path / "module.pt")
    with pytest.raises(UnsafeCheckpointError, match=r"torch\.nn\.modules\.container\.Sequential"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
            "'w': .*plain weights, found torch's qint8",
        ),
        (lambda: torch.eye(3).to_sparse(), "'w': expected a dense tensor"),
        (lambda: torch.ones(2, device="meta"), "'w': expected data, found a meta tensor"),
    ],
    ids=["quantised", "sparse", "meta"],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_tensors_without_plain_numbers_are_refused(make, message, tmp_path):
    torch.save({"v": torch.ones(1), "w": make()}, tmp_path / "weights.pt")
    with pytest.raises(CheckpointFormatError, match=message):
        open_checkpoint(tmp_path / "weights.pt")


@pytest.mark.parametrize("value", [{}, {"epoch": 3}, {"model": {}}, collections.OrderedDict()])
def test_a_file_without_tensors_is_refused(value, torch_save, tmp_path):
    with pytest.raises(CheckpointFormatError, match="found no tensor"):
        open_checkpoint(torch_save(value, tmp_path / "weights.pt"))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_every_truncation_is_refused(share, state, torch_save, tmp_path):
    path = torch_save(state, tmp_path / "weights.pt")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointFormatError, match="truncated or damaged") as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_legacy_file_that_claims_more_than_memory(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    # The storage's element count precedes its data.
    path.write_bytes(content[:-16] + struct.pack("<q", 2**60) + content[-8:])
    with pytest.raises(CheckpointFormatError):
        open_checkpoint(path)


@given(data=st.data())
def test_a_changed_byte_gives_a_checkpoint_or_a_clear_refusal(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "weights.pt"
    zipped = data.draw(st.booleans())
    torch.save({"a": torch.arange(4.0), "b": torch.ones(2, 2)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :])
    try:
        open_checkpoint(path).tensors()
    except CheckpointError as error:
        assert "\n" not in str(error)


@given(garbage=st.binary(max_size=200))
def test_garbage_after_the_legacy_head_is_a_clear_refusal(tmp_path_factory, garbage):
    path = tmp_path_factory.mktemp("fuzz") / "weights.pt"
    path.write_bytes(LEGACY_HEAD + garbage)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)
