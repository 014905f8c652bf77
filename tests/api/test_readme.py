"""Every block of the README does what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import ingot
import pytest
from scripts import README, ROOT, blocks, run_block

BLOCKS = blocks(README)


def test_the_readme_has_both_kinds_of_blocks() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "python"}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block(number: int, folder: Path) -> None:
    run_block(*BLOCKS[number], folder)


@pytest.mark.long
def test_install(tmp_path: Path) -> None:
    """The commands of the section "Install", in a new environment."""
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in tracked.split("\0")[:-1]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / ".venv"], check=True)
    (section,) = re.findall(
        r"^## Install\n\n[^\n]*\n\n((?:    [^\n]*\n)+)", README.read_text(), re.M
    )
    for line in section.splitlines():
        command = f". .venv/bin/activate && {line}"
        subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, timeout=900)
    done = subprocess.check_output([tmp_path / ".venv/bin/ingot", "--version"], text=True)
    assert done == f"ingot {ingot.__version__}\n"
