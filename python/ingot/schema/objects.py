"""Keywords of objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ingot.errors import LimitError
from ingot.schema import forms, pattern, text
from ingot.schema.document import Schema
from ingot.schema.forms import ANYTHING, IMPOSSIBLE, Form, Goal, Object
from ingot.schema.reader import Reader, UnenforcedError, malformed
from ingot.schema.scalars import count
from ingot.schema.text import Text

_MOST_CLASSES = 24  # of names, by the patterns that they match


def _of(objects: list[Object], holds: bool) -> Form:
    return replace(forms.ALL if holds else forms.NONE, objects=tuple(objects))


def _forbidden(name: str) -> Object:
    return Object({name: IMPOSSIBLE})


def _schemas(reader: Reader, schema: Schema, keyword: str) -> dict[str, Schema]:
    """The schemas that a keyword gives to names."""
    value = schema.value.get(keyword, {})
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise malformed(schema, keyword, value, "an object of schemas")
    return {name: reader.document.child(schema, keyword, name) for name in value}


def _names(schema: Schema, keyword: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise malformed(schema, keyword, value, "a list of names")
    return value


def properties(reader: Reader, schema: Schema, holds: bool) -> Form:
    """properties, patternProperties and additionalProperties"""
    named = _schemas(reader, schema, "properties")
    rest = None
    if "additionalProperties" in schema.value:
        rest = reader.document.child(schema, "additionalProperties")
    try:
        classes = _patterns(reader, schema)
    except UnenforcedError as e:
        if not reader.options.best_effort:
            raise
        reader.note(schema, "patternProperties", "not enforced", e.why)
        reader.note(schema, "additionalProperties", "not enforced", "beside patterns that aren't")
        classes, rest = [], None
        if not holds:
            return forms.ALL
    if not holds:
        return _of(_violations(reader, named, classes, rest), False)
    goal = reader.document.goal
    rest_goal = ANYTHING if rest is None else goal(rest)
    if rest is None and classes and not reader.options.additional_properties:
        rest_goal = IMPOSSIBLE
    others = _cut(reader, [(names, goal(part)) for names, part in classes], rest_goal)
    explicit = {}
    for name, part in named.items():
        asked = goal(part)
        for names, of_pattern in classes:
            if reader.texts.has(names, name):
                asked = forms.join(asked, goal(of_pattern))
        explicit[name] = asked
    seen: Text = text.NONE
    if reader.annotating:
        known = [text.Words(tuple(named)), *(names for names, _ in classes)]
        seen = text.either(known) if rest is None else text.ANY
    listed = "properties" in schema.value
    if rest is None and not reader.options.additional_properties:
        reader.note(schema, "additionalProperties", "assumed", "absent: no other names may come")
    said = rest is not None or "patternProperties" in schema.value
    mentioned = frozenset(named)
    return _of(
        [Object(explicit, others=others, listed=listed, said=said, mentioned=mentioned, seen=seen)],
        True,
    )


def _patterns(reader: Reader, schema: Schema) -> list[tuple[Text, Schema]]:
    out = []
    for source, part in _schemas(reader, schema, "patternProperties").items():
        with reader.at(schema, "patternProperties"):
            out.append((pattern.parse(source), part))
    return out


def _cut(reader: Reader, classes: list[tuple[Text, Goal]], rest: Goal) -> forms.Names:
    """Classes of names that share none, of patterns that may; ``rest`` is for other names."""
    texts = reader.texts
    if not classes:
        return () if rest == IMPOSSIBLE else ((text.ANY, rest),)
    out: list[tuple[Text, Goal | None]] = [(text.ANY, None)]
    for names, goal in classes:
        cut: list[tuple[Text, Goal | None]] = []
        for known, asked in out:
            inside = texts.both(known, names)
            outside = texts.both(known, texts.outside(names))
            if not texts.is_empty(inside):
                cut.append((inside, goal if asked is None else forms.join(asked, goal)))
            if not texts.is_empty(outside):
                cut.append((outside, asked))
        if len(cut) > _MOST_CLASSES:
            raise LimitError(
                f"has more than {_MOST_CLASSES} ways in which its patterns may match together: "
                "expected fewer patterns, or such as share no names"
            )
        out = cut
    goals = ((names, rest if asked is None else asked) for names, asked in out)
    return tuple((names, goal) for names, goal in goals if goal != IMPOSSIBLE)


def _violations(
    reader: Reader,
    named: dict[str, Schema],
    classes: list[tuple[Text, Schema]],
    rest: Schema | None,
) -> list[Object]:
    """The ways in which an object isn't as these keywords ask."""
    goal = reader.document.goal
    out = [Object({name: goal(part, False)}, frozenset({name})) for name, part in named.items()]
    out += [Object(some=((names, goal(part, False)),)) for names, part in classes]
    if rest is not None:
        known = text.either([text.Words(tuple(named)), *(names for names, _ in classes)])
        others = text.but(tuple(named)) if not classes and named else reader.texts.outside(known)
        out.append(Object(some=((others, goal(rest, False)),)))
    possible = (x for x in out if IMPOSSIBLE not in [*x.properties.values(), *_goals(x)])
    return list(possible)


