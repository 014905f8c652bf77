"""Grammars that hold from a trigger on; before it anything may come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ingot._lib import utf8
from ingot.errors import ArgumentError

if TYPE_CHECKING:
    from ingot.grammar import Builder, Node


def begun_by(
    inner: Callable[[Builder], Node], triggers: Iterable[str | bytes], tokens: Iterable[int]
) -> Callable[[Builder], Node]:
    """A function that builds text without a trigger and then ``inner``, or nothing."""
    texts = [t if isinstance(t, bytes) else utf8(t) for t in triggers]
    ids = list(tokens)
    if not texts and not ids:
        raise ArgumentError("there is no trigger: expected a text or a token that begins the rest")
    if b"" in texts:
        raise ArgumentError("a trigger is the empty text: expected one to wait for")

    def build(b: Builder) -> Node:
        spelled = [piece for i in ids if (piece := b.piece(i))]
        found = _first(dict.fromkeys([*texts, *spelled]))
        free = _without(b, found)
        last = b.both(free, _not_ending(b, [] if len(spelled) < len(ids) else _overlaps(found)))
        before = b.repeat(b.sequence(free, b.controls(but=ids)))
        return b.sequence(before, b.choice(free, b.sequence(last, inner(b))))

    return build


def _first(triggers: Iterable[bytes]) -> list[bytes]:
    """Those that no other one comes before the end of."""
    given = list(triggers)
    return [t for t in given if not any(other in t[:-1] for other in given)]


def _without(b: Builder, triggers: list[bytes]) -> Node:
    """Text in which no trigger occurs."""
    anything = b.repeat(b.chars([], negated=True))
    if not triggers:
        return anything
    return b.complement(b.sequence(anything, b.choice(*map(b.literal, triggers)), anything))


def _overlaps(triggers: list[bytes]) -> list[bytes]:
    """Ends of text behind which a trigger, whichever it is, isn't the first one: behind an ``a``
    the trigger ``aa`` began before."""

    def before(trigger: bytes) -> set[bytes]:
        return {
            other[:-n]
            for other in triggers
            for n in range(1, min(len(trigger), len(other)))
            if other.endswith(trigger[:n])
        }

    return sorted(set.intersection(*map(before, triggers)) if triggers else ())


def _not_ending(b: Builder, ends: list[bytes]) -> Node:
    anything = b.repeat(b.chars([], negated=True))
    if not ends:
        return anything
    return b.complement(b.sequence(anything, b.choice(*map(b.literal, ends))))
