"""Questions about languages of characters, answered by compiling them."""

from __future__ import annotations

from collections.abc import Iterable

from ingot.errors import LimitError
from ingot.grammar import Grammar
from ingot.schema.encode import Encoder, escape
from ingot.schema.tape import Tape
from ingot.schema.text import ANY, CHARACTER, NONE, And, Not, Rep, Text, Words, but, is_length

_MOST_GIVEN_UP = 2  # searches for a word, each of which took a fraction of a second


class Texts:
    """What is known of languages, found out once."""

    def __init__(self) -> None:
        self._grammars: dict[Text, Grammar | None] = {}
        self._given_up = 0

    def both(self, a: Text, b: Text) -> Text:
        """The intersection, in a simple form where there is one."""
        if a in (ANY, b):
            return b
        if b == ANY:
            return a
        if isinstance(a, Words):
            return Words(tuple(word for word in a.texts if self.has(b, word)))
        if isinstance(b, Words):
            return self.both(b, a)
        if is_length(a) and is_length(b):
            highs = [rep.high for rep in (a, b) if rep.high is not None]
            low, high = max(a.low, b.low), min(highs, default=None)
            return NONE if high is not None and high < low else Rep(CHARACTER, low, high)
        parts: dict[Text, None] = {}
        for text in (a, b):
            parts.update(dict.fromkeys(text.parts if isinstance(text, And) else [text]))
        return And(tuple(parts))

    def outside(self, text: Text) -> Text:
        """The complement."""
        if isinstance(text, Not):
            return text.part
        if text == ANY:
            return NONE
        if text == NONE:
            return ANY
        return Not(text)

    def without(self, text: Text, words: Iterable[str]) -> Text:
        """The language but for some words."""
        names = tuple(words)
        if isinstance(text, Words):
            return Words(tuple(word for word in text.texts if word not in names))
        return self.both(text, but(names)) if names else text

    def has(self, text: Text, word: str) -> bool:
        """Whether a word is of the language."""
        if isinstance(text, Words):
            return word in text.texts
        if is_length(text):
            return text.low <= len(word) and (text.high is None or len(word) <= text.high)
        if isinstance(text, Not):
            return not self.has(text.part, word)
        if isinstance(text, And):
            return all(self.has(part, word) for part in text.parts)
        grammar = self._grammar(text)
        return grammar is not None and grammar.accepts(escape(word))

    def is_empty(self, text: Text) -> bool:
        """Whether there is no such word. False where that is too much to find out."""
        if isinstance(text, Words):
            return not text.texts
        if is_length(text):
            return False
        if text not in self._grammars and self._given_up >= _MOST_GIVEN_UP:
            return False
        try:
            return self._grammar(text) is None
        except LimitError:
            self._given_up += 1
            return False

    def _grammar(self, text: Text) -> Grammar | None:
        """The compiled language; None: it is empty."""
        if text not in self._grammars:
            tape = Tape()
            # A quote before it: nothing else tells a language without words from a broken one.
            root = tape.choice([Encoder(tape).text(text), tape.literal('"')])
            grammar: Grammar | None = Grammar(tape.player(root))
            assert grammar is not None
            with grammar.matcher() as matcher:
                empty = not matcher.accepting and matcher.forced() == b'"'
            self._grammars[text] = None if empty else grammar
        return self._grammars[text]
