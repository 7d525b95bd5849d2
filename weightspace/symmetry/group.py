"""A symmetry group of the network: a set of interchangeable indices, possibly one set per index of outer groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from weightspace.errors import SpecError


@dataclass(frozen=True, slots=True)
class Group:
    """The symmetric group on ``size`` indices, repeated independently for every index of the groups it depends on.

    With ``depends_on == ()`` this is the plain symmetric group S_n (hidden units, channels). With
    ``depends_on == ("heads",)`` an element is one permutation of ``size`` indices *per head*: together with the outer
    permutation of the heads it forms a wreath product, and the inner permutations travel with their outer index.

    Attributes:
        name: Unique in its spec; derived from the first tensor that carries the group.
        size: Number of interchangeable indices, n.
        depends_on: Names of the outer groups, outermost first. Closed: what an outer group depends on is listed too.
        kinds: Kinds of freedom of these indices, ``("permutation",)``; empty when the indices are ordered (frozen) and
            serve only as the outer index of other groups.
    """

    name: str
    size: int
    depends_on: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("permutation",)

    @property
    def movable(self) -> bool:
        """Whether any element other than the identity acts on these indices."""
        return bool(self.kinds)

    def to_json(self) -> dict[str, Any]:
        """Returns the group as JSON-ready values."""
        return {"name": self.name, "size": self.size, "depends_on": list(self.depends_on), "kinds": list(self.kinds)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Group:
        """Inverse of `to_json`."""
        return cls(str(data["name"]), int(data["size"]), tuple(data["depends_on"]), tuple(data["kinds"]))


def check_groups(groups: Iterable[Group]) -> None:
    """Checks that names are unique and that dependencies are known, listed outermost first, and closed.

    Raises:
        SpecError: Naming the group that breaks a rule.
    """
    known: dict[str, Group] = {}
    ordered = list(groups)
    for group in ordered:
        if group.name in known:
            raise SpecError(f"group '{group.name}': expected a unique name, found it twice")
        if group.size < 1:
            raise SpecError(f"group '{group.name}': expected a positive size, found {group.size}")
        known[group.name] = group
    for group in ordered:
        for position, outer in enumerate(group.depends_on):
            if outer not in known:
                raise SpecError(f"group '{group.name}': depends on '{outer}', which the spec does not have")
            missing = [name for name in known[outer].depends_on if name not in group.depends_on[:position]]
            if missing:
                raise SpecError(
                    f"group '{group.name}': depends on '{outer}' and so must list '{missing[0]}' before it; "
                    f"found {list(group.depends_on)}"
                )
