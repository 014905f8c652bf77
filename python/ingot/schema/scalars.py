"""Keywords of numbers and strings, of types, and of values that are given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ingot.errors import FormatError, LimitError, UnsupportedError
from ingot.schema import formats, forms, numbers, pattern, text
from ingot.schema.document import Schema, escaped
from ingot.schema.forms import Array, Form, Goal, Object
from ingot.schema.numbers import Number
from ingot.schema.reader import Reader, located, malformed
from ingot.schema.text import Text, Words

_TYPES = frozenset({*forms.TYPES, "integer"})
_MOST_COUNTED = 1_000_000_000  # characters, items or properties
_NUMBER_FORMATS = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_NO_CONDITION = frozenset({"float", "double", "decimal", "password", "binary"})


def is_number(value: Any) -> bool:
    """Whether a value is a number of JSON."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def count(schema: Schema, keyword: str, default: int = 0) -> int:
    """A keyword's value that counts something."""
    value = schema.value.get(keyword, default)
    if not is_number(value) or value < 0 or value != int(value):
        raise malformed(schema, keyword, value, "an integer that isn't negative")
    if value > _MOST_COUNTED:
        raise LimitError(f"is above {_MOST_COUNTED}, which is the most that is counted")
    return int(value)


def _of_number(number: Number, holds: bool) -> Form:
    return replace(forms.ALL if holds else forms.NONE, numbers=() if number.empty else (number,))


def _of_string(strings: Text, holds: bool) -> Form:
    return replace(forms.ALL if holds else forms.NONE, strings=strings)


def types(reader: Reader, schema: Schema, holds: bool) -> Form:
    """type"""
    value = schema.value["type"]
    names = [value] if isinstance(value, str) else value
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) and name in _TYPES for name in names)
    ):
        raise malformed(schema, "type", value, f"one or a list of {', '.join(sorted(_TYPES))}")
    if schema.value.get("nullable") is True:
        names = [*names, "null"]
        reader.note(schema, "nullable", "enforced")
    return forms.of_types(names) if holds else forms.without_types(names)


def _bound(keyword: str, sign: int) -> Callable[[Reader, Schema, bool], Form]:
    """minimum and the like; ``sign`` is 1 for those from which on numbers are allowed."""

    def handler(reader: Reader, schema: Schema, holds: bool) -> Form:
        value = schema.value[keyword]
        name = "Minimum" if sign > 0 else "Maximum"
        if keyword == f"exclusive{name}" and isinstance(value, bool):
            return forms.ALL if holds else forms.NONE  # of draft 4, and read with the other
        if not is_number(value):
            raise malformed(schema, keyword, value, "a number")
        is_open = keyword.startswith("exclusive") or schema.value.get(f"exclusive{name}") is True
        bound = numbers.exact(value)
        if (sign > 0) == holds:
            number = numbers.between(bound, is_open == holds, None, True)
        else:
            number = numbers.between(None, True, bound, is_open == holds)
        return _of_number(number, holds)

    return handler


minimum = _bound("minimum", 1)
maximum = _bound("maximum", -1)
exclusive_minimum = _bound("exclusiveMinimum", 1)
exclusive_maximum = _bound("exclusiveMaximum", -1)


def multiple_of(reader: Reader, schema: Schema, holds: bool) -> Form:
    """multipleOf"""
    value = schema.value["multipleOf"]
    if not is_number(value) or value <= 0:
        raise malformed(schema, "multipleOf", value, "a number above zero")
    step = numbers.exact(value)
    if holds:
        return _of_number(numbers.multiples(step), True)
    avoided = numbers.Number(reals=(), avoided=(step.numerator,))
    if step.denominator == 1:
        parts = [avoided, numbers.FRACTIONS] if step > 1 else [numbers.FRACTIONS]
        return replace(forms.NONE, numbers=tuple(parts))
    raise UnsupportedError("can't be turned round unless it is an integer")


def min_length(reader: Reader, schema: Schema, holds: bool) -> Form:
    """minLength"""
    n = count(schema, "minLength")
    if holds:
        return _of_string(text.Rep(text.CHARACTER, n, None) if n else text.ANY, True)
    return _of_string(text.Rep(text.CHARACTER, 0, n - 1) if n else text.NONE, False)


def max_length(reader: Reader, schema: Schema, holds: bool) -> Form:
    """maxLength"""
    n = count(schema, "maxLength")
    low, high = (0, n) if holds else (n + 1, None)
    return _of_string(text.Rep(text.CHARACTER, low, high), holds)


