"""Names of tensors in an adapter, as PEFT writes them, and what they belong to.

`base_model.model.MODULE.lora_A.weight`; in files that were not written by `save_pretrained` the name of the adapter
stands in between, and the prefix may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "base_model.model."

_PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_(?:embedding_)?[AB]|lora_magnitude_vector)"
    r"(?:\.(?!(?:weight|bias)$)[^.]+)?(?:\.(?P<leaf>weight|bias))?"
)


@dataclass(frozen=True)
class Part:
    """One of the tensors that change a module of the base by a low rank.

    Attributes:
        module: Name of the module in the base.
        part: `lora_A`, `lora_B`, `lora_embedding_A`, `lora_embedding_B`, `lora_magnitude_vector`, or `lora_B.bias`.
    """

    module: str
    part: str


def part_of(name: str) -> Part | None:
    """What a tensor of an adapter is part of; None for a tensor of the base that was saved whole."""
    match = _PART.fullmatch(name.removeprefix(PREFIX))
    if match is None:
        return None
    return Part(match["module"], match["part"] + (".bias" if match["leaf"] == "bias" else ""))


def whole_name(name: str) -> str:
    """The name in the base of a tensor that was saved whole, trained beside the adapter or copied from the base."""
    plain = re.sub(r"\.modules_to_save\.[^.]+\.", ".", name.removeprefix(PREFIX))
    return plain.replace(".base_layer.", ".")


def saved_module(name: str, modules_to_save: Iterable[str]) -> str | None:
    """The outermost module around a tensor that PEFT takes for one of `modules_to_save`; None if there is none.

    It goes by the ends of names, so that `head` stands for `my_head`, too.
    """
    wanted = tuple(modules_to_save)
    parents = (name[:at] for at, letter in enumerate(name) if letter == ".")
    return next((parent for parent in parents if wanted and parent.endswith(wanted)), None)


def is_named(module: str, names: Iterable[str]) -> bool:
    """Whether a module is, or lies in, one of those named by the last components of their names."""
    return any(f".{name}." in f".{module}." for name in names)
