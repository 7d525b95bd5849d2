"""`FILE.py:callable` and `package.module:callable`: the user's own code, run because the user named it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache, reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from weightspace.errors import SourceError
from weightspace.source.base import Inputs, Source
from weightspace.source.construction import construct
from weightspace.source.input_shape import find_input
from weightspace.source.user_error import describe
from weightspace.structure import copy_structure


@dataclass(frozen=True)
class UserCodeSource(Source):
    """A function of the user that takes no arguments and returns a module, or (module, example_input).

    Attributes:
        label: The source as the user typed it, `LOCATION:callable`.
        location: A path that ends in `.py`, or the dotted name of an importable module.
        attribute: Name of the function or class in it, dotted for a nested one.
        input_shape: Shape of one input without the batch, when the function gives no example and guessing is unwanted.
    """

    label: str
    location: str
    attribute: str
    input_shape: tuple[int, ...] | None = None

    @override
    def build(self, *, meta: bool = False) -> nn.Module:
        module, _ = self._call()
        return (copy_structure(module, meta=True) if meta else module).eval()

    @override
    def example_inputs(self, *, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> Inputs:
        template = _template(self)
        generator = torch.Generator().manual_seed(seed)
        if not isinstance(template, Inputs):
            return Inputs((template.sample(batch, generator, dtype),))
        return template.map_tensors(lambda t: _filled(_to_batch(t, batch), generator)).cast(dtype, "cpu")

    def _call(self) -> tuple[nn.Module, Any]:
        """Call the function; returns the module and the example that came with it, or None."""
        function = self._function()
        results: list[Any] = []

        def factory() -> nn.Module:
            with self._explain("its own code fails"):
                results.append(function())
            module = results[0][0] if isinstance(results[0], tuple) and results[0] else results[0]
            if not isinstance(module, nn.Module):
                raise SourceError(
                    f"{self.label}: expected a torch.nn.Module or (module, example_input), "
                    f"found {type(module).__name__}; return the module"
                )
            return module

        module = construct(factory, meta=False)
        if any(isinstance(tensor, nn.UninitializedParameter) for tensor in module.parameters()):
            raise SourceError(
                f"{self.label}: has lazy layers without a shape; call the module once before returning it"
            )
        return module, results[0][1] if isinstance(results[0], tuple) and len(results[0]) > 1 else None

    def _function(self) -> Callable[[], Any]:
        with self._explain("cannot be imported"):
            module = _import_file(Path(self.location)) if self.location.endswith(".py") else self._import_module()
        try:
            function = reduce(getattr, self.attribute.split("."), module)
        except AttributeError:
            near = get_close_matches(self.attribute, [n for n in vars(module) if callable(getattr(module, n))], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "check the name after the colon"
            raise SourceError(f"{self.label}: {self.location} defines no {self.attribute!r}; {hint}") from None
        if not callable(function):
            raise SourceError(
                f"{self.label}: expected a function that returns a module, found {type(function).__name__}; name one"
            )
        return function

    def _import_module(self) -> ModuleType:
        with _importable(Path.cwd()):
            try:
                return importlib.import_module(self.location)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{self.location}.".startswith(f"{error.name}."):
                    raise
                raise SourceError(
                    f"{self.label}: no module named {error.name!r}; give a path that ends in .py, or install it"
                ) from error

    @contextmanager
    def _explain(self, what: str) -> Iterator[None]:
        """Turn whatever the user's code raises into one line that names its file and line."""
        try:
            yield
        except SourceError:
            raise
        except (Exception, SystemExit) as error:
            raise SourceError(f"{self.label}: {what}: {describe(error)}") from error


def user_code_source(text: str, *, input_shape: tuple[int, ...] | None = None) -> UserCodeSource:
    """Read `FILE.py:callable` or `package.module:callable`.

    Raises:
        SourceError: There is no such file, or no name after the colon.
    """
    location, _, attribute = text.rpartition(":")
    if location.endswith(".py") and not Path(location).is_file():
        raise SourceError(f"{text}: no file {location}; check the path before the colon")
    if not attribute or not all(part.isidentifier() for part in attribute.split(".")):
        raise SourceError(f"{text}: expected the name of a function after the colon, found {attribute!r}; name it")
    return UserCodeSource(text, location, attribute, input_shape)


@lru_cache(maxsize=8)
def _template(source: UserCodeSource) -> Any:
    """The user's example as `Inputs`, or the input found by trying; cached because trying runs the network."""
    module, example = source._call()
    if example is None:
        return find_input(module.eval(), source.label, source.input_shape)
    if isinstance(example, Inputs):
        return example
    if isinstance(example, dict):
        return Inputs(kwargs=example)
    return Inputs(tuple(example) if isinstance(example, (tuple, list)) else (example,))


def _filled(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Normal noise in place of a constant, which is a placeholder; other values may have to be as they are."""
    if not tensor.is_floating_point() or tensor.numel() < 2 or bool((tensor != tensor.flatten()[0]).any()):
        return tensor
    return torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)


def _to_batch(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    """Repeat a single sample to a batch; an example of several samples stays as it is."""
    if tensor.ndim == 0 or tensor.shape[0] != 1:
        return tensor
    return tensor.expand(batch, *tensor.shape[1:]).clone()


def _import_file(path: Path) -> ModuleType:
    """Import a file once under a name of its own; it may import its neighbours, as when it is run as a script."""
    path = path.resolve()
    name = f"_weightspace_source_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    stamp = path.stat().st_mtime_ns
    if (loaded := sys.modules.get(name)) is not None and getattr(loaded, "__weightspace_stamp__", None) == stamp:
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__weightspace_stamp__"] = stamp
    sys.modules[name] = module
    try:
        with _importable(path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Put a folder on the import path for a while."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
