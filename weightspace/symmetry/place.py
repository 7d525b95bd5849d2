"""Where in a network's own code something happens: the source line of the innermost frame outside of PyTorch."""

from __future__ import annotations

import sys
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import FrameType

import torch

_TORCH = str(Path(torch.__file__).parent) + "/"
_LAYERS = _TORCH + "nn/modules/"
_CONTAINERS = (_LAYERS + "module.py", _LAYERS + "container.py")
_OURS = str(Path(__file__).parent) + "/"


class _Kind(Enum):
    NETWORK = "code of the network"
    LAYER = "a layer of PyTorch"
    PASSING = "neither"
    END = "the tracer, below which nothing belongs to the network"


def place_of_call() -> str | None:
    """`FILE:LINE` of the network's code that is running; None where there is only PyTorch.

    Within layers of PyTorch that no code of the network calls (in an `nn.Sequential`) it is the innermost layer's line.
    """
    frame: FrameType | None = sys._getframe(1)
    layer = None
    while frame is not None:
        kind, file = _known(frame.f_code.co_filename)
        if kind is _Kind.NETWORK:
            return f"{file}:{frame.f_lineno}"
        if kind is _Kind.END:
            break
        if kind is _Kind.LAYER and layer is None:
            layer = f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return layer


def called_by_network() -> bool:
    """Whether the function that called ours was called by the network, or by a library that is not PyTorch."""
    kind, _ = _known(sys._getframe(2).f_code.co_filename)
    return kind is _Kind.NETWORK


def place_of_failure(error: BaseException) -> str | None:
    """`FILE:LINE` of the innermost line of the network's code in a traceback; None where there is none."""
    place = None
    traceback = error.__traceback__
    while traceback is not None:
        kind, file = _known(traceback.tb_frame.f_code.co_filename)
        if kind is _Kind.NETWORK:
            place = f"{file}:{traceback.tb_lineno}"
        elif kind is _Kind.END:
            place = None
        traceback = traceback.tb_next
    return place


@lru_cache(maxsize=4096)
def _known(file: str) -> tuple[_Kind, str]:
    """Whose code a file holds, and its name as people know it."""
    if file == _OURS + "trace.py":
        return _Kind.END, file
    if file.startswith((_OURS, "<")) or file in _CONTAINERS:
        return _Kind.PASSING, file
    if file.startswith(_TORCH):
        return (_Kind.LAYER if file.startswith(_LAYERS) else _Kind.PASSING), _short(file)
    return _Kind.NETWORK, _short(file)


def _short(file: str) -> str:
    """A file below the innermost folder that is no package, so that it reads the same on every machine."""
    path = Path(file)
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return str(path.relative_to(folder))
