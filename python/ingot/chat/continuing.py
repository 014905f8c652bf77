"""Prompts that end inside the last message, so that the model goes on with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingot import errors
from ingot.chat.messages import END, REASONING
from ingot.chat.template import render


def render_unfinished(source: str, variables: Mapping[str, Any], field: str = "content") -> str:
    """What ``render`` makes of a conversation, up to where the last message's ``field`` ends."""
    *before, last = variables.get("messages") or [{}]
    text = last.get(field)
    if not isinstance(text, str):
        raise errors.ArgumentError(
            f"the last message can't be continued: its {field!r} is {type(text).__name__}, "
            "expected a text"
        )
    # A template may trim what it is given: then the space behind the mark is gone.
    names = (
        [name for name in REASONING if last.get(name) == text] if field in REASONING else [field]
    )
    unfinished = {**last, **dict.fromkeys(names, f"{text}{END} ")}
    rendered = render(source, {**variables, "messages": [*before, unfinished]})
    prompt, end, rest = rendered.rpartition(END)
    if not end or text.strip() not in prompt:
        raise errors.TemplateError(
            f"chat template: doesn't write the last message's {field!r} as it is, so that it can't "
            "be continued: let the model begin a message (add_generation_prompt)"
        )
    return prompt if rest.startswith(" ") else prompt.rstrip()
