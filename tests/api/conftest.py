"""What the tests of the Python package share."""

from __future__ import annotations

import shutil
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


@pytest.fixture
def folder(tmp_path: Path, bundled: Path) -> Path:
    """A folder with a model.gguf, as the examples of README.md and docs/ take it for granted."""
    shutil.copy(bundled, tmp_path / "model.gguf")
    return tmp_path
