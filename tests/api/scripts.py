"""Scripts that tests run beside themselves."""

from __future__ import annotations

import os
import subprocess
import sys


def run_python(
    code: str, *args: str, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a script in a fresh interpreter, where a crash would not take the tests along."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
        check=False,
    )
