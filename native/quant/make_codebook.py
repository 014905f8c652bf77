"""Writes codebook.c: the grids of the IQ types, which the format defines as tables.

The numbers are read out of the PyPI package `gguf` (gguf.quants, MIT licence), which decodes them;
nothing else of it is used. Run it only if the format gains a grid:

    python native/quant/make_codebook.py
"""

# ruff: noqa: E501 (the C text below keeps to the C line length)

from __future__ import annotations

from pathlib import Path

from gguf import quants

# (table, class of gguf.quants, macro that expands a packed entry, C type, comment)
GRIDS = [
    ("iq1", quants.IQ1_S, "P1", "uint64_t", "8 signed weights, each -1, 0 or 1"),
    ("iq2_xxs", quants.IQ2_XXS, "P2", "uint64_t", "8 magnitudes, each 8, 25 or 43"),
    ("iq2_xs", quants.IQ2_XS, "P2", "uint64_t", "8 magnitudes, each 8, 25 or 43"),
    ("iq2_s", quants.IQ2_S, "P2", "uint64_t", "8 magnitudes, each 8, 25 or 43"),
    ("iq3_xxs", quants.IQ3_XXS, "P3X", "uint32_t", "4 magnitudes: 4, 12, 20, ... 52, 62"),
    ("iq3_s", quants.IQ3_S, "P3S", "uint32_t", "4 magnitudes: 1, 3, 5, ... 15"),
]

HEAD = """\
// Written by make_codebook.py; the numbers come from the format (see there).
//
// An entry stands here as packed codes: eight codes of two bits (iq1, iq2) or four codes of four bits (iq3),
// the first weight's lowest. Compiled, an entry's weights are bytes, the first lowest; of iq3 there are also
// tables of these codes.
#include "quant/codebook.h"

// clang-format off

#define CODE2(c, j)         ((c) >> 2 * (j) & 3)
#define EXPAND2(c, V)                                                                                        \\
    (V(CODE2(c, 0)) | V(CODE2(c, 1)) << 8 | V(CODE2(c, 2)) << 16 | V(CODE2(c, 3)) << 24 |                    \\
     V(CODE2(c, 4)) << 32 | V(CODE2(c, 5)) << 40 | V(CODE2(c, 6)) << 48 | V(CODE2(c, 7)) << 56)
#define CODE4(c, j) ((c) >> 4 * (j) & 15)
#define EXPAND4(c, V)                                                                                        \\
    (V(CODE4(c, 0)) | V(CODE4(c, 1)) << 8 | V(CODE4(c, 2)) << 16 | V(CODE4(c, 3)) << 24)

#define IQ1_BYTE(k)  ((uint64_t)(9 + 8 * (k)))
#define IQ2_BYTE(k)  ((uint64_t)(64 + 8 + 17 * (k) + ((k) >> 1)))
#define IQ3X_BYTE(k) ((uint32_t)(64 + 4 + 8 * (k) + 2 * ((k) / 7)))
#define IQ3S_BYTE(k) ((uint32_t)(64 + 1 + 2 * (k)))

#define CODES(c)  (c),
#define P1(c)     EXPAND2(c, IQ1_BYTE),
#define P2(c)     EXPAND2(c, IQ2_BYTE),
#define P3X(c)    EXPAND4(c, IQ3X_BYTE),
#define P3S(c)    EXPAND4(c, IQ3S_BYTE),

const int8_t codebook_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const int8_t codebook_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
"""


def pack(entry: list[int], values: list[int]) -> int:
    bits = 16 // len(entry)
    return sum(values.index(v) << bits * j for j, v in enumerate(entry))


def table(name: str, source: type, macro: str, c_type: str, comment: str) -> str:
    source.init_grid()  # type: ignore[attr-defined]
    grid = source.grid[0, 0].astype(int).tolist()  # type: ignore[attr-defined]
    values = [int(v) for v in source.grid_map]  # type: ignore[attr-defined]
    cells = [f"E(0x{pack(entry, values):04x})" for entry in grid]
    rows = [" ".join(cells[i : i + 10]) for i in range(0, len(cells), 10)]
    codes = (
        f"const uint16_t codebook_{name}_codes[{len(cells)}] = {{GRID(CODES)}};\n"
        if len(grid[0]) == 4
        else ""
    )
    grid_text = "".join(f" \\\n    {row}" for row in rows)
    return f"""
// {comment}
#define GRID(E){grid_text}
const {c_type} codebook_{name}[{len(cells)}] = {{GRID({macro})}};
{codes}#undef GRID
"""


def main() -> None:
    text = HEAD + "".join(table(*grid) for grid in GRIDS)
    Path(__file__).with_name("codebook.c").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
