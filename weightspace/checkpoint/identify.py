"""Tell what a file is from its first bytes, and refuse what is not a checkpoint with what to do instead."""

import zipfile
from enum import Enum
from pathlib import Path

from weightspace.errors import CheckpointFormatError, UnsafeCheckpointError

_LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_PICKLE_PROTOCOL = 0x80
HEADER_LIMIT = 100_000_000  # bytes; of a safetensors header, by its specification

# First bytes -> what it is; what to do.
_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights", "run 'git lfs pull' where it was cloned"),
    (b"GGUF", "a GGUF file", "open the original safetensors or PyTorch weights from which it was converted"),
    (b"lmgg", "a GGML file", "open the original safetensors or PyTorch weights from which it was converted"),
    (b"tjgg", "a GGML file", "open the original safetensors or PyTorch weights from which it was converted"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", "load it in Keras and save the arrays as safetensors"),
    (b"\x93NUMPY", "a NumPy array", "save named arrays with safetensors.numpy.save_file"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and open what it holds"),
    (b"BZh", "a bzip2 archive", "unpack it and open what it holds"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it and open what it holds"),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive", "unpack it and open what it holds"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and open what it holds"),
    (b"<", "an HTML or XML page", "download the file itself: the page is what a browser shows about it"),
    (b"{", "JSON text", "name the weights, or the folder that holds them"),
    (b"[", "JSON text", "name the weights, or the folder that holds them"),
)
_ONNX = ("an ONNX graph", "open the PyTorch or safetensors weights from which it was exported")


class Format(Enum):
    """The file formats that can hold a checkpoint."""

    SAFETENSORS = "safetensors"
    ZIP = "PyTorch zip"
    LEGACY = "PyTorch legacy"


def identify(path: Path) -> Format:
    """Tell the format of a file by its content; its suffix decides only how a damaged file is described.

    Raises:
        CheckpointFormatError: If the file is empty, damaged, or not a checkpoint.
        UnsafeCheckpointError: If it is a TorchScript archive, which holds code.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointFormatError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
    if size == 0:
        raise CheckpointFormatError(f"{path}: expected weights, found an empty file; download or save it again")
    # Safetensors first: the length that it begins with may look like the start of anything.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= HEADER_LIMIT:
        return Format.SAFETENSORS
    for magic, what, advice in _FOREIGN:
        if head.startswith(magic):
            raise _foreign(path, what, advice)
    if head.startswith(b"PK\x03\x04"):
        _check_zip(path)
        return Format.ZIP
    if head[0] == _PICKLE_PROTOCOL and head[2:].startswith(_LEGACY_MAGIC):
        return Format.LEGACY
    if path.suffix == ".safetensors":
        return Format.SAFETENSORS
    if head[0] == _PICKLE_PROTOCOL:
        raise _foreign(path, "a Python pickle that torch.save did not write", "save the weights as safetensors")
    if path.suffix == ".onnx" or _looks_like_onnx(head):
        raise _foreign(path, *_ONNX)
    if head[4:8] == b"TFL3":
        raise _foreign(path, "a TensorFlow Lite model", "open the weights from which it was converted")
    raise CheckpointFormatError(
        f"{path}: expected a safetensors or PyTorch file, found an unknown format (first bytes {head[:8].hex(' ')}); "
        "if it should be one of these, it is damaged: download or save it again"
    )


def _looks_like_onnx(head: bytes) -> bool:
    # Protobuf: field 1 (ir_version) as a small integer, then field 2 (producer_name) as a string.
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 0x20 and head[2] == 0x12


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointFormatError(
            f"{path}: expected a complete PyTorch zip file, found it truncated or damaged ({error}); "
            "download or save it again"
        ) from error
    if any(member.endswith("/constants.pkl") for member in members):
        raise UnsafeCheckpointError(
            f"{path}: expected weights, found a TorchScript archive, which holds code; load it with torch.jit.load and "
            "save its state_dict()"
        )
    if any(member.endswith("/data.pkl") for member in members):
        return
    if members and all(member.endswith(".npy") for member in members):
        raise _foreign(path, "a NumPy .npz archive", "save the named arrays with safetensors.numpy.save_file")
    inside = [member for member in members if Path(member).suffix in {".pt", ".pth", ".bin", ".ckpt", ".safetensors"}]
    if inside:
        raise _foreign(path, f"a zip archive that holds {', '.join(inside[:3])}", "unpack it and open one of them")
    raise CheckpointFormatError(
        f"{path}: expected a PyTorch zip file with data.pkl in it, found none; it is truncated or not a checkpoint: "
        "download or save it again"
    )


def _foreign(path: Path, what: str, advice: str) -> CheckpointFormatError:
    return CheckpointFormatError(f"{path}: expected a safetensors or PyTorch file, found {what}; {advice}")
