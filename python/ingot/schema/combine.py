"""Keywords that combine schemas of one value."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from ingot.errors import UnsupportedError
from ingot.schema import forms, text
from ingot.schema.document import Schema
from ingot.schema.forms import Form, Goal
from ingot.schema.reader import Reader, UnenforcedError, malformed

_MOST_SEEN = 5  # schemas of anyOf whose combinations unevaluated* may ask about


def _list(reader: Reader, schema: Schema, keyword: str) -> list[Schema]:
    value = schema.value[keyword]
    if not isinstance(value, list) or not value:
        raise malformed(schema, keyword, value, "a list of at least one schema")
    return [reader.document.child(schema, keyword, i) for i in range(len(value))]


def _all(reader: Reader, given: list[Form]) -> Form:
    out = forms.ALL
    for form in given:
        out = reader.algebra.both(out, form)
    return out


def all_of(reader: Reader, schema: Schema, holds: bool) -> Form:
    """allOf"""
    parts = [reader.of(part, holds) for part in _list(reader, schema, "allOf")]
    return _all(reader, parts) if holds else reader.algebra.either(parts)


def any_of(reader: Reader, schema: Schema, holds: bool) -> Form:
    """anyOf"""
    parts = [reader.of(part, holds) for part in _list(reader, schema, "anyOf")]
    if not holds:
        return _all(reader, parts)
    if not reader.annotating:
        return reader.algebra.either(parts)
    if len(parts) > _MOST_SEEN:
        raise UnsupportedError(
            f"of more than {_MOST_SEEN} schemas can't be enforced below unevaluatedProperties or "
            "unevaluatedItems"
        )
    sizes = range(1, len(parts) + 1)
    found = [_all(reader, list(some)) for n in sizes for some in combinations(parts, n)]
    return reader.algebra.either(found)


def one_of(reader: Reader, schema: Schema, holds: bool) -> Form:
    """oneOf"""
    parts = _list(reader, schema, "oneOf")
    found = [reader.of(part) for part in parts]
    if not holds:
        with reader.plainly():
            pairs = combinations([reader.of(part) for part in parts], 2)
            two = [reader.algebra.both(a, b) for a, b in pairs]
            none = _all(reader, [reader.of(part, False) for part in parts])
        return reader.algebra.either([none, *two])
    if reader.options.one_of == "any":
        reader.note(schema, "oneOf", "enforced", "read as anyOf, as asked")
        return reader.algebra.either(found)
    out = []
    marks = [_marks(reader, form) for form in found]
    for i, form in enumerate(found):
        for k, part in enumerate(parts):
            if (
                k != i
                and not _apart(marks[i], marks[k])
                and not vacant(reader, reader.algebra.both(form, found[k]))
            ):
                form = reader.algebra.both(form, _none_of(reader, schema, part))
        out.append(form)
    return reader.algebra.either(out)


_Marks = list[dict[str, frozenset[str]]]


def _marks(reader: Reader, form: Form) -> _Marks | None:
    """For each object, which words its properties that must be there may be; None: not objects."""
    if form.null or form.booleans or form.numbers or form.arrays or form.strings != text.NONE:
        return None
    found: _Marks = []
    for x in form.objects:
        words = {}
        for name in x.required:
            inside = reader.peek(x.properties.get(name, forms.ANYTHING))
            if inside is None or not isinstance(inside.strings, text.Words):
                continue
            if inside.strings.texts and replace(inside, strings=text.NONE) == forms.NONE:
                words[name] = frozenset(inside.strings.texts)
        found.append(words)
    return found


def _apart(a: _Marks | None, b: _Marks | None) -> bool:
    """Whether objects differ in a word, as those of a discriminated union do."""
    if a is None or b is None:
        return False
    return all(any(w.isdisjoint(y[k]) for k, w in x.items() if k in y) for x in a for y in b)


def _none_of(reader: Reader, schema: Schema, part: Schema) -> Form:
    try:
        with reader.plainly():
            return reader.of(part, False)
    except UnenforcedError as e:
        raise UnsupportedError(
            f"has alternatives that may hold together, and {e}: make them differ in a required "
            "property's 'const', or read it as anyOf (one_of='any')"
        ) from e


def negation(reader: Reader, schema: Schema, holds: bool) -> Form:
    """not"""
    with reader.plainly():
        return reader.of(reader.document.child(schema, "not"), not holds)


def condition(reader: Reader, schema: Schema, holds: bool) -> Form:
    """if, then and else"""
    if "if" not in schema.value or not (
        reader.annotating or "then" in schema.value or "else" in schema.value
    ):
        for keyword in ("if", "then", "else"):
            if keyword in schema.value:
                reader.note(schema, keyword, "annotation", "asks nothing without the others")
        return forms.ALL if holds else forms.NONE
    asked = reader.document.child(schema, "if")
    branches = []
    for keyword, met in (("then", True), ("else", False)):
        case = reader.of(asked, met)
        if keyword in schema.value:
            part = reader.document.child(schema, keyword)
            branches.append(reader.algebra.both(case, reader.of(part, holds)))
        elif holds:
            branches.append(case)
    return reader.algebra.either(branches)


def reference(reader: Reader, schema: Schema, holds: bool) -> Form:
    """$ref"""
    return reader.of(_target(reader, schema, "$ref"), holds)


def dynamic_reference(reader: Reader, schema: Schema, holds: bool) -> Form:
    """$dynamicRef"""
    return reader.of(_target(reader, schema, "$dynamicRef"), holds)


def _target(reader: Reader, schema: Schema, keyword: str) -> Schema:
    value = schema.value[keyword]
    if not isinstance(value, str):
        raise malformed(schema, keyword, value, "a reference such as '#/$defs/name'")
    if keyword == "$ref":
        return reader.document.resolve(schema, value)
    return reader.document.dynamic(schema, value)


def recursive_reference(reader: Reader, schema: Schema, holds: bool) -> Form:
    """$recursiveRef, of draft 2019-09"""
    raise UnsupportedError("is of an older draft: expected $ref, or $dynamicRef")


def vacant(reader: Reader, form: Form, depth: int = 2) -> bool:
    """Whether it is seen without a long look that no value is left."""
    if form.null or form.booleans or form.numbers or not reader.texts.is_empty(form.strings):
        return False

    def impossible(goal: Goal) -> bool:
        if goal == forms.IMPOSSIBLE:
            return True
        if depth == 0 or not goal:
            return False
        inside = reader.peek(goal)
        return inside is not None and vacant(reader, inside, depth - 1)

    for array in form.arrays:
        if not any(impossible(array.item(i)) for i in range(min(array.low, len(array.prefix) + 1))):
            return False
    return all(
        any(impossible(reader.algebra.named(x, name)) for name in x.required) for x in form.objects
    )
