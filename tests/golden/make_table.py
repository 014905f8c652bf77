"""Prints the table of architectures for README.md: python tests/golden/make_table.py SHARED/golden

Every case of arch/ here and of the large set's arch and arch-next, on every instruction set that
this machine can run: the worst NMSE of a case's results.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ingot
from golden import HERE, nmse
from test_arch import golden, open_model, results


def measure(folder: Path) -> float:
    data = golden(folder)
    with open_model(folder) as model:
        found = results(model, data["tokens"])
    return max(nmse(found[name].reshape(data[name].shape), data[name]) for name in found)


def folders(shared: Path) -> list[Path]:
    sets = (HERE / "arch", shared / "arch", shared / "arch-next")
    known = set(ingot.architectures())
    return [
        folder
        for path in sets
        for folder in sorted(path.iterdir())
        if architecture(folder) in known
    ]


def architecture(folder: Path) -> str:
    return str(ingot.gguf.Reader(folder / "model.gguf").metadata["general.architecture"])


def peer(folder: Path) -> str:
    meta = folder / "meta.json"
    return f"{json.loads(meta.read_text())['nmse_llamacpp_vs_hf']:.1e}" if meta.is_file() else ""


def measured_on(isa: str, shared: Path) -> list[float]:
    """In a process of its own: the instruction set is chosen once."""
    command = [sys.executable, __file__, str(shared), "--numbers"]
    environment = os.environ | {"INGOT_ISA": isa}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    return [float(line) for line in done.stdout.splitlines()]


def main() -> None:
    shared = Path(sys.argv[1])
    if "--numbers" in sys.argv:
        print(*(measure(folder) for folder in folders(shared)), sep="\n")
        return
    isas = [isa.name for isa in ingot.instruction_sets() if isa.usable]
    columns = [measured_on(isa, shared) for isa in isas]
    print(f"| model | GGUF architecture | NMSE: {' | '.join(isas)} | llama.cpp |")
    print("|---|---|" + "---:|" * (len(isas) + 1))
    for folder, *numbers in zip(folders(shared), *columns, strict=True):
        cells = [
            folder.name + (" (large set)" if folder.is_relative_to(shared) else ""),
            architecture(folder),
            *(f"{number:.1e}" for number in numbers),
            peer(folder),
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
