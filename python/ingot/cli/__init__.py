"""The command line: ``ingot COMMAND``, one module per command."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from ingot import errors
from ingot.cli import terminal

COMMANDS = {
    "run": "continue a prompt",
    "chat": "talk with a model",
    "embed": "turn texts into vectors",
    "quantize": "write a model in fewer bits",
    "inspect": "show what is in a GGUF file",
    "convert": "make a GGUF file of a Hugging Face checkpoint",
    "lora": "convert adapters of low rank, or merge them into models",
    "grammar": "check a grammar against texts",
    "schema": "show what of a JSON schema is enforced, or print it as GBNF",
    "tokenize": "show the tokens of a text",
    "bench": "measure how fast a model is here",
    "perplexity": "measure how well a model predicts a text",
    "quality": "measure what each way of quantising costs a model",
    "imatrix": "find which columns of a model's matrices matter, for quantising it",
    "devices": "show what models run on here",
}

_EPILOG = """\
examples:
  ingot run -p "Once upon a time" -n 64
  ingot chat model.gguf
  ingot inspect model.gguf --tensors

Without MODEL the small model that comes with the package is used.
Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
Environment: INGOT_ISA forces an instruction set, INGOT_DEBUG=1 shows tracebacks and all log lines.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    debug = os.environ.get("INGOT_DEBUG") == "1"
    terminal.prepare()
    logging.basicConfig(
        format="ingot: %(levelname)s: %(message)s",
        level=logging.DEBUG if debug else logging.WARNING,
    )
    try:
        if given[:1] == ["quantize"]:
            importlib.import_module("ingot.cli.quantize").replace_process(given[1:])
        args = _parsed(given)
        status: int = importlib.import_module(f"ingot.cli.{args.command}").execute(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        terminal.end_line()
        return 130
    except BrokenPipeError:
        terminal.forget_output()
        return 0
    except Exception as e:
        if debug:
            raise
        known = isinstance(e, (errors.IngotError, OSError, MemoryError))
        terminal.error(str(e) if known else f"{type(e).__name__}: {e} (a bug of ours)")
        if isinstance(e, OSError) and e.filename is None:
            terminal.forget_output()  # if it is what is full, nobody shall try again
        return 2 if isinstance(e, errors.ArgumentError) else 1
    return status


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    try:
        args, unknown = _parser(given).parse_known_args(given)
    finally:
        sys.stdout.flush()  # help: what can't be written is an error
    if unknown:
        args.usage_error(f"unrecognized arguments: {' '.join(unknown)}")
    return args


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the command that is asked for is imported."""
    parser = argparse.ArgumentParser(
        prog="ingot",
        description="Runs GGUF language models on ordinary machines.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(usage_error=command.error)
        if name in given:
            importlib.import_module(f"ingot.cli.{name}").configure(command)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import ingot

        print(f"ingot {ingot.__version__}")
        parser.exit()
