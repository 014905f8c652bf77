"""Languages of characters as they stand within the quotes of JSON."""

from __future__ import annotations

import json

from ingot.errors import ArgumentError
from ingot.schema.tape import Node, Tape
from ingot.schema.text import (
    ANY,
    ESCAPED,
    PLAIN,
    Alt,
    And,
    Chars,
    Named,
    Ranges,
    Rep,
    Seq,
    Text,
    Words,
    clipped,
    is_length,
)

_HEX: Ranges = ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66))
_HEX_BUT_D: Ranges = ((0x30, 0x39), (0x41, 0x43), (0x45, 0x46), (0x61, 0x63), (0x65, 0x66))


def escape(text: str) -> str:
    """A text as it stands within quotes: escaped where JSON says so, and nowhere else."""
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise ArgumentError(
            f"a text of the schema, {text!r}, holds half of a surrogate pair: expected characters"
        ) from e
    return json.dumps(text, ensure_ascii=False)[1:-1]


class Encoder:
    """Writes languages on a tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._known: dict[int, tuple[Text, Node]] = {}
        self._classes: dict[Ranges, Node] = {}
        self._quote = tape.literal('"')

    def string(self, text: Text) -> Node:
        """A string, in quotes: each character in one way, unless only their number matters."""
        inner = self._freely(text.low, text.high) if is_length(text) else self.text(text)
        return self._tape.sequence([self._quote, inner, self._quote])

    def text(self, text: Text) -> Node:
        """A language as it stands within quotes, each character in one way."""
        # By identity: to hash a language is to walk through it.
        known = self._known.get(id(text))
        if known is None:
            known = self._known[id(text)] = (text, self._text(text))
        return known[1]

    def _text(self, text: Text) -> Node:
        tape = self._tape
        if isinstance(text, Words):
            return tape.choice([tape.literal(escape(word)) for word in text.texts])
        if isinstance(text, Chars):
            return self._chars(text)
        if isinstance(text, Named):
            plain = tape.both([tape.regex(text.pattern), tape.chars(PLAIN)])
            return tape.choice([plain] + [tape.literal(escape(c)) for c in text.escaped])
        if isinstance(text, Seq):
            return tape.sequence([self.text(part) for part in text.parts])
        if isinstance(text, Alt):
            return tape.choice([self.text(part) for part in text.parts])
        if isinstance(text, Rep):
            return tape.repeat(self.text(text.part), text.low, text.high)
        if isinstance(text, And):
            return tape.both([self.text(part) for part in text.parts])
        # Among what is written in this one way: else the same text, escaped otherwise, would pass.
        return tape.both([self.text(ANY), tape.complement(self.text(text.part))])

    def _chars(self, text: Chars) -> Node:
        node = self._classes.get(text.ranges)
        if node is None:
            node = self._classes[text.ranges] = self._class(text.ranges)
        return node

    def _class(self, ranges: Ranges) -> Node:
        tape = self._tape
        plain = clipped(ranges, PLAIN)
        if plain == ranges:
            return tape.chars(plain)
        escaped = [c for c in ESCAPED if any(low <= ord(c) <= high for low, high in ranges)]
        parts = [tape.chars(plain)] if plain else []
        return tape.choice(parts + [tape.literal(escape(c)) for c in escaped])

    def _freely(self, low: int, high: int | None) -> Node:
        """``low`` to ``high`` characters, each as itself or escaped in any way that JSON knows."""
        t = self._tape
        digit = t.chars(_HEX)
        d = t.chars(((0x44, 0x44), (0x64, 0x64)))
        two = t.repeat(digit, 2, 2)
        plane = t.sequence([t.chars(_HEX_BUT_D), t.repeat(digit, 3, 3)])
        single = t.sequence([d, t.chars(((0x30, 0x37),)), two])
        first = t.sequence([d, t.chars(((0x38, 0x39), (0x41, 0x42), (0x61, 0x62))), two])
        second = t.sequence([d, t.chars(((0x43, 0x46), (0x63, 0x66))), two])
        pair = t.sequence([first, t.literal("\\u"), second])
        code = t.sequence([t.literal("u"), t.choice([plane, single, pair])])
        short = t.chars(tuple((ord(c), ord(c)) for c in '"/\\bfnrt'))
        escaped = t.sequence([t.literal("\\"), t.choice([short, code])])
        return t.repeat(t.choice([t.chars(PLAIN), escaped]), low, high)
