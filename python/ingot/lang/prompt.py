"""What a state has written: texts, and the tokens that were made of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingot import errors
from ingot.chat import unmarked

if TYPE_CHECKING:
    from ingot.lang.backend import Backend


class Prompt:
    """Either text, or a conversation that the chat template makes a text of.

    Text becomes tokens when the model goes on with it, and then stays these tokens, as do the ones
    that the model chose: so each prompt begins with the one before it and its answer. ``_parts``
    are texts and their tokens, ``_pending`` is the text behind them. When a message was begun or
    ended, the conversation is rendered: parts stay as far as the new text begins with theirs.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._parts: list[tuple[str, list[int]]] = []
        self._pending = ""
        self._messages: list[dict[str, str]] = []
        self._open = False  # the last message
        self._stale = False  # the parts and what is pending aren't the whole conversation

    def copy(self) -> Prompt:
        other = copy.copy(self)
        other._parts = self._parts.copy()
        other._messages = [message.copy() for message in self._messages]
        return other

    # -------------------------------------------------------------------------------------- writing

    def begin(self, role: str) -> None:
        """Begins a message."""
        if self._open:
            raise errors.StateError(f"a message of {role!r} inside of another message")
        if not self._messages and (self._parts or self._pending):
            raise errors.StateError(
                f"a message of {role!r} behind text that is in no message: put it into one, such as"
                " system(...)"
            )
        self._messages.append({"role": role, "content": ""})
        self._open = self._stale = True

    def end(self) -> None:
        self._open, self._stale = False, True

    def add_text(self, text: str) -> None:
        self._check_place()
        if self._messages:
            self._messages[-1]["content"] += text
            if self._stale:
                return
            text = self._backend.marked(self._messages[-1]["role"], text)
        self._pending += text

    def add_tokens(self, tokens: list[int]) -> None:
        self._check_place()
        self._refresh()
        if self._pending:
            self._settle()
        self.add_answer(self._backend.text(tokens), tokens, "")

    def add_answer(self, text: str, tokens: list[int], rest: str) -> None:
        """What came behind ``tokens``, and text that has no tokens yet."""
        self._parts.append((text, tokens))
        self._pending = rest
        if self._messages:
            self._messages[-1]["content"] += text + rest

    def _check_place(self) -> None:
        if self._messages and not self._open:
            raise errors.StateError(
                "this would stand between the messages of a conversation: put it into one, such as "
                "assistant(...)"
            )

    # -------------------------------------------------------------------------------------- reading

    def messages(self) -> list[dict[str, str]]:
        return [message.copy() for message in self._messages]

    def text(self) -> str:
        now = self._now()
        text = "".join(text for text, _ in now._parts) + now._pending
        return unmarked(text) if self._messages else text

    def tokens(self) -> list[int]:
        """The tokens so far; those of the text at the end, which has none yet, may change."""
        now = self._now()
        return now._known() + now._cut(now._pending)

    def _now(self) -> Prompt:
        """A copy that is rendered, so that looking changes nothing."""
        now = self.copy()
        if self._messages and not self._open:
            now._render(unfinished=False)
        else:
            now._refresh()
        return now

    def ask(self) -> list[int]:
        """The prompt of an answer: what was text is tokens from now on."""
        self._check_place()
        self._settle()
        return self._known()

    def ask_each(self, choices: Sequence[str]) -> tuple[list[list[int]], int]:
        """The text with each of the choices behind it, and how many of their tokens are the same,
        whatever comes. A choice is cut into tokens together with the text before it."""
        self._check_place()
        self._refresh()
        known = self._known()
        if self._messages:
            role = self._messages[-1]["role"]
            choices = [self._backend.marked(role, choice) for choice in choices]
        without = known + self._cut(self._pending)
        each = [known + self._cut(self._pending + choice) for choice in choices]
        n = min(_shared(without, tokens) for tokens in each)
        n = min(n, *(len(tokens) - 1 for tokens in each))
        if n < 1:
            raise errors.StateError(
                "there is nothing in front of the choices that they could follow from: append a "
                "text before"
            )
        return each, n

    def choose(self, choice: str, tokens: list[int]) -> None:
        """Goes on with a choice, and its tokens from ``ask_each``."""
        known = sum(len(tokens) for _, tokens in self._parts)
        text, self._pending = self._pending, ""
        self._parts.append((text + choice, tokens[known:]))
        if self._messages:
            self._messages[-1]["content"] += choice

    def _known(self) -> list[int]:
        return [token for _, tokens in self._parts for token in tokens]

    def _cut(self, text: str) -> list[int]:
        if not text and self._parts:
            return []
        return self._backend.tokens(text, not self._parts, bool(self._messages))

    def _settle(self) -> None:
        self._refresh()
        if self._pending or not self._parts:
            self._parts.append((self._pending, self._cut(self._pending)))
            self._pending = ""

    def _refresh(self) -> None:
        """Renders the conversation if it has changed."""
        if self._stale and self._open:
            self._render(unfinished=True)
            self._stale = False
            if not self._messages[-1]["content"]:
                self._settle()  # ends with the template's own words, as Model.chat cuts them

    def _render(self, unfinished: bool) -> None:
        text = self._backend.render(self._messages, unfinished)
        n = at = 0
        for part, _ in self._parts:
            if not text.startswith(part, at):
                break
            n, at = n + 1, at + len(part)
        del self._parts[n:]
        self._pending = text[at:]


def _shared(a: list[int], b: list[int]) -> int:
    """How many tokens they begin with alike."""
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)
