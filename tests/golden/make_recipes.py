"""Makes recipes/*.txt from the large set: which tensor gets which type, as llama-quantize says it.

    python tests/golden/make_recipes.py ../shared/golden/quantmodel OUT [NAME ...]

Lines of a file, in this order (tests/unit/test_recipe.c reads them):

    model ARCH LAYERS HEADS KV_HEADS EXPERTS
    tensor NAME TYPE ROW_LENGTHxROWS[xMATRICES]
    types NAME ...
    mix FILE_TYPE[+imatrix] INDEX*REPEATED ...    a type for each tensor, in the tensors' order
    mix FILE_TYPE error                           where it is refused
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

# What the tables don't say of their models: architecture, heads, KV heads, experts.
SHAPES = {
    "deepseek2_MLA_8L": ("deepseek2", 16, 16, 8),
    "falcon_32L_fusedqkv": ("falcon", 64, 8, 0),
    "gpt2_12L": ("gpt2", 12, 12, 0),
    "llama_70b_80L_gqa8": ("llama", 64, 8, 0),
    "llama_8b_32L_gqa4": ("llama", 32, 8, 0),
    "llama_odd_320_352_9L": ("llama", 10, 5, 0),
    "llama_tied_20L_gqa2": ("llama", 16, 8, 0),
    "mixtral_8x_16L_gqa4": ("llama", 32, 8, 8),
    "qwen3moe_16x_12L_gqa4": ("qwen3moe", 32, 8, 16),
}


def text(table: dict[str, Any]) -> str:
    """One shape's table in the form above."""
    arch, heads, kv_heads, experts = SHAPES[table["shape"]]
    layers = 1 + max(int(n.split(".")[1]) for n in table["names"] if n.startswith("blk."))
    lines = [f"model {arch} {layers} {heads} {kv_heads} {experts}"]
    for name, kind, shape in zip(
        table["names"], table["source_types"], table["shapes"], strict=True
    ):
        lines.append(f"tensor {name} {kind} {'x'.join(map(str, shape))}")
    lines.append("types " + " ".join(table["types"]))
    for mix, indices in table["maps"].items():
        runs = (f"{i}*{len(list(group))}" for i, group in itertools.groupby(indices))
        lines.append(f"mix {mix} " + " ".join(runs))
    lines += [f"mix {mix} error" for mix in table["errors"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    source, out, *names = sys.argv[1:]
    for name in names or SHAPES:
        table = json.loads((Path(source) / f"types_{name}.json").read_text())
        (Path(out) / f"{name}.txt").write_text(text(table))


if __name__ == "__main__":
    main()
