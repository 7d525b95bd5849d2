"""The model card of a merged model: what it was merged from, how, and the recipe to do it again."""

from __future__ import annotations

from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.recipe.recipe import Recipe


def model_card(name: str, recipe: Recipe, method: MergeMethod, text: str) -> str:
    """The text of `README.md`.

    Args:
        name: Name of the merged model.
        recipe: What was done.
        method: How tensors were merged.
        text: The recipe as YAML.
    """
    listed = "\n".join(f"- {model}" + (" (base)" if model == recipe.base_model else "") for model in recipe.referenced)
    return f"""---
tags:
- merge
- weightspace
---
# {name}

Merged by `wsp merge` with {method.title}: {method.about} ({method.reference}).

Models:

{listed}

The recipe, also in `recipe.yml` (`wsp merge recipe.yml -o {name}` gives the same bytes):

```yaml
{text.rstrip()}
```
"""
