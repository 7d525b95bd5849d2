"""A folder with a transformers `config.json`, or `hf:org/name` out of the local cache."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from typing_extensions import override

from weightspace.errors import SourceError
from weightspace.source.base import Inputs, Source
from weightspace.source.base_names import under_base_names
from weightspace.source.construction import construct
from weightspace.source.requirements import require
from weightspace.source.transformers_inputs import inputs_for

if TYPE_CHECKING:
    from weightspace.checkpoint import Checkpoint
    from weightspace.data.normalization import Normalization


@dataclass(frozen=True)
class TransformersSource(Source):
    """A network that a `config.json` describes and that transformers itself implements.

    Nothing is downloaded and no code that comes with the configuration is run.

    Attributes:
        label: The source as the user typed it.
        folder: The folder that holds `config.json`.
        input_shape: Shape of one image without the batch; None for what the configuration says.
        base_names: The weights have the names of the base model, without its prefix (see `base_names`).
        num_labels: Classes, in place of those of the configuration; None for these.
    """

    label: str
    folder: Path
    input_shape: tuple[int, ...] | None = None
    base_names: bool = False
    num_labels: int | None = None

    def fitted_to(self, checkpoint: Checkpoint) -> TransformersSource:
        """The same architecture, under the names that a checkpoint of its base model has."""
        _, model_class = self._resolve()
        if model_class is _auto():
            return self
        prefix = model_class.base_model_prefix
        if any(name.startswith(f"{prefix}.") for name in checkpoint):
            return self
        return replace(self, base_names=hasattr(self.build(meta=True), prefix))

    @override
    def with_classes(self, classes: int) -> TransformersSource:
        return replace(self, num_labels=classes)

    @override
    def build(self, *, meta: bool = False) -> torch.nn.Module:
        config, model_class = self._resolve()
        try:
            # An Auto class builds in the type of the configuration, a model class in the default one.
            if model_class is _auto():
                return construct(lambda: model_class.from_config(config).float(), meta=meta).eval()
            model = construct(lambda: model_class(config), meta=meta).eval()
        except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, ImportError) as error:
            raise SourceError(f"{self._config_path}: transformers cannot build it: {_first_line(error)}") from error
        choose = getattr(model, "set_experts_implementation", None)  # since version 5
        if meta and choose is not None:
            # The form of mixtures in which experts are looked up rather than sorted: their symmetry can be followed.
            # It needs a copy of an expert for every token, which costs nothing without values.
            choose("batched_mm")
        return under_base_names(model, model_class.base_model_prefix) if self.base_names else model

    @override
    def ignores(self, name: str) -> bool:
        patterns = getattr(self._resolve()[1], "_keys_to_ignore_on_load_unexpected", None) or ()
        return any(re.search(pattern, name) for pattern in patterns)

    @override
    def example_inputs(self, *, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Inputs:
        config, model_class = self._resolve()
        if model_class is _auto():
            model_class = type(self.build(meta=True))
        inputs = inputs_for(config, model_class, batch=batch, seed=seed, dtype=dtype, image_shape=self.input_shape)
        if inputs is None:
            raise SourceError(
                f"{self._config_path}: no example input is known for {model_class.__name__}; "
                "write a FILE.py whose function returns (module, example_input) and pass --arch FILE.py:function"
            )
        return inputs

    @property
    @override
    def normalization(self) -> Normalization | None:
        from weightspace.data.normalization import Normalization

        path = self.folder / "preprocessor_config.json"
        if not path.is_file():
            return None
        settings = _read_json(path)
        mean, std = settings.get("image_mean"), settings.get("image_std")
        if not settings.get("do_normalize", True) or not isinstance(mean, list) or not isinstance(std, list):
            return None
        return Normalization(tuple(map(float, mean)), tuple(map(float, std)))

    def settings(self) -> dict[str, Any]:
        """Every setting of the network, also those that its configuration leaves at their defaults."""
        return self._resolve()[0].to_dict()

    @property
    def _config_path(self) -> Path:
        return self.folder / "config.json"

    def _resolve(self) -> tuple[Any, Any]:
        """The configuration object and the class that builds it, without any code but transformers' own."""
        transformers = require("transformers", extra="hf", label=self.label)
        settings = _read_json(self._config_path)
        remote = "auto_map" in settings
        model_type = settings.get("model_type")
        known = transformers.models.auto.configuration_auto.CONFIG_MAPPING
        if not isinstance(model_type, str) or model_type not in known:
            if remote:
                raise SourceError(self._remote_code("its model_type is not one of transformers"))
            near = get_close_matches(str(model_type), list(known), n=3)
            hint = (
                f"did you mean {' or '.join(near)}?" if near else "update transformers, or pass --arch FILE.py:callable"
            )
            raise SourceError(f"{self._config_path}: transformers knows no model_type {model_type!r}; {hint}")
        model_class = _own_class(transformers, settings.get("architectures"))
        if remote and model_class is None:
            raise SourceError(self._remote_code(f"{settings.get('architectures')} is not one of its classes"))
        try:
            config = transformers.AutoConfig.from_pretrained(
                str(self.folder), trust_remote_code=False, local_files_only=True
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise SourceError(f"{self._config_path}: transformers refuses it: {_first_line(error)}") from error
        if self.num_labels is not None:
            config.num_labels = self.num_labels
        for part in (config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", {}))):
            for switch in ("use_cache", "use_pretrained_backbone"):
                if hasattr(part, switch):
                    setattr(part, switch, False)
        return config, model_class or _auto()

    def _remote_code(self, why: str) -> str:
        return (
            f"{self._config_path}: needs code that comes with the checkpoint ('auto_map'; {why}), which is never run; "
            "import the model yourself in a FILE.py and pass --arch FILE.py:callable"
        )


def transformers_source(text: str, *, input_shape: tuple[int, ...] | None = None) -> TransformersSource:
    """Read `hf:FOLDER`, `hf:org/name` or a folder.

    Raises:
        SourceError: There is no such folder, and the local hub cache holds no such repository.
    """
    name = text.removeprefix("hf:")
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return TransformersSource(text, folder, input_shape)
    if folder.exists() or name.startswith((".", "/", "~")):
        found = "no config.json in it" if folder.is_dir() else "no such folder"
        raise SourceError(f"{text}: expected a transformers folder with config.json, found {found}")
    hub = require("huggingface_hub", extra="hf", label=text)
    try:
        cached = hub.try_to_load_from_cache(name, "config.json")
    except ValueError as error:
        raise SourceError(f"{text}: neither a folder nor a repository name: {_first_line(error)}") from error
    if not isinstance(cached, str):
        raise SourceError(
            f"{text}: not in the local hub cache, and nothing is downloaded here; run: hf download {name}"
        )
    return TransformersSource(text, Path(cached).parent, input_shape)


def _auto() -> Any:
    import transformers

    return transformers.AutoModel


def _own_class(transformers: Any, architectures: Any) -> Any:
    """The first architecture that is a model class of transformers itself, or None."""
    for name in architectures if isinstance(architectures, list) else ():
        candidate = getattr(transformers, name, None) if isinstance(name, str) else None
        if isinstance(candidate, type) and issubclass(candidate, transformers.PreTrainedModel):
            return candidate
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: expected JSON, found: {_first_line(error)}; restore the file") from error
    if not isinstance(content, dict):
        raise SourceError(f"{path}: expected a JSON object, found {type(content).__name__}; restore the file")
    return content


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
