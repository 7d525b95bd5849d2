"""The options of a method for one tensor, from what was given: checked, with defaults for all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weightspace.errors import MergeError
from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.methods.option import Settings, Value


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
