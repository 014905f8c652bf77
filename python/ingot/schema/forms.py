"""What values may be: for each type the alternatives that are left, with goals for what is inside.

A goal is what a value inside must meet: schemas by their number, each true or false of it. So
recursion is a goal that was seen before, and an intersection is the union of two goals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, TypeVar

from ingot.errors import LimitError
from ingot.schema import numbers, text
from ingot.schema.numbers import Number
from ingot.schema.text import Text
from ingot.schema.texts import Texts

T = TypeVar("T")

Goal = frozenset[tuple[bool, int]]
"""(whether it holds, number of a schema) of each schema that is asked."""

NOTHING_ID = 0
"""The number of the schema ``false``."""

ANYTHING: Goal = frozenset()
IMPOSSIBLE: Goal = frozenset({(True, NOTHING_ID)})

MOST_ALTERNATIVES = 500

TYPES = ("null", "boolean", "number", "string", "array", "object")


def join(a: Goal, b: Goal) -> Goal:
    """Both goals; impossible if one schema would have to hold and not to hold."""
    goal = a | b
    if (True, NOTHING_ID) in goal or any((not holds, schema) in goal for holds, schema in goal):
        return IMPOSSIBLE
    return goal


@dataclass(frozen=True)
class Contained:
    """Of the items from ``start`` on, ``low`` to ``high`` meet a goal."""

    goal: Goal
    low: int
    high: int | None
    start: int = 0
    where: str = ""  # the keyword that asks it


@dataclass(frozen=True)
class Array:
    """Arrays."""

    prefix: tuple[Goal, ...] = ()
    rest: Goal = ANYTHING
    low: int = 0
    high: int | None = None
    contains: tuple[Contained, ...] = ()
    unique: str = ""  # where a schema asks for items that differ
    seen: int = 0  # items that an unevaluatedItems around doesn't ask about
    seen_goals: tuple[Goal, ...] = ()  # nor about those that meet one of these

    def item(self, i: int) -> Goal:
        """What item ``i`` must be."""
        return self.prefix[i] if i < len(self.prefix) else self.rest


ALL_SEEN = 1 << 60

Names = tuple[tuple[Text, Goal], ...]
"""Classes of names, which share none, with what their values must be; other names may not come."""


OPEN: Names = ((text.ANY, ANYTHING),)


@dataclass(frozen=True)
class Object:
    """Objects."""

    properties: dict[str, Goal] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    others: Names = OPEN  # names that aren't among the properties
    low: int = 0
    high: int | None = None
    some: Names = ()  # for each class: a name of it is there whose value meets the goal
    listed: bool = False  # whether a schema lists properties
    said: bool = False  # and one says what others there may be
    mentioned: frozenset[str] = frozenset()  # names that schemas list or require
    seen: Text = text.NONE  # names that an unevaluatedProperties around doesn't ask about


@dataclass(frozen=True)
class Form:
    """Values of each type; alternatives in any order, which may overlap."""

    null: bool = True
    booleans: tuple[bool, ...] = (True, False)
    numbers: tuple[Number, ...] = (numbers.ALL,)
    strings: Text = text.ANY
    arrays: tuple[Array, ...] = (Array(),)
    objects: tuple[Object, ...] = (Object(),)

    def is_empty(self, texts: Texts) -> bool:
        """Whether it is seen at once that there is no such value."""
        some = self.null or self.booleans or self.numbers or self.arrays or self.objects
        return not some and texts.is_empty(self.strings)


ALL = Form()
NONE = Form(False, (), (), text.NONE, (), ())


def of_types(names: Iterable[str]) -> Form:
    """All values of some types, as JSON Schema calls them."""
    wanted = set(names)
    ranges = ALL.numbers if "number" in wanted else (numbers.INTEGERS,)
    return Form(
        "null" in wanted,
        (True, False) if "boolean" in wanted else (),
        ranges if wanted & {"number", "integer"} else (),
        text.ANY if "string" in wanted else text.NONE,
        ALL.arrays if "array" in wanted else (),
        ALL.objects if "object" in wanted else (),
    )


def without_types(names: Iterable[str]) -> Form:
    """All values that have none of these types."""
    wanted = set(names)
    kept = of_types(name for name in TYPES if name not in wanted)
    if "integer" in wanted and "number" not in wanted:
        return replace(kept, numbers=(numbers.FRACTIONS,))
    return kept


class Algebra:
    """Intersection and union of forms."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts

    def both(self, a: Form, b: Form) -> Form:
        """What both allow."""
        if a is ALL or a is b:
            return b
        if b is ALL:
            return a
        return Form(
            a.null and b.null,
            tuple(x for x in a.booleans if x in b.booleans),
            _cut(a.numbers, b.numbers, ALL.numbers, _ranges),
            self.texts.both(a.strings, b.strings),
            _cut(a.arrays, b.arrays, ALL.arrays, self._arrays),
            _cut(a.objects, b.objects, ALL.objects, self._objects),
        )

    def either(self, forms: Iterable[Form]) -> Form:
        """What any of them allows."""
        given = [form for form in forms if form is not NONE]
        if len(given) <= 1:
            return given[0] if given else NONE
        if any(form is ALL for form in given) and all(map(_is_unseen, given)):
            return ALL
        return Form(
            any(form.null for form in given),
            tuple(dict.fromkeys(x for form in given for x in form.booleans)),
            _numbers_of(given),
            text.either(form.strings for form in given),
            tuple(dict.fromkeys(x for form in given for x in form.arrays)),
            tuple(_distinct(x for form in given for x in form.objects)),
        )

    def _arrays(self, a: Array, b: Array) -> Array | None:
        if a == Array() or a == b:
            return b
        if b == Array():
            return a
        size = max(len(a.prefix), len(b.prefix))
        highs = [x.high for x in (a, b) if x.high is not None]
        joined = Array(
            tuple(join(a.item(i), b.item(i)) for i in range(size)),
            join(a.rest, b.rest),
            max(a.low, b.low),
            min(highs, default=None),
            tuple(dict.fromkeys(a.contains + b.contains)),
            a.unique or b.unique,
            max(a.seen, b.seen),
            tuple(dict.fromkeys(a.seen_goals + b.seen_goals)),
        )
        return joined if joined.high is None or joined.low <= joined.high else None

    def _objects(self, a: Object, b: Object) -> Object | None:
        names = dict.fromkeys([*a.properties, *b.properties])
        joined = dict(a.properties) if b.others == OPEN else {}
        for name in b.properties if joined and a.others == OPEN else names:
            joined[name] = join(self.named(a, name), self.named(b, name))
        required = a.required | b.required
        highs = [x.high for x in (a, b) if x.high is not None]
        low, high = max(a.low, b.low), min(highs, default=None)
        if high is not None and max(low, len(required)) > high:
            return None
        out = Object(
            joined,
            required,
            self.classes(a.others, b.others),
            low,
            high,
            tuple(dict.fromkeys(a.some + b.some)),
            a.listed or b.listed,
            a.said or b.said,
            a.mentioned | b.mentioned,
            text.either([a.seen, b.seen]),
        )
        if any(self.named(out, name) == IMPOSSIBLE for name in required):
            return None
        return out

    def named(self, x: Object, name: str) -> Goal:
        """What the value of a property must be."""
        if name in x.properties:
            return x.properties[name]
        return next((goal for names, goal in x.others if self.texts.has(names, name)), IMPOSSIBLE)

    def classes(self, a: Names, b: Names) -> Names:
        """The classes of both, cut with each other."""
        out: dict[Text, Goal] = {}
        for (x, first), (y, second) in _pairs(a, b):
            goal = join(first, second)
            names = self.texts.both(x, y)
            plain = names in (x, y)
            if goal != IMPOSSIBLE and (plain or not self.texts.is_empty(names)):
                out[names] = goal
        return tuple(out.items())


