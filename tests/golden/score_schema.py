"""How many cases of public test suites the grammars of JSON schemas decide right; prints a table.

    python tests/golden/score_schema.py [SHARED]

``SHARED/conformance/schema`` holds the cases (its README says how they are read).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ingot
from ingot.grammar import Grammar

# Cases that llama.cpp rejects by a policy of its own, by (schema's name, text); the standard allows
# the value. Those of one reason stand together.
SET_ASIDE = {
    "an integer may have any number of digits": {
        ("min 0", "100000000000000000000000000000000"),
        ("min 2", "12345678900000000"),
    },
    "'items' and 'minItems' ask nothing of what is no array": {("min+max items", "1")},
    "properties may come in any order": {
        ("object properties", '{ "street_name": "Pennsylvania", "number": 1600 }'),
        (
            "object properties, additionalProperties: true",
            '{ "street_name": "Pennsylvania", "number": 1600, "street_type":"Avenue"}',
        ),
        (
            "required + optional props each in original order",
            '{ "street_type": "Avenue", "number": 1600 }',
        ),
        ("required + optional props each in original order", '{"a": "foo", "b": "bar"}'),
        (
            "required + optional props each in original order",
            '{"a":"foo", "b":"bar", "c":"baz", "d":"qux"}',
        ),
        ("required props", '{"productName": "A green door", "price": 12.50, "productId": 1}'),
        (
            "required props",
            '{"productId": 1, "productName": "A green door", "price": 12.50, "dimensions": '
            '{"length": 785, "width": 250.5, "height": -0.359}, "tags": ["home", "green"]}',
        ),
    },
}


@dataclass
class Score:
    """What became of the cases of one file."""

    right: int = 0
    set_aside: int = 0
    wrongly_accepted: list[str] = field(default_factory=list)
    wrongly_refused: list[str] = field(default_factory=list)
    refused_schemas: dict[str, int] = field(default_factory=dict)  # why: cases

    @property
    def undecided(self) -> int:
        return sum(self.refused_schemas.values())

    @property
    def total(self) -> int:
        wrong = len(self.wrongly_accepted) + len(self.wrongly_refused)
        return self.right + self.set_aside + wrong + self.undecided


def layout(text: str) -> str:
    """A JSON text in our layout: integers without a fraction, characters as themselves."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        return value

    return json.dumps(plain(json.loads(text)), ensure_ascii=False)


def accepts(grammar: Grammar, text: str, relaid: bool) -> bool:
    """Whether a text passes, as it stands or (``relaid``) in our layout."""
    if grammar.accepts(text):
        return True
    try:
        return relaid and grammar.accepts(layout(text))
    except ValueError:
        return False


def _judge(score: Score, grammar: Grammar | None, case: dict[str, Any], values: bool) -> None:
    """``grammar`` None: no value meets the schema. ``values``: what is rejected is a value, in
    whatever layout, and not a text."""
    name = case["name"]
    for text in case["accept"]:
        if grammar is not None and accepts(grammar, text, relaid=True):
            score.right += 1
        else:
            score.wrongly_refused.append(f"{name}: {text}")
    for text in case["reject"]:
        aside = any((name, text) in cases for cases in SET_ASIDE.values())
        if grammar is None or not accepts(grammar, text, relaid=values):
            score.right += 1
        elif aside:
            score.set_aside += 1
        else:
            score.wrongly_accepted.append(f"{name}: {text}")


def _grammar(schema: Any, **how: Any) -> Grammar | None:
    grammar = Grammar.from_json_schema(schema, **how)
    try:
        grammar.compile()
    except ingot.ArgumentError as e:
        if "no text matches" in str(e):
            return None
        raise
    return grammar


def suite(shared: Path) -> Score:
    """The JSON-Schema-Test-Suite: schemas are read as the standard says."""
    score = Score()
    cases = json.loads((shared / "conformance/schema/jsts_draft2020-12.json").read_bytes())["cases"]
    for case in cases:
        try:
            grammar = _grammar(case["schema"], additional_properties=True)
        except (ingot.UnsupportedError, ingot.LimitError) as e:
            n = len(case["accept"]) + len(case["reject"])
            why = f"{case['keyword']}: {case['name']}: {e}"
            score.refused_schemas[why] = score.refused_schemas.get(why, 0) + n
            continue
        _judge(score, grammar, case, True)
    return score


def strings(shared: Path, name: str, additional_properties: bool) -> Score:
    """Texts of llama.cpp's tests. 'uniqueItems' of any strings is left out: see docs/schema.md."""
    score = Score()
    cases = json.loads((shared / f"conformance/schema/{name}.json").read_bytes())["cases"]
    for case in cases:
        how = {"additional_properties": additional_properties, "best_effort": True}
        plain = {kind: [x["text"] for x in case[kind]] for kind in ("accept", "reject")}
        _judge(score, _grammar(case["schema"], **how), {"name": case["name"], **plain}, False)
    return score


def scores(shared: Path) -> dict[str, Score]:
    """All files."""
    return {
        "JSON-Schema-Test-Suite": suite(shared),
        "llama.cpp's strings": strings(shared, "schema_strings", False),
        "llguidance's variant": strings(shared, "schema_strings_llg", True),
    }


def table(found: dict[str, Score]) -> list[str]:
    """The table of tests/golden/README.md."""
    lines = [
        "| cases | all | right | wrongly accepted | wrongly refused | schema refused | set aside |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, s in found.items():
        right = f"{s.right} ({100 * s.right / s.total:.1f} %)"
        wrong = f"{len(s.wrongly_accepted)} | {len(s.wrongly_refused)}"
        lines.append(f"| {name} | {s.total} | {right} | {wrong} | {s.undecided} | {s.set_aside} |")
    return lines


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    found = scores(Path(sys.argv[1]) if len(sys.argv) > 1 else root.parent / "shared")
    print("\n".join(table(found)))
    for name, score in found.items():
        for title, lines in (
            ("wrongly accepted", score.wrongly_accepted),
            ("wrongly refused", score.wrongly_refused),
            ("refused schemas", [f"{n} {why}" for why, n in score.refused_schemas.items()]),
        ):
            print(f"\n{name}, {title}:", *lines, sep="\n  ")


if __name__ == "__main__":
    main()
