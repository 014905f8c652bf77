"""Messages in the shapes that a template expects, which its source tells.

OpenAI's interface writes a call's arguments as JSON text, and no content beside calls as null.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_KNOWS_NONE = re.compile(r"""\bcontent['"\]]* is (not )?none\b""")
_KNOWS_TEXTS = re.compile(r"\bis (not )?string\b")
_LOOPS = re.compile(r"""\bfor \w+ in \w+(\.content|\[['"]content['"]\])""")


class Arguments(dict[str, Any]):
    """Arguments that came as JSON text: a mapping, which most templates take apart or write as
    JSON, and the text to those that put it between other text."""

    def __init__(self, text: str, values: dict[str, Any]) -> None:
        super().__init__(values)
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __add__(self, other: str) -> str:
        return self._text + other

    def __radd__(self, other: str) -> str:
        return other + self._text


@lru_cache(maxsize=8)
def _expected(source: str) -> tuple[bool, str | None]:
    """Whether contents are lists of parts alone, and what a content is when there is none."""
    # A text would be taken for a list of characters.
    in_parts = bool(_LOOPS.search(source)) and not _KNOWS_TEXTS.search(source)
    return in_parts, None if _KNOWS_NONE.search(source) else ""  # many look into it unasked


def shape(messages: Any, source: str) -> None:
    """Changes ``messages`` in place; whatever isn't a list of mappings is left as it is."""
    in_parts, no_content = _expected(source)
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        calls = message.get("tool_calls")
        if calls and isinstance(calls, list):
            _shape_arguments(calls)
            if message.get("content") is None:
                message["content"] = no_content
        if in_parts and isinstance(content := message.get("content"), str):
            message["content"] = [{"type": "text", "text": content}]


def _shape_arguments(calls: list[Any]) -> None:
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(text := function.get("arguments"), str):
            function["arguments"] = _parsed(text)


def _parsed(text: str) -> str | Arguments:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):  # a model wrote it
        return text
    return Arguments(text, values) if isinstance(values, dict) else text
