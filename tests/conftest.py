"""Fixtures and options that all Python tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    # In the background of a shell processes ignore Ctrl-C, and so do their children: no test
    # of it would ever end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "long: takes minutes; runs only with INGOT_LONG=1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("INGOT_LONG") == "1":
        return
    skip = pytest.mark.skip(reason="takes minutes: set INGOT_LONG=1 (make soak does)")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of large test data: $INGOT_SHARED, else ``shared`` beside the repository.

    Where it is missing the test skips, but with CI=true it fails: a check that never ran is none.
    """
    path = Path(os.environ.get("INGOT_SHARED", ROOT.parent / "shared")).resolve()
    if not path.is_dir():
        message = f"{path} is missing: set INGOT_SHARED to the folder of the large test data"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
