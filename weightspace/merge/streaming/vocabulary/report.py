"""What became of vocabularies, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from weightspace.merge.streaming.vocabulary.merged import MergedVocabulary

COLUMNS = ("model", "#tokens", "#only there", "#left out", "#own rows", "#of others", "#mean", "#zero", "#padding")


def vocabulary_report(vocabulary: MergedVocabulary) -> dict[str, Any]:
    """The numbers: of tokens in all models and in one alone, and where the rows of each model come from."""
    holders = Counter(token for tokens in vocabulary.models.values() for token in tokens)
    everywhere = sum(count == len(vocabulary.models) for count in holders.values())
    models = {}
    for at, (name, tokens) in enumerate(vocabulary.models.items()):
        models[name] = {
            "tokens": len(tokens),
            "only": sum(holders[token] == 1 for token in tokens),
            "left_out": sum(token not in vocabulary.tokenizer.ids for token in tokens),
            "rows": vocabulary.rows.counts(at),
        }
    return {
        "source": vocabulary.source, "tokens": len(vocabulary.tokenizer.ids), "rows": vocabulary.size,
        "in_common": everywhere, "embeddings": list(vocabulary.embeddings), "models": models,
    }  # fmt: skip


def vocabulary_table(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows under `COLUMNS`."""
    table = []
    for name, found in report["models"].items():
        rows = found["rows"]
        others = sum(count for kind, count in rows.items() if kind not in ("own", "mean", "zero", "padding"))
        numbers = (found["tokens"], found["only"], found["left_out"], rows["own"], others)
        table.append((name, *map(str, (*numbers, rows["mean"], rows["zero"], rows["padding"]))))
    return table


def vocabulary_line(report: dict[str, Any]) -> str:
    """One line."""
    return (
        f"vocabulary ({report['source']}): {report['tokens']} tokens in {report['rows']} rows; "
        f"{report['in_common']} tokens in common"
    )
