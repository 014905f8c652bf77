"""Every block of the README does what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import ingot
import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path, bundled: Path) -> Path:
    """A folder with a model.gguf."""
    shutil.copy(bundled, tmp_path / "model.gguf")
    return tmp_path


def test_the_readme_has_both_kinds_of_blocks() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "python"}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block(number: int, folder: Path) -> None:
    language, text = BLOCKS[number]
    if language == "python":
        run([sys.executable, "-W", "error", "-c", text], folder)
    else:
        for line in text.splitlines():
            # The commands of this environment, whatever is first in PATH.
            command = re.sub(r"\bingot (?=\w)", f"'{sys.executable}' -m ingot ", line)
            run(["bash", "-c", f"set -o pipefail; {command}"], folder)


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, input="", capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout or "chat" in command[-1]


@pytest.mark.long
def test_install(tmp_path: Path) -> None:
    """The commands of the section "Install", in a new environment."""
    root = README.parent
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=root, text=True)
    for name in tracked.split("\0")[:-1]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / ".venv"], check=True)
    (section,) = re.findall(
        r"^## Install\n\n[^\n]*\n\n((?:    [^\n]*\n)+)", README.read_text(), re.M
    )
    for line in section.splitlines():
        command = f". .venv/bin/activate && {line}"
        subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, timeout=900)
    done = subprocess.check_output([tmp_path / ".venv/bin/ingot", "--version"], text=True)
    assert done == f"ingot {ingot.__version__}\n"
