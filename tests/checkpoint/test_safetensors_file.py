"""Hostile safetensors files, in the manner of the format's own test folder."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from weightspace.checkpoint import open_checkpoint
from weightspace.checkpoint.safetensors_file import SafetensorsReader
from weightspace.errors import CheckpointError, CheckpointFormatError

WHOLE = save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}, {"format": "pt"})


def build(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HOSTILE = {
    "header longer than the file": (b"", b"", (2**40).to_bytes(8, "little")),
    "header not JSON": (b"{not json", b"", None),
    "header a list": (b"[1, 2]", b"", None),
    "header nested without end": (b'{"a":' + b"[" * 200_000, b"", None),
    "name twice": (
        b'{"a":' + json.dumps(entry()).encode() + b',"a":' + json.dumps(entry()).encode() + b"}",
        bytes(8),
        None,
    ),
    "entry without offsets": ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8), None),
    "entry a string": ({"a": "tensor"}, bytes(8), None),
    "three offsets": ({"a": entry(offsets=(0, 4, 8))}, bytes(8), None),
    "negative offset": ({"a": entry(offsets=(-8, 0))}, bytes(8), None),
    "fractional offset": ({"a": entry(offsets=(0, 8.0))}, bytes(8), None),
    "offsets reversed": ({"a": entry(offsets=(8, 0))}, bytes(8), None),
    "overlap": ({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12), None),
    "hole": ({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20), None),
    "shape does not fit": ({"a": entry(shape=(3,))}, bytes(8), None),
    "shape overflows": ({"a": entry(shape=(2**63, 2**63))}, bytes(8), None),
    "negative shape": ({"a": entry(shape=(-2,))}, bytes(8), None),
    "boolean shape": ({"a": entry(shape=(2, True))}, bytes(8), None),
    "shape a number": ({"a": entry(shape=2)}, bytes(8), None),
    "type a number": ({"a": {**entry(), "dtype": 4}}, bytes(8), None),
    "data truncated": ({"a": entry()}, bytes(7), None),
    "data too long": ({"a": entry()}, bytes(9), None),
    "metadata a list": ({"__metadata__": [], "a": entry()}, bytes(8), None),
    "metadata not strings": ({"__metadata__": {"epoch": 3}, "a": entry()}, bytes(8), None),
    "aliases not JSON": ({"__metadata__": {"wsp.aliases": "{"}, "a": entry()}, bytes(8), None),
    "alias of nothing": ({"__metadata__": {"wsp.aliases": '{"b": "c"}'}, "a": entry()}, bytes(8), None),
    "alias of a list": ({"__metadata__": {"wsp.aliases": '{"b": ["a"]}'}, "a": entry()}, bytes(8), None),
    "alias over a tensor": ({"__metadata__": {"wsp.aliases": '{"a": "a"}'}, "a": entry()}, bytes(8), None),
    "order incomplete": ({"__metadata__": {"wsp.order": "[]"}, "a": entry()}, bytes(8), None),
    "order not of names": ({"__metadata__": {"wsp.order": "[1]"}, "a": entry()}, bytes(8), None),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_one_line(case, tmp_path):
    header, data, prefix = HOSTILE[case]
    path = build(tmp_path / "hostile.safetensors", header, data)
    if prefix is not None:
        path.write_bytes(prefix + path.read_bytes()[8:])
    with pytest.raises(CheckpointFormatError, match="expected a complete safetensors file, found") as caught:
        open_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_type_that_torch_lacks_is_named(tmp_path):
    path = build(tmp_path / "w.safetensors", {"a": entry("F4", (4,), (0, 2))}, bytes(2))
    with pytest.raises(CheckpointFormatError, match="tensor 'a': expected a type that torch has, found 'F4'"):
        open_checkpoint(path)


def test_a_name_with_line_breaks_stays_on_one_line(tmp_path):
    path = build(tmp_path / "w.safetensors", {"a\nb": entry(offsets=(0, 4))}, bytes(4))
    with pytest.raises(CheckpointFormatError) as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", range(0, len(WHOLE), 7))
def test_every_truncation_is_refused(length, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(CheckpointFormatError):
        open_checkpoint(path)


@given(place=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255))
def test_a_changed_byte_gives_a_checkpoint_or_a_clear_refusal(tmp_path_factory, place, value):
    path = tmp_path_factory.mktemp("fuzz") / "w.safetensors"
    path.write_bytes(WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :])
    try:
        checkpoint = open_checkpoint(path)
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        for name, tensor in checkpoint.items():
            assert tuple(tensor.shape) == checkpoint.info(name).shape


def test_reading_without_a_map_gives_the_same(state, tmp_path, monkeypatch, assert_same):
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    save_file(state, path)
    mapped = SafetensorsReader(path)

    def refuse(*args, **kwargs):
        raise RuntimeError("unable to mmap: Cannot allocate memory (12)")

    monkeypatch.setattr("weightspace.checkpoint.safetensors_file.safe_open", refuse)
    copied = SafetensorsReader(path)
    assert_same({n: copied.read(n) for n in copied.names()}, {n: mapped.read(n) for n in mapped.names()})


def test_one_tensor_of_a_file_larger_than_memory_can_be_read(tmp_path):
    count = 2**38
    path = build(
        tmp_path / "huge.safetensors",
        {"big": entry("F32", (count,), (0, 4 * count)), "small": entry("F32", (2,), (4 * count, 4 * count + 8))},
    )
    start = path.stat().st_size
    with path.open("r+b") as file:
        try:
            file.truncate(start + 4 * count)
            file.seek(start + 4 * count)
            file.write(torch.tensor([1.0, 2.0]).numpy().tobytes())
        except OSError:
            pytest.skip("the file system has no sparse files of this size")
    assert open_checkpoint(path)["small"].tolist() == [1.0, 2.0]
