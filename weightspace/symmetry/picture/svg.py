"""A small writer of SVG: shapes and text, escaped, with few decimals, the same bytes for the same calls."""

from __future__ import annotations

import re
from xml.etree import ElementTree

FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
CHARACTER = 0.61  # width of a character of such a font, as a share of its size; none of them is wider
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Node:
    """One element, to which children are added; every method returns the child."""

    def __init__(self, element: ElementTree.Element) -> None:
        self._element = element

    def add(self, tag: str, **attributes: str | float) -> Node:
        """Adds a child. In attribute names `_` stands for `-`; `class_` is `class`."""
        child = ElementTree.SubElement(self._element, tag, _written(attributes))
        self._element.tail = "\n"
        child.tail = "\n"
        return Node(child)

    def text(self, x: float, y: float, content: str, **attributes: str | float) -> Node:
        """A line of text that begins at x, with its baseline at y."""
        child = self.add("text", x=x, y=y, **attributes)
        child.write(content)
        return child

    def set(self, **attributes: str | float) -> Node:
        """Sets attributes, named as in `add`; returns the element itself."""
        self._element.attrib.update(_written(attributes))
        return self

    def title(self, content: str) -> Node:
        """What a viewer shows when the pointer rests here."""
        child = self.add("title")
        child.write(content)
        return self

    def write(self, content: str) -> None:
        """Sets the text of the element; characters that XML cannot hold are replaced."""
        self._element.text = _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", content)

    def to_text(self) -> str:
        """The element and all within it."""
        return ElementTree.tostring(self._element, encoding="unicode")


def document(width: float, height: float) -> Node:
    """An empty picture with a white ground, so that it reads the same in dark viewers."""
    attributes = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {_number(width)} {_number(height)}"}
    attributes |= _written({"width": width, "height": height, "font-family": FONT})
    root = Node(ElementTree.Element("svg", attributes))
    root.add("rect", width=width, height=height, rx=8, fill="#ffffff")
    return root


def text_width(content: str, size: float) -> float:
    """The most room that a line of text of that font size takes."""
    return len(content) * CHARACTER * size


def _written(attributes: dict[str, str | float]) -> dict[str, str]:
    return {
        name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else _number(value)
        for name, value in attributes.items()
    }


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
