"""mergekit, which lives in an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "WSP_MERGEKIT_PYTHON"


def mergekit_command() -> Path | None:
    """`mergekit-yaml` of the environment whose interpreter WSP_MERGEKIT_PYTHON names; None where there is none.

    Such an environment: `python -m venv DIR && DIR/bin/pip install mergekit==0.1.4 "transformers<5"`.
    """
    given = os.environ.get(VARIABLE)
    command = None if given is None else Path(given).with_name("mergekit-yaml")
    return command if command is not None and command.exists() else None
