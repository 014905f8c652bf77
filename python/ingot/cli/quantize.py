"""``ingot quantize``: the program ``quantize``, which needs no Python while it runs."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from ingot import errors


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


def program() -> Path:
    """Where the program was installed."""
    try:
        files = metadata.files("ingot") or []
    except metadata.PackageNotFoundError:
        files = []
    installed = [Path(str(f.locate())) for f in files if f.stem == "quantize" and not f.suffix]
    for path in (*installed, Path(sysconfig.get_path("scripts")) / "quantize"):
        if os.access(path, os.X_OK):
            return path.resolve()
    found = shutil.which("quantize")
    if found is None:
        raise errors.NotFoundError(
            "the program quantize isn't beside Python's commands: install the package again"
        )
    return Path(found)
