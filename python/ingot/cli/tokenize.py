"""``ingot tokenize``: the tokens of a text, or the text of tokens."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys

from ingot._lib import INT32_MAX
from ingot.cli import options, terminal
from ingot.model import Model

_EPILOG = """\
examples:
  ingot tokenize "Hello, world"
  ingot tokenize model.gguf "Hello, world" --json
  cat letter.txt | ingot tokenize model.gguf -
  ingot tokenize model.gguf --decode "15043 29892"
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.usage = "ingot tokenize [MODEL] TEXT|- | ingot tokenize [MODEL] --decode IDS"
    parser.add_argument("words", nargs="*", metavar="[MODEL] TEXT", help="- reads standard input")
    parser.add_argument("--decode", type=_ids, metavar="IDS", help="print the text of these tokens")
    parser.add_argument(
        "--special",
        action="store_true",
        help="add BOS and the like as the model wants, and take control tokens' names for tokens",
    )
    options.add_json(parser)
    options.add_pre(parser)


def execute(args: argparse.Namespace) -> int:
    wanted = 1 if args.decode is None else 0
    if not wanted <= len(args.words) <= wanted + 1:
        args.usage_error("expected [MODEL] TEXT, or [MODEL] --decode IDS")
    path = args.words[0] if len(args.words) > wanted else None
    # Not Path.is_file(): it raises for what is too long to be a name.
    if path is None and args.words and os.path.isfile(args.words[0]):  # noqa: PTH113
        terminal.note(f"{args.words[0]} is a file, and taken for the text: give [MODEL] TEXT")
    with Model(path, vocab_only=True, pre=args.pre) as model:
        if args.decode is not None:
            _decode(model, args.decode, args.special, args.json)
        else:
            _encode(model, args.words[-1], args.special, args.json)
    return 0


def _encode(model: Model, text: str, special: bool, as_json: bool) -> None:
    data = sys.stdin.buffer.read() if text == "-" else text
    ids = model.tokenize(data, add_special=special, parse_special=special)
    pieces = [model.token(token).piece for token in ids]
    if as_json:
        rows = [{"id": i, "piece": _for_json(piece)} for i, piece in zip(ids, pieces, strict=True)]
        print(json.dumps(rows))
    else:
        quoted = [_quoted(piece) for piece in pieces]
        terminal.table("", ["id", "piece"], list(zip(ids, quoted, strict=True)))


def _for_json(piece: bytes) -> str | list[int]:
    """A text, or the bytes of a token that holds part of a character."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def _quoted(piece: bytes) -> str:
    text = json.dumps(piece.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _decode(model: Model, ids: list[int], special: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"text": model.detokenize(ids, special)}))
    elif sys.stdout.isatty():
        terminal.write(model.detokenize(ids, special) + "\n")
    else:
        sys.stdout.buffer.write(model.detokenize_bytes(ids, special))


def _ids(text: str) -> list[int]:
    """Token ids between spaces, commas or brackets, for argparse."""
    words = re.split(r"[\s,\[\]]+", text)
    return [options.integer(word, 0, INT32_MAX) for word in words if word]
