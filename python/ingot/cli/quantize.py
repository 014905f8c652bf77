"""``ingot quantize``: the program ``quantize``, which needs no Python while it runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ingot.quantizing import program


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="those of the program")


def execute(args: argparse.Namespace) -> int:
    replace_process(args.arguments)


def replace_process(arguments: Sequence[str]) -> NoReturn:
    """Becomes the program, so that signals and the exit status are its own."""
    path = program()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(path, ["quantize", *arguments])
