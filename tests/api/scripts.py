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


# Sends SIGINT to itself while WORK runs; prints how long KeyboardInterrupt took at best, and how
# long the answer is that comes after.
_INTERRUPTED = """
import os, signal, threading, time
import ingot
SETUP

def interrupt():
    global sent
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

def attempt():
    threading.Timer(DELAY, interrupt).start()
    try:
        for _ in range(1000):
            WORK
    except KeyboardInterrupt:
        return time.monotonic() - sent
    raise AssertionError("it wasn't interrupted")

took = [attempt() for _ in range(3)]
answer = AFTER
print(min(took), answer.n_generated)
"""


def check_ctrl_c(setup: str, work: str, after: str, delay: float = 0.2, most: float = 0.1) -> None:
    """Ctrl-C ends ``work`` within ``most`` seconds; then ``after`` gives an answer of 4 tokens."""
    code = _INTERRUPTED.replace("SETUP", setup).replace("WORK", work)
    done = run_python(code.replace("AFTER", after).replace("DELAY", str(delay)))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    took, n_generated = done.stdout.split()
    assert float(took) < most
    assert n_generated == "4"


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
