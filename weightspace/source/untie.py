"""A transformers model whose output head gets a tensor of its own, where it shares that of the embeddings.

Rotations of the residual stream are a symmetry only where the two are apart: the scale of the last norm has to be
folded into the head, and a head that is the table of embeddings at once cannot take it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from weightspace.checkpoint import Checkpoint
from weightspace.errors import CheckpointMismatchError, SourceError, VerificationError
from weightspace.source.program import Program
from weightspace.source.transformers_models import TransformersSource
from weightspace.symmetry.verify import relative_error
from weightspace.views import TensorView

SWITCH = "tie_word_embeddings"
_LARGEST_ERROR = 1e-9  # both networks compute the same in float64
_ADVICE = "restore the config.json that these weights were saved with"


@dataclass(frozen=True, eq=False)
class Untied:
    """A checkpoint whose output head is a tensor of its own.

    Attributes:
        tensors: All tensors by name, read when they are asked for.
        aliases: Names of tensors that are still tied -> the names under which they are stored.
        copies: Names that were not there before -> the names of the tensors that they are copies of.
        config: Text of its `config.json`.
        preservation_error: Relative change of the outputs in float64.
        notes: What else has changed, a line each.
    """

    tensors: Mapping[str, Tensor]
    aliases: Mapping[str, str]
    copies: Mapping[str, str]
    config: str
    preservation_error: float
    notes: tuple[str, ...]


def untie(checkpoint: Checkpoint) -> Untied:
    """Gives the output head of a transformers model a tensor of its own.

    Nothing is computed with the weights but the outputs of both models, which are compared; one tensor is held at a
    time. Names in files that were saved from a base model get its prefix, so that the head has a place beside them.

    Args:
        checkpoint: Opened from a transformers folder.

    Raises:
        SourceError: If it is no such folder, the network cannot be built, or no tensor of it is tied, or stays tied
            whatever its configuration says.
        CheckpointMismatchError: If the weights do not fit the configuration, or hold other numbers for tied tensors.
        VerificationError: If the model computes something else when its head is not tied.
    """
    settings = _settings(checkpoint)
    source, stored = _with_head(checkpoint)
    tied = Program.from_source(source, meta=True)
    held = TensorView(checkpoint, names=stored)
    tied.check_state(held, advice=_ADVICE)
    if not tied.aliases:
        raise SourceError(
            f"{checkpoint.path}: expected an output head tied to the embeddings, found no tied tensors in its model; "
            "there is nothing to untie, use it as it is"
        )
    config = json.dumps(_switched_off(settings), indent=2, ensure_ascii=False) + "\n"
    apart = _built_with(config, source, tied)
    if all(_tied(apart, name, first) for name, first in tied.aliases.items()):
        raise SourceError(
            f"{checkpoint.path}: expected a head that is tied only where {SWITCH} is true, found "
            f"{next(iter(tied.aliases))} tied whatever it says; use it as it is"
        )
    _check_equal(checkpoint, held, tied)
    copies = _copies(stored, tied, apart)
    tensors = TensorView(checkpoint, names=stored | {name: stored[first] for name, first in copies.items()})
    apart.check_state(tensors, advice=_ADVICE)
    error = relative_error(apart.outputs(apart.streamed(tensors)), tied.outputs(tied.streamed(held)))
    if not error <= _LARGEST_ERROR:
        raise VerificationError(
            f"{checkpoint.path}: expected the same outputs with a head of its own, found a relative difference of "
            f"{error:.1e}: this architecture computes otherwise where {SWITCH} is false; leave it tied"
        )
    renamed = next((f"{first} is {name} now, and so on" for name, first in stored.items() if name != first), None)
    aliases = _still_tied(checkpoint, stored, apart)
    return Untied(tensors, aliases, copies, config, error, () if renamed is None else (renamed,))


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """What its `config.json` says."""
    path = checkpoint.config_path
    if path is None:
        raise SourceError(f"{checkpoint.path}: expected a transformers folder, found no config.json beside the weights")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: expected JSON, found: {error}; restore the file") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("model_type"), str):
        raise SourceError(f"{path}: expected the configuration of a transformers model, found no model_type in it")
    return settings


def _switched_off(settings: dict[str, Any], *, nested: bool = False) -> dict[str, Any]:
    """Settings under which nothing is tied; those of the parts of a model have a switch of their own."""
    result = {key: _switched_off(one, nested=True) if isinstance(one, dict) else one for key, one in settings.items()}
    if not nested or SWITCH in settings:
        result[SWITCH] = False
    return result


def _with_head(checkpoint: Checkpoint) -> tuple[TransformersSource, dict[str, str]]:
    """The model with its head, and its names for the tensors of the checkpoint."""
    assert checkpoint.config_path is not None
    source = TransformersSource(str(checkpoint.path), checkpoint.config_path.parent).fitted_to(checkpoint)
    if not source.base_names:
        return source, {name: name for name in checkpoint}
    full = replace(source, base_names=False)
    prefix = full.build(meta=True).base_model_prefix
    return full, {f"{prefix}.{name}": name for name in checkpoint}


def _built_with(config: str, source: TransformersSource, like: Program) -> Program:
    """The network that another `config.json` describes, to be run on the same inputs."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(config, encoding="utf-8")
        module = replace(source, folder=Path(folder)).build(meta=True)
    return Program(module, like.inputs, label=source.label, ignores=source.ignores)


def _tied(program: Program, one: str, other: str) -> bool:
    return program.aliases.get(one, one) == program.aliases.get(other, other)


def _check_equal(checkpoint: Checkpoint, held: TensorView, tied: Program) -> None:
    """Refuses numbers under two tied names that differ: which of them count depends on who loads them."""
    first: dict[str, str] = {}
    for name in sorted(held, key=lambda name: name in tied.aliases):
        other = first.setdefault(tied.aliases.get(name, name), name)
        if other != name and not torch.equal(held[name], held[other]):
            raise CheckpointMismatchError(
                f"{checkpoint.path}: {name}: expected the numbers of {other}, to which config.json ties it, found "
                f"others; set {SWITCH} to false there if they are what the model was trained with"
            )


def _copies(stored: Mapping[str, str], tied: Program, apart: Program) -> dict[str, str]:
    """What has no tensor any more where the tie is gone -> the tensor that it was tied to."""
    present = {apart.aliases.get(name, name) for name in stored}
    source = {tied.aliases.get(name, name): name for name in reversed(list(stored))}
    return {
        name: source[tied.aliases.get(name, name)]
        for name in apart.state_names
        if apart.aliases.get(name, name) == name and name not in present and tied.aliases.get(name, name) in source
    }


def _still_tied(checkpoint: Checkpoint, stored: Mapping[str, str], apart: Program) -> dict[str, str]:
    """The ties of the checkpoint that are there without that of the head, or that the network knows nothing of."""
    own = {first: name for name, first in stored.items()}
    ties = {own[alias]: own[first] for alias, first in checkpoint.aliases().items()}
    return {a: b for a, b in ties.items() if a not in apart.state_names or _tied(apart, a, b)}