def matching(schema: Schema, keyword: str) -> Text:
    """The texts that a keyword's regular expression finds something in."""
    value = schema.value[keyword]
    if not isinstance(value, str):
        raise malformed(schema, keyword, value, "a regular expression")
    return pattern.parse(value)


def patterns(reader: Reader, schema: Schema, holds: bool) -> Form:
    """pattern"""
    found = matching(schema, "pattern")
    return _of_string(found if holds else reader.texts.outside(found), holds)


def string_format(reader: Reader, schema: Schema, holds: bool) -> Form:
    """format"""
    name = schema.value["format"]
    if not isinstance(name, str):
        raise malformed(schema, "format", name, "the name of a format")
    if name in _NO_CONDITION:
        reader.note(schema, "format", "annotation", f"'{name}' asks nothing of the text")
        return forms.ALL if holds else forms.NONE
    if name in _NUMBER_FORMATS:
        low, high = map(numbers.exact, _NUMBER_FORMATS[name])
        within = numbers.both(numbers.INTEGERS, numbers.between(low, False, high, False))
        return _of_number(within if holds else numbers.outside(within), holds)
    found = formats.named(name)
    return _of_string(found if holds else reader.texts.outside(found), holds)


# ------------------------------------------------------------------------------------------- values


def const(reader: Reader, schema: Schema, holds: bool) -> Form:
    """const"""
    return _values(reader, schema, "const", [schema.value["const"]], holds)


def enum(reader: Reader, schema: Schema, holds: bool) -> Form:
    """enum"""
    values = schema.value["enum"]
    if not isinstance(values, list):
        raise malformed(schema, "enum", values, "a list of values")
    return _values(reader, schema, "enum", values, holds)


def _values(reader: Reader, schema: Schema, keyword: str, values: list[Any], holds: bool) -> Form:
    strings = tuple(dict.fromkeys(value for value in values if isinstance(value, str)))
    booleans = tuple(b for b in (True, False) if any(value is b for value in values))
    number = numbers.of_values(value for value in values if is_number(value))
    if not holds:
        out = Form(
            None not in values,
            tuple(b for b in (True, False) if b not in booleans),
            tuple(x for x in [numbers.outside(number)] if not x.empty),
            text.but(strings) if strings else text.ANY,
        )
    else:
        some = () if number.empty else (number,)
        out = Form(None in values, booleans, some, Words(strings), (), ())
    inner = []
    for i, value in enumerate(values):
        place = schema.where(keyword) + (f"/{i}" if keyword == "enum" else "")
        if isinstance(value, (list, dict)):
            inner.append(_container(reader, value, place, holds))
        elif not (value is None or isinstance(value, (str, bool)) or is_number(value)):
            raise malformed(schema, keyword, value, "values of JSON")
    if holds:
        return reader.algebra.either([out, *inner])
    for form in inner:
        out = reader.algebra.both(out, form)
    return out


def _container(reader: Reader, value: Any, place: str, holds: bool) -> Form:
    """An array or object of these very parts; turned round, all other values."""

    def goal(part: Any, key: str) -> Goal:
        document = reader.document
        return document.goal(document.constant(part, f"{place}/{escaped(key)}"), holds)

    if isinstance(value, list):
        return _array([goal(part, str(i)) for i, part in enumerate(value)], holds)
    if not all(isinstance(name, str) for name in value):
        raise located(FormatError, f"{place} of the schema has a name that is no text")
    return _object({name: goal(part, name) for name, part in value.items()}, holds)


def _array(goals: list[Goal], holds: bool) -> Form:
    n = len(goals)
    if holds:
        return replace(forms.NONE, arrays=(Array(tuple(goals), forms.IMPOSSIBLE, n, n),))
    others = [Array(low=n + 1)] + ([Array(high=n - 1)] if n else [])
    before = (forms.ANYTHING,) * n
    others += [Array((*before[:i], goals[i]), low=i + 1) for i in range(n)]
    return replace(forms.ALL, arrays=tuple(others))


def _object(goals: dict[str, Goal], holds: bool) -> Form:
    names = tuple(goals)
    if holds:
        whole = Object(goals, frozenset(names), (), said=True)
        return replace(forms.NONE, objects=(whole,))
    rest = text.but(names) if names else text.ANY
    differ = [Object(some=((rest, forms.ANYTHING),))]
    differ += [Object({name: forms.IMPOSSIBLE}) for name in names]
    differ += [Object({name: goals[name]}, frozenset({name})) for name in names]
    return replace(forms.ALL, objects=tuple(differ))
