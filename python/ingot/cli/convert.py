"""``ingot convert``: from a Hugging Face checkpoint to a GGUF file."""

from __future__ import annotations

import argparse
from pathlib import Path

from ingot.cli import options, terminal
from ingot.convert import TYPES, convert

_EPILOG = """\
examples:
  ingot convert Qwen3-0.6B
  ingot convert Qwen3-0.6B -o qwen3.gguf --type q8_0

The folder holds config.json, *.safetensors and the tokenizer's files, as on Hugging Face.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("folder", metavar="FOLDER", help="the checkpoint")
    parser.add_argument(
        *["-o", "--output"],
        metavar="FILE",
        help="the GGUF file (default: named like the folder, here)",
    )
    parser.add_argument(
        "--type",
        default="auto",
        choices=("auto", *TYPES),
        help="tensor type of matrices (default: auto, the checkpoint's own if it has one, or f16)",
    )
    parser.add_argument("--name", metavar="TEXT", help="the model's name (default: the folder's)")
    parser.add_argument("--no-vocab", action="store_true", help="leave the tokenizer out")
    options.add_pre(parser)


def execute(args: argparse.Namespace) -> int:
    folder = Path(args.folder).resolve()
    target = Path(args.output) if args.output else Path(f"{folder.name}.gguf")
    with terminal.progress("converting") as report:
        convert(
            folder,
            target,
            type=args.type,
            vocab=not args.no_vocab,
            pre=args.pre,
            name=args.name,
            progress=report,
        )
    print(f"{target}: {terminal.size(target.stat().st_size)}")
    return 0
