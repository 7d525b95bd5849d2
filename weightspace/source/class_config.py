"""The `config.json` of a network that has the classes of several others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def joined_config(configs: Sequence[Mapping[str, Any] | None], classes: Sequence[int]) -> dict[str, Any]:
    """The first configuration with the classes of all, of transformers or of timm on the hub.

    Classes keep their names where all configurations name theirs and no two are the same; else they are LABEL_0 and so
    on.

    Args:
        configs: The configurations, None where there is none beside a network; the first one must be there.
        classes: How many classes each network has.
    """
    assert configs[0] is not None
    joined, total = dict(configs[0]), sum(classes)
    if "model_type" not in joined:
        joined.pop("label_names", None)
        joined.pop("label_descriptions", None)
        joined["num_classes"] = total
        if isinstance(joined.get("pretrained_cfg"), dict):
            joined["pretrained_cfg"] = {**joined["pretrained_cfg"], "num_classes": total}
        return joined
    names = [name for config, count in zip(configs, classes, strict=True) for name in _names(config, count)]
    if len(set(names)) < total:
        names = [f"LABEL_{number}" for number in range(total)]
    joined.pop("num_labels", None)  # follows from the names
    joined["id2label"] = {str(number): name for number, name in enumerate(names)}
    joined["label2id"] = {name: number for number, name in enumerate(names)}
    return joined


def joined_config_text(configs: Sequence[Mapping[str, Any] | None], classes: Sequence[int]) -> str:
    """The same as the text of a file."""
    return json.dumps(joined_config(configs, classes), indent=2, ensure_ascii=False) + "\n"


def _names(config: Mapping[str, Any] | None, count: int) -> list[str]:
    """Names of the classes of a network; none where it does not name exactly so many."""
    known = None if config is None else config.get("id2label")
    keys = [str(number) for number in range(count)]
    return [known[key] for key in keys] if isinstance(known, dict) and known.keys() == set(keys) else []
