"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from ingot import errors
from ingot._lib import INT32_MAX
from ingot.adapter import Adapter
from ingot.cache import KV_TYPES
from ingot.cli import files, terminal
from ingot.model import Model
from ingot.sampling import sampler_params, samplers


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        nargs="?",
        default=argparse.SUPPRESS,  # so that it doesn't undo -m
        metavar="MODEL",
        help="a GGUF file (default: bundled)",
    )
    parser.add_argument("-m", "--model", metavar="MODEL", help="the same")


def add_pre(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--pre", metavar="NAME", help="pre-tokenizer to use instead of the file's")


def add_ctx_size(parser: argparse._ActionsContainer, help: str) -> None:  # noqa: A002
    parser.add_argument("-c", "--ctx-size", type=count, metavar="N", help=help)


def add_max_tokens(parser: argparse.ArgumentParser, default: int | None, words: str) -> None:
    parser.add_argument(
        *["-n", "--max-tokens", "--n-predict"],
        type=max_tokens,
        default=default,
        metavar="N",
        help=f"tokens to generate at most (default: {words})",
    )


def add_cache(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--kv-type",
        default="f16",
        choices=KV_TYPES,
        help="tensor type of the KV cache (default: f16)",
    )
    for flags, what in (
        (("-ctk", "--cache-type-k"), "keys"),
        (("-ctv", "--cache-type-v"), "values"),
    ):
        parser.add_argument(
            *flags, choices=KV_TYPES, help=f"that of {what} alone (default: that of --kv-type)"
        )
    parser.add_argument(
        "--k-rotate",
        action="store_true",
        help="rotate keys of q8_0 and q4_0: less is lost where a few of their numbers are large",
    )


def add_engine(parser: argparse.ArgumentParser, keeps: bool = False) -> None:
    """The model's options; ``keeps``: prompts may be worth keeping for the next time."""
    group = parser.add_argument_group("model")
    add_ctx_size(group, "tokens of context")
    group.add_argument(
        "-t", "--threads", type=count, metavar="N", help="threads (default: what pays)"
    )
    add_cache(group)
    if keeps:
        group.add_argument(
            "--cache-dir",
            metavar="DIR",
            help="keep what was computed of prompts in this folder, for the next time",
        )
    group.add_argument(
        "-b", "--batch-size", type=count, metavar="N", help="tokens in a forward pass"
    )
    group.add_argument("--mlock", action="store_true", help="keep the weights in physical memory")
    group.add_argument("--no-mmap", action="store_true", help="read the file instead of mapping it")
    group.add_argument(
        "--ignore-extra-tensors",
        action="store_true",
        help="load a file with tensors that its architecture does not use",
    )
    add_pre(group)


def add_adapters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("adapters")
    group.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE",
        help="an adapter of low rank, a GGUF file (repeatable, or several with commas)",
    )
    group.add_argument(
        "--lora-scaled",
        action="append",
        default=[],
        metavar="FILE:SCALE",
        help="the same, and what its change is multiplied with",
    )


def load_adapters(model: Model, args: argparse.Namespace) -> list[tuple[Adapter, float]]:
    """The adapters that were asked for, as requests take them."""
    wanted = [(path, 1.0) for given in args.lora for path in _paths(given)]
    wanted += [_scaled(one) for given in args.lora_scaled for one in given.split(",")]
    loaded = []
    for i, (path, scale) in enumerate(wanted):
        with terminal.progress(f"loading {Path(path).name}") as report:
            adapter = model.load_adapter(path, f"{i}: {Path(path).name}", progress=report)
        loaded.append((adapter, scale))
    return loaded


def _paths(given: str) -> list[str]:
    return [given] if Path(given).exists() else given.split(",")


def _scaled(text: str) -> tuple[str, float]:
    path, _, scale = text.rpartition(":")
    try:
        return path, float(scale)
    except ValueError:
        raise errors.ArgumentError(
            f"--lora-scaled is {text!r}; expected FILE:SCALE, such as french.gguf:0.5"
        ) from None


