"""What a node of a graph does."""

from __future__ import annotations

from torch import fx


def operator_name(node: fx.Node) -> str:
    """Name of the operator that a node calls, without namespace and overload; empty where it calls none."""
    return getattr(node.target, "__name__", "").split(".")[0] if node.op == "call_function" else ""


def writes_in_place(node: fx.Node) -> bool:
    """Whether the operator of a node writes into what it is given."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable
