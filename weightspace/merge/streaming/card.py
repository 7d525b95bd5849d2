"""The model card of a merged model: what it was merged from, how, and the recipe to do it again."""

from __future__ import annotations

from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.recipe.recipe import Recipe
from weightspace.merge.streaming.vocabulary.merged import MergedVocabulary
from weightspace.merge.streaming.vocabulary.report import COLUMNS, vocabulary_line, vocabulary_report, vocabulary_table


def model_card(
    name: str, recipe: Recipe, method: MergeMethod, text: str, vocabulary: MergedVocabulary | None = None
) -> str:
    """The text of `README.md`.

    Args:
        name: Name of the merged model.
        recipe: What was done.
        method: How tensors were merged.
        text: The recipe as YAML.
        vocabulary: Its vocabulary, where the recipe says one.
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
{_told(vocabulary)}
The recipe, also in `recipe.yml` (`wsp merge recipe.yml -o {name}` gives the same bytes):

```yaml
{text.rstrip()}
```
"""


def _told(vocabulary: MergedVocabulary | None) -> str:
    """What became of the vocabularies, with a table."""
    if vocabulary is None:
        return ""
    report = vocabulary_report(vocabulary)
    names = [column.removeprefix("#") for column in COLUMNS]
    lines = [names, ["---"] * len(names), *vocabulary_table(report)]
    line = vocabulary_line(report)
    return f"\n{line[:1].upper()}{line[1:]}.\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