def add_template(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", metavar="TEXT", help="the system message of the conversation")
    parser.add_argument(
        "--template",
        metavar="NAME|FILE",
        help="a variant of the model's chat template, or a Jinja file",
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """A row of the samplers' table is an option."""
    group = parser.add_argument_group("sampling")
    group.add_argument(
        *["-s", "--seed"],
        type=seed,
        metavar="N",
        help="the same seed gives the same answer (default: -1, a random one)",
    )
    group.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="ends the answer (repeatable)"
    )
    group.add_argument(
        "--stop-regex",
        action="append",
        default=[],
        metavar="REGEX",
        help="the same, for what a regular expression matches",
    )
    group.add_argument(
        "--banned", action="append", default=[], metavar="TEXT", help="never says it (repeatable)"
    )
    group.add_argument(
        *["-l", "--logit-bias"],
        action="append",
        default=[],
        type=logit_bias,
        metavar="TOKEN(+/-)BIAS",
        help="makes a token (an id, or a text for its tokens) likelier or less likely: 15043+1, "
        "' no'-2.5; TOKEN-inf bans it (repeatable)",
    )
    group.add_argument(
        "--min-tokens", type=natural, default=0, metavar="N", help="the answer has so many at least"
    )
    group.add_argument(
        "--max-seconds", type=float, metavar="X", help="the answer ends when it has taken so long"
    )
    group.add_argument(
        "--ignore-eos", action="store_true", help="don't let the model end the answer"
    )
    group.add_argument(
        "--samplers",
        type=lambda text: [name for name in re.split("[;,]", text) if name],
        metavar="NAMES",
        help="which samplers in which order, with ; between them (default: "
        + ";".join(stage.name for stage in samplers() if stage.usual)
        + "; there is infill, too)",
    )
    group.add_argument(
        "--dry-sequence-breaker",
        action="append",
        metavar="TEXT",
        help="repetitions don't reach over it (repeatable; default: newline : \" *; none: no text)",
    )
    for param in sampler_params():
        aliases = ["--temp"] if param.name == "temperature" else []
        group.add_argument(
            *[f"--{param.name.replace('_', '-')}", *aliases],
            type=int if param.integer else float,
            metavar="N" if param.integer else "X",
            help=f"{param.doc.replace('%', '%%')} (default: {param.default:g})",
        )


def add_speculation(parser: argparse.ArgumentParser) -> None:
    """What makes answers come sooner, and changes nothing else."""
    group = parser.add_argument_group("speculation")
    group.add_argument(
        *["--draft", "--draft-max"],
        type=natural,
        metavar="N",
        help="compute up to N tokens that may come together with the one before them (default: as "
        "many as are expected to save time; 0: none)",
    )
    group.add_argument(
        *["-md", "--draft-model", "--model-draft"],
        metavar="MODEL",
        help="a smaller model with the same vocabulary that drafts them",
    )


def add_grammar(parser: argparse.ArgumentParser) -> None:
    """What holds an answer to a grammar."""
    group = parser.add_argument_group("grammars")
    ways = group.add_mutually_exclusive_group()
    ways.add_argument("--grammar", metavar="GBNF", help="a grammar that the answer is held to")
    ways.add_argument("--grammar-file", metavar="FILE", help="the same, from a file")
    ways.add_argument(
        "-j", "--json-schema", metavar="JSON", help="the answer is JSON of this schema"
    )
    ways.add_argument("-jf", "--json-schema-file", metavar="FILE", help="the same, from a file")
    ways.add_argument("--regex", metavar="REGEX", help="the answer matches it whole")
    ways.add_argument(
        "--choice", action="append", metavar="TEXT", help="the answer is this text (repeatable)"
    )
    group.add_argument(
        "--no-close-in-time",
        action="store_true",
        help="cut the answer off at --max-tokens, complete or not",
    )
    group.add_argument(
        "--jump-forward",
        action="store_true",
        help="cut text that must come into tokens without asking the model: faster",
    )


def grammar(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments for ``generate`` and ``chat``."""
    text, schema = args.grammar, args.json_schema
    if args.grammar_file is not None:
        text = files.read_utf8(args.grammar_file)
    if args.json_schema_file is not None:
        schema = files.read_json(args.json_schema_file)
    elif schema is not None:
        schema = files.parse_json(schema, "--json-schema")
    if schema is None and (args.json_schema_file or args.json_schema):
        raise errors.FormatError("the JSON schema is null; expected an object, true or false")
    return {
        "grammar": text,
        "json_schema": schema,
        "regex": args.regex,
        "choices": args.choice,
        "close_in_time": not args.no_close_in_time,
        "jump_forward": args.jump_forward,
    }


def add_text(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """A text that is taken in chunks."""
    help_text = "a text file; - is standard input"
    parser.add_argument("-f", "--file", required=required, metavar="TEXT", help=help_text)
    parser.add_argument(
        "--chunks", type=count, metavar="N", help="use the first N chunks of the text"
    )


def read_text(args: argparse.Namespace) -> bytes:
    return sys.stdin.buffer.read() if args.file == "-" else Path(args.file).read_bytes()


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON value")


def integer(text: str, low: int, high: int) -> int:
    """An integer within bounds, for argparse."""
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no integer from {low} to {high}")
    return value


def count(text: str) -> int:
    """A positive number, for argparse."""
    return integer(text, 1, INT32_MAX)


def max_tokens(text: str) -> int | None:
    """How many tokens to generate, for argparse; -1 is as many as the context holds."""
    value = integer(text, -1, INT32_MAX)
    return None if value == -1 else value


def natural(text: str) -> int:
    """An integer from 0 on, for argparse."""
    return integer(text, 0, 2**31 - 1)


def logit_bias(text: str) -> tuple[str, float]:
    """A token and its bias, for argparse: TOKEN+BIAS or TOKEN-BIAS."""
    found = re.fullmatch(r"(?s)(.+)([+-](?:inf|\d+\.?\d*|\.\d+))", text)
    if not found:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no TOKEN+BIAS or TOKEN-BIAS, such as 15043+1 or 15043-inf"
        )
    return found[1], float(found[2])


def seed(text: str) -> int | None:
    """A seed, for argparse; -1 is a random one."""
    value = integer(text, -1, 2**64 - 1)
    return None if value == -1 else value


def open_model(args: argparse.Namespace, collect: bool = False, moments: bool = False) -> Model:
    with terminal.progress("loading the model") as report:
        return Model(
            args.model,
            n_ctx=args.ctx_size,
            threads=args.threads,
            kv_type=args.kv_type,
            k_type=args.cache_type_k,
            v_type=args.cache_type_v,
            k_rotate=args.k_rotate,
            n_batch=args.batch_size,
            draft_model=getattr(args, "draft_model", None),  # where answers are asked for
            cache_dir=getattr(args, "cache_dir", None),
            pre=args.pre,
            mlock=args.mlock,
            mmap=not args.no_mmap,
            ignore_extra_tensors=args.ignore_extra_tensors,
            collect=collect,
            moments=moments,
            progress=report,
        )


def sampling(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments for ``generate`` and ``chat``."""
    given = {param.name: getattr(args, param.name) for param in sampler_params()}
    return {
        "seed": args.seed,
        "stop": args.stop,
        "stop_regex": args.stop_regex,
        "banned": args.banned,
        "logit_bias": dict(args.logit_bias),
        "min_tokens": args.min_tokens,
        "max_seconds": args.max_seconds,
        "ignore_eos": args.ignore_eos,
        "draft": args.draft,
        "samplers": args.samplers,
        "dry_sequence_breakers": _breakers(args.dry_sequence_breaker),
        **{name: value for name, value in given.items() if value is not None},
    }


def _breakers(given: list[str] | None) -> list[str] | None:
    return None if given is None else [text for text in given if text != "none"]


def template(args: argparse.Namespace) -> str | None:
    """The template as ``Model.chat`` takes it: a variant's name, or a file's text."""
    if args.template is None or not os.path.exists(args.template):  # noqa: PTH110 - of any length
        return args.template  # type: ignore[no-any-return]
    return files.read_utf8(args.template)
