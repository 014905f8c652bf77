"""What each way of quantising a model costs: size beside perplexity and KL divergence."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingot import errors
from ingot._lib import Progress, advance
from ingot.measures import Divergence, Perplexity, divergence, perplexity
from ingot.model import Model
from ingot.quantizing import Quantized, quantize


@dataclass(frozen=True)
class TypeQuality:
    """A file type: what it takes (the bytes are those of the tensors), how far the model is then
    from what it was, and what ``quantize`` warned of."""

    file_type: str
    bytes: int
    bits_per_weight: float
    divergence: Divergence
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Quality:
    """The model as it was, and each type in the order in which it was asked for."""

    model: str
    n_ctx: int
    bytes: int
    bits_per_weight: float
    base: Perplexity
    types: tuple[TypeQuality, ...]


def quality(
    model: str | os.PathLike[str],
    types: Sequence[str],
    text: str | bytes,
    *,
    imatrix: str | os.PathLike[str] | None = None,
    n_ctx: int = 512,
    n_chunks: int | None = None,
    effort: str = "normal",
    threads: int | None = None,
    allow_requantize: bool = False,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Quality:
    """Quantises a model to each of ``types`` and measures what is left of it on a text.

    types              file types, as ``quantize`` takes them
    imatrix, effort    as ``quantize`` takes them; the importance is to be of another text
    n_ctx, n_chunks    tokens of a chunk of the text, and how many chunks (None: all)
    allow_requantize   also from a model that is quantised already
    folder             where one quantised model at a time and the base's logits lie meanwhile
                       (None: the system's folder for temporary files)
    progress           called with the share that is done; an exception in it, or False, ends the
                       work

    The base's logits take two bytes for each token of the vocabulary and each scored token.
    """
    if not types or isinstance(types, str):
        raise errors.ArgumentError(f"types is {types!r}; expected a list of one file type or more")
    steps = 1 + 2 * len(types)

    def part(number: int) -> Callable[[float], object]:
        return lambda share: advance(progress, (number + share) / steps)

    with tempfile.TemporaryDirectory(dir=folder, prefix="ingot-quality-") as made:
        logits, small = Path(made, "base.logits"), Path(made, "quantized.gguf")

        def quantized(kind: str, dry_run: bool, report: Progress | None = None) -> Quantized:
            return quantize(
                model,
                small,
                kind,
                imatrix=imatrix,
                effort=effort,
                allow_requantize=allow_requantize,
                threads=threads,
                dry_run=dry_run,
                progress=report,
            )

        for kind in types:  # what fails shall fail before the long work
            problem = quantized(kind, dry_run=True).problem
            if problem is not None:
                raise errors.ArgumentError(f"{kind}: {problem}")
        with Model(model, n_ctx=n_ctx, threads=threads) as opened:
            base = perplexity(
                opened, text, n_ctx=n_ctx, n_chunks=n_chunks, save_logits=logits, progress=part(0)
            )
        found = []
        for i, kind in enumerate(types):
            done = quantized(kind, dry_run=False, report=part(1 + 2 * i))
            with Model(small, n_ctx=n_ctx, threads=threads) as opened:
                lost = divergence(opened, text, logits, progress=part(2 + 2 * i))
            small.unlink()
            found.append(
                TypeQuality(done.file_type, done.bytes, done.bits_per_weight, lost, done.warnings)
            )
    return Quality(
        os.fspath(model),
        n_ctx,
        done.bytes_before,
        8 * done.bytes_before / done.weights,
        base,
        tuple(found),
    )
