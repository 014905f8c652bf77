"""Files that people give to commands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ingot.errors import FormatError


def read_utf8(path: str | os.PathLike[str]) -> str:
    """A file's text."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise FormatError(f"{path} is no UTF-8 text: {e}") from None


def parse_json(text: str, where: str) -> Any:
    """A JSON text's value; ``where`` it comes from is for the message."""
    try:
        return json.loads(text)
    except ValueError as e:
        raise FormatError(f"{where} is no JSON: {e}") from None
    except RecursionError:
        raise FormatError(
            f"{where}: too deep to be read: arrays and objects within each other"
        ) from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file."""
    return parse_json(read_utf8(path), os.fspath(path))
