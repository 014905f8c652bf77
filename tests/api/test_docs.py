"""Every block of the pages in docs/ does what it says."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from test_readme import README, run

BLOCKS = [
    pytest.param(language, text, id=f"{page.stem}-{language}-{i}")
    for page in sorted((README.parent / "docs").glob("*.md"))
    for i, (language, text) in enumerate(
        re.findall(r"^```(sh|python)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    )
]


@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_block_of_a_page(language: str, text: str, tmp_path: Path, bundled: Path) -> None:
    shutil.copy(bundled, tmp_path / "model.gguf")
    if language == "python":
        run([sys.executable, "-W", "error", "-c", text], tmp_path)
        return
    for line in text.splitlines():
        # The commands of this environment, whatever is first in PATH.
        command = re.sub(r"\bingot (?=\w)", f"'{sys.executable}' -m ingot ", line)
        run(["bash", "-c", f"set -o pipefail; {command}"], tmp_path)
