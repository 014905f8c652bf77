"""Grammars of JSON schemas against public test suites: the score of README.md is what comes out."""

from __future__ import annotations

import json
from pathlib import Path

import ingot
import pytest
import score_schema
from ingot.grammar import Grammar
from ingot.schema import to_gbnf

HERE = Path(__file__).resolve().parent


def test_the_score(shared: Path) -> None:
    found = score_schema.scores(shared)
    suite = found["JSON-Schema-Test-Suite"]
    assert suite.total == 1299
    assert suite.right >= 0.85 * suite.total
    for score in found.values():
        assert score.wrongly_accepted == []
    for name in ("llama.cpp's strings", "llguidance's variant"):
        assert found[name].wrongly_refused == []
        assert found[name].refused_schemas == {}
    aside = sum(len(cases) for cases in score_schema.SET_ASIDE.values())
    assert found["llama.cpp's strings"].set_aside == aside
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    assert "\n".join(score_schema.table(found)) in readme, "run score_schema.py"


def test_schemas_that_llama_cpp_converts(shared: Path) -> None:
    """What it converts is read here, too, unless it breaks the standard or is named below."""
    refused = {
        "string array": "a list of schemas",
        "nullable string array": "a list of schemas",
        "array with empty items and prefixItems": "a list of schemas",
    }
    cases = json.loads((shared / "conformance/schema/schema_to_gbnf.json").read_bytes())["cases"]
    for case in cases:
        if case["expect"] == "failure":
            with pytest.raises(ingot.FormatError, match="of the schema"):
                Grammar.from_json_schema(case["schema"])
        elif case["name"] in refused:
            with pytest.raises(ingot.IngotError, match=refused[case["name"]]):
                Grammar.from_json_schema(case["schema"])
        else:
            Grammar.from_json_schema(case["schema"]).compile()


def test_gbnf_of_the_same_texts(shared: Path) -> None:
    """What is printed as GBNF and read again decides as the schema's own grammar does."""
    printed = 0
    path = shared / "conformance/schema/jsts_draft2020-12.json"
    for case in json.loads(path.read_bytes())["cases"]:
        texts = [score_schema.layout(text) for text in case["accept"] + case["reject"]]
        try:
            own = Grammar.from_json_schema(case["schema"], additional_properties=True)
            other = Grammar.from_gbnf(to_gbnf(case["schema"], additional_properties=True))
        except ingot.UnsupportedError:
            continue
        printed += 1
        assert [other.accepts(text) for text in texts] == [own.accepts(text) for text in texts]
    assert printed > 200
