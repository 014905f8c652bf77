"""Messages on their way through a template: checked, and what others wrote kept from giving orders.

A prompt's turns are told apart by control tokens such as <|im_end|>. A user (or a tool's result)
that spells their names must not end a turn and begin another, so what stands between MARKS in the
rendered prompt is text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ingot import errors

MARKS = "\ufdd0", "\ufdd1"  # noncharacters, which no text has
_TRUSTED = ("system", "developer", "assistant")
_MARKED = re.compile("{0}([^{0}{1}]*){1}".format(*MARKS))


def prepared(
    messages: Sequence[Mapping[str, Any]], control: re.Pattern[str]
) -> list[dict[str, Any]]:
    """Messages as templates take them: contents are texts, with marks around what is ``control``
    in those of users and tools."""
    return [_prepared(f"message {i}", message, control) for i, message in enumerate(messages)]


def _prepared(where: str, message: Mapping[str, Any], control: re.Pattern[str]) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise errors.ArgumentError(
            f'{where} is {message!r}; expected {{"role": ..., "content": ...}}'
        )
    content = message.get("content")
    if isinstance(content, (list, tuple)):
        content = "".join(_part(where, part) for part in content)
    if isinstance(content, str) and message.get("role") not in _TRUSTED:
        content = control.sub(r"{}\g<0>{}".format(*MARKS), unmarked(content))
    if not isinstance(content, str | None):
        raise errors.ArgumentError(
            f"{where}: the content is {type(content).__name__}; expected a text"
        )
    return {**message, "content": content} if "content" in message else dict(message)


def _part(where: str, part: object) -> str:
    """The text of a part, as OpenAI's interface writes contents."""
    if isinstance(part, Mapping) and part.get("type") == "text":
        text = part.get("text")
        if isinstance(text, str):
            return text
    kind = repr(part.get("type")) if isinstance(part, Mapping) else type(part).__name__
    raise errors.ArgumentError(
        f"{where}: a content part of type {kind}; only "
        '{"type": "text", "text": ...} is understood'
    )


def unmarked(prompt: str) -> str:
    """A text without marks."""
    return prompt.translate(dict.fromkeys(map(ord, MARKS)))


def pieces(prompt: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a rendered prompt, and whether control tokens' names in them are tokens."""
    for i, piece in enumerate(_MARKED.split(prompt)):
        if text := unmarked(piece):
            yield text, i % 2 == 0