def _goals(x: Object) -> list[Goal]:
    return [goal for _, goal in x.some]


def required(reader: Reader, schema: Schema, holds: bool) -> Form:
    """required"""
    value = schema.value["required"]
    if isinstance(value, bool):
        raise malformed(schema, "required", value, "a list of names, beside 'properties'")
    names = _names(schema, "required", value)
    if holds:
        return _of([Object(required=frozenset(names), mentioned=frozenset(names))], True)
    return _of([_forbidden(name) for name in dict.fromkeys(names)], False)


def property_names(reader: Reader, schema: Schema, holds: bool) -> Form:
    """propertyNames"""
    with reader.plainly():
        names = reader.of(reader.document.child(schema, "propertyNames")).strings
    if not holds:
        return _of([Object(some=((reader.texts.outside(names), ANYTHING),))], False)
    return _of([Object(others=() if names == text.NONE else ((names, ANYTHING),))], True)


def min_properties(reader: Reader, schema: Schema, holds: bool) -> Form:
    """minProperties"""
    n = count(schema, "minProperties")
    if n > 1:
        why = "a name that no schema lists counts as often as it comes"
        reader.note(schema, "minProperties", "enforced", why)
    return _of([Object(low=n)] if holds else [Object(high=n - 1)] if n else [], holds)


def max_properties(reader: Reader, schema: Schema, holds: bool) -> Form:
    """maxProperties"""
    n = count(schema, "maxProperties")
    return _of([Object(high=n) if holds else Object(low=n + 1)], holds)


# ------------------------------------------------------------------------------------- dependencies


def _needs(reader: Reader, name: str, others: list[str], holds: bool) -> Form:
    """Where ``name`` is there, others are."""
    if holds:
        names = frozenset({name, *others})
        return _of([_forbidden(name), Object(required=names)], True)
    missing = [Object({other: IMPOSSIBLE}, frozenset({name})) for other in others if other != name]
    return _of(missing, False)


def _asks(reader: Reader, name: str, part: Schema, holds: bool) -> Form:
    """Where ``name`` is there, the object meets a schema."""
    present = _of([Object(required=frozenset({name}))], False)
    met = reader.algebra.both(present, reader.of(part, holds))
    return reader.algebra.either([_of([_forbidden(name)], True), met]) if holds else met


def _all(reader: Reader, parts: list[Form], holds: bool) -> Form:
    if not holds:
        return reader.algebra.either(parts)
    out = forms.ALL
    for form in parts:
        out = reader.algebra.both(out, form)
    return out


def dependent_required(reader: Reader, schema: Schema, holds: bool) -> Form:
    """dependentRequired"""
    value = schema.value["dependentRequired"]
    if not isinstance(value, dict):
        raise malformed(schema, "dependentRequired", value, "an object of lists of names")
    pairs = {name: _names(schema, "dependentRequired", others) for name, others in value.items()}
    return _all(reader, [_needs(reader, k, others, holds) for k, others in pairs.items()], holds)


def dependent_schemas(reader: Reader, schema: Schema, holds: bool) -> Form:
    """dependentSchemas"""
    parts = _schemas(reader, schema, "dependentSchemas")
    return _all(reader, [_asks(reader, name, part, holds) for name, part in parts.items()], holds)


def dependencies(reader: Reader, schema: Schema, holds: bool) -> Form:
    """dependencies, of either kind, as they were before 2019"""
    value = schema.value["dependencies"]
    if not isinstance(value, dict):
        raise malformed(schema, "dependencies", value, "an object")
    found = []
    for name, part in value.items():
        if isinstance(part, list):
            found.append(_needs(reader, name, _names(schema, "dependencies", part), holds))
        else:
            below = reader.document.child(schema, "dependencies", name)
            found.append(_asks(reader, name, below, holds))
    return _all(reader, found, holds)
