"""One vocabulary for models that are merged: its tokenizer, and the rows of embeddings that belong to it."""

from weightspace.merge.streaming.vocabulary.chat import chat_template
from weightspace.merge.streaming.vocabulary.differ import unlike_tokens
from weightspace.merge.streaming.vocabulary.merged import MergedVocabulary, merged_vocabulary
from weightspace.merge.streaming.vocabulary.read import Vocabulary, read_vocabulary
from weightspace.merge.streaming.vocabulary.renumbered import Renumbered, shared
from weightspace.merge.streaming.vocabulary.report import (
    COLUMNS,
    vocabulary_line,
    vocabulary_report,
    vocabulary_table,
)

__all__ = [
    "COLUMNS",
    "MergedVocabulary",
    "Renumbered",
    "Vocabulary",
    "chat_template",
    "merged_vocabulary",
    "read_vocabulary",
    "shared",
    "unlike_tokens",
    "vocabulary_line",
    "vocabulary_report",
    "vocabulary_table",
]
