"""``ingot perplexity``: how well a model predicts a text, and how far it is from another one."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from ingot.cli import options, terminal
from ingot.logits_file import read_header
from ingot.measures import (
    Divergence,
    Estimate,
    Perplexity,
    divergence,
    perplexity,
    without_arrays,
)

_EPILOG = """\
examples:
  ingot perplexity model.gguf -f text.txt
  ingot perplexity model-f16.gguf -f text.txt --save-logits base.logits
  ingot perplexity model-q4_k_m.gguf -f text.txt --kl-divergence base.logits

The numbers are defined as those of llama-perplexity are, and compare with them. A file of logits
has two bytes for each token of the vocabulary and each scored token of the text.
"""

_N_CTX = 512
_COLUMNS = ["", "value", "standard error"]
_EVERY = 5.0  # seconds between lines of what was found so far


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    options.add_model(parser)
    options.add_text(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--save-logits", metavar="BASE", help="write what the model says, to be compared with"
    )
    group.add_argument(
        "--kl-divergence", metavar="BASE", help="compare with what another model said"
    )
    options.add_json(parser)
    options.add_engine(parser)


def execute(args: argparse.Namespace) -> int:
    text = options.read_text(args)
    if args.ctx_size is None and args.kl_divergence is not None:
        args.ctx_size = read_header(args.kl_divergence).n_ctx
    elif args.ctx_size is None:
        args.ctx_size = _N_CTX
    wanted: dict[str, Any] = {
        "n_ctx": args.ctx_size,
        "n_chunks": args.chunks,
        "running": _Running().report,
    }
    found: Perplexity | Divergence
    with options.open_model(args) as model:
        if args.kl_divergence is None:
            found = perplexity(model, text, save_logits=args.save_logits, **wanted)
        else:
            found = divergence(model, text, args.kl_divergence, **wanted)
        if args.json:
            answer = {"model": model.path, "n_ctx": args.ctx_size, **without_arrays(found)}
            print(json.dumps(answer))
        elif isinstance(found, Perplexity):
            terminal.table("", _COLUMNS, [_row("perplexity", found.perplexity)])
        else:
            terminal.table("", _COLUMNS, list(_rows(found)))
    return 0


def _rows(found: Divergence) -> Iterator[tuple[str, str, str]]:
    yield _row("perplexity", found.perplexity)
    yield _row("perplexity of the base", found.base_perplexity)
    yield _row("logarithm of their ratio", found.log_ratio, 7)
    yield _row("KL divergence, mean", found.kl, 7)
    for name, value in found.kl_quantiles.items():
        yield f"KL divergence, {name}", f"{value:.7f}", ""
    yield _row("probability difference, mean", found.difference, 3, percent=True)
    yield _row("probability difference, RMS", found.difference_rms, 3, percent=True)
    yield _row("same top token", found.same_top, 3, percent=True)


def _row(
    name: str, found: Estimate, digits: int = 4, percent: bool = False
) -> tuple[str, str, str]:
    factor, unit = (100, " %") if percent else (1, "")
    value, error = (f"{x * factor:.{digits}f}{unit}" for x in (found.value, found.error))
    return name, value, error


class _Running:
    """Says now and then what was found so far."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _EVERY

    def report(self, done: int, of: int, so_far: Estimate) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _EVERY
            terminal.note(
                f"{done} of {of} chunks: perplexity {so_far.value:.4f} +- {so_far.error:.4f}"
            )
