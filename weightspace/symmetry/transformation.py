"""Transformations: a permutation together with values of freedoms, with composition, inverse and action."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from weightspace.errors import SpecError
from weightspace.symmetry.element import Element
from weightspace.symmetry.freedom.freedom import KINDS, Fold, Freedom
from weightspace.symmetry.freedom.values import change_block, fold, inverse_value, product, random_value, turned, unfold
from weightspace.symmetry.spec import Spec


@dataclass(frozen=True, eq=False)
class Transformation:
    """An element of the whole symmetry group of a network.

    It acts by its rotations first (for which scales and shifts of normalisations are folded into what reads them; a
    shift that no bias takes up is divided by the scale), then by its other freedoms, then by its permutation.

    Attributes:
        spec: The symmetry.
        element: The permutation.
        values: By name of the freedom: factors of shape (outer..., n), complex ones for rotary freedoms, or matrices of
            shape (outer..., n, n), in float64 or complex128.
            Freedoms that are not named act as the identity.
        norms: Scales and shifts of normalisations, by tensor: what a rotation has folded away is put back, at the very
            end, with these in its place. They are part of where it leads, so that weights that are rotated towards
            others can stand beside them.

    Raises:
        SpecError: If a value or a norm has another shape than the spec says, or no rotation folds that norm.
    """

    spec: Spec
    element: Element
    values: Mapping[str, Tensor] = field(default_factory=dict)
    norms: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        freedoms = self.spec.freedoms
        if self.element.groups != self.spec.all_groups:
            raise SpecError("the group element belongs to another spec")
        for name, value in self.values.items():
            if name not in freedoms.by_name:
                raise SpecError(f"'{name}' is not a freedom of the spec")
            shape = freedoms.shape(freedoms.by_name[name])
            if tuple(value.shape) != shape:
                raise SpecError(f"freedom '{name}': expected values of shape {shape}, found {tuple(value.shape)}")
        folded = _folded(self._folds())
        for name, norm in self.norms.items():
            if name not in folded or tuple(norm.shape) != self.spec.tensors[name].shape:
                raise SpecError(f"tensor '{name}' of shape {tuple(norm.shape)} is not a norm that this rotation folds")

    @classmethod
    def identity(cls, spec: Spec) -> Transformation:
        """The transformation that changes nothing."""
        return cls(spec, spec.identity())

    @classmethod
    def random(
        cls, spec: Spec, generator: torch.Generator, kinds: Iterable[str] = ("permutation", *KINDS)
    ) -> Transformation:
        """A random transformation made of some kinds of symmetry (see `random_value`)."""
        kinds = set(kinds)
        element = spec.random_element(generator) if "permutation" in kinds else spec.identity()
        freedoms = spec.freedoms
        values = {f.name: random_value(freedoms, f, generator) for f in freedoms.all if f.kind in kinds}
        return cls(spec, element, values)

    def restrict(self, names: Iterable[str]) -> Transformation:
        """The transformation that acts as this one in the named groups and freedoms, and nowhere else."""
        keep = set(names)
        values = {name: value for name, value in self.values.items() if name in keep}
        folded = _folded(self._folds(values))
        norms = {name: norm for name, norm in self.norms.items() if name in folded}
        return Transformation(self.spec, self.element.restrict(keep), values, norms)

    # ------------------------------------------------------------------ the group

    def then(self, other: Transformation) -> Transformation:
        """The transformation that acts as ``self`` first and as ``other`` second.

        A rotation of ``other`` folds scales into their readers, and with them what ``self`` did to these scales.

        Raises:
            SpecError: If the two belong to different specs.
        """
        if self.spec is not other.spec and _signature(self.spec) != _signature(other.spec):
            raise SpecError("transformations of two different specs cannot be composed")
        freedoms = self.spec.freedoms
        folded = {one.scale for one in other._folds()}
        values: dict[str, Tensor] = {}
        for freedom in freedoms.all:
            first, second = self.values.get(freedom.name), other.values.get(freedom.name)
            if first is not None and any(place.tensor in folded for place in freedom.places):
                first = None
            if second is not None:
                second = self._within_signs(freedom, self._carried(freedom, second, back=True))
            if first is not None and second is not None:
                values[freedom.name] = product(freedom, first, second)
            elif first is not None or second is not None:
                values[freedom.name] = first if second is None else second  # type: ignore[assignment]
        norms = {name: other._changed(name, norm, contragredient=False) for name, norm in self.norms.items()}
        kept = norms.keys() - _folded(other._folds())
        norms = self.spec.apply(other.element, {name: norm for name, norm in norms.items() if name in kept})
        return Transformation(self.spec, self.element.then(other.element), values, {**norms, **other.norms})

    def inverse(self) -> Transformation:
        """The transformation that undoes this one, but for scales that it folds: they stay folded."""
        by_name = self.spec.freedoms.by_name
        values = {
            name: self._carried(
                by_name[name], self._within_signs(by_name[name], inverse_value(by_name[name], value)), back=False
            )
            for name, value in self.values.items()
        }
        return Transformation(self.spec, self.element.inverse(), values)

    def _carried(self, freedom: Freedom, value: Tensor, *, back: bool) -> Tensor:
        """A value as units see it before (``back``) or after the permutation has moved them."""
        freedoms = self.spec.freedoms
        group = freedoms.group(freedom.group)
        names = (*group.depends_on, group.name)
        if not any(name in self.element.perms for name in names):
            return value
        sizes = [freedoms.group(name).size for name in names]
        new = dict(zip(names, torch.meshgrid(*(torch.arange(n) for n in sizes), indexing="ij"), strict=True))
        old = tuple(self.element.lookup(name, new) for name in names)
        slots = tuple(new[name] for name in names)
        if freedom.matrix:  # rows and columns move together
            rows, columns = ((*(i.unsqueeze(-1) for i in place), place[-1].unsqueeze(-2)) for place in (old, slots))
            old, slots = rows, columns
        result = torch.empty_like(value)
        if back:
            result[old] = value[slots]
        else:
            result[slots] = value[old]
        return result

    def _within_signs(self, freedom: Freedom, value: Tensor) -> Tensor:
        """A rotation as it is before the signs of this transformation, which act after it: S Q S."""
        if freedom.kind != "rotation":
            return value
        folded = {one.shift for one in freedom.folds}
        folded |= {place.tensor for one in freedom.folds for place, _ in one.readers}
        place = next(place for place in freedom.places if place.tensor not in folded)
        for other, there in self.spec.freedoms.by_tensor[place.tensor]:
            if other.kind == "sign" and (there.block, there.dim) == (place.block, place.dim):
                signs = self.values.get(other.name)
                if signs is not None:
                    value = signs.unsqueeze(-1) * value * signs.unsqueeze(-2)
        return value

    # ------------------------------------------------------------------ the action

    def apply(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Applies the transformation to a state dict.

        Args:
            tensors: Weights and statistics by name; aliases of tied tensors may be among them. Names that the spec
                does not know pass through unchanged.

        Returns:
            A new dictionary in the same order, of the same dtypes. Calculations run in float64 for float64 tensors,
            else in float32.

        Raises:
            SpecError: If a tensor has another shape than the spec says, a variance would become negative, or a rotation
                must divide a shift by a scale of 0.
        """
        aliases = self.spec.aliases
        current = {aliases.get(name, name): tensor for name, tensor in tensors.items()}
        for one in self._folds():
            current |= fold(self.spec.freedoms, one, current)
        changed = {name: self._changed(name, tensor, contragredient=False) for name, tensor in current.items()}
        moved = self.spec.apply(self.element, changed)
        for one in self._folds():
            if one.scale in self.norms:  # other freedoms may have changed what the rotation has folded
                shift = None if one.shift is None else self.norms[one.shift]
                moved |= fold(self.spec.freedoms, one, moved)
                moved |= unfold(self.spec.freedoms, one, self.norms[one.scale], shift, moved)
        return {name: moved[aliases.get(name, name)] for name in tensors}

    def apply_to_gradients(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Applies the contragredient action, under which gradients of a loss with respect to weights change.

        Raises:
            SpecError: If the transformation folds scales into other tensors, which is no linear change of weights.
        """
        aliases = self.spec.aliases
        for name in self.values:
            if self.spec.freedoms.by_name[name].folds:
                raise SpecError(f"freedom '{name}': gradients do not follow a rotation that folds scales away")
        changed = {
            name: self._changed(aliases.get(name, name), tensor, contragredient=True)
            for name, tensor in gradients.items()
        }
        return self.spec.apply(self.element, changed)

    def apply_to_squares(self, moments: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Applies the action under which squares of gradients change: second moments, as Adam keeps them.

        Raises:
            SpecError: If the transformation mixes units (rotations, maps, angles): squares do not say what comes out.
        """
        by_name = self.spec.freedoms.by_name
        mixing = [name for name in self.values if by_name[name].kind not in ("scale", "sign")]
        if mixing:
            raise SpecError(
                f"freedom '{mixing[0]}': expected scales, signs and permutations alone for squares of gradients, found "
                f"kind '{by_name[mixing[0]].kind}'; start the optimiser anew"
            )
        values = {name: value.square() for name, value in self.values.items()}
        return Transformation(self.spec, self.element, values).apply_to_gradients(moments)

    def _folds(self, values: Iterable[str] | None = None) -> list[Fold]:
        """What the rotations among the values fold away."""
        by_name = self.spec.freedoms.by_name
        return [one for name in (self.values if values is None else values) for one in by_name[name].folds]

    def _changed(self, name: str, tensor: Tensor, *, contragredient: bool) -> Tensor:
        """One tensor after all freedoms, rotations first."""
        freedoms = self.spec.freedoms
        turning = [pair for pair in freedoms.turning.get(name, ()) if pair[0].name in self.values]
        acting = [pair for pair in freedoms.by_tensor.get(name, ()) if pair[0].name in self.values]
        if not acting and not turning:
            return tensor
        expected = self.spec.tensors[name].shape
        if tuple(tensor.shape) != expected:
            raise SpecError(f"tensor '{name}': the spec expects shape {expected}, found {tuple(tensor.shape)}")
        result = tensor.to(torch.float64 if tensor.dtype == torch.float64 else torch.float32, copy=True)
        for freedom, place in sorted(acting, key=lambda pair: not pair[0].folds):
            if contragredient:
                place = place.dual
            block = freedoms.blocks[name][place.block]
            value, entries = self.values[freedom.name], block.read(result)
            if value.requires_grad:  # the gradient needs what is written over
                entries = entries.clone()
            block.write(result, change_block(freedom, value, place, block, entries))
        if any(place.offset for _, place in acting) and not contragredient and bool((result < 0).any()):
            raise SpecError(
                f"tensor '{name}': expected scales under which the variance stays positive, found some that make it "
                f"{float(result.min()):.1e}; take larger scales"
            )
        for freedom, turn in turning:
            value = self.values[freedom.name]
            dual = (turn.exponent < 0) != contragredient
            result = turned(result, turn.axis, turn.positions, 1 / value.conj() if dual else value)
        return result.to(tensor.dtype)


def _folded(folds: Iterable[Fold]) -> set[str]:
    """The scales and shifts that are folded away."""
    return {name for one in folds for name in (one.scale, one.shift) if name is not None}


def _signature(spec: Spec) -> object:
    """What two specs must share for their transformations to be composed."""
    return spec.hash, [(freedom.name, freedom.kind, spec.freedoms.shape(freedom)) for freedom in spec.freedoms.all]
