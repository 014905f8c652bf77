"""What the tests of the Python package share."""

from __future__ import annotations

import os
import subprocess
import sys
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


def run_python(code: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a fresh interpreter, where a crash would not take the tests along."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
        check=False,
    )
