"""The pairs that a benchmark is to take, of those whose files are there."""

from __future__ import annotations

from trained.pairs import PAIRS

QUICK = ("digits MLP", "digits CNN", "MNIST MLP")


def present(only: str, *, quick: bool) -> tuple[list[str], dict[str, str]]:
    """Names of pairs, and for those that cannot be measured the reason.

    Args:
        only: What their names hold, or one name in full; empty for all, or for a few small ones with `quick`.
        quick: Whether a minute has to do.
    """
    names = [name for name in PAIRS if only in name and (only or not quick or name in QUICK)]
    names = [only] if only in names else names
    absent = {name: [path for path in PAIRS[name].paths if not path.exists()] for name in names}
    return [name for name in names if not absent[name]], {
        name: f"{paths[0]} is absent" for name, paths in absent.items() if paths
    }
