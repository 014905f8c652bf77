"""The sources as the lint tests see them: files, layers, code without comments, functions."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
C_SUFFIXES = {".c", ".h", ".def"}

# Ignored where git isn't there to say so.
_GENERATED = {
    ".git",
    ".venv",
    "build",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}


@cache
def files() -> tuple[Path, ...]:
    """Every file that git knows or would add; without git, every file that isn't generated."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(
            command, cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
        found = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [p for p in ROOT.rglob("*") if _GENERATED.isdisjoint(p.relative_to(ROOT).parts)]
    return tuple(sorted(p for p in found if p.is_file()))


def c_files(*folders: str) -> list[Path]:
    """The C sources, headers and tables below these folders of the repository."""
    return [
        p
        for p in files()
        if p.suffix in C_SUFFIXES and any(p.is_relative_to(ROOT / folder) for folder in folders)
    ]


def name_of(path: Path) -> str:
    """A file's name in messages: its path from the root."""
    return path.relative_to(ROOT).as_posix()


_TOKEN = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""",
    re.VERBOSE | re.DOTALL,
)


def _blank(match: re.Match[str]) -> str:
    text = match.group()
    if text[0] in "\"'":
        return text[0] + " " * (len(text) - 2) + text[0]
    return re.sub(r"[^\n]", " ", text)


def code(path: Path) -> str:
    """A C file with its comments and the insides of its literals blanked, lines kept."""
    return _TOKEN.sub(_blank, path.read_text(encoding="utf-8"))


def string_literals(path: Path) -> set[str]:
    """The string literals of a C file, without their quotes."""
    found = _TOKEN.findall(path.read_text(encoding="utf-8"))
    return {text[1:-1] for text in found if text.startswith('"')}


_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def includes(path: Path) -> list[tuple[str, str]]:
    """The includes of a C file as (quote, name): ('<', 'math.h'), ('"', 'base/mem.h')."""
    text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
    return _INCLUDE.findall(text)


def c_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of the functions of a C file, which start and end in column 0."""
    head: list[str] = []
    start = 0
    for number, line in enumerate(code(path).splitlines(), 1):
        if line.startswith("}"):
            signature = " ".join(head)
            match = re.search(r"(\w+)\s*\(", signature)
            if match and signature.rstrip().endswith("{"):
                yield match.group(1), number - start + 1
            head = []
        elif line[:1].isalpha() or line[:1] == "_":
            if not head or head[-1].rstrip().endswith((";", "}")):
                head, start = [], number
            head.append(line)
        elif head and not head[-1].rstrip().endswith(("{", ";")):
            head.append(line)


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of the functions of a Python file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1
