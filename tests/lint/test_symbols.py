"""What the compiled library really holds and asks for: the symbols and instructions of its objects.

INGOT_BUILD names a build folder; without it the library is compiled into a temporary one.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sources import ROOT

# Mutable state of the library: one thing, since a signal handler gets no argument.
MUTABLE = {("native/base/map.c", "guard")}

# What files outside base/ may ask of the C library: nothing that allocates, prints or touches the
# system. The second line is what compilers add.
ALLOWED = re.compile(
    r"""
      mem(chr|cmp|cpy|move|set) | str(n?len|n?cmp|n?casecmp|chr|rchr|str|spn|cspn) | v?snprintf
    | __stack_chk_fail | _GLOBAL_OFFSET_TABLE_ | __popcount[ds]i2 | __clz[ds]i2 | __errno_location
    | strto(d|f|l|ll|ul|ull|imax|umax) | qsort | bsearch | __ctype_(b|tolower|toupper)_loc
    | (a?(cos|sin|tan)h? | atan2 | cbrt | ceil | copysign | erfc? | exp2? | expm1 | fabs | floor
      | fma | fmax | fmin | fmod | frexp | hypot | ldexp | l?lrint | l?lround | log | log10 | log1p
      | log2 | lgamma | modf | nearbyint | nextafter | pow | remainder | rint | round | scalbn
      | sincos | sqrt | trunc )f?
    """,
    re.VERBOSE,
)

# What nobody may call, base/ included.
FORBIDDEN = re.compile(
    r"v?f?printf|perror|f?puts|f?putc|putchar|fwrite|std(out|err)|_?exit|_Exit|quick_exit|abort"
    r"|(secure_)?getenv|setenv|__assert_fail|system|popen|rand|srand|signal"
)


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Source file -> its object, compiled without sanitizers."""
    if not shutil.which("nm") or sys.platform != "linux":
        pytest.skip("symbols are read with GNU nm on Linux")
    build = Path(os.environ.get("INGOT_BUILD") or tmp_path_factory.mktemp("build"))
    if not (build / "CMakeCache.txt").is_file():
        configure = ["cmake", "-S", str(ROOT), "-B", str(build)]
        subprocess.run(configure, check=True, capture_output=True)
    command = ["cmake", "--build", str(build), "--target", "ingot_core", "--parallel", "2"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    folder = build / "CMakeFiles" / "ingot_core.dir"
    found = {p.relative_to(folder).as_posix().removesuffix(".o"): p for p in folder.rglob("*.c.o")}
    return {source: p for source, p in found.items() if (ROOT / source).is_file()}


def symbols(path: Path) -> list[tuple[str, str, str]]:
    """(name, class, section) of an object's symbols; class U is undefined."""
    command = ["nm", "--format=sysv", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [[field.strip() for field in line.split("|")] for line in text.splitlines()]
    return [(row[0], row[2], row[6]) for row in rows if len(row) == 7 and row[2] != "Class"]


def mutable(section: str) -> bool:
    """Read-only data with addresses in it (.data.rel.ro) is written by the loader alone."""
    writable = section.startswith((".data", ".bss", ".tdata", ".tbss", "*COM*"))
    return writable and not section.startswith(".data.rel.ro")


def test_no_mutable_globals(objects: dict[str, Path]) -> None:
    found = {
        (source, name)
        for source, path in objects.items()
        for name, _, section in symbols(path)
        if mutable(section)
    }
    assert found == MUTABLE


def undefined(objects: dict[str, Path]) -> list[tuple[str, str]]:
    """(source, symbol) for what the library asks of others."""
    defined = {
        name
        for path in objects.values()
        for name, kind, _ in symbols(path)
        if kind.isupper() and kind != "U"
    }
    return [
        (source, name)
        for source, path in objects.items()
        for name, kind, _ in symbols(path)
        if kind in ("U", "w") and name not in defined
    ]


def plain(name: str) -> str:
    """Without what fortified builds and C23 add: __memcpy_chk, __isoc23_strtoull."""
    return re.sub(r"^__isoc\d+_", "", re.sub(r"^__(\w+)_chk$", r"\1", name))


def test_the_system_is_called_in_base_alone(objects: dict[str, Path]) -> None:
    wrong = [
        f"{source} calls {name}"
        for source, name in undefined(objects)
        if not source.startswith("native/base/") and not ALLOWED.fullmatch(plain(name))
    ]
    assert not wrong, "\n".join(wrong)


def test_nobody_prints_exits_or_reads_the_environment(objects: dict[str, Path]) -> None:
    wrong = [
        f"{source} calls {name}"
        for source, name in undefined(objects)
        if FORBIDDEN.fullmatch(plain(name))
    ]
    assert not wrong, "\n".join(wrong)


def instructions(path: Path) -> list[tuple[str, str]]:
    """(bytes, text) of an object's instructions."""
    command = ["objdump", "-d", "--wide", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in text.splitlines()]
    return [(row[1], row[2]) for row in rows if len(row) == 3]


# What instructions begin with: AVX and what came with it have a VEX prefix, AVX-512 an EVEX one.
# One that overrides a segment or the size of addresses may come first.
VEX = re.compile(r"(6[457] )?c[45] ")
EVEX = re.compile(r"(6[457] )?62 ")

x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="knows x86-64 alone")


@x86_64
def test_only_units_of_instruction_sets_leave_the_baseline(objects: dict[str, Path]) -> None:
    wrong = [
        f"{source}: {text}"
        for source, path in objects.items()
        if not source.startswith("native/kernels/isa/avx")
        for code, text in instructions(path)
        if VEX.match(code) or EVEX.match(code)
    ]
    assert not wrong, "\n".join(wrong[:20])


@x86_64
@pytest.mark.parametrize("isa", ["avx2", "avxvnni"])
def test_256_bits_are_not_encoded_as_avx512(objects: dict[str, Path], isa: str) -> None:
    """AVX-VNNI and AVX-512 have dot products of the same name, each in its own encoding."""
    code = instructions(objects[f"native/kernels/isa/{isa}.c"])
    assert not [text for bytes_, text in code if EVEX.match(bytes_) or "zmm" in text]
    dots = [bytes_ for bytes_, text in code if "vpdpbusd" in text]
    assert bool(dots) == (isa == "avxvnni")
    assert all(VEX.match(bytes_) for bytes_ in dots)


@x86_64
def test_avx512_is_seen(objects: dict[str, Path]) -> None:
    """The measure itself."""
    code = instructions(objects["native/kernels/isa/avx512.c"])
    assert any(EVEX.match(bytes_) and "vpdpbusd" in text for bytes_, text in code)
    assert any(VEX.match(bytes_) for bytes_, _ in code)


def test_mutable_state_is_seen(tmp_path: Path) -> None:
    """The measure itself."""
    source = tmp_path / "a.c"
    source.write_text(
        "static int counter = 3;\n"
        "int zero;\n"
        "static const char *const names[] = {__FILE__, 0};\n"
        "int next(void) {\n"
        "    static int calls;\n"
        "    return counter++ + calls++ + zero + (names[zero] != 0);\n"
        "}\n"
    )
    compiled = tmp_path / "a.o"
    subprocess.run(["cc", "-fPIC", "-c", str(source), "-o", str(compiled)], check=True)
    names = {name.split(".")[0] for name, _, section in symbols(compiled) if mutable(section)}
    assert names == {"counter", "zero", "calls"}
