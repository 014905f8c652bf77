"""A picture of what quantising costs: size beside KL divergence and perplexity."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ingot import errors
from ingot.comparing import Quality


def check(path: str | os.PathLike[str]) -> None:
    """Raises what would keep ``plot`` from writing to ``path``."""
    kind, known = Path(path).suffix[1:].lower(), sorted(_figure().canvas.get_supported_filetypes())
    if kind not in known:
        raise errors.ArgumentError(
            f"{os.fspath(path)}: {kind or 'no suffix'} is no kind of picture; expected one of "
            f"{', '.join(known)}"
        )
    if not Path(path).parent.is_dir():
        raise errors.MissingFileError(f"{os.fspath(path)}: there is no such folder")


def plot(found: Quality, path: str | os.PathLike[str]) -> None:
    """Draws to a file, of the kind that its suffix says (png, svg, pdf)."""
    check(path)
    figure = _figure()
    left, right = figure.subplots(1, 2)
    rows = sorted(found.types, key=lambda row: row.bytes)
    sizes = [row.bytes / 1e6 for row in rows]
    kl = [row.divergence.kl for row in rows]
    ppl = [row.divergence.perplexity for row in rows]
    for axes, values, title in ((left, kl, "KL divergence, mean"), (right, ppl, "perplexity")):
        heights = [one.value for one in values]
        axes.errorbar(sizes, heights, [one.error for one in values], marker="o", capsize=3)
        for row, x, y in zip(rows, sizes, heights, strict=True):
            axes.annotate(row.file_type, (x, y), xytext=(4, 4), textcoords="offset points")
        axes.set_xlabel("tensors, MB")
        axes.set_title(title)
        axes.grid(visible=True, alpha=0.3)
    if all(one.value > 0 for one in kl):
        left.set_yscale("log")
    base = found.base.perplexity.value
    right.axhline(base, linestyle="--", label=f"{Path(found.model).name}: {base:.4g}")
    right.legend()
    figure.savefig(path)


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise errors.UnsupportedError(
            "a plot needs matplotlib, which isn't installed: pip install 'ingot[plot]'"
        ) from None
    return Figure(figsize=(12, 5), layout="constrained")
