"""Relational transformers on parameter graphs (Diao and Loynd 2023; Kofinas et al. 2024, Neural Graphs)."""

from weightspace.nn.relational.models import RelationalEditor, RelationalPredictor

__all__ = ["RelationalEditor", "RelationalPredictor"]
