r"""Regular expressions of ``pattern``, as ECMA-262 has them, into languages of characters.

Read here and not by the native builder, because in JSON a character may be written as two: a
language is known character by character, and escaped where it is written. ``^`` and ``$`` may stand
where nothing can come before or after, so what is read is kept by how it is bound: to the start,
to the end, to both or not at all.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from functools import lru_cache

from ingot.errors import ArgumentError, FormatError, IngotError, LimitError, UnsupportedError
from ingot.grammar import Grammar
from ingot.schema.text import (
    ANY,
    EMPTY,
    ESCAPED,
    Alt,
    And,
    Chars,
    Named,
    Not,
    Ranges,
    Rep,
    Seq,
    Text,
    Words,
    either,
    inverted,
)

_FREE, _BEGINS, _ENDS, _BOUNDS = 0, 1, 2, 4
_MOST_GROUPS = 50  # within each other
_MOST_TIMES = 1_000_000_000

_Part = list["Text | None"]  # a language for each way of being bound

_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Ranges = (
    (9, 13),
    (32, 32),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
)
_LINE_ENDS: Ranges = ((10, 10), (13, 13), (0x2028, 0x2029))
_SHORT = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0", "a": "\a"}
_CATEGORIES = {"Letter": "L", "Number": "N", "digit": "Nd"}
_COUNTS = re.compile(r"\{([0-9]+)(,?)([0-9]*)\}")


@lru_cache(maxsize=512)
def parse(pattern: str) -> Text:
    """The texts with a match, which ``^`` and ``$`` bind to their ends."""
    whole = _Parser(pattern).whole()
    texts = []
    for bound, text in enumerate(whole):
        if text is not None:
            before = () if bound & _BEGINS else (ANY,)
            after = () if bound & _ENDS else (ANY,)
            texts.append(Seq((*before, text, *after)) if before or after else text)
    return ANY if Seq((ANY, EMPTY, ANY)) in texts else _shared(either(texts), {})


def _shared(text: Text, known: dict[Text, Text]) -> Text:
    """The same language, of which equal parts are one object: it is written once."""
    if text not in known:
        if isinstance(text, (Seq, Alt)):
            known[text] = type(text)(tuple(_shared(part, known) for part in text.parts))
        elif isinstance(text, Rep):
            known[text] = Rep(_shared(text.part, known), text.low, text.high)
        else:
            known[text] = text
    return known[text]


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.depth = 0
        self.fold = False

    def error(self, what: str, kind: type[IngotError] = FormatError) -> IngotError:
        shown = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        return kind(f"at character {self.at} of the regular expression '{shown}': {what}")

    def refuse(self, what: str) -> IngotError:
        return self.error(f"{what} can't be enforced", UnsupportedError)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, what: str) -> bool:
        found = self.text.startswith(what, self.at)
        self.at += len(what) if found else 0
        return found

    def whole(self) -> _Part:
        part = self.alternatives()
        if self.at < len(self.text):
            raise self.error("a ')' without a '('")
        return part

    def alternatives(self) -> _Part:
        self.depth += 1
        if self.depth > _MOST_GROUPS:
            raise self.error(f"more than {_MOST_GROUPS} groups within each other", LimitError)
        branches = [self.branch()]
        while self.take("|"):
            branches.append(self.branch())
        self.depth -= 1
        out: _Part = [None] * _BOUNDS
        for bound in range(_BOUNDS):
            texts = [text for branch in branches if (text := branch[bound]) is not None]
            out[bound] = either(texts) if texts else None
        return out

    def branch(self) -> _Part:
        out: _Part = [EMPTY, None, None, None]
        plain: list[Text] = []  # of one run: joined at once
        ahead: list[Text] = []  # what is asked of the whole text
        while self.peek() not in ("", "|", ")"):
            if self.text.startswith(("(?=", "(?!"), self.at) and not plain and out == _BEGINNING:
                ahead.append(self.ahead())
                continue
            part = self.quantified(self.atom())
            text = part[_FREE]
            if text is not None and not any(part[1:]):
                plain.append(text)
            else:
                out = self.joined(self.joined(out, _free(_sequence(plain))), part)
                plain = []
        out = self.joined(out, _free(_sequence(plain)))
        if not ahead:
            return out
        open_end, bound = out[_BEGINS], out[_BEGINS | _ENDS]
        texts = [Seq((open_end, ANY))] if open_end is not None else []
        return [None, None, None, And((either([*texts, *([bound] if bound else [])]), *ahead))]

    def ahead(self) -> Text:
        """What looking ahead from the beginning asks of the whole text."""
        start = self.at
        negated = self.text[start + 2] == "!"
        self.at += 3
        part = self.alternatives()
        if not self.take(")"):
            self.at = start
            raise self.error("a '(' without a ')'")
        found = [
            text if bound & _ENDS else Seq((text, ANY))
            for bound, text in enumerate(part)
            if text is not None
        ]
        return Not(either(found)) if negated else either(found)

    def joined(self, a: _Part, b: _Part) -> _Part:
        """One after the other. Nothing may come before a beginning, or after an end."""
        if any(b[i] and i & _BEGINS for i in range(_BOUNDS)) and not _only_empty(a):
            raise self.refuse("'^' behind something else")
        if any(a[i] and i & _ENDS for i in range(_BOUNDS)) and not _only_empty(b):
            raise self.refuse("'$' before something else")
        out: _Part = [None] * _BOUNDS
        for i, first in enumerate(a):
            for k, second in enumerate(b):
                if first is not None and second is not None:
                    both = _sequence([first, second])
                    known = out[i | k]
                    out[i | k] = both if known is None else either([known, both])
        return out

    def quantified(self, part: _Part) -> _Part:
        while True:
            start = self.at
            c = self.peek()
            if c in ("?", "*", "+") and c:
                self.at += 1
                low, high = (1 if c == "+" else 0), (1 if c == "?" else None)
            elif c != "{" or (counts := self.counts()) is None:
                return part
            else:
                low, high = counts
            if self.take("+"):
                raise self.refuse("a possessive quantifier")
            self.take("?")  # lazy: the same texts
            text = part[_FREE]
            if text is None or any(part[1:]):
                raise self.refuse("an anchor that is repeated")
            if high is not None and high < low:
                self.at = start
                raise self.error("a count whose end is below its beginning")
            part = _free(Rep(text, low, high))

    def counts(self) -> tuple[int, int | None] | None:
        """{2}, {2,}, {2,3}; None if it is none of them, and the brace a character."""
        found = _COUNTS.match(self.text, self.at)
        if found is None:
            return None
        low, comma, high = (part.lstrip("0") for part in found.groups())
        if max(len(low), len(high)) > len(str(_MOST_TIMES)):
            raise self.error(f"a count above {_MOST_TIMES}", LimitError)
        least, most = (
            int(low or 0),
            int(high or 0) if found[3] else None if comma else int(low or 0),
        )
        if max(least, most or 0) > _MOST_TIMES:
            raise self.error(f"a count above {_MOST_TIMES}", LimitError)
        self.at = found.end()
        return least, most

    def atom(self) -> _Part:
        c = self.peek()
        self.at += 1
        if c == "(":
            return self.group()
        if c == "[":
            return _free(self.char_class())
        if c == ".":
            return _free(Chars(inverted(_LINE_ENDS)))
        if c == "^":
            return [None, EMPTY, None, None]
        if c == "$":
            return [None, None, EMPTY, None]
        if c in "*+?":
            self.at -= 1
            raise self.error("a quantifier without something to repeat")
        if c != "\\":
            return _free(self.cased(c))
        if self.peek() in ("A", "z", "Z") and self.peek():
            begins = self.peek() == "A"
            self.at += 1
            return [None, EMPTY, None, None] if begins else [None, None, EMPTY, None]
        if self.peek() in ("p", "P") and self.peek():
            self.at -= 1
            return _free(self.named(self.at, self.property_end(self.at), False))
        shorthand = self.shorthand()
        return _free(Chars(shorthand) if shorthand is not None else self.cased(self.escape()))

    def cased(self, c: str) -> Text:
        if self.fold and c.isascii() and c.isalpha():
            return Chars(tuple((ord(x), ord(x)) for x in (c.upper(), c.lower())))
        return Words((c,))

    def group(self) -> _Part:
        start, fold = self.at - 1, self.fold
        if self.take("?"):
            if self.take("i:"):
                self.fold = True
            elif self.take("i)"):
                self.fold = True
                return _free(EMPTY)
            elif self.text.startswith(("=", "!", "<=", "<!"), self.at):
                raise self.refuse("looking ahead, but right behind '^', or behind")
            elif self.take("<") or self.take("P<"):
                end = self.text.find(">", self.at)
                if end < 0:
                    raise self.error("expected '>' after a group's name")
                self.at = end + 1
            elif not self.take(":"):
                raise self.refuse("this kind of group")
        part = self.alternatives()
        self.fold = fold
        if not self.take(")"):
            self.at = start
            raise self.error("a '(' without a ')'")
        return part

    def shorthand(self) -> Ranges | None:
        r"""What \d \w \s and their opposites stand for."""
        c = self.peek()
        ranges = {"d": _DIGITS, "w": _WORD, "s": _SPACE}.get(c.lower())
        if ranges is None:
            return None
        self.at += 1
        return ranges if c.islower() else inverted(ranges)

    def escape(self) -> str:
        """The character of an escape behind its backslash."""
        c = self.peek()
        self.at += 1
        if c == "":
            raise self.error("a backslash at the end")
        if c in _SHORT:
            return _SHORT[c]
        if c in "xu":
            code = self.hexadecimal(2 if c == "x" else 4)
            if 0xD800 <= code < 0xDC00 and self.take("\\u"):
                low = self.hexadecimal(4)
                if not 0xDC00 <= low < 0xE000:
                    raise self.error("an escape that is no character")
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self.error("an escape that is no character")
            return chr(code)
        if c == "c" and self.peek().isascii() and self.peek().isalpha():
            self.at += 1
            return chr(ord(self.text[self.at - 1]) & 31)
        if c in "bB":
            raise self.refuse(r"a boundary of words (\b, \B)")
        if c.isdigit() or c == "k":
            raise self.refuse("a back reference")
        if c.isascii() and c.isalpha():
            raise self.refuse(f"the escape \\{c}")
        return c

    def hexadecimal(self, digits: int) -> int:
        braces = digits == 4 and self.take("{")
        end = self.text.find("}", self.at) if braces else self.at + digits
        found = self.text[self.at : max(end, 0)]
        if not found or not all(c in "0123456789abcdefABCDEF" for c in found) or len(found) > 8:
            raise self.error("expected hexadecimal digits")
        if not braces and len(found) != digits:
            raise self.error(f"expected {digits} hexadecimal digits")
        self.at = end + braces
        return int(found, 16)

    def property_end(self, start: int) -> int:
        r"""The end of \p{L} or \pL."""
        if not self.text.startswith("{", start + 2):
            return start + 3
        end = self.text.find("}", start)
        if end < 0:
            raise self.error(r"expected '}' after \p{")
        return end + 1

    def char_class(self) -> Text:
        start = self.at - 1
        negated = self.take("^")
        ranges: list[tuple[int, int]] = []
        named = False
        while self.peek() != "]":
            if self.peek() == "":
                self.at = start
                raise self.error("a class without an end: expected ']'")
            if self.text.startswith("[:", self.at):
                raise self.refuse("a class by name, such as [:alpha:],")
            if self.text.startswith(("\\p", "\\P"), self.at):
                named = True
                self.at = self.property_end(self.at)
            else:
                ranges += self.class_item()
        self.at += 1
        if named:
            return self.named(start, self.at, negated)
        if self.fold:
            ranges += [pair for low, high in ranges for pair in _other_case(low, high)]
        outside = inverted(ranges)
        return Chars(outside if negated else inverted(outside))

    def class_item(self) -> list[tuple[int, int]]:
        first = self.class_member()
        if isinstance(first, tuple):
            return list(first)
        if self.peek() != "-" or self.text[self.at + 1 : self.at + 2] in ("", "]"):
            return [(ord(first), ord(first))]
        self.at += 1
        last = self.class_member()
        if isinstance(last, tuple):  # a hyphen before \d is one
            return [(ord(first), ord(first)), (0x2D, 0x2D), *last]
        if last < first:
            raise self.error("a range that ends before it begins")
        return [(ord(first), ord(last))]

    def class_member(self) -> str | Ranges:
        c = self.peek()
        self.at += 1
        if c != "\\":
            return c
        if self.take("b"):
            return "\b"
        shorthand = self.shorthand()
        return self.escape() if shorthand is None else shorthand

    def named(self, start: int, end: int, negated: bool) -> Text:
        """A class with properties of Unicode, which the native tables know."""
        self.at = end
        source = self.text[start:end]
        _check(source)
        inner = _Parser(source[1 + negated : -1]) if source[0] == "[" else _Parser(source)
        inside = inner.characters_json_escapes()
        return Named(source, "".join(c for c in ESCAPED if (c in inside) != negated))

    def characters_json_escapes(self) -> set[str]:
        """Of a class's items: which are written with a backslash in JSON."""
        found: set[str] = set()
        while self.at < len(self.text):
            if not self.text.startswith(("\\p", "\\P"), self.at):
                ranges = self.class_item()
                found.update(c for c in ESCAPED if any(a <= ord(c) <= b for a, b in ranges))
                continue
            end = self.property_end(self.at)
            name = self.text[self.at + 2 : end].strip("{}").partition("=")
            wanted = name[2] or name[0]
            wanted = _CATEGORIES.get(wanted, wanted)
            negated = self.text[self.at + 1] == "P"
            inside = {c for c in ESCAPED if unicodedata.category(c).startswith(wanted)}
            found |= set(ESCAPED) - inside if negated else inside
            self.at = end
        return found


