"""Scripts that tests run beside themselves, those that stand in pages of words too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


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


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def run_block(language: str, text: str, folder: Path) -> None:
    """A block of Python is a script, one of sh a command per line; each must print something."""
    if language == "python":
        _run_command([sys.executable, "-W", "error", "-c", text], folder)
        return
    for line in text.splitlines():
        # The commands of this environment, whatever is first in PATH.
        command = re.sub(r"\bingot (?=\w)", f"'{sys.executable}' -m ingot ", line)
        _run_command(["bash", "-c", f"set -o pipefail; {command}"], folder)


def _run_command(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, input="", capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout or "chat" in command[-1]
