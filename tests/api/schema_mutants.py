"""Mutants of JSON schemas, most of them wrong in some way."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ingot.schema.keywords import HANDLERS
from schema_random import schema, value, whole

FILES = ("jsts_draft2020-12", "schema_strings", "schema_strings_llg", "schema_to_gbnf")

KEYWORDS = [*HANDLERS, "unevaluatedItems", "unevaluatedProperties", "$defs", "$id", "$anchor"]
ODD: list[Any] = [
    *(0, -1, 1, 2, 0.5, 1.0, 1e308, -1e-300, 10**30, -(2**63), float("inf"), float("nan")),
    *(None, True, False, "", "a", "#", "#/$defs/a", "#/properties/a", "date", "\ud800", "\0", "~2"),
    *([], [[]], {}, {"a": {}}, ["a", "a"], [1, "a"]),
]
PATTERNS = [
    *("^a{2,5}$", "[", "(?!a)", "^(?=a)b", "(a|b)*c", r"\p{L}+", r"\d{3}-\w", "a{1000}", "(a*)*$"),
    *("[^a]{0,200}a.{200}", "^$", "$^", "|", r"\u0041", "\\", "(?:a|ab)(?:c|bcd)(?:d*)", r"\bx"),
]

DEEP = 100  # what is deeper isn't changed again

Place = tuple[Any, Any]  # a list or an object, and an index or a name in it


def seeds(shared: Path) -> list[Any]:
    """The schemas of public test suites."""
    out = []
    for name in FILES:
        cases = json.loads((shared / f"conformance/schema/{name}.json").read_bytes())["cases"]
        out += [case["schema"] for case in cases]
    return out


def mutant(rng: random.Random, corpus: list[Any]) -> Any:
    """A schema of the corpus or a random one with some changes."""
    found = rng.choice(corpus) if corpus and rng.random() < 0.8 else whole(rng.randrange(2**32))[1]
    holder = [copy.deepcopy(found)]
    for _ in range(rng.choice([1, 1, 2, 3, 5])):
        places = list(_places(holder))
        rng.choice(CHANGES)(rng, rng.choice(places), places)
        if depth(holder) > DEEP:
            break
    return holder[0]


def depth(found: Any) -> int:
    """How many lists and objects are within each other."""
    layer, out = [found], -1
    while layer:
        inside = [x for x in layer if isinstance(x, (dict, list))]
        layer = [y for x in inside for y in (x.values() if isinstance(x, dict) else x)]
        out += 1
    return out


def _places(holder: Any) -> Iterator[Place]:
    waiting = [holder]
    while waiting:
        inside = waiting.pop()
        items = list(inside.items() if isinstance(inside, dict) else enumerate(inside))
        for key, item in items:
            yield inside, key
            if isinstance(item, (dict, list)):
                waiting.append(item)


def _odd(rng: random.Random, place: Place, _: list[Place]) -> None:
    place[0][place[1]] = copy.deepcopy(rng.choice(ODD))


def _copied(rng: random.Random, place: Place, places: list[Place]) -> None:
    inside, key = rng.choice(places)
    place[0][place[1]] = copy.deepcopy(inside[key])


def _removed(rng: random.Random, place: Place, _: list[Place]) -> None:
    if isinstance(place[0], dict):
        del place[0][place[1]]


def _renamed(rng: random.Random, place: Place, _: list[Place]) -> None:
    if isinstance(place[0], dict):
        place[0][rng.choice(KEYWORDS)] = place[0].pop(place[1])


def _grown(rng: random.Random, place: Place, _: list[Place]) -> None:
    found = place[0][place[1]]
    made = schema(rng, rng.randrange(3))
    if isinstance(found, dict) and isinstance(made, dict):
        found.update(made)
    elif isinstance(found, list):
        found.append(made)
    else:
        place[0][place[1]] = made


def _keyword(rng: random.Random, place: Place, _: list[Place]) -> None:
    found = place[0][place[1]]
    if isinstance(found, dict):
        found[rng.choice(KEYWORDS)] = rng.choice(
            [rng.randrange(9), rng.choice(PATTERNS), schema(rng, 1), [schema(rng, 1)], value(rng)]
        )


def _changed(rng: random.Random, place: Place, _: list[Place]) -> None:
    found = place[0][place[1]]
    if isinstance(found, str):
        at = rng.randrange(len(found) + 1)
        place[0][place[1]] = found[:at] + rng.choice("ab/#$^\\[(|)*?{0\u00e9") + found[at + 1 :]
    elif isinstance(found, (int, float)):
        place[0][place[1]] = rng.choice([found + 1, found - 1, found * 10, found / 3, -found])


def _pattern(rng: random.Random, place: Place, _: list[Place]) -> None:
    found = place[0][place[1]]
    if isinstance(found, dict):
        found["pattern"] = rng.choice(PATTERNS)


def _wrapped(rng: random.Random, place: Place, _: list[Place]) -> None:
    found = place[0][place[1]]
    wrap = rng.choice(WRAPS)
    for _turn in range(rng.choice([1, 1, 1, 2, 3, 40, 150])):
        found = wrap(found)
    place[0][place[1]] = found


def _referred(rng: random.Random, place: Place, _: list[Place]) -> None:
    where = ["#", "#/$defs/other", "#/properties/a", "#/items", "#/allOf/0", "#/not", "#a", "b"]
    place[0][place[1]] = {"$ref": rng.choice(where)}


WRAPS: list[Callable[[Any], Any]] = [
    lambda s: {"not": s},
    lambda s: {"allOf": [s]},
    lambda s: {"anyOf": [s, {"type": "null"}]},
    lambda s: {"oneOf": [s, True]},
    lambda s: {"items": s},
    lambda s: {"contains": s},
    lambda s: {"properties": {"a": s}},
    lambda s: {"additionalProperties": s, "minProperties": 1},
    lambda s: {"if": s, "then": False},
]
CHANGES: list[Callable[[random.Random, Place, list[Place]], None]] = [
    *(_odd, _copied, _removed, _renamed, _grown, _keyword, _changed, _pattern, _wrapped, _referred),
]
