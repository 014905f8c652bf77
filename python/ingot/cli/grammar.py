"""``ingot grammar check``: whether a grammar accepts and rejects what it should."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ingot.cli import files, options, terminal
from ingot.grammar import Grammar

_EPILOG = """\
examples:
  ingot grammar check json.gbnf
  ingot grammar check json.gbnf --accept good.json --accept better.json --reject bad.json
  ingot grammar check dates.gbnf --root date --accept date.txt --json

Each FILE is one text; a newline at its end is left out. The exit status is 1 if a text isn't what
it should be. Rules that the root doesn't reach are warnings.
"""


@dataclass(frozen=True)
class _Verdict:
    file: str
    expected: bool
    accepted: bool
    size: int
    stopped_at: int | None  # the first byte that the grammar doesn't allow
    why: str  # what might come there


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("action", choices=["check"], metavar="check", help="the only action so far")
    parser.add_argument("grammar", metavar="GRAMMAR", help="a file in GBNF")
    parser.add_argument("--root", default="root", metavar="RULE", help="where it begins (root)")
    parser.add_argument(
        "--accept", action="append", default=[], metavar="FILE", help="a text that it must accept"
    )
    parser.add_argument(
        "--reject", action="append", default=[], metavar="FILE", help="a text that it must reject"
    )
    options.add_json(parser)


def execute(args: argparse.Namespace) -> int:
    grammar = Grammar.from_gbnf(files.read_utf8(args.grammar), args.root)
    grammar.compile()
    verdicts = [_verdict(grammar, name, True) for name in args.accept]
    verdicts += [_verdict(grammar, name, False) for name in args.reject]
    wrong = sum(verdict.accepted != verdict.expected for verdict in verdicts)
    if args.json:
        texts = [asdict(verdict) for verdict in verdicts]
        print(json.dumps({"wrong": wrong, "warnings": grammar.warnings, "texts": texts}))
    else:
        for warning in grammar.warnings:
            terminal.write(f"warning: {warning}\n")
        for verdict in verdicts:
            terminal.write(_line(verdict))
        print(f"{args.grammar}: {len(verdicts)} texts, {wrong} not as they should be")
    return 1 if wrong else 0


def _verdict(grammar: Grammar, name: str, expected: bool) -> _Verdict:
    data = Path(name).read_bytes()
    data = data[: len(data) - data.endswith(b"\n")]
    with grammar.matcher() as matcher:
        stopped = None
        if not matcher.accept(data):
            stopped = next(i for i in range(len(data)) if not matcher.accept(data[i : i + 1]))
        accepted = stopped is None and matcher.accepting
        why = "" if accepted else matcher.explain()
    return _Verdict(name, expected, accepted, len(data), stopped, why)


def _line(verdict: _Verdict) -> str:
    what = "accepted" if verdict.accepted else "rejected"
    mark = "ok" if verdict.accepted == verdict.expected else "WRONG"
    if verdict.accepted or not verdict.expected:
        return f"{mark} {verdict.file}: {what}\n"
    place = "its end" if verdict.stopped_at is None else f"byte {verdict.stopped_at}"
    reason = "".join(f"    {line}\n" for line in verdict.why.splitlines())
    return f"{mark} {verdict.file}: {what} at {place}, where there are\n{reason}"
