"""The page of public names: each is there, and is the object of the subpackage that it comes from."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import weightspace


@pytest.mark.parametrize("name", weightspace.__all__)
def test_every_public_name_is_there(name: str):
    assert getattr(weightspace, name).__name__ == name


def test_no_public_name_hides_a_subpackage():
    subpackages = {module.name for module in pkgutil.iter_modules(weightspace.__path__)}
    assert not subpackages & set(weightspace.__all__)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'aling'"):
        _ = weightspace.aling
    assert importlib.import_module("weightspace") is weightspace
