"""What the tests of the Python package share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ingot
import pytest
from ingot.model import bundled_model


@pytest.fixture(scope="session")
def bundled() -> Path:
    """The model that comes with the package."""
    return bundled_model()


@pytest.fixture(scope="module")
def model() -> Iterator[ingot.Model]:
    with ingot.Model(n_ctx=512) as opened:
        yield opened
