"""Optional libraries that only some sources need."""

import importlib
from types import ModuleType

from weightspace.errors import SourceError


def require(module: str, *, extra: str, label: str) -> ModuleType:
    """Import an optional library, or say how to install it.

    Args:
        module: Name of the module.
        extra: The extra of this package that brings it.
        label: The source that asks, for the message.

    Raises:
        SourceError: The library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise SourceError(f"{label}: needs {module}; install it with: pip install 'weightspace[{extra}]'") from error
