"""Writes the C source of ingot._native: native_source.py HEADER OUTPUT (run by CMake)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cffi

# What C calls back into Python; ingot/_lib.py defines both.
CALLBACKS = """
extern "Python" bool ingot_python_progress(void *user, double done);
extern "Python" void ingot_python_log(void *user, ingot_log_level level, const char *line);
"""


def declarations(header: str) -> str:
    """What cffi can read of the public header: C without preprocessor lines and export marks."""
    c_only = re.sub(r"^#ifdef __cplusplus$.*?^#endif$", "", header, flags=re.M | re.S)
    plain = re.sub(r"^#(.*\\\n)*.*$", "", c_only, flags=re.M)
    return plain.replace("INGOT_API ", "")


def main(header: str, output: str) -> None:
    builder = cffi.FFI()
    builder.cdef(declarations(Path(header).read_text(encoding="utf-8")) + CALLBACKS)
    builder.set_source("ingot._native", '#include "ingot.h"', py_limited_api=True)
    builder.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
