"""Random schemas, values and texts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from ingot.grammar import Grammar

NAMES = ["a", "b", "ab", "c"]
SCALARS: list[Any] = [None, True, False, 0, 1, 2, 3, -1, 1.5, 0.25, 10, "", "a", "b", "ab", 'q"\t']
PATTERNS = ["^a", "b$", "^a*$", "a|b", "[^a]", "^.{1,2}$"]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]

Make = Callable[[random.Random, int], dict[str, Any]]


def value(rng: random.Random, depth: int = 2) -> Any:
    kind = rng.random()
    if depth == 0 or kind < 0.5:
        return rng.choice(SCALARS)
    if kind < 0.7:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(NAMES): value(rng, depth - 1) for _ in range(rng.randrange(4))}


def some(rng: random.Random, depth: int, most: int = 3) -> list[Any]:
    return [schema(rng, depth - 1) for _ in range(rng.randint(1, most))]


def named(rng: random.Random, depth: int, names: list[str]) -> dict[str, Any]:
    return {name: schema(rng, depth - 1) for name in rng.sample(names, rng.randint(1, 2))}


def names(rng: random.Random) -> list[str]:
    return rng.sample(NAMES, rng.randrange(3))


FLAT: list[Make] = [
    lambda r, d: {"type": r.choice(TYPES)},
    lambda r, d: {"type": r.sample(TYPES, 3)},
    lambda r, d: {"enum": [value(r, 1) for _ in range(r.randint(1, 5))]},
    lambda r, d: {"const": value(r, 2)},
    lambda r, d: {r.choice(["minimum", "exclusiveMinimum"]): r.choice([-1, 0, 1.5, 2])},
    lambda r, d: {r.choice(["maximum", "exclusiveMaximum"]): r.choice([-1, 0.25, 1, 2, 10])},
    lambda r, d: {"multipleOf": r.choice([1, 2, 3, 0.25, 0.5])},
    lambda r, d: {"minLength": r.randrange(3)},
    lambda r, d: {"maxLength": r.randrange(3)},
    lambda r, d: {"pattern": r.choice(PATTERNS)},
    lambda r, d: {"minItems": r.randrange(3)},
    lambda r, d: {"maxItems": r.randrange(4)},
    lambda r, d: {"required": names(r)},
    lambda r, d: {"minProperties": r.randrange(3)},
    lambda r, d: {"maxProperties": r.randrange(4)},
    lambda r, d: {"dependentRequired": {r.choice(NAMES): names(r)}},
]
DEEP: list[Make] = [
    lambda r, d: {"items": schema(r, d - 1)},
    lambda r, d: {"prefixItems": some(r, d)},
    lambda r, d: {"prefixItems": some(r, d), "items": schema(r, d - 1)},
    lambda r, d: {"contains": schema(r, d - 1)},
    lambda r, d: {"contains": schema(r, d - 1), "minContains": r.randrange(3), "maxContains": 2},
    lambda r, d: {"properties": named(r, d, NAMES)},
    lambda r, d: {"properties": named(r, d, NAMES), "additionalProperties": schema(r, d - 1)},
    lambda r, d: {"patternProperties": named(r, d, PATTERNS)},
    lambda r, d: {"propertyNames": schema(r, d - 1)},
    lambda r, d: {"dependentSchemas": named(r, d, NAMES)},
    lambda r, d: {"allOf": some(r, d)},
    lambda r, d: {"anyOf": some(r, d)},
    lambda r, d: {"oneOf": some(r, d)},
    lambda r, d: {"not": schema(r, d - 1)},
    lambda r, d: {"if": schema(r, d - 1), "then": schema(r, d - 1), "else": schema(r, d - 1)},
    lambda r, d: {"unevaluatedProperties": schema(r, d - 1)},
    lambda r, d: {"unevaluatedItems": schema(r, d - 1)},
    lambda r, d: {"$ref": "#/$defs/other"},
]


def schema(rng: random.Random, depth: int) -> Any:
    if rng.random() < 0.08:
        return rng.random() < 0.7
    out: dict[str, Any] = {}
    for _ in range(rng.choice([1, 1, 2, 3])):
        out.update(rng.choice(FLAT if depth <= 0 or rng.random() < 0.4 else DEEP)(rng, depth))
    return out


def whole(seed: int) -> tuple[random.Random, Any]:
    rng = random.Random(seed)
    out = schema(rng, 2)
    if isinstance(out, dict):
        out["$defs"] = {"other": rng.choice(FLAT)(rng, 0)}
    return rng, out


def text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class TwiceError(Exception):
    """A name comes twice."""


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise TwiceError
    return dict(pairs)


def walk(rng: random.Random, grammar: Grammar) -> str:
    """A text of the grammar: a random beginning and the shortest end."""
    with grammar.matcher() as matcher:
        out = ""
        for _ in range(rng.randrange(12)):
            piece = rng.choice(['"', "a", "b", ":", ",", "[", "{", "1", "-", ".", "5", "\\u00e9"])
            if matcher.accept(piece):
                out += piece
        return out + matcher.shortest().decode()
