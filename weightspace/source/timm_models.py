"""`timm:NAME`: an architecture of the timm registry (Wightman, PyTorch Image Models)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import torch
from typing_extensions import override

from weightspace.errors import SourceError
from weightspace.source.base import Inputs, Source
from weightspace.source.construction import construct
from weightspace.source.requirements import require

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint
    from weightspace.data.normalization import Normalization


@dataclass(frozen=True)
class TimmSource(Source):
    """An architecture of timm, never its pretrained weights.

    Attributes:
        label: The source as the user typed it.
        name: The name in timm's registry, with or without a weight tag (`resnet18`, `resnet18.a1_in1k`).
        num_classes: Outputs of the classifier; None for timm's default.
        in_chans: Channels of the input; None for timm's default.
        input_shape: Shape of one input without the batch, (channels, height, width); None for timm's default.
        model_args: Further arguments of the architecture, as `config.json` holds them.
    """

    label: str
    name: str
    num_classes: int | None = None
    in_chans: int | None = None
    input_shape: tuple[int, ...] | None = None
    model_args: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        timm = require("timm", extra="timm", label=self.label)
        # create_model also takes hub addresses and folders, which would leave this machine or read weights.
        if ":" in self.name or "/" in self.name:
            raise SourceError(f"{self.label}: expected a name of timm's registry, found an address; use timm:resnet18")
        if not timm.is_model(self.name):
            known = timm.list_models()
            near = get_close_matches(self.name.split(".")[0], known, n=3, cutoff=0.5)
            hint = f"did you mean timm:{' or timm:'.join(near)}?" if near else "see timm.list_models() for the names"
            raise SourceError(f"{self.label}: timm has no architecture of that name; {hint}")

    def fitted_to(self, checkpoint: Checkpoint) -> TimmSource:
        """The same architecture with as many classes and input channels as the tensors of a checkpoint have.

        Fine-tuned checkpoints differ from the registry in their classifier; everything else must be equal.
        """
        config = self._default_config()
        changes: dict[str, int] = {}
        for option, key, axis in (("num_classes", "classifier", 0), ("in_chans", "first_conv", 1)):
            names = config.get(key)
            for name in [names] if isinstance(names, str) else names or ():
                weight = f"{name}.weight"
                if weight in checkpoint and len(checkpoint.info(weight).shape) > axis:
                    changes.setdefault(option, checkpoint.info(weight).shape[axis])
        if changes.get("num_classes") == config.get("num_classes"):
            del changes["num_classes"]
        if changes.get("in_chans") == config.get("input_size", (None,))[0]:
            del changes["in_chans"]
        return replace(self, **changes)

    def config(self) -> dict[str, Any]:
        """The `config.json` from which it is built again, as timm writes them for the hub."""
        found: dict[str, Any] = {"architecture": self.name.partition(".")[0]}
        found |= {} if self.num_classes is None else {"num_classes": self.num_classes}
        options = dict(self.model_args) | ({} if self.in_chans is None else {"in_chans": self.in_chans})
        return found | ({"model_args": options} if options else {}) | {"pretrained_cfg": self._configured()}

    def _configured(self) -> dict[str, Any]:
        """What timm's own configuration says of inputs, and the tag."""
        default, tag = self._default_config(), self.name.partition(".")[2]
        found = {
            key: default[key] for key in ("input_size", "mean", "std", "classifier", "first_conv") if key in default
        }
        return found | ({"tag": tag} if tag else {})

    @override
    def with_classes(self, classes: int) -> TimmSource:
        return replace(self, num_classes=classes)

    @override
    def build(self, *, meta: bool = False) -> torch.nn.Module:
        import timm

        options: dict[str, Any] = dict(self.model_args) | {
            key: value for key in ("num_classes", "in_chans") if (value := getattr(self, key)) is not None
        }
        try:
            return construct(lambda: timm.create_model(self.name, pretrained=False, **options), meta=meta).eval()
        except (RuntimeError, TypeError, ValueError, AssertionError, ImportError) as error:
            raise SourceError(f"{self.label}: timm cannot build it with {options}: {_first_line(error)}") from error

    @override
    def example_inputs(self, *, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Inputs:
        shape = self.input_shape or tuple(self._default_config().get("input_size") or (3, 224, 224))
        if self.in_chans is not None and self.input_shape is None:
            shape = (self.in_chans, *shape[1:])
        generator = torch.Generator().manual_seed(seed)
        return Inputs((torch.randn(batch, *shape, generator=generator, dtype=dtype),))

    @property
    @override
    def normalization(self) -> Normalization | None:
        from weightspace.data.normalization import Normalization

        config = self._default_config()
        if not config.get("mean") or not config.get("std"):
            return None
        return Normalization(tuple(config["mean"]), tuple(config["std"]))

    def _default_config(self) -> Mapping[str, Any]:
        from timm.models import get_pretrained_cfg

        config = get_pretrained_cfg(self.name, allow_unregistered=True)
        return config.to_dict() if config is not None else {}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
