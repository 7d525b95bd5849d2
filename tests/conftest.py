"""Fixtures that every part of the suite may use."""

from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]

# No timed assertions, and the same examples in every run: a failure in CI is a failure here.
settings.register_profile("weightspace", deadline=None, derandomize=True)
settings.load_profile("weightspace")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real checkpoints and data sets that lies beside the repository; never part of it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is absent")
    return folder
