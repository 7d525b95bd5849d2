"""Why an axis stays in place, in plain words."""

from __future__ import annotations

import re

_OF_A_TREE = re.compile(r"atom\d*:|fixed:|uniform:")
_MISFITS = (
    "indices meet", "products with outer sizes", "varying label", "occurs in", "is cut", "no outer index",
    "no multiple", "varies twice",
)  # fmt: skip
_MEANINGS = {
    "input": "the input gives each index its own meaning",
    "output": "whoever reads the output knows its indices by number",
    "spatial": "positions of a kernel, image or sequence",
    "embedding index": "rows are looked up by number",
    "index": "entries are picked by number",
    "constant": "meets constants that differ from index to index",
    "single": "indices with no other to change places with",
    "unused": "the forward pass never reads it",
    "ordered": "stays in place, but groups inside of it move",
}


def kind_of(reason: str) -> str:
    """The reason without the details of the axes that did not fit, which differ from layer to layer."""
    head, colon, details = reason.partition(": ")
    if colon and (_OF_A_TREE.search(details) or any(words in details for words in _MISFITS)):
        return f"misfit in {head.partition(' ')[0]}"
    return reason


def meaning_of(kind: str) -> str:
    """One phrase about a kind of reason."""
    if kind in _MEANINGS:
        return _MEANINGS[kind]
    if kind.startswith("no rule for "):
        return "no rule for this operator, so all that it touches stays"
    if kind.startswith("misfit in "):
        return "sizes that cut across one another"
    if re.fullmatch(r"\w+", kind):
        return f"the operator {kind} tells its indices apart"
    return ""
