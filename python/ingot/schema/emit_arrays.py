"""Arrays as JSON writes them: lengths, items that are asked for, items that differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ingot.errors import LimitError
from ingot.schema import forms, numbers, text
from ingot.schema.digits import decimal
from ingot.schema.encode import escape
from ingot.schema.forms import IMPOSSIBLE, Array, Contained, Form, Goal, join
from ingot.schema.reader import UnenforcedError
from ingot.schema.tape import Node

if TYPE_CHECKING:
    from ingot.schema.emit import Emitter

_MOST_CONTAINED = 1000
_MOST_TUPLES = 1000
_MOST_PREFIX = 8000


class Arrays:
    """Writes arrays on an emitter's tape."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._tape = emitter.tape

    def all(self, array: Array) -> list[Node]:
        """The array in each of the ways that it may be written."""
        if len(array.prefix) > _MOST_PREFIX:
            raise LimitError(f"an array of the schema has more than {_MOST_PREFIX} kinds of items")
        if array.unique:
            return self._unique(array)
        return [self._plain(x) if not x.contains else self._set(x) for x in self._placed(array)]

    def _brackets(self, inside: Node) -> Node:
        t, space = self._tape, self._emitter.space
        return t.sequence([t.literal("["), space, inside, space, t.literal("]")])

    def _empty(self) -> Node:
        t = self._tape
        return t.sequence([t.literal("["), self._emitter.space, t.literal("]")])

    def _plain(self, x: Array) -> Node:
        """Items by place, then any number of others."""
        t = self._tape
        parts = [self._empty()] if x.low == 0 else []
        if x.high == 0:
            return t.choice(parts)
        size = len(x.prefix) if x.high is None else min(len(x.prefix), x.high)
        most = None if x.high is None else x.high - size
        after = t.literal("")
        if x.rest != IMPOSSIBLE:
            rest = t.sequence([self._emitter.comma, self._emitter.value(x.rest)])
            if size == 0:
                others = t.repeat(rest, max(x.low - 1, 0), None if most is None else most - 1)
                first = t.sequence([self._emitter.value(x.rest), others])
                return t.choice([*parts, self._brackets(first)])
            after = t.repeat(rest, max(x.low - size, 0), most)
        elif x.low > size:
            return t.choice([])
        elif size == 0:
            return t.choice(parts)
        for i in range(size - 1, -1, -1):
            item = self._emitter.value(x.prefix[i])
            after = t.sequence([*([self._emitter.comma] if i else []), item, after])
            if i > 0 and x.low <= i:
                after = t.optional(after)
        return t.choice([*parts, self._brackets(after)])

    # ----------------------------------------------------------------------------------- contains

    def _refuse(self, where: str, keyword: str, why: str) -> None:
        """Raises, or where as much as can be is done, notes it."""
        notes = self._emitter.reader.notes
        pointer = where.rpartition("/")[0] if keyword == "contains" else where
        if not self._emitter.reader.options.best_effort:
            notes[pointer, keyword] = ("refused", why)
            raise UnenforcedError(f"{pointer}/{keyword}", keyword, why)
        notes[pointer, keyword] = ("not enforced", why)

    def _placed(self, array: Array) -> Iterator[Array]:
        """Arrays whose ``contains`` asks for items behind the prefix alone."""
        plain = replace(array, contains=())
        asked = []
        for one in array.contains:
            if one.high is not None and one.high < one.low:
                return
            if one.high == 0:
                outside = self._turned(one.goal)
                plain = self._extended(plain, one.start)
                items = enumerate(plain.prefix)
                prefix = tuple(g if i < one.start else join(g, outside) for i, g in items)
                plain = replace(plain, prefix=prefix, rest=join(plain.rest, outside))
            elif one.low or one.high is not None:
                asked.append(one)
        if not asked:
            yield plain
        elif len(asked) > 1 or plain.prefix or asked[0].start:
            yield from self._several(plain, asked)
        else:
            yield replace(plain, contains=tuple(asked))

    def _extended(self, x: Array, size: int) -> Array:
        items = tuple(x.item(i) for i in range(max(size, len(x.prefix))))
        return replace(x, prefix=items)

    def _turned(self, goal: Goal) -> Goal:
        """What doesn't meet a goal."""
        if goal == forms.ANYTHING:
            return IMPOSSIBLE
        if goal == IMPOSSIBLE:
            return forms.ANYTHING
        ((holds, schema),) = goal
        return frozenset({(not holds, schema)})

    def _several(self, plain: Array, asked: list[Contained]) -> Iterator[Array]:
        """Items at places, or more than one demand: each is met at a place or behind the prefix."""
        if any(one.low != 1 or one.high is not None for one in asked):
            why = "can't be enforced with counts beside 'prefixItems' or another 'contains'"
            for one in asked:
                self._refuse(one.where, "contains", why)
            yield plain
            return
        start = max(one.start for one in asked)
        plain = self._extended(plain, start)
        found: list[tuple[Array, tuple[Goal, ...]]] = [(plain, ())]
        for one in asked:
            grown: list[tuple[Array, tuple[Goal, ...]]] = []
            for array, behind in found:
                for i in range(one.start, len(array.prefix)):
                    prefix = list(array.prefix)
                    prefix[i] = join(prefix[i], one.goal)
                    low = max(array.low, i + 1)
                    grown.append((replace(array, prefix=tuple(prefix), low=low), behind))
                for i, other in enumerate(behind):
                    both = join(other, one.goal)
                    grown.append((array, (*behind[:i], both, *behind[i + 1 :])))
                grown.append((array, (*behind, one.goal)))
            found = list(forms.counted(grown))
        for array, behind in found:
            if array.high is None or array.low <= array.high:
                demands = (Contained(goal, 1, None) for goal in behind)
                yield replace(array, contains=tuple(demands))

    def _set(self, x: Array) -> Node:
        """Items behind the prefix in any order, some of which are asked for."""
        t, value = self._tape, self._emitter.value
        members = []
        others = x.rest
        for one in x.contains:
            most = one.high or one.low
            if most > _MOST_CONTAINED:
                self._refuse(one.where, "contains", f"counts above {_MOST_CONTAINED}")
                return self._plain(replace(x, contains=()))
            item = value(join(x.rest, one.goal))
            members += [(item, i < one.low, False) for i in range(most)]
            if one.high is not None:
                others = join(others, self._turned(one.goal))
        if others != IMPOSSIBLE:
            members.append((value(others), False, True))
        size = len(x.prefix)
        parts = []
        if size == 0 and x.low == 0 and all(one.low == 0 for one in x.contains):
            parts.append(self._empty())
        if x.high is not None and x.high <= size:
            return t.choice(parts)
        high = None if x.high is None else x.high - size
        inside = t.set(members, self._emitter.comma, max(x.low - size, 1), high)
        before = [node for goal in x.prefix for node in (value(goal), self._emitter.comma)]
        parts.append(self._brackets(t.sequence([*before, inside])))
        return t.choice(parts)

    # ------------------------------------------------------------------------------------- unique

    def _unique(self, x: Array) -> list[Node]:
        plain = replace(x, unique="")
        high = x.high
        if x.rest == IMPOSSIBLE:
            high = len(x.prefix) if high is None else min(high, len(x.prefix))
        if high is not None and high <= 1:
            return self.all(plain)
        size = len(x.prefix) if high is None else min(high, len(x.prefix))
        kinds = [self._values(x.item(i)) for i in range(size)]
        if high is None or high > size:
            kinds.append(self._values(x.rest))
        lists = [kind for kind in kinds if kind is not None]
        if len(lists) < len(kinds) or x.contains:
            why = (
                "can be enforced only where items are of finitely many values: give them an 'enum'"
            )
            self._refuse(x.unique, "uniqueItems", why)
            return self.all(plain)
        if not x.prefix:
            members = [(self._tape.literal(item), False, False) for item in lists[0]]
            parts = [self._empty()] if x.low == 0 else []
            if members:
                inside = self._tape.set(members, self._emitter.comma, max(x.low, 1), high)
                parts.append(self._brackets(inside))
            return parts
        return self._tuples(x, lists, high)

    def _tuples(self, x: Array, kinds: list[list[str]], high: int | None) -> list[Node]:
        """Arrays of different values, one by one."""
        out = []
        known: list[tuple[str, ...]] = [()]
        while known:
            size = len(known[0])
            if size >= x.low:
                for items in known:
                    nodes = [self._tape.literal(item) for item in items]
                    commas = [n for node in nodes for n in (self._emitter.comma, node)][1:]
                    out.append(
                        self._brackets(self._tape.sequence(commas)) if items else self._empty()
                    )
            kind = kinds[min(size, len(kinds) - 1)]
            if high is not None and size >= high:
                break
            known = [(*items, item) for items in known for item in kind if item not in items]
            if len(known) + len(out) > _MOST_TUPLES:
                why = (
                    f"needs more than {_MOST_TUPLES} arrays of different items beside 'prefixItems'"
                )
                self._refuse(x.unique, "uniqueItems", why)
                return self.all(replace(x, unique=""))
        return out

    def _values(self, goal: Goal) -> list[str] | None:
        """The values of a goal as text; None if there are too many."""
        form: Form = self._emitter.reader.form(goal)
        if form.arrays or form.objects or not isinstance(form.strings, text.Words):
            return None
        out = ["null"] if form.null else []
        out += ["true" if value else "false" for value in form.booleans]
        for number in form.numbers:
            found = numbers.values(number, _MOST_TUPLES)
            if found is None:
                return None
            out += [decimal(value) for value in found]
        out += [f'"{escape(word)}"' for word in form.strings.texts]
        return list(dict.fromkeys(out))
