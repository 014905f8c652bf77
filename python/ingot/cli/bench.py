"""``ingot bench``: how fast a model is here."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from ingot.cache import KV_TYPES, types_of
from ingot.cli import options, terminal
from ingot.model import bundled_model
from ingot.shapes import SHAPES, kept

if TYPE_CHECKING:
    from ingot.bench import Report, Row, Settings
    from ingot.bench_kernels import Kernels
    from ingot.bench_profile import Profile
    from ingot.bench_samplers import Samplers
    from ingot.bench_speculation import Speculation

_EPILOG = """\
examples:
  ingot bench model.gguf
  ingot bench model.gguf -p 512 -n 64 -d 0,4096 -t 2 --json
  ingot bench model.gguf --batch 1,4,16 --kv-type f16,q8_0,q8_0/q4_0
  ingot bench --shape llama-1b --type Q4_K_M --vs-llama-cpp
  ingot bench --shape llama-1b --batch 8 -p 0 --lora 2
  ingot bench model.gguf --profile
  ingot bench --kernels
  ingot bench --samplers --vs-llama-cpp
  ingot bench model.gguf --speculation

Each test is run once to warm up and then in rounds: medians, quartiles. "prefill" reads a prompt,
"decode" generates, "x 4" four sequences together, whose tokens are counted all; the depth is the
number of tokens before. The share is that of the rate at which this machine multiplies int8
(prefill) or reads memory (decode), measured in every round. Models of --shape have random weights;
they are made once and kept in $XDG_CACHE_HOME/ingot/bench. --vs-llama-cpp needs the package
llama-cpp-python, here or in the Python that the variable INGOT_BENCH_PEER names. --lora measures
each test with adapters too, of rank 16 in all linear maps, which sequences take in turn; the ratio
is what is left of the speed. --profile shows
where the time of a forward pass goes instead. --kernels measures no model but the products of each
tensor type by themselves, on one thread, from the cache. --samplers measures the CPU time of a
token's choice by each sampler, on one thread, for the vocabulary of MODEL (a file without weights
does) or of --vocab tokens. --speculation measures what drafts save in texts that repeat
themselves and what they cost in a free one: docs/speculation.md says which texts these are.
"""


_MOST_TOGETHER = 256  # that the engine has slots for
_KV_HELP = f"types of the KV cache, or of keys/values: {', '.join(KV_TYPES)} (f16)"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    options.add_model(parser)
    add = parser.add_argument
    add("-p", "--prompt", type=_count, default=512, metavar="N", help="tokens of a prompt (512)")
    add(
        "-n",
        "--tokens",
        type=_count,
        metavar="N",
        help="tokens generated (64; with --speculation 256)",
    )
    add("-d", "--depth", type=_depths, default=(0,), metavar="N,N,...", help="tokens before (0)")
    add("--batch", type=_batches, default=(1,), metavar="N,N,...", help="sequences at once (1)")
    add("--kv-type", type=_kv_types, default=("f16",), metavar="TYPE,...", help=_KV_HELP)
    add("-r", "--rounds", type=options.count, default=5, metavar="N", help="rounds (5)")
    add("-t", "--threads", type=options.count, metavar="N", help="threads (what pays)")
    add("-b", "--batch-size", type=options.count, metavar="N", help="tokens in a forward pass")
    add("--vocab", type=options.count, metavar="N", help="with --samplers: tokens (151936)")
    add("--shape", choices=SHAPES, help="measure a model of this shape, with random weights")
    add("--profile", action="store_true", help="measure the parts of a forward pass instead")
    add("--kernels", action="store_true", help="measure the products of each tensor type instead")
    add("--samplers", action="store_true", help="measure the choice of a token instead")
    add("--speculation", action="store_true", help="measure answers with and without drafts")
    add("-md", "--draft-model", metavar="MODEL", help="with --speculation: that drafts")
    add(
        "--type",
        metavar="TYPE",
        help="with --shape: tensor type or mix (Q4_K_M); with --kernels: this type alone",
    )
    add(
        "--lora",
        type=options.count,
        default=0,
        metavar="N",
        help="measure with N adapters too, of rank 16, in turns",
    )
    add("--vs-llama-cpp", action="store_true", help="measure llama.cpp too, in turns")
    options.add_json(parser)


def execute(args: argparse.Namespace) -> int:
    if args.vocab is not None and not args.samplers:
        args.usage_error("--vocab goes with --samplers")
    if args.draft_model is not None and not args.speculation:
        args.usage_error("--draft-model goes with --speculation")
    if args.speculation:
        return _speculation(args)
    if args.samplers:
        return _samplers(args)
    return _kernels(args) if args.kernels else _model(args)


def _samplers(args: argparse.Namespace) -> int:
    from ingot.bench_samplers import VOCABULARY, measure

    if args.shape is not None or args.type is not None or args.profile or args.kernels:
        args.usage_error(
            "--samplers computes no model: --shape, --type, --profile and --kernels don't apply"
        )
    if args.model is not None and args.vocab is not None:
        args.usage_error("expected MODEL, whose vocabulary is taken, or --vocab, not both")
    n_vocab, peer = args.vocab or VOCABULARY, args.vs_llama_cpp
    with terminal.progress("measuring") as report:
        found = measure(args.model, n_vocab, args.rounds, peer=peer, progress=report)
    if args.json:
        print(json.dumps(found.as_json()))
    else:
        _show_samplers(found)
    return 0


def _speculation(args: argparse.Namespace) -> int:
    from ingot.bench_speculation import TOKENS, measure

    if args.profile or args.kernels or args.samplers or args.vs_llama_cpp:
        args.usage_error(
            "--speculation: --profile, --kernels, --samplers and --vs-llama-cpp don't apply"
        )
    tokens = TOKENS if args.tokens is None else args.tokens
    if tokens < 2:
        args.usage_error(f"-n {tokens}: expected at least 2 tokens")
    with terminal.progress("measuring") as report:
        found = measure(
            _path(args),
            tokens,
            args.rounds,
            threads=args.threads,
            draft_model=args.draft_model,
            progress=report,
        )
    if args.json:
        print(json.dumps(found.as_json()))
    else:
        _show_speculation(found)
    return 0


def _kernels(args: argparse.Namespace) -> int:
    from ingot.bench_kernels import measure

    if args.model is not None or args.shape is not None or args.vs_llama_cpp or args.profile:
        args.usage_error(
            "--kernels measures no model: MODEL, --shape, --profile and --vs-llama-cpp don't apply"
        )
    with terminal.progress("measuring") as report:
        found = measure(args.type, report)
    if args.json:
        print(json.dumps(found.as_json()))
    else:
        _show_kernels(found)
    return 0


def _model(args: argparse.Namespace) -> int:
    from ingot.bench import Settings, measure

    settings = Settings(
        prompt=args.prompt,
        tokens=64 if args.tokens is None else args.tokens,
        depths=args.depth,
        batches=args.batch,
        kv_types=args.kv_type,
        rounds=args.rounds,
        threads=args.threads,
        n_batch=args.batch_size,
        adapters=args.lora,
    )
    if not settings.cases():
        args.usage_error(
            f"-p {args.prompt} -n {settings.tokens}: nothing is left to be measured (prompts are "
            "read with --batch 1 alone)"
        )
    if args.batch_size is not None and args.batch_size < settings.n_seqs:
        args.usage_error(
            f"--batch-size {args.batch_size}: a forward pass has a token of each sequence, so "
            f"expected at least {settings.n_seqs} (--batch)"
        )
    path = _path(args)
    if args.profile:
        return _profile(args, path, settings)
    with terminal.progress("measuring") as report:
        results = measure(path, settings, peer=args.vs_llama_cpp, progress=report)
    if args.json:
        print(json.dumps(results.as_json()))
    else:
        _show(results)
    return 0


def _profile(args: argparse.Namespace, path: str, settings: Settings) -> int:
    from ingot.bench_profile import measure

    if args.lora:
        args.usage_error("--profile and --lora don't go together")
    if args.vs_llama_cpp:
        args.usage_error("--profile and --vs-llama-cpp: only Ingot's operations can be measured")
    with terminal.progress("measuring") as report:
        found = measure(path, settings, report)
    if args.json:
        print(json.dumps(found.as_json()))
        return 0
    terminal.note(f"{found.model}: {found.machine}; {found.isa}, {found.threads} threads")
    for profile in found.profiles:
        _show_profile(profile)
    return 0


def _path(args: argparse.Namespace) -> str:
    if args.shape is None:
        if args.type is not None:
            args.usage_error(
                "--type goes with --shape or --kernels: a file's weights have their types already"
            )
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
    columns = ["test", "depth", "KV", "tokens/s", "quartiles", "share"]
    if results.peer_version is not None:
        columns += ["llama.cpp", "quartiles", "ratio"]
    if results.settings.adapters:
        columns += [f"{results.settings.adapters} adapters", "quartiles", "ratio"]
    terminal.table("", columns, [_cells(row) for row in results.rows])


def _cells(row: Row) -> list[str]:
    from ingot.bench import middle

    share = f"{middle(row.shares):.0%}" if row.shares else ""
    together = f" x {row.batch}" if row.batch > 1 else ""
    test = f"{row.test} {row.tokens}{together}"
    cells = [test, str(row.depth), row.kv_type, *_speeds(row.speeds), share]
    if row.peer:
        cells += [*_speeds(row.peer), f"{row.ratio:.2f}"]
    if row.adapted:
        cells += [*_speeds(row.adapted), f"{row.kept:.2f}"]
    return cells


def _speeds(values: list[float]) -> tuple[str, str]:
    from ingot.bench import middle, quartiles

    low, high = quartiles(values)
    return f"{middle(values):.2f}", f"{low:.2f} to {high:.2f}"


def _show_profile(profile: Profile) -> None:
    together = f" x {profile.batch}" if profile.batch > 1 else ""
    title = (
        f"{profile.test} {profile.tokens}{together}, depth {profile.depth}, {profile.kv_type}: a "
        f"pass takes {profile.seconds * 1e3:.2f} ms and {profile.barriers:.0f} barriers"
    )
    rows = []
    for share in profile.sorted():
        seconds = share.middle
        part = f"{seconds / profile.seconds:.1%}"
        cells = [share.name, f"{seconds * 1e3:.3f}", part, f"{share.calls:.0f}"]
        reads = f"{share.weight_bytes / seconds / 1e9:.1f}" if share.weight_bytes else ""
        ops = f"{2 * share.products / seconds / 1e9:.0f}" if share.products else ""
        rows.append([*cells, f"{share.barriers:.0f}", reads, ops])
    columns = ["stage", "ms", "share", "calls", "barriers", "GB/s", "GOP/s"]
    terminal.table(title, columns, rows)


def _show_kernels(found: Kernels) -> None:
    from ingot.bench_kernels import FEW, MANY

    terminal.note(
        f"{found.machine}; {found.isa}, 1 thread; at most {found.peak / 1e9:.0f} GOP/s of int8. "
        "x N: billions of weights a second with N columns (GB/s of the file with one); packing: "
        "the same, into panels; then products from panels, and their share of int8"
    )
    few = [f"x {n}" for n in FEW]
    columns = ["type", *few, "GB/s", "packing", f"GOP/s x {MANY}", "share"]
    rows = []
    for p in found.products:
        share = found.share(p)
        rates = [p.few[n] for n in FEW] + [p.file_bytes, p.pack]
        cells = [p.type, *(f"{rate / 1e9:.1f}" for rate in rates), f"{p.ops / 1e9:.0f}"]
        rows.append([*cells, "" if share is None else f"{share:.0%}"])
    terminal.table("", columns, rows)


def _show_samplers(found: Samplers) -> None:
    from ingot.bench_samplers import LOGITS

    terminal.note(
        f"{found.machine}; {found.isa}, 1 thread; CPU time of a choice among {found.n_vocab} "
        f"tokens in microseconds, with logits of {LOGITS}. input: copying them (llama.cpp: making "
        "its array of candidates), which all rows below include; all but greedy include the draw"
    )
    columns = ["sampler", "settings", "us", "quartiles"]
    if found.peer_version is not None:
        columns += ["llama.cpp", "quartiles", "ratio"]
    rows = []
    for row in found.rows:
        settings = " ".join(f"{name}={value:g}" for name, value in row.case.settings.items())
        cells = [row.case.name, settings, *_micros(row.seconds)]
        rows.append([*cells, *_micros(row.peer), f"{row.ratio:.1f}"] if row.peer else cells)
    terminal.table("", columns, rows)


def _show_speculation(found: Speculation) -> None:
    from ingot.bench import middle
    from ingot.bench_speculation import FIRST

    terminal.note(f"{found.model}: {found.machine}; {found.isa}, {found.threads} threads")
    columns = ["text", "tokens", "tokens/s", "quartiles", "without drafts", "quartiles", "ratio"]
    columns += ["CPU", "drafted", "came", f"drafted after {FIRST}"]
    rows = []
    for row in found.rows:
        cells = [row.case.name, str(row.n_tokens), *_speeds(row.speeds), *_speeds(row.plain)]
        cells += [f"{row.gain:.2f}", f"{row.cpu_ratio:.2f}"]
        counts = (row.n_drafted, row.n_accepted, row.n_late)
        rows.append([*cells, *(f"{middle([float(n) for n in all_]):.0f}" for all_ in counts)])
    terminal.table("", columns, rows)


def _micros(seconds: list[float]) -> tuple[str, str]:
    from ingot.bench import middle, quartiles

    low, high = (f"{1e6 * value:.0f}" for value in quartiles(seconds))
    return f"{1e6 * middle(seconds):.0f}", f"{low} to {high}"


def _count(text: str) -> int:
    return options.integer(text, 0, 1 << 24)


def _depths(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _batches(text: str) -> tuple[int, ...]:
    return tuple(options.integer(part, 1, _MOST_TOGETHER) for part in text.split(","))


def _kv_types(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    for kind in kinds:
        if not set(types_of(kind)) <= set(KV_TYPES):
            raise argparse.ArgumentTypeError(
                f"{kind!r} is no type of a KV cache: expected some of {', '.join(KV_TYPES)}, or "
                "pairs of them, KEYS/VALUES"
            )
    return kinds
