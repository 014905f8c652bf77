"""``ingot schema``: what a JSON schema's grammar enforces, and that grammar as GBNF."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from ingot.cli import files, options
from ingot.schema import report, to_gbnf

_EPILOG = """\
examples:
  ingot schema report tool.json
  ingot schema report tool.json --one-of any --json
  ingot schema to-gbnf tool.json > tool.gbnf

report exits with 1 if something isn't enforced. to-gbnf prints a grammar of the same texts, and
fails with what GBNF has no words for.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("action", choices=["report", "to-gbnf"], help="what to do")
    parser.add_argument("file", metavar="FILE", help="a JSON schema")
    parser.add_argument(
        "--additional-properties",
        action="store_true",
        help="allow other properties where a schema doesn't say (the standard's default)",
    )
    parser.add_argument(
        "--one-of", choices=["exact", "any"], default="exact", help="any reads oneOf as anyOf"
    )
    parser.add_argument(
        "--whitespace",
        choices=["free", "compact"],
        default="free",
        help="to-gbnf: what may stand between tokens (free)",
    )
    parser.add_argument(
        "--best-effort", action="store_true", help="to-gbnf: leave out what can't be enforced"
    )
    options.add_json(parser)


def execute(args: argparse.Namespace) -> int:
    schema = files.read_json(args.file)
    how = {"additional_properties": args.additional_properties, "one_of": args.one_of}
    if args.action == "to-gbnf":
        print(
            to_gbnf(schema, whitespace=args.whitespace, best_effort=args.best_effort, **how), end=""
        )
        return 0
    found = report(schema, **how)
    if args.json:
        lines = [asdict(line) for line in found.lines]
        print(json.dumps({"exact": found.exact, "keywords": lines}))
    else:
        print(found)
    return 0 if found.exact else 1
