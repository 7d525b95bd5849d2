"""The chat template of a merged model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from weightspace.errors import MergeError
from weightspace.merge.streaming.vocabulary.read import SETTINGS
from weightspace.merge.streaming.vocabulary.texts import TEMPLATE

AUTO = "auto"
_SHORTEST = 20


def chat_template(wanted: str, folders: Iterable[Path]) -> str | None:
    """The template that a recipe asks for; None where it is that of the models and none has one.

    Args:
        wanted: `auto` for what most models have (of equally many the first), or the text of a template.
        folders: Where the models lie, the base first.

    Raises:
        MergeError: It is neither.
    """
    if wanted == AUTO:
        found = [template.strip() for folder in folders if (template := _template(folder))]
        return Counter(found).most_common(1)[0][0] if found else None
    if "{" not in wanted or len(wanted) < _SHORTEST:
        raise MergeError(
            f"chat_template: expected {AUTO} or the text of a template in jinja, found {wanted!r}; "
            "templates are not kept here by name: paste the text"
        )
    return wanted


def with_template(template: str, settings: str | None) -> dict[str, str]:
    """The files that say the template, where transformers looks first, and nothing else says another.

    Args:
        template: The template.
        settings: The text of `tokenizer_config.json`, if there is one.
    """
    texts = {TEMPLATE: template}
    if settings is not None:
        content: dict[str, Any] = json.loads(settings)
        if content.pop("chat_template", None) is not None:
            texts[SETTINGS] = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return texts


def _template(folder: Path) -> str | None:
    """The template of a model; of several named ones the default."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    if not (folder / SETTINGS).is_file():
        return None
    found = json.loads((folder / SETTINGS).read_text(encoding="utf-8")).get("chat_template")
    if isinstance(found, list):
        found = next((each["template"] for each in found if each.get("name") == "default"), None)
    if isinstance(found, Mapping):
        found = found.get("default")
    return found
