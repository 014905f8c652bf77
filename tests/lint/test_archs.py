"""The name of an architecture goes no further than the binder."""

from __future__ import annotations

import re

from sources import NATIVE, c_files, code, includes, name_of, string_literals

NAMES = set(re.findall(r'^ARCH\("([^"]+)"', (NATIVE / "model/archs.def").read_text(), re.MULTILINE))

# Who may know a row: the binder, and the list of names of the public API.
BINDER = {"arch", "bind", "binder", "layer", "rope", "window"}


def test_rows_are_known_to_the_binder_alone() -> None:
    wrong = [
        name_of(path)
        for path in c_files("native")
        for _, target in includes(path)
        if target in ("model/arch.h", "model/binder.h", "model/archs.def")
        and not (path.parent == NATIVE / "model" and path.stem in BINDER)
        and path != NATIVE / "ingot.c"
    ]
    assert not wrong, "\n".join(wrong)


def test_no_code_asks_for_a_name() -> None:
    """But text/, where tokenizers and pre-tokenizers are called like models."""
    assert len(NAMES) > 5
    folders = [f"native/{name}" for name in ("kernels", "backend", "model", "run", "ingot.c")]
    wrong = [
        f"{name_of(path)}: {literal}"
        for path in c_files(*folders)
        if path.name != "archs.def"
        for literal in string_literals(path)
        if literal in NAMES
    ]
    assert not wrong, "\n".join(wrong)


def test_the_binder_doesnt_compare_names() -> None:
    """The row's name makes keys and messages, nothing else."""
    uses = re.compile(r"(strcmp|memcmp|strstr)\s*\([^;]*row->name")
    wrong = [
        name_of(path)
        for path in c_files("native")
        if path.name != "arch.c" and uses.search(code(path))
    ]
    assert not wrong, "\n".join(wrong)
