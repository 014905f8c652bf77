"""``ingot embed``: turns texts into vectors."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot.cli import options, terminal
from ingot.prompts import POOLINGS

_EPILOG = """\
examples:
  ingot embed -m model.gguf "A cat sits on the mat." > vector.txt
  ingot embed -m model.gguf -f sentences.txt --json | jq '.embeddings[0]'
  ingot embed -m model.gguf --similarity "a cat" "a kitten" "a tax return"

Texts are the arguments, or the lines of FILE or of standard input. A text's numbers are one line.
"""

_LABEL = 40  # characters of a text that stand beside its row on a terminal

Floats = npt.NDArray[np.float32]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="(default: standard input)")
    parser.add_argument("-m", "--model", metavar="MODEL", help="a GGUF file (default: bundled)")
    parser.add_argument("-f", "--file", metavar="FILE", help="a text per line; - is standard input")
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="what of the tokens' vectors is the text's; none: all of one text, a line each; "
        "rank: a reranker's scores (default: what the file says, else mean for encoders and last "
        "for decoders)",
    )
    parser.add_argument(
        "--no-normalize", action="store_true", help="leave the vectors' lengths as they are"
    )
    parser.add_argument(
        "--dimensions",
        type=options.count,
        metavar="N",
        help="keep the first N numbers (for models that were trained for it)",
    )
    parser.add_argument(
        "--similarity", action="store_true", help="print the cosines between the texts instead"
    )
    options.add_json(parser)
    options.add_engine(parser)


def execute(args: argparse.Namespace) -> int:
    texts = _texts(args)
    with options.open_model(args) as model:
        pooling = args.pooling or model.info.pooling
        if args.similarity and pooling in ("none", "rank"):
            raise errors.ArgumentError(f"--similarity compares vectors; pooling is {pooling}")
        with terminal.progress("reading the texts") as report:
            vectors = model.embed(
                texts,
                pooling=pooling,
                normalize=not args.no_normalize,
                dimensions=args.dimensions,
                progress=report,
            )
    if args.json:
        answer = {
            "model": model.path,
            "dimensions": vectors.shape[1],
            "embeddings": [_numbers(row) for row in vectors],
        }
        if args.similarity:
            answer["similarity"] = [_numbers(row) for row in _cosines(vectors)]
        print(json.dumps(answer))
    elif args.similarity:
        _show_cosines(texts, vectors)
    else:
        for row in vectors:
            print(*row)
    return 0


def _texts(args: argparse.Namespace) -> list[str]:
    if args.texts and args.file is not None:
        args.usage_error("expected TEXT or --file FILE, not both")
    if args.texts:
        # Not Path.is_file(): it raises for what is too long to be a name.
        if args.model is None and os.path.isfile(args.texts[0]):  # noqa: PTH113
            terminal.note(f"{args.texts[0]} is a file, and taken for a text: give -m MODEL")
        return list(args.texts)
    if args.file not in (None, "-"):
        data = Path(args.file).read_bytes()
    elif sys.stdin.isatty() and args.file is None:
        args.usage_error("no text: give TEXT or --file FILE, or pipe lines into standard input")
    else:
        data = sys.stdin.buffer.read()
    # In bytes, where a line ends with \n or \r\n; str.splitlines() would cut texts at U+2028 too.
    lines = [line.decode("utf-8", "surrogateescape") for line in data.splitlines()]
    if not lines:
        args.usage_error("no text: the input is empty")
    return lines


def _numbers(row: Floats) -> list[float]:
    """With the digits that tell a float32 from its neighbours, and no more."""
    return [float(str(x)) for x in row]


def _cosines(vectors: Floats) -> Floats:
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    units = wide / np.where(lengths > 0, lengths, 1)
    cosines: Floats = np.clip(units @ units.T, -1, 1).astype(np.float32)
    return cosines


def _show_cosines(texts: list[str], vectors: Floats) -> None:
    rows = [[f"{x:.4f}" for x in row] for row in _cosines(vectors)]
    if not sys.stdout.isatty():
        terminal.table("", [], [[text, *row] for text, row in zip(texts, rows, strict=True)])
        return
    numbers = [str(i) for i in range(1, len(texts) + 1)]
    labels = zip(numbers, map(_shortened, texts), rows, strict=True)
    cells = [[number, text, *row] for number, text, row in labels]
    terminal.table("cosines", ["", "text", *numbers], cells)


def _shortened(text: str) -> str:
    return text if len(text) <= _LABEL else text[: _LABEL - 3] + "..."
