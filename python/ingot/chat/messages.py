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
END = "\ufdd2"  # where a message ends that is to be continued
REASONING = ("reasoning_content", "thinking", "reasoning")  # names for one thing, the first wins
_TRUSTED = ("system", "developer", "assistant")
_MARKED = re.compile("{0}([^{0}{1}]*){1}".format(*MARKS))


def prepared(
    messages: Sequence[Mapping[str, Any]], control: re.Pattern[str]
) -> list[dict[str, Any]]:
    """Messages as templates take them.

    Contents are texts, what says nothing is left out, and reasoning has the names that templates
    read. What users and tools say has marks around what is ``control``.
    """
    return [_prepared(f"message {i}", message, control) for i, message in enumerate(messages)]


def _prepared(where: str, message: Mapping[str, Any], control: re.Pattern[str]) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise errors.ArgumentError(
            f'{where} is {message!r}; expected {{"role": ..., "content": ...}}'
        )
    said = {k: v for k, v in message.items() if v is not None or k == "content"}
    if "tool_calls" in said and not said["tool_calls"]:
        del said["tool_calls"]  # some templates take the mere key for calls
    content = said.get("content")
    if isinstance(content, (list, tuple)):
        said["content"] = "".join(_part(where, part) for part in content)
    elif not isinstance(content, str | None):
        raise errors.ArgumentError(
            f"{where}: the content is {type(content).__name__}; expected a text"
        )
    reasoning = next((said[name] for name in REASONING if name in said), None)
    if reasoning is not None:
        said = {"thinking": reasoning, **said, "reasoning_content": reasoning}
    if said.get("role") in _TRUSTED:
        return said
    try:
        return {k: _marked(v, control) for k, v in said.items()}
    except RecursionError:
        raise errors.ArgumentError(f"{where} is nested too deep") from None


def _marked(value: Any, control: re.Pattern[str]) -> Any:
    """A value with marks in all of its texts, but not in the keys of mappings."""
    if isinstance(value, str):
        return control.sub(r"{}\g<0>{}".format(*MARKS), unmarked(value))
    if isinstance(value, Mapping):
        return {k: _marked(v, control) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(v, control) for v in value]
    return value


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
    return prompt.translate(dict.fromkeys(map(ord, (*MARKS, END))))


def pieces(prompt: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a rendered prompt, and whether control tokens' names in them are tokens."""
    for i, piece in enumerate(_MARKED.split(prompt)):
        if text := unmarked(piece):
            yield text, i % 2 == 0
