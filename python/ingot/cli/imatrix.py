"""``ingot imatrix``: which columns of a model's matrices matter, for quantising it well."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from ingot.cli import options, terminal
from ingot.imatrix_file import FORMATS, Imatrix
from ingot.imatrix_statistics import Statistics, statistics
from ingot.importance import imatrix

_EPILOG = """\
examples:
  ingot imatrix model-f16.gguf -f text.txt -o imatrix.gguf
  ingot imatrix model-f16.gguf -f text.txt -o imatrix.gguf --moments
  ingot imatrix --in-file one.gguf --in-file other.gguf -o both.gguf
  ingot imatrix --in-file imatrix.gguf --show-statistics

The numbers are those of llama-imatrix, and llama-quantize reads the files. A run that was stopped
goes on behind the chunks in its output when it is started again.
"""

_N_CTX = 512
_COLUMNS = ["tensor", "columns", "total", "peak", "evenness", "top 1 %", "alike", "unused"]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    options.add_model(parser)
    options.add_text(parser, required=False)
    parser.add_argument("-o", "--output", metavar="OUT", help="the file to write")
    parser.add_argument(
        "--output-format",
        default="gguf",
        choices=FORMATS,
        help="dat is what old versions of llama.cpp read (default: gguf)",
    )
    parser.add_argument(
        "--in-file",
        action="append",
        default=[],
        metavar="FILE",
        help="add what is in an importance matrix of the same model (repeatable)",
    )
    parser.add_argument(
        "--process-output", action="store_true", help="collect for the output matrix too"
    )
    parser.add_argument(
        "--moments",
        action="store_true",
        help="collect products of columns too, for quantize --effort high: three kilobytes of "
        "memory and half of one in OUT for each column of each expert",
    )
    parser.add_argument(
        *["--save-frequency", "--output-frequency"],
        type=options.count,
        metavar="N",
        help="write OUT every N chunks (default: at the end, and when interrupted)",
    )
    parser.add_argument(
        "--show-statistics", action="store_true", help="show which tensors matter, by layer"
    )
    options.add_json(parser)
    options.add_engine(parser)


def execute(args: argparse.Namespace) -> int:
    if args.file is None and not args.in_file:
        args.usage_error("one of -f/--file and --in-file is required")
    if args.output is None and not args.show_statistics:
        args.usage_error("one of -o/--output and --show-statistics is required")
    if args.file is not None and args.output in args.in_file:
        args.usage_error(
            "--output is one of --in-file, and would count twice: a run goes on behind what is in "
            "its --output without it"
        )
    if args.moments and (args.file is None or args.output_format != "gguf"):
        args.usage_error("--moments needs a text, -f/--file, and --output-format gguf")
    given = [Imatrix.load(path, args.ctx_size or _N_CTX) for path in args.in_file]
    found = _merged(given, args) if args.file is None else _collected(given, args)
    rows = statistics(found) if args.show_statistics else []
    if args.json:
        print(json.dumps(_report(found, rows, args)))
    elif args.show_statistics:
        terminal.table("", _COLUMNS, [_row(row) for row in rows])
    else:
        tensors = f"{len(found.sums)} tensors, {found.chunks} chunks of {found.chunk_size} tokens"
        terminal.write(f"{args.output}: {tensors}\n")
    return 0


def _merged(given: list[Imatrix], args: argparse.Namespace) -> Imatrix:
    found = given[0]
    for other in given[1:]:
        found = found.merge(other)
    if args.output is not None:
        found.save(args.output, args.output_format)
    return found


def _collected(given: list[Imatrix], args: argparse.Namespace) -> Imatrix:
    text = options.read_text(args)
    args.ctx_size = args.ctx_size or _N_CTX
    with (
        options.open_model(args, collect=True, moments=args.moments) as model,
        terminal.progress("collecting") as report,
    ):
        try:
            return imatrix(
                model,
                text,
                n_ctx=args.ctx_size,
                n_chunks=args.chunks,
                process_output=args.process_output,
                moments=args.moments,
                name=args.file,
                output=args.output,
                output_format=args.output_format,
                save_frequency=args.save_frequency,
                merge=given,
                progress=report,
            )
        except KeyboardInterrupt:
            if args.output is not None and Path(args.output).exists():
                n = Imatrix.load(args.output, args.ctx_size).chunks
                terminal.end_line()
                terminal.note(f"interrupted; {args.output} has {n} chunks")
            raise


def _report(found: Imatrix, rows: list[Statistics], args: argparse.Namespace) -> dict[str, object]:
    report: dict[str, object] = {
        "output": args.output,
        "n_tensors": len(found.sums),
        "n_chunks": found.chunks,
        "n_ctx": found.chunk_size,
        "datasets": found.datasets,
    }
    if args.show_statistics:
        report["statistics"] = [dataclasses.asdict(row) for row in rows]
    return report


def _row(row: Statistics) -> tuple[str, ...]:
    return (
        row.tensor,
        str(row.columns),
        f"{row.total:.4g}",
        f"{row.peak:.1f}",
        f"{row.evenness:.4f}",
        f"{row.top_share:.2%}",
        "-" if row.alike is None else f"{row.alike:.4f}",
        f"{row.unused:.1%}",
    )
