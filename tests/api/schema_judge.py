"""What a schema's grammar must hold to, whatever the schema: else WrongError."""

from __future__ import annotations

import copy
import json
import math
import random
import re
import time
import warnings
from typing import Any

import ingot
import jsonschema
import referencing
from ingot.grammar import Grammar
from schema_random import TwiceError, distinct, text_of, value, walk

# Of CPU time for a schema, on machines that are slow or busy.
MOST_SECONDS = {"reading": 1.0, "compiling": 2.0}
_PLACE = re.compile(r"^#.* of the schema", re.DOTALL)
_NO_PLACE = re.compile(
    r"the schema|in the grammar|no text matches the grammar"
)  # but what it is of
_WALKS = 4
_VALUES = 12

# What jsonschema reads in another way than the standard or than docs/schema.md says.
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OWN = {"nullable", "dependencies", "additionalItems", "$recursiveRef", "id"}
_FORMATS = set(jsonschema.Draft202012Validator.FORMAT_CHECKER.checkers) - {
    "regex",
    "date",
    "date-time",
}
_PLAIN_PATTERN = re.compile(r"\^?(?:[a-zA-Z0-9 _:,-]|\[\^?[a-z0-9]+\]|[*+?|]|\{\d,?\d?\})*\$?")


class WrongError(Exception):
    """A schema's grammar isn't what it should be."""


def judge(schema: Any, rng: random.Random) -> Grammar | None:
    """Compiles a schema and compares it with ``jsonschema``; None: it is an error."""
    wide = rng.random() < 0.8
    grammar, late = _compiled(schema, wide)
    if late:  # again, in case the machine was what took so long
        grammar, late = _compiled(schema, wide)
    if late:
        raise WrongError(late)
    if grammar is not None:
        _compare(schema, grammar, rng)
    return grammar


def _compiled(schema: Any, wide: bool) -> tuple[Grammar | None, str]:
    """The grammar, if there is one, and what took too long."""
    grammar: Grammar | None
    times = [time.process_time()]
    try:
        grammar = Grammar.from_json_schema(schema, additional_properties=wide)
        times.append(time.process_time())
        grammar.compile()
    except ingot.IngotError as e:
        placed = isinstance(e, (ingot.FormatError, ingot.UnsupportedError))
        if not (_PLACE if placed else _NO_PLACE).search(str(e)):
            raise WrongError(f"an error without a place: {e}") from e
        grammar = None
    except Exception as e:
        raise WrongError(f"{type(e).__name__}: {e}") from e
    times.append(time.process_time())
    for (what, most), start, end in zip(MOST_SECONDS.items(), times, times[1:], strict=False):
        if end - start > most:
            return grammar, f"{end - start:.1f} s of CPU time for {what}"
    return grammar, ""


def _compare(schema: Any, grammar: Grammar, rng: random.Random) -> None:
    validator = _validator(schema)
    with grammar.matcher() as matcher:
        texts = [matcher.shortest().decode()]
    texts += [walk(rng, grammar) for _ in range(_WALKS)]
    for text in texts:
        if not grammar.accepts(text):
            raise WrongError(f"the grammar doesn't accept its own {text}")
    try:
        known = [json.loads(text, object_pairs_hook=distinct) for text in texts]
    except TwiceError:
        known = []
    except ValueError as e:
        raise WrongError(f"no JSON: {texts}") from e
    if validator is None:
        return
    near = [_changed(rng, x) for x in known for _ in range(2)]
    for x in [*known, *near, *(value(rng) for _ in range(_VALUES))]:
        try:
            valid = validator.is_valid(x)
        except Exception:
            return
        if not valid and _is_small(x) and grammar.accepts(text_of(x)):
            raise WrongError(f"accepts {text_of(x)}, which isn't valid")


def _validator(schema: Any) -> Any:
    """jsonschema's, where it is to be trusted."""
    if not _is_plain(schema):
        return None
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except Exception:
        return None
    kind = jsonschema.Draft202012Validator
    return kind(schema, registry=referencing.Registry(), format_checker=kind.FORMAT_CHECKER)


def _is_plain(found: Any) -> bool:
    waiting = [found]
    while waiting:
        inside = waiting.pop()
        if isinstance(inside, dict):
            if _OWN & set(inside) or inside.get("$schema", _DRAFT) != _DRAFT:
                return False
            patterns = [inside.get("pattern", "")]
            if isinstance(inside.get("patternProperties"), dict):
                patterns += inside["patternProperties"]
            if not all(isinstance(p, str) and _PLAIN_PATTERN.fullmatch(p) for p in patterns):
                return False
            multiple = inside.get("multipleOf", 1)
            if isinstance(multiple, float) and multiple not in (0.25, 0.5, 1.0, 2.0):
                return False
            if "format" in inside and str(inside["format"]) not in _FORMATS:
                return False
        if isinstance(inside, (dict, list)):
            waiting += inside.values() if isinstance(inside, dict) else inside
        elif not _is_small(inside):
            return False
    return True


def _is_small(x: Any) -> bool:
    """Whether floats hold all of it."""
    if isinstance(x, (dict, list)):
        return all(map(_is_small, x.values() if isinstance(x, dict) else x))
    return not isinstance(x, (int, float)) or (math.isfinite(x) and abs(x) < 2**50)


def _changed(rng: random.Random, given: Any) -> Any:
    """A value with a small change."""
    found = copy.deepcopy(given)
    if isinstance(found, list) and found and rng.random() < 0.8:
        i = rng.randrange(len(found))
        found[i : i + rng.randrange(2)] = [_changed(rng, found[i])] * rng.randrange(3)
        return found
    if isinstance(found, dict) and found and rng.random() < 0.8:
        name = rng.choice(list(found))
        if rng.random() < 0.3:
            del found[name]
        elif rng.random() < 0.3:
            found[rng.choice(["a", "b", "ab", "c"])] = value(rng)
        else:
            found[name] = _changed(rng, found[name])
        return found
    if isinstance(found, str):
        return found + rng.choice(["a", "", "1"]) if rng.random() < 0.6 else found[1:]
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        return rng.choice([found + 1, found - 1, -found, found * 2])
    return value(rng)


warnings.filterwarnings("ignore", category=DeprecationWarning, module="jsonschema")
