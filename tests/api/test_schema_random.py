"""Random schemas and values: a grammar accepts what ``jsonschema`` validates, and nothing else."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import ingot
import jsonschema
import pytest
from ingot.grammar import Grammar
from ingot.schema import to_gbnf
from schema_judge import WrongError, judge
from schema_mutants import mutant, seeds
from schema_random import TwiceError, distinct, text_of, value, walk, whole

SCHEMAS = 400
VALUES = 60
WALKS = 8


def compiled(schema: Any) -> Grammar | None:
    """None: nothing meets the schema."""
    grammar = Grammar.from_json_schema(schema, additional_properties=True)
    try:
        grammar.compile()
    except ingot.ArgumentError as e:
        if "no text matches" not in str(e):
            raise
        return None
    return grammar


@pytest.mark.parametrize("part", range(8))
def test_decides_as_a_validator_does(part: int) -> None:
    decided = 0
    for seed in range(part * SCHEMAS // 8, (part + 1) * SCHEMAS // 8):
        rng, made = whole(seed)
        try:
            grammar = compiled(made)
        except (ingot.UnsupportedError, ingot.LimitError):
            continue
        decided += 1
        validator = jsonschema.Draft202012Validator(made)
        for _ in range(VALUES):
            x = value(rng)
            accepted = grammar is not None and grammar.accepts(text_of(x))
            assert accepted == validator.is_valid(x), (seed, text_of(made), text_of(x))
        for _ in range(WALKS if grammar else 0):
            assert grammar is not None
            text = walk(rng, grammar)
            try:
                x = json.loads(text, object_pairs_hook=distinct)
            except TwiceError:
                continue  # a name that no schema lists is not compared with others
            assert validator.is_valid(x), (seed, text_of(made), text)
    assert decided > SCHEMAS / 8 * 0.7


def test_gbnf_and_closed_objects() -> None:
    """By default less is allowed, never something else; and GBNF says the same."""
    printed = 0
    for seed in range(SCHEMAS, SCHEMAS + 100):
        rng, made = whole(seed)
        try:
            grammar = Grammar.from_json_schema(made)
            grammar.compile()
            other = Grammar.from_gbnf(to_gbnf(made))
        except ingot.IngotError:
            continue
        printed += 1
        validator = jsonschema.Draft202012Validator(made)
        for _ in range(VALUES // 2):
            x = value(rng)
            accepted = grammar.accepts(text_of(x))
            assert not accepted or validator.is_valid(x), (seed, text_of(made), text_of(x))
            assert other.accepts(text_of(x)) == accepted, (seed, text_of(made), text_of(x))
        for _ in range(WALKS):
            text = walk(rng, grammar)
            assert other.accepts(text), (seed, text_of(made), text)
    assert printed > 50


def test_mutants_end_in_a_grammar_or_an_error_with_a_place(shared: Path) -> None:
    """A short run of tests/fuzz/fuzz_schema.py."""
    corpus = seeds(shared)
    rng = random.Random(7)
    found = [judge(mutant(rng, corpus), rng) for _ in range(200)]
    assert 50 < sum(grammar is not None for grammar in found) < 190


@pytest.mark.parametrize(
    ("patched", "by", "message"),
    [
        (
            "ingot.grammar.Grammar.from_json_schema",
            lambda *_, **__: Grammar.from_regex("0"),
            "valid",
        ),
        ("ingot.grammar.Grammar.compile", lambda _: next(iter(())), "StopIteration"),
        ("schema_judge.MOST_SECONDS", {"reading": 0.0}, "CPU time for reading"),
    ],
)
def test_what_is_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, patched: str, by: Any, message: str
) -> None:
    monkeypatch.setattr(patched, by)
    with pytest.raises(WrongError, match=message):
        judge({"type": "string"}, random.Random(1))
