"""Languages of characters: what names and strings may be, before JSON writes them.

They are a Boolean algebra: what a schema says about a string, and what it doesn't say, can always
be joined, cut and turned round.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

LAST = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Words:
    """One of these texts."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Chars:
    """One character within ranges, ends included, ascending and apart."""

    ranges: Ranges


@dataclass(frozen=True)
class Named:
    r"""One character of a class that is written as a regular expression, such as ``\p{Lu}``."""

    pattern: str
    escaped: str  # the characters of it that JSON escapes


@dataclass(frozen=True)
class Seq:
    """All parts in turn."""

    parts: tuple[Text, ...]


@dataclass(frozen=True)
class Alt:
    """Any of the parts."""

    parts: tuple[Text, ...]


@dataclass(frozen=True)
class Rep:
    """``low`` to ``high`` times; None: without end."""

    part: Text
    low: int
    high: int | None


@dataclass(frozen=True)
class And:
    """What all parts are."""

    parts: tuple[Text, ...]


@dataclass(frozen=True)
class Not:
    """What the part isn't."""

    part: Text


Text = Words | Chars | Named | Seq | Alt | Rep | And | Not

CHARACTER = Chars(((0, LAST),))
ANY = Rep(CHARACTER, 0, None)
NONE = Words(())
EMPTY = Words(("",))

# What stands in a string only with a backslash, and how it is written here.
ESCAPED = "".join(map(chr, range(0x20))) + '"\\'
_LONGEST_IN_TREE = 40  # characters of a word: longer ones would make a tree too deep

_MOST_IN_TREE = 1000

PLAIN = ((0x20, 0x21), (0x23, 0x5B), (0x5D, LAST))


def is_length(text: Text) -> TypeGuard[Rep]:
    """Whether all that is asked is how many characters there are."""
    return isinstance(text, Rep) and text.part == CHARACTER


def clipped(ranges: Ranges, within: Ranges) -> Ranges:
    """What two lists of ranges share."""
    pairs = ((max(a, c), min(b, d)) for a, b in ranges for c, d in within)
    return tuple(sorted((low, high) for low, high in pairs if low <= high))


def inverted(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The characters outside of the ranges, which may be in any order."""
    out = []
    first = 0
    for low, high in sorted(ranges):
        if low > first:
            out.append((first, low - 1))
        first = max(first, high + 1)
    if first <= LAST:
        out.append((first, LAST))
    return tuple(out)


def either(texts: Iterable[Text]) -> Text:
    """The union."""
    words: dict[str, None] = {}
    parts: dict[Text, None] = {}
    for text in texts:
        if isinstance(text, Words):
            words.update(dict.fromkeys(text.texts))
        else:
            parts[text] = None
    if ANY in parts:
        return ANY
    if words or not parts:
        parts[Words(tuple(words))] = None
    return next(iter(parts)) if len(parts) == 1 else Alt(tuple(parts))


def but(words: tuple[str, ...]) -> Text:
    """Every text but these words: a tree of their letters, and the ways to leave it."""
    short = tuple(word for word in words if len(word) <= _LONGEST_IN_TREE)[:_MOST_IN_TREE]
    in_tree = set(short)
    long = tuple(word for word in words if word not in in_tree)
    if not long:
        return _leaving(short)
    return And((_leaving(short), Not(Words(long)))) if short else Not(Words(long))


def _leaving(words: tuple[str, ...]) -> Text:
    heads: dict[str, list[str]] = {}
    for word in words:
        if word:
            heads.setdefault(word[0], []).append(word[1:])
    others = inverted((ord(c), ord(c)) for c in heads)
    parts: list[Text] = [] if "" in words else [EMPTY]
    parts.append(Seq((Chars(others), ANY)))
    for head, tails in heads.items():
        parts.append(Seq((Words((head,)), _leaving(tuple(tails)))))
    return Alt(tuple(parts))
