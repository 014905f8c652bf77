"""The folders are layers: includes run one way, and the operating system is base's affair."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sources import C_SUFFIXES, NATIVE, c_files, code, includes, name_of, string_literals

ORDER = (
    "include",
    "base",
    "quant",
    "gguf",
    "text",
    "grammar",
    "kernels",
    "backend",
    "model",
    "run",
    "ingot.c",
)

# What only some folders may include, whatever the order says.
ONLY_FROM = {
    "kernels/": ("kernels/", "backend/cpu/"),
    "backend/cpu/": ("backend/",),
}

# What a folder may see of another.
SEES_ONLY = {("model/", "backend/"): {"backend/backend.h"}}

# The C library outside base/: memory of the caller's, text, numbers; and the intrinsics.
HEADERS = {
    *(
        "ctype.h",
        "errno.h",
        "float.h",
        "inttypes.h",
        "limits.h",
        "math.h",
        "stdarg.h",
        "stdatomic.h",
    ),
    *("stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h"),
    *("immintrin.h", "arm_neon.h", "arm_sve.h"),
}

FORBIDDEN_CALLS = re.compile(
    r"(?<![\w.>])(v?f?printf|perror|f?puts|putchar|_?exit|_Exit|quick_exit|abort|(?:secure_)?getenv|setenv"
    r"|assert|system|popen|longjmp|alloca)\s*\("
)


def inside(path: Path) -> str:
    """The path from native/: "base/mem.c"."""
    return path.relative_to(NATIVE).as_posix()


def rank(name: str) -> int:
    return ORDER.index(name.split("/")[0])


def complaint(source: str, target: str) -> str | None:
    """Why the file `source` must not include `target` (both from native/), or None."""
    if target == "ingot.h":
        return None
    if not (NATIVE / target).is_file():
        return f"there is no native/{target} (includes are spelled from native/)"
    if rank(target) > rank(source):
        return f"{ORDER[rank(target)]} lies above {ORDER[rank(source)]}"
    for folder, allowed in ONLY_FROM.items():
        if target.startswith(folder) and not source.startswith(allowed):
            return f"only {' and '.join(allowed)} may include {folder}"
    for (user, used), seen in SEES_ONLY.items():
        if source.startswith(user) and target.startswith(used) and target not in seen:
            return f"{user} sees {', '.join(sorted(seen))} alone of {used}"
    return None


def test_every_folder_has_a_rank() -> None:
    known = {p.name for p in NATIVE.iterdir() if p.is_dir() or p.suffix in C_SUFFIXES}
    assert known <= set(ORDER), "a new folder of native/ needs its place in ORDER"


def test_includes_run_one_way() -> None:
    wrong = [
        f"{name_of(path)} includes {target}: {why}"
        for path in c_files("native")
        for quote, target in includes(path)
        if quote == '"' and (why := complaint(inside(path), target))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("base/mem.c", "quant/quant.h"),
        ("model/bind.c", "kernels/kernels.h"),
        ("model/bind.c", "backend/cpu/cpu.h"),
        ("run/engine.c", "kernels/kernels.h"),
        ("gguf/open.c", "gguf.h"),
    ],
)
def test_the_rule_bites(source: str, target: str) -> None:
    assert complaint(source, target)


def test_quantize_sees_little() -> None:
    allowed = ("base/", "quant/", "gguf/", "quantize/", "ingot.h")
    wrong = [
        f"{name_of(path)} includes {target}"
        for path in c_files("quantize")
        for quote, target in includes(path)
        if quote == '"' and "/" in target and not target.startswith(allowed)
    ]
    assert not wrong, "\n".join(wrong)


# Which files of the program see its process: what it prints, and the rest in main.c.
PRINTING = {"help.c", "main.c", "program.c", "progress.c", "report.c"}


def test_the_program_keeps_to_itself() -> None:
    """All but main.c and what prints could be part of the library."""
    wrong = [
        f"{name_of(path)}: {match.group(1)}"
        for path in c_files("quantize")
        if path.name not in PRINTING
        for match in FORBIDDEN_CALLS.finditer(code(path))
    ]
    wrong += [
        f"{name_of(path)} includes <{target}>"
        for path in c_files("quantize")
        if path.name != "main.c"
        for quote, target in includes(path)
        if quote == "<" and target not in {*HEADERS, "strings.h"}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_library_knows_nothing_of_the_program() -> None:
    wrong = [
        f"{name_of(path)} includes {target}"
        for path in c_files("native")
        for quote, target in includes(path)
        if target.startswith("quantize/")
    ]
    assert not wrong, "\n".join(wrong)


def test_system_headers_are_included_in_base_alone() -> None:
    wrong = [
        f"{name_of(path)} includes <{target}>"
        for path in c_files("native")
        for quote, target in includes(path)
        if quote == "<" and target not in HEADERS and not inside(path).startswith("base/")
    ]
    assert not wrong, "\n".join(wrong)


def test_nobody_prints_exits_or_reads_the_environment() -> None:
    wrong = [
        f"{name_of(path)}:{number}: {match.group(1)}"
        for path in c_files("native")
        for number, line in enumerate(code(path).splitlines(), 1)
        for match in FORBIDDEN_CALLS.finditer(line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "line", ['printf("x");', "  exit(1);", "if (getenv (name))", "assert(n > 0);"]
)
def test_forbidden_calls_are_found(line: str) -> None:
    assert FORBIDDEN_CALLS.search(line)


@pytest.mark.parametrize(
    "line", ["snprintf(a, 1, b);", "_Static_assert(1);", "p->exit(1);", "x.abort(1);"]
)
def test_other_calls_are_not(line: str) -> None:
    assert not FORBIDDEN_CALLS.search(line)


def test_architecture_names_stay_in_their_table() -> None:
    """What depends on the architecture is a field of its row, never a comparison with its name."""
    table = NATIVE / "model" / "archs.def"
    names = set(re.findall(r'^ARCH\(\s*"([^"]+)"', table.read_text(encoding="utf-8"), re.MULTILINE))
    assert names, "native/model/archs.def names no architecture"
    wrong = [
        f'{name_of(path)}: "{name}"'
        for path in c_files("native/model", "native/run")
        if path != table
        for name in sorted(names & string_literals(path))
    ]
    assert not wrong, "\n".join(wrong)
