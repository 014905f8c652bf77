"""A file is a room and not a warehouse."""

from __future__ import annotations

import statistics
from pathlib import Path

from sources import C_SUFFIXES, ROOT, c_functions, files, name_of, python_functions

FILE_LINES = 800
MEDIAN_LINES = 250
FUNCTION_LINES = 80
KERNEL_FUNCTION_LINES = 120

# Tables that may be longer, each with the reason.
TABLES = {
    "native/text/unicode/tables.inc.h": "generated from the Unicode Character Database",
    "native/include/ingot.h": "the one public header, most of it documentation",
}

CODE_FOLDERS = ("native", "quantize", "python", "tests", "models")


def code_files() -> list[Path]:
    suffixes = C_SUFFIXES | {".py", ".pyi"}
    return [
        p for p in files() if p.suffix in suffixes and p.relative_to(ROOT).parts[0] in CODE_FOLDERS
    ]


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_files_are_small() -> None:
    wrong = [
        f"{name_of(p)} has {n} lines, {FILE_LINES} are the most (tables are listed in {__name__})"
        for p in code_files()
        if name_of(p) not in TABLES and (n := lines(p)) > FILE_LINES
    ]
    assert not wrong, "\n".join(wrong)


def test_the_median_file_is_smaller() -> None:
    sizes = [lines(p) for p in code_files()]
    assert statistics.median(sizes) < MEDIAN_LINES


def test_no_table_is_listed_in_vain() -> None:
    wrong = [name for name in TABLES if lines(ROOT / name) <= FILE_LINES]
    assert not wrong, "\n".join(wrong)


def test_functions_are_small() -> None:
    wrong = []
    for path in code_files():
        kernel = name_of(path).startswith("native/kernels/")
        most = KERNEL_FUNCTION_LINES if kernel else FUNCTION_LINES
        functions = c_functions if path.suffix in C_SUFFIXES else python_functions
        wrong += [
            f"{name_of(path)}: {name} has {n} lines, {most} are the most"
            for name, n in functions(path)
            if n > most
        ]
    assert not wrong, "\n".join(wrong)


def test_functions_are_seen(tmp_path: Path) -> None:
    """The measure itself: signatures over several lines count, types and tables don't."""
    source = tmp_path / "a.c"
    source.write_text(
        "typedef struct a {\n    int b;\n} a;\n\n"
        "static const int table[] = {\n    f(1),\n};\n\n"
        "static int one(int x) {\n    // }\n    return x;\n}\n\n"
        "int two(int x,\n        int y) {\n    if (x) {\n        y++;\n    }\n    return y;\n}\n"
    )
    assert list(c_functions(source)) == [("one", 4), ("two", 7)]
