"""``ingot run``: continues a prompt, or answers it."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Callable

from ingot._lib import Progress
from ingot.cli import options, terminal
from ingot.generation import Completion, Stream
from ingot.model import Model

_EPILOG = """\
examples:
  ingot run -p "Once upon a time" -n 64
  ingot run model.gguf --chat -p "What is the capital of Portugal?" --temperature 0
  cat letter.txt | ingot run model.gguf -n -1 --stop "The end"
  ingot run -p "1 2 3" --json | jq .text
  ingot run -p "A pet: " -j '{"properties": {"name": {"type": "string"}}, "required": ["name"]}'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    options.add_model(parser)
    parser.add_argument(
        "-p",
        "--prompt",
        metavar="TEXT",
        help="(default: standard input)",
    )
    options.add_max_tokens(parser, 256, "256; -1: as many as the context holds")
    parser.add_argument(
        "--chat",
        action="store_true",
        help="take the prompt as a message, through the chat template",
    )
    options.add_template(parser)
    parser.add_argument("--special", action="store_true", help="show the names of control tokens")
    parser.add_argument("-q", "--quiet", action="store_true", help="no speeds at the end")
    options.add_json(parser)
    options.add_sampling(parser)
    options.add_speculation(parser)
    options.add_grammar(parser)
    options.add_adapters(parser)
    options.add_engine(parser, keeps=True)


def execute(args: argparse.Namespace) -> int:
    prompt = _prompt(args.prompt, args.usage_error)
    if not args.chat and (args.system is not None or args.template is not None):
        args.usage_error("--system and --template go with --chat")
    with options.open_model(args) as model:
        with terminal.progress("reading the prompt") as report:
            stream = _start(model, prompt, args, report)
            first = next(stream)
        with stream:
            for chunk in itertools.chain([first], stream):
                if not args.json:
                    terminal.write(chunk.text)
        answer = stream.completion
    if args.json:
        print(json.dumps(dataclasses.asdict(answer)))
    elif sys.stdout.isatty() or not (args.quiet or terminal.errors_apart()):
        terminal.write("\n")
    if not args.quiet:
        terminal.note(speeds(answer))
    return 0


def _prompt(given: str | None, usage_error: Callable[[str], None]) -> str:
    if given is not None:
        return given
    if sys.stdin.isatty():
        usage_error("no prompt: give -p TEXT, or pipe a text into standard input")
    piped = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    return piped.removesuffix("\n")  # which is the shell's, not the prompt's


def _start(model: Model, prompt: str, args: argparse.Namespace, report: Progress) -> Stream:
    keywords = options.sampling(args) | options.grammar(args)
    keywords |= {"max_tokens": args.max_tokens, "special": args.special}
    keywords["adapters"] = options.load_adapters(model, args)
    keywords["progress"] = report
    stream: Stream
    if not args.chat:
        stream = model.generate(prompt, stream=True, **keywords)
        return stream
    system = [] if args.system is None else [{"role": "system", "content": args.system}]
    messages = [*system, {"role": "user", "content": prompt}]
    stream = model.chat(messages, template=options.template(args), stream=True, **keywords)
    return stream


def speeds(answer: Completion) -> str:
    """How fast an answer came, on one line."""
    t = answer.timings
    drafts = f"{answer.n_accepted} of {answer.n_drafted} drafted; " if answer.n_drafted else ""
    return (
        f"prompt: {answer.n_prompt - answer.n_cached} of {answer.n_prompt} tokens in "
        f"{t.prompt_seconds:.2f} s ({t.prompt_speed:.1f}/s); "
        f"generated: {answer.n_generated} tokens in {t.decode_seconds:.2f} s "
        f"({t.decode_speed:.1f}/s); {drafts}finish: {answer.finish_reason}; seed: {answer.seed}"
    )
