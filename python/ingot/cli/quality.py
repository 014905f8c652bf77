"""``ingot quality``: what each way of quantising costs a model."""

from __future__ import annotations

import argparse
import json

from ingot import quality_plot
from ingot.cli import options, terminal
from ingot.comparing import Quality, quality
from ingot.measures import Estimate, without_arrays
from ingot.model import bundled_model

_EPILOG = """\
examples:
  ingot quality model-f16.gguf -f text.txt
  ingot quality model-f16.gguf -f text.txt --types Q4_K_M,Q2_K --imatrix imatrix.gguf
  ingot quality model-f16.gguf -f text.txt --chunks 20 --plot quality.png

The numbers are those of ingot perplexity and its --kl-divergence. Take a text that neither the
model nor the importance matrix was made from.
"""

_TYPES = "Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q3_K_M,Q2_K"
_N_CTX = 512
_COLUMNS = ["type", "size", "bits", "perplexity", "KL, mean", "median", "99 %", "same top token"]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    options.add_model(parser)
    options.add_text(parser)
    parser.add_argument(
        "--types", default=_TYPES, metavar="A,B,...", help=f"file types (default: {_TYPES})"
    )
    parser.add_argument("--imatrix", metavar="FILE", help="an importance matrix to quantise with")
    parser.add_argument(
        "--effort",
        default="normal",
        choices=["normal", "high"],
        help="high needs an importance matrix of ingot imatrix --moments (default: normal)",
    )
    parser.add_argument(
        "--allow-requantize", action="store_true", help="take a model that is quantised already"
    )
    options.add_ctx_size(parser, f"tokens of a chunk (default: {_N_CTX})")
    parser.add_argument("-t", "--threads", type=options.count, metavar="N", help="threads")
    parser.add_argument("--plot", metavar="OUT.png", help="draw it; needs ingot[plot]")
    options.add_json(parser)


def execute(args: argparse.Namespace) -> int:
    if args.plot is not None:
        quality_plot.check(args.plot)
    text = options.read_text(args)
    with terminal.progress("quantising and measuring") as report:
        found = quality(
            args.model or bundled_model(),
            [name for name in args.types.split(",") if name],
            text,
            imatrix=args.imatrix,
            effort=args.effort,
            n_ctx=args.ctx_size or _N_CTX,
            n_chunks=args.chunks,
            threads=args.threads,
            allow_requantize=args.allow_requantize,
            progress=report,
        )
    for row in found.types:
        for warning in row.warnings:
            terminal.note(f"{row.file_type}: {warning}")
    if args.plot is not None:
        quality_plot.plot(found, args.plot)
    if args.json:
        print(json.dumps(_report(found)))
    else:
        terminal.table("", _COLUMNS, _rows(found))
    return 0


def _rows(found: Quality) -> list[list[str]]:
    first = ["as it is", _size(found.bytes), f"{found.bits_per_weight:.2f}"]
    rows = [[*first, _estimate(found.base.perplexity, 4), "", "", "", ""]]
    for row in found.types:
        lost = row.divergence
        rows.append(
            [
                row.file_type,
                _size(row.bytes),
                f"{row.bits_per_weight:.2f}",
                _estimate(lost.perplexity, 4),
                _estimate(lost.kl, 6),
                f"{lost.kl_quantiles['median']:.6f}",
                f"{lost.kl_quantiles['99 %']:.6f}",
                f"{lost.same_top.value:.2%}",
            ]
        )
    return rows


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def _estimate(found: Estimate, digits: int) -> str:
    return f"{found.value:.{digits}f} +- {found.error:.{digits}f}"


def _report(found: Quality) -> dict[str, object]:
    size = {"bytes": found.bytes, "bits_per_weight": found.bits_per_weight}
    return {
        "model": found.model,
        "n_ctx": found.n_ctx,
        "base": {**size, **without_arrays(found.base)},
        "types": [
            {
                "file_type": row.file_type,
                "bytes": row.bytes,
                "bits_per_weight": row.bits_per_weight,
                **without_arrays(row.divergence),
            }
            for row in found.types
        ],
    }
