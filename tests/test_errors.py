import inspect

import pytest

from weightspace import errors


def drawn_tree() -> dict[str, str]:
    """Class -> parent class, as the docstring of the module draws it."""
    drawing = errors.__doc__.split("```")[1].strip("\n").splitlines()
    parents: list[tuple[int, str]] = []
    tree = {}
    for line in drawing:
        name = line.lstrip("│├└─ ")
        depth = len(line) - len(name)
        parents = [(at, parent) for at, parent in parents if at < depth]
        tree[name] = parents[-1][1] if parents else "Exception"
        parents.append((depth, name))
    return tree


def defined() -> dict[str, type[BaseException]]:
    return {name: value for name, value in vars(errors).items() if inspect.isclass(value)}


def test_the_tree_is_as_drawn():
    assert {name: value.__base__.__name__ for name, value in defined().items()} == drawn_tree()


@pytest.mark.parametrize("name", sorted(defined()))
def test_every_exception_is_a_weightspace_error(name):
    error = defined()[name]
    assert issubclass(error, errors.WeightspaceError)
    assert error.__doc__
    assert str(error("x.pt: expected weights")) == "x.pt: expected weights"
