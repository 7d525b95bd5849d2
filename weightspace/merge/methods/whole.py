"""Whole tensors merged by a method, for use from Python and beside the streamed merge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from weightspace.errors import MergeError
from weightspace.merge.methods.chunk import Chunk, Draw, drawing
from weightspace.merge.methods.method import Measured, MergeMethod
from weightspace.merge.methods.option import Settings, Value
from weightspace.merge.methods.registry import known_merge_method

CHUNK = 1 << 18  # elements: what a method works on stays in a core's cache


def merge_tensors(
    method: str,
    tensors: Sequence[Tensor],
    base: Tensor | None = None,
    *,
    options: Mapping[str, Value | Sequence[float]] | None = None,
    seed: int = 0,
    name: str = "",
    draw: Draw | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Merges tensors of one shape.

    Args:
        method: Name of a merge method.
        tensors: Those of the models, of one shape; computed in float32, of float64 in that.
        base: That of the base model.
        options: Options by name; of those of models a number for all or a sequence of one each. Defaults for others.
        seed: Seed of random masks.
        name: Name of the tensor, on which random masks depend as well.
        draw: Random masks of one's own.
        chunk: Elements to work on together.

    Returns:
        The merged tensor, of the type of the base, or of the first.

    Raises:
        MergeError: The method, an option, the number of models or a shape is wrong.
    """
    found = known_merge_method(method)
    settings = settings_of(found, len(tensors), has_base=base is not None, options=options or {})
    like = tensors[0] if base is None else base
    for tensor in tensors:
        if tensor.shape != like.shape:
            raise MergeError(f"expected tensors of one shape, found {tuple(like.shape)} and {tuple(tensor.shape)}")
    every = draw or drawing(seed, name)
    size = chunk_length(found, like.shape, chunk)

    def chunks() -> Iterator[Chunk]:
        flat = [_laid_out(found, tensor) for tensor in tensors]
        origin = None if base is None else _laid_out(found, base)
        for number, start in enumerate(range(0, len(flat[0]), size)):
            pieces = tuple(computed(tensor[start : start + size]) for tensor in flat)
            yield Chunk(pieces, None if origin is None else computed(origin[start : start + size]), number, every)

    if like.numel() == 0:
        return like.clone()
    measured: Measured = ()
    for measure in found.measures:
        if not measure.needed(settings):
            measured = (*measured, None)
            continue
        parts = [measure.of(each, settings, measured) for each in chunks()]
        measured = (*measured, measure.join(parts, settings, measured))
    merged = torch.cat([found.combine(each, settings, measured) for each in chunks()])
    return merged.reshape(like.shape).to(like.dtype)


def settings_of(
    method: MergeMethod, models: int, *, has_base: bool, options: Mapping[str, Value | Sequence[float]]
) -> Settings:
    """The options of a method, checked, with defaults for those that are not given.

    Args:
        method: The method.
        models: Number of models beside the base.
        has_base: Whether there is a base.
        options: As for `merge_tensors`.

    Raises:
        MergeError: An option or the number of models is wrong.
    """
    check_models(method, models, has_base=has_base)
    for name in options:
        if method.option(name) is None:
            known = ", ".join(option.name for option in method.options) or "none"
            raise MergeError(f"option '{name}': expected one of method '{method.name}' ({known})")
    shared: dict[str, Value] = {}
    own: dict[str, tuple[float, ...]] = {}
    for option in method.options:
        given = options.get(option.name, option.default)
        if not option.per_model:
            shared[option.name] = option.checked(given)
            continue
        given = given if isinstance(given, Sequence) and not isinstance(given, str) else [given] * models
        if len(given) != models:
            raise MergeError(
                f"option '{option.name}': expected {models} numbers, one for each model, found {len(given)}"
            )
        own[option.name] = tuple(float(option.checked(value)) for value in given)
    settings = Settings(shared, own)
    method.check(settings)
    return settings


def check_models(method: MergeMethod, models: int, *, has_base: bool) -> None:
    """Checks whether a method takes so many models, and a base.

    Raises:
        MergeError: It does not.
    """
    if method.base == "required" and not has_base:
        raise MergeError(f"method '{method.name}': expected a base model, found none; name one")
    if method.base == "none" and has_base:
        raise MergeError(f"method '{method.name}': expected no base model, found one; drop it")
    least, most = method.models
    if models < least or (most is not None and models > most):
        wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        beside = " beside the base" if has_base else ""
        raise MergeError(f"method '{method.name}': expected {wanted} models{beside}, found {models}")


def chunk_length(method: MergeMethod, shape: Sequence[int], elements: int) -> int:
    """Length of a chunk along the first dimension of a tensor as `MergeMethod` sees it: elements, or rows."""
    if not method.by_rows:
        return elements
    columns = 1
    for extent in shape[1:] if len(shape) > 1 else shape:
        columns *= extent
    return max(1, elements // max(1, columns))


def computed(tensor: Tensor) -> Tensor:
    """A tensor in the type that methods compute in."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _laid_out(method: MergeMethod, tensor: Tensor) -> Tensor:
    if not method.by_rows:
        return tensor.reshape(-1)
    return tensor.reshape(tensor.shape[0], -1) if tensor.dim() > 1 else tensor.reshape(1, -1)
