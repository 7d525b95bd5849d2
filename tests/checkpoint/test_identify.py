import gzip
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from weightspace.checkpoint import open_checkpoint
from weightspace.checkpoint.identify import Format, identify
from weightspace.errors import CheckpointFormatError, UnsafeCheckpointError


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(2))
    return buffer.getvalue()


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"content")
    return buffer.getvalue()


FOREIGN = {
    "empty": (b"", "found an empty file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer.*git lfs pull"),
    "gguf": (b"GGUF\x03\x00\x00\x00" + bytes(40), "GGUF file.*original safetensors or PyTorch"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5 file.*Keras"),
    "onnx": (bytes.fromhex("08081207") + b"pytorch" + bytes(40), "an ONNX graph.*exported"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(40), "TensorFlow Lite"),
    "html": (b"<!DOCTYPE html><html>", "HTML or XML page; download the file itself"),
    "json": (json.dumps({"model_type": "gpt2"}).encode(), "JSON text; name the weights, or the folder"),
    "gzip": (gzip.compress(b"weights"), "gzip archive; unpack"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(40), "a NumPy array"),
    "npz": (npz(), r"NumPy \.npz archive"),
    "pickle": (pickle.dumps({"w": [1.0]}, protocol=4), "a Python pickle that torch.save did not write"),
    "zip of checkpoints": (
        archive("data", "policy.pth", "policy.optimizer.pth"),
        r"a zip archive that holds policy\.pth",
    ),
    "other zip": (archive("readme.md"), r"data\.pkl in it, found none"),
    "truncated zip": (archive("archive/data.pkl")[:-30], "found it truncated or damaged"),
    "noise": (bytes(range(1, 60)), "an unknown format .first bytes 01 02 03"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors"])
def test_what_is_no_checkpoint_is_refused_in_one_line_with_advice(name, suffix, tmp_path):
    content, message = FOREIGN[name]
    if suffix == ".safetensors" and name in {"noise", "onnx", "tflite", "pickle"}:
        message = "expected a complete safetensors file"  # with this suffix they are more likely damaged
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointFormatError, match=message) as caught:
        open_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_onnx_suffix_is_enough(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x0a\x10" + bytes(40))
    with pytest.raises(CheckpointFormatError, match="ONNX"):
        identify(path)


def test_torchscript_holds_code(tmp_path):
    path = tmp_path / "scripted.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("scripted/data.pkl", b"")
        file.writestr("scripted/constants.pkl", b"")
        file.writestr("scripted/code/__torch__.py", b"")
    with pytest.raises(UnsafeCheckpointError, match=r"TorchScript archive.*torch\.jit\.load"):
        open_checkpoint(path)


@pytest.mark.parametrize("length", [0x3C, 0x7B, 0x5B, 0x80, 0x8B1F, 0x93])
def test_a_safetensors_header_of_any_length_is_recognised(length, tmp_path):
    # These lengths begin like a page, JSON, a pickle, gzip, NumPy.
    content = save({"w": torch.ones(1)})
    header = content[8 : 8 + int.from_bytes(content[:8], "little")].rstrip()
    path = tmp_path / "weights.bin"
    length = max(length, length + 256 * (len(header) > length))
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + content[-4:])
    assert identify(path) is Format.SAFETENSORS
    assert list(open_checkpoint(path)) == ["w"]
