"""Every block of the pages in docs/ does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import ROOT, blocks, run_block

BLOCKS = [
    pytest.param(language, text, id=f"{page.stem}-{language}-{i}")
    for page in sorted((ROOT / "docs").glob("*.md"))
    for i, (language, text) in enumerate(blocks(page))
    if language in ("sh", "python")
]


@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_block_of_a_page(language: str, text: str, folder: Path) -> None:
    run_block(language, text, folder)
