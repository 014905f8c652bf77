"""Keywords of arrays."""

from __future__ import annotations

from dataclasses import replace

from ingot.errors import UnsupportedError
from ingot.schema import forms
from ingot.schema.document import Schema
from ingot.schema.forms import ANYTHING, Array, Contained, Form, Goal
from ingot.schema.reader import Reader, malformed
from ingot.schema.scalars import count


def _of(arrays: list[Array], holds: bool) -> Form:
    return replace(forms.ALL if holds else forms.NONE, arrays=tuple(arrays))


def items(reader: Reader, schema: Schema, holds: bool) -> Form:
    """prefixItems and items; a list of items and additionalItems, as they were before 2020"""
    document, value = reader.document, schema.value
    first, others = "prefixItems", "items"
    if isinstance(value.get("items"), list):
        if "prefixItems" in value:
            raise malformed(schema, "items", value["items"], "a schema, beside 'prefixItems'")
        first, others = "items", "additionalItems"
    elif "additionalItems" in value:
        reader.note(schema, "additionalItems", "annotation", "asks nothing beside 'items'")
    schemas = value.get(first, [])
    if not isinstance(schemas, list):
        raise malformed(schema, first, schemas, "a list of schemas")
    prefix = [document.child(schema, first, i) for i in range(len(schemas))]
    rest = document.child(schema, others) if others in value else None
    if holds:
        seen = forms.ALL_SEEN if rest else len(prefix)
        after: Goal = document.goal(rest) if rest else ANYTHING
        goals = tuple(document.goal(part) for part in prefix)
        return _of([Array(goals, after, seen=seen if reader.annotating else 0)], True)
    out = []
    where = schema.where(others)
    for i, part in enumerate(prefix):
        before = (ANYTHING,) * i
        out.append(Array((*before, document.goal(part, False)), low=i + 1))
    if rest:
        out.append(
            Array(contains=(Contained(document.goal(rest, False), 1, None, len(prefix), where),))
        )
    return _of(out, False)


def min_items(reader: Reader, schema: Schema, holds: bool) -> Form:
    """minItems"""
    n = count(schema, "minItems")
    return _of([Array(low=n)] if holds else [Array(high=n - 1)] if n else [], holds)


def max_items(reader: Reader, schema: Schema, holds: bool) -> Form:
    """maxItems"""
    n = count(schema, "maxItems")
    return _of([Array(high=n) if holds else Array(low=n + 1)], holds)


def contains(reader: Reader, schema: Schema, holds: bool) -> Form:
    """contains, minContains and maxContains"""
    if "contains" not in schema.value:
        for keyword in ("minContains", "maxContains"):
            if keyword in schema.value:
                reader.note(schema, keyword, "annotation", "asks nothing without 'contains'")
        return forms.ALL if holds else forms.NONE
    goal = reader.document.goal(reader.document.child(schema, "contains"))
    low = count(schema, "minContains", 1)
    high = count(schema, "maxContains") if "maxContains" in schema.value else None
    where = schema.where("contains")
    if holds:
        seen = (goal,) if reader.annotating else ()
        return _of([Array(contains=(Contained(goal, low, high, 0, where),), seen_goals=seen)], True)
    out = [Array(contains=(Contained(goal, 0, low - 1, 0, where),))] if low else []
    if high is not None:
        out.append(Array(contains=(Contained(goal, high + 1, None, 0, where),)))
    return _of(out, False)


def unique_items(reader: Reader, schema: Schema, holds: bool) -> Form:
    """uniqueItems"""
    value = schema.value["uniqueItems"]
    if not isinstance(value, bool):
        raise malformed(schema, "uniqueItems", value, "true or false")
    if not value:
        return forms.ALL if holds else forms.NONE
    if not holds:
        raise UnsupportedError("can't be turned round, as 'not' and 'oneOf' ask")
    return _of([Array(unique=schema.pointer)], True)
