"""The bundled model's answers under the schemas of public test suites, judged by jsonschema."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ingot
import jsonschema
import pytest
from ingot.grammar import Grammar

ANSWERS = 200
Judge = jsonschema.Draft202012Validator
FILES = ("jsts_draft2020-12.json", "schema_strings.json", "schema_strings_llg.json")


@pytest.fixture(scope="module")
def model() -> Iterator[ingot.Model]:
    with ingot.Model() as opened:
        yield opened


def _schemas(shared: Path) -> list[Any]:
    cases = [
        case
        for name in FILES
        for case in json.loads((shared / "conformance/schema" / name).read_bytes())["cases"]
    ]
    return [case["schema"] for case in cases]


def test_answers_are_valid(shared: Path, model: ingot.Model) -> None:
    """Of schemas that are read and allow a value, taken at random: half of the answers end by
    themselves if they do, half have to close with 40 tokens."""
    schemas = _schemas(shared)
    random.Random(6).shuffle(schemas)
    judged = 0
    for seed, schema in enumerate(schemas * 2):
        try:
            Judge.check_schema(schema)
            grammar = Grammar.from_json_schema(schema, additional_properties=True)
            grammar.compile(model)
        except (ingot.UnsupportedError, ingot.FormatError, ingot.ArgumentError, ingot.LimitError):
            continue
        except jsonschema.SchemaError:  # a pattern that Python's re doesn't know
            continue
        most = 40 if seed % 2 else 200
        answer = model.generate("A value: ", grammar=grammar, seed=seed, max_tokens=most)
        if answer.finish_reason == "length":  # its shortest text is longer
            with grammar.matcher(model) as matcher:
                assert len(matcher.closing()) > most
            continue
        assert answer.finish_reason == "eos"
        value = json.loads(answer.text)
        Judge(schema, format_checker=Judge.FORMAT_CHECKER).validate(value)
        judged += 1
        if judged == ANSWERS:
            return
    raise AssertionError(f"{judged} answers: there are too few schemas")
