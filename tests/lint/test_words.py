"""The repository speaks of the project alone, not of the desk it was written at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sources import files, name_of

# Written so that this file doesn't contain what it looks for.
WORDS = re.compile(
    r"""
      (?<![\w.])/(work|home)/\w | /tmp/(venv|build-|oracle) | /ro{2}t/
    | \bwork[ ]?place\b | \bsub-?agents?\b | \bthis[ ]session\b
    | \b(issue|ticket|PR)[ ]?\#\d | (?<![\w&\#"'/\[])\#\d{1,5}\b(?![\w;"'])
    | \b(?-i:TODO|FIXME|XXX|HACK)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # a binary: a model, golden vectors


def test_no_word_of_the_desk() -> None:
    wrong = [
        f"{name_of(path)}:{number}: {match.group()}"
        for path in files()
        if path != Path(__file__).resolve() and path.suffix not in {".txt", ".jinja", ".gguf"}
        for number, line in enumerate(text_of(path).splitlines(), 1)
        for match in WORDS.finditer(line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "line",
    [
        "/wo" + "rk/main",
        "fixes #" + "12",
        "iss" + "ue #" + "3",
        "TO" + "DO: later",
        "/ho" + "me/me",
        "/ro" + "ot/x",
    ],
)
def test_words_are_found(line: str) -> None:
    assert WORDS.search(line)


@pytest.mark.parametrize(
    "line", ["#define A 1", "colour #fff", "../shared", "&#39;", "models/recipe/work/"]
)
def test_other_lines_pass(line: str) -> None:
    assert not WORDS.search(line)