_BEGINNING: _Part = [None, EMPTY, None, None]


@lru_cache(maxsize=256)
def _check(source: str) -> None:
    """Raises what the native reader has against a class: it knows which properties there are."""
    with suppress(ArgumentError):  # no character is in it
        Grammar.from_regex(source).compile()


def _free(text: Text) -> _Part:
    return [text, None, None, None]


def _sequence(texts: list[Text]) -> Text:
    parts: list[Text] = []
    for text in texts:
        for part in text.parts if isinstance(text, Seq) else (text,):
            last = parts[-1] if parts else None
            if (
                isinstance(part, Words)
                and isinstance(last, Words)
                and len(part.texts) == len(last.texts) == 1
            ):
                parts[-1] = Words((last.texts[0] + part.texts[0],))
            elif part != EMPTY:
                parts.append(part)
    return EMPTY if not parts else parts[0] if len(parts) == 1 else Seq(tuple(parts))


def _only_empty(part: _Part) -> bool:
    return all(text is None or text == EMPTY for text in part)


def _other_case(low: int, high: int) -> list[tuple[int, int]]:
    out = []
    for first in (0x41, 0x61):
        a, b = max(low, first), min(high, first + 25)
        if a <= b:
            out.append((a ^ 32, b ^ 32))
    return out
