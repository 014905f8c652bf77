"""``ingot bench``: how fast a model is here."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from ingot.cli import options, terminal
from ingot.model import bundled_model
from ingot.shapes import SHAPES, kept

if TYPE_CHECKING:
    from ingot.bench import Report, Row

_EPILOG = """\
examples:
  ingot bench model.gguf
  ingot bench model.gguf -p 512 -n 64 -d 0,4096 -t 2 --json
  ingot bench --shape llama-1b --type Q4_K_M --vs-llama-cpp

Each test is run once to warm up and then in rounds: medians, quartiles. "prefill" reads a prompt,
"decode" generates; the depth is the number of tokens before. The share is that of the rate at which
this machine multiplies int8 (prefill) or reads memory (decode), measured in every round. Models of
--shape have random weights; they are made once and kept in $XDG_CACHE_HOME/ingot/bench.
--vs-llama-cpp needs the package llama-cpp-python, here or in the Python that the variable
INGOT_BENCH_PEER names.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    options.add_model(parser)
    add = parser.add_argument
    add("-p", "--prompt", type=_count, default=512, metavar="N", help="tokens of a prompt (512)")
    add("-n", "--tokens", type=_count, default=64, metavar="N", help="tokens generated (64)")
    add("-d", "--depth", type=_depths, default=(0,), metavar="N,N,...", help="tokens before (0)")
    add("-r", "--rounds", type=options.count, default=5, metavar="N", help="rounds (5)")
    add("-t", "--threads", type=options.count, metavar="N", help="threads (what pays)")
    add("--batch", type=options.count, default=1, metavar="N", help="sequences at once: 1 alone")
    options.add_kv_type(parser)
    add("-b", "--batch-size", type=options.count, metavar="N", help="tokens in a forward pass")
    add("--shape", choices=SHAPES, help="measure a model of this shape, with random weights")
    add("--type", metavar="TYPE", help="with --shape: tensor type or mix (Q4_K_M)")
    add("--vs-llama-cpp", action="store_true", help="measure llama.cpp too, in turns")
    options.add_json(parser)


def execute(args: argparse.Namespace) -> int:
    from ingot.bench import Settings, measure

    if args.batch != 1:
        args.usage_error(
            f"--batch {args.batch}: the engine serves one sequence at a time, so only 1 is possible"
        )
    if args.prompt == 0 and args.tokens == 0:
        args.usage_error("-p 0 -n 0: nothing is left to be measured")
    settings = Settings(
        prompt=args.prompt,
        tokens=args.tokens,
        depths=args.depth,
        rounds=args.rounds,
        threads=args.threads,
        kv_type=args.kv_type,
        n_batch=args.batch_size,
    )
    path = _path(args)
    with terminal.progress("measuring") as report:
        results = measure(path, settings, peer=args.vs_llama_cpp, progress=report)
    if args.json:
        print(json.dumps(results.as_json()))
    else:
        _show(results)
    return 0


def _path(args: argparse.Namespace) -> str:
    if args.shape is None:
        if args.type is not None:
            args.usage_error("--type goes with --shape: a file's weights have their types already")
        return str(bundled_model() if args.model is None else args.model)
    if args.model is not None:
        args.usage_error("expected MODEL or --shape, not both")
    return str(kept(args.shape, args.type or "Q4_K_M"))


def _show(results: Report) -> None:
    from ingot.bench import middle

    terminal.note(
        f"{results.model}: {results.machine}; {results.isa}, {results.threads} threads; "
        f"memory is read at {middle(results.reads) / 1e9:.1f} GB/s"
    )
    columns = ["test", "depth", "tokens/s", "quartiles", "of reading"]
    if results.peer_version is not None:
        columns += ["llama.cpp", "quartiles", "ratio"]
    terminal.table("", columns, [_cells(row) for row in results.rows])


def _cells(row: Row) -> list[str]:
    from ingot.bench import middle

    share = f"{middle(row.shares):.0%}" if row.shares else ""
    cells = [f"{row.test} {row.tokens}", str(row.depth), *_speeds(row.speeds), share]
    return [*cells, *_speeds(row.peer), f"{row.ratio:.2f}"] if row.peer else cells


def _speeds(values: list[float]) -> tuple[str, str]:
    from ingot.bench import middle, quartiles

    low, high = quartiles(values)
    return f"{middle(values):.2f}", f"{low:.2f} to {high:.2f}"


def _count(text: str) -> int:
    return options.integer(text, 0, 1 << 24)


def _depths(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))