def _is_unseen(form: Form) -> bool:
    arrays = (x.seen or x.seen_goals for x in form.arrays)
    return not any(arrays) and all(x.seen == text.NONE for x in form.objects)


def _distinct(objects: Iterable[Object]) -> list[Object]:
    """Objects without doubles. Absent, or there with a value: that is one that may be there."""
    found: dict[Any, list[Object]] = {}
    for x in objects:
        same = found.setdefault((frozenset(x.properties.items()), x.required), [])
        if x not in same:
            same.append(x)
    out = [x for same in found.values() for x in same]
    absent = {name for x in out for name in x.properties if x == Object({name: IMPOSSIBLE})}
    for i, x in enumerate(out):
        name = next(iter(x.required), "")
        there = {name: x.properties.get(name, ANYTHING)}
        if name in absent and x == Object(there, frozenset({name})):
            out[i] = replace(x, required=frozenset())
            out.remove(Object({name: IMPOSSIBLE}))
            return _distinct(out)
    return out


def _numbers_of(forms: list[Form]) -> tuple[Number, ...]:
    """The union, points that are written as values joined."""
    found = list(dict.fromkeys(chain.from_iterable(form.numbers for form in forms)))
    points = [x for x in found if numbers.values(x, 1) is not None]
    if len(points) < 2:
        return tuple(found)
    joined = numbers.of_exact(v for x in points for v in numbers.values(x, 1) or [])
    return (joined, *(x for x in found if x not in points))


def _ranges(a: Number, b: Number) -> Number | None:
    joined = numbers.both(a, b)
    return None if joined.empty else joined


def _cut(
    a: tuple[T, ...], b: tuple[T, ...], everything: tuple[T, ...], both: Callable[[T, T], T | None]
) -> tuple[T, ...]:
    """The intersection of alternatives, pair by pair."""
    if a is everything or (a is b and len(a) == 1):
        return b
    if b is everything:
        return a
    return tuple(x for x in (both(*pair) for pair in _pairs(a, b)) if x is not None)


def _pairs(a: tuple[T, ...], b: tuple[T, ...]) -> Iterator[tuple[T, T]]:
    _check(len(a) * len(b))
    return ((x, y) for x in a for y in b)


def counted(found: Iterable[T]) -> tuple[T, ...]:
    """A tuple of so many alternatives as there may be."""
    out = tuple(found)
    _check(len(out))
    return out


def _check(n: int) -> None:
    if n > MOST_ALTERNATIVES:
        raise LimitError(
            f"more than {MOST_ALTERNATIVES} alternatives of one value: expected a schema with "
            "fewer combinations of anyOf, oneOf, not and if (one_of='any' reads oneOf as anyOf)"
        )
