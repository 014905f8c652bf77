"""The Python side of JSON schemas: parameters, errors, reports, GBNF, the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ingot
import pytest
from ingot.cli import main
from ingot.grammar import Grammar
from ingot.schema import report, to_gbnf

CASES: list[tuple[Any, list[str], list[str]]] = [
    (
        {"type": "string", "maxLength": 2},
        ['"\\ud83d\\ude00é"', '"\\n\\u0041"'],
        ['"abc"', '"\\ud83d"'],
    ),
    ({"type": "string", "pattern": "^n"}, ['"n"', '"nx"'], ['"\\n"', '"\\u006e"', '"an"']),
    ({"type": "string", "pattern": 'a"b\\\\c'}, ['"a\\"b\\\\c"'], ['"a"b"', '"ab"']),
    (
        {"type": "string", "pattern": "^a*$", "minLength": 2, "maxLength": 3},
        ['"aa"', '"aaa"'],
        ['"a"', '"aaaa"', '"ab"'],
    ),
    (
        {"type": "string", "pattern": "^(?=.*[A-Z])(?=.*[0-9]).{3,}$"},
        ['"aB1"', '"1xZ!"'],
        ['"B1"', '"abc1"', '"ABC"'],
    ),
    (
        {"type": "string", "pattern": "^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"},
        ['"-1.5"', '"007"'],
        ['"-"', '"."', '""', '"1a"'],
    ),
    ({"type": "string", "pattern": "^(?!no)|yes"}, ['"oh yes"', '"no yes"', '"n"'], ['"nothing"']),
    ({"pattern": "^\\p{Lu}+$", "type": "string"}, ['"ÄB"'], ['"a"', '""']),
    ({"type": "string", "format": "date"}, ['"2024-02-29"'], ['"2023-02-29"', '"2024-13-01"']),
    ({"type": "string", "format": "ipv6"}, ['"::1"', '"1:2::7:8"'], ['"1::2::3"', '"12345::"']),
    ({"type": "string", "format": "uri"}, ['"https://a.b/c?d#e"'], ['"a b"', '"no"']),
    ({"type": "string", "format": "hostname"}, ['"a.b-c"'], ['"-a"', f'"{"a." * 130}a"']),
    (
        {"type": "integer", "minimum": -3, "maximum": 12},
        ["-3", "0", "12"],
        ["-4", "13", "-0", "1.0"],
    ),
    ({"type": "integer", "minimum": 99}, ["99", "100", "12345"], ["98", "9", "099"]),
    (
        {"type": "number", "minimum": 0.5, "exclusiveMaximum": 2},
        ["0.5", "1", "1.999"],
        ["0.49", "2", "2.0"],
    ),
    ({"type": "number", "maximum": -1.25}, ["-1.25", "-2", "-10.5"], ["-1.2", "-1", "0", "1.25"]),
    ({"type": "number", "multipleOf": 0.01}, ["1", "1.25", "-0.1"], ["1.255"]),
    ({"type": "number", "multipleOf": 0.25}, ["3", "0.5", "-1.75", "1.00"], ["0.3", "1.255"]),
    ({"type": "integer", "multipleOf": 7, "minimum": 100}, ["105", "7007"], ["98", "104", "7008"]),
    ({"type": "integer", "not": {"multipleOf": 3}}, ["1", "-2", "100"], ["0", "3", "-99"]),
    (
        {"minimum": 0, "maximum": 0, "not": {"type": "integer"}, "type": ["number", "null"]},
        ["null"],
        ["0"],
    ),
    ({"type": "integer", "format": "int8"}, ["-128", "127"], ["128", "-129"]),
    ({"type": "number", "not": {"type": "integer"}}, ["1.5", "-0.25"], ["1", "1.0", "2e1"]),
    ({"enum": [1, "a", None, {"x": [True]}]}, ["1", '{"x": [true]}'], ['"1"', '{"x": [false]}']),
    (
        {"type": "string", "not": {"enum": ["a", "ab"]}},
        ['"b"', '""', '"abc"'],
        ['"a"', '"ab"', "1"],
    ),
    (
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 2},
        ["[1, 2]", "[3,1,2]"],
        ["[1]", "[1, 1]", "[1,2,3,1]"],
    ),
    (
        {"type": "array", "contains": {"const": 1}, "maxContains": 2, "items": {"type": "integer"}},
        ["[1]", "[2, 1, 3, 1]"],
        ["[]", "[2]", "[1,1,1]"],
    ),
    (
        {"type": "object", "patternProperties": {"^x-": {"type": "integer"}}},
        ['{"x-a": 1}', "{}"],
        ['{"x-a": "1"}', '{"y": 1}'],
    ),
    ({"type": "object", "minProperties": 2}, ['{"a": 1, "b": 2}'], ['{"a": 1}', "{}"]),
    ({"type": "object", "properties": {}}, ["{}", "{ }"], ['{"a": 1}']),
    ({"type": "object"}, ["{}", '{"a": [1]}'], ["[]"]),
    ({"type": "string", "nullable": True}, ["null", '"a"'], ["1"]),
    (
        {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": True}}]},
        ['{"a": 1, "b": 2}'],
        ['{"c": 1}', '{"a": ""}'],
    ),
    (
        {"oneOf": [{"type": "integer", "minimum": 2}, {"type": "integer", "maximum": 5}]},
        ["1", "6"],
        ["2", "5"],
    ),
    (
        {
            "type": "object",
            "properties": {"kind": {"enum": ["a", "b"]}, "n": {"type": "integer"}},
            "required": ["kind"],
            "if": {"properties": {"kind": {"const": "a"}}},
            "then": {"required": ["n"]},
        },
        ['{"kind": "b"}', '{"n": 1, "kind": "a"}'],
        ['{"kind": "a"}'],
    ),
    (
        {
            "$ref": "#/$defs/tree",
            "$defs": {
                "tree": {
                    "type": "object",
                    "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                }
            },
        },
        ['{"kids": [{}, {"kids": [{"kids": []}]}]}'],
        ['{"kids": [1]}'],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=lambda x: json.dumps(x)[:60])
def test_keywords(schema: Any, good: list[str], bad: list[str]) -> None:
    grammar = Grammar.from_json_schema(schema)
    assert [text for text in good if not grammar.accepts(text)] == []
    assert [text for text in bad if grammar.accepts(text)] == []


def test_whitespace_is_bounded() -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    free = Grammar.from_json_schema(schema)
    assert free.accepts("[1,2]")
    assert free.accepts("[\n  1,\n  2\n]")
    assert not free.accepts("[1,  2]")
    assert not free.accepts("[\n\n1]")
    assert not free.accepts(f"[\n{' ' * 65}1]")
    compact = Grammar.from_json_schema(schema, whitespace="compact")
    assert compact.accepts("[1,2]")
    assert not compact.accepts("[1, 2]")


def test_other_properties() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert not Grammar.from_json_schema(schema).accepts('{"b": 1}')
    wide = Grammar.from_json_schema(schema, additional_properties=True)
    assert wide.accepts('{"b": 1, "a": 2}')
    assert not wide.accepts('{"a": "1"}')
    assert not wide.accepts('{"\\u0061": "1"}')


def test_any_json() -> None:
    grammar = Grammar.from_json()
    assert grammar.accepts('{"a": [1.5e3, null, "\\u00e9"]}')
    assert not grammar.accepts('{"a": 01}')


class Model:
    """As pydantic's models look from outside."""

    @staticmethod
    def model_json_schema() -> dict[str, Any]:
        field = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Name"}
        return {"properties": {"name": field}, "title": "Model", "type": "object"}


def test_tokens(model: ingot.Model) -> None:
    """A model that may only say what the grammar allows says what meets the schema."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    with Grammar.from_json_schema(schema).matcher(model) as matcher:
        for token in model.tokenize('{"n": 12}'):
            if token in model.tokenize(""):
                continue
            assert matcher.mask()[token]
            assert matcher.accept_token(token)
        assert matcher.accepting


def test_models() -> None:
    grammar = Grammar.from_pydantic(Model, whitespace="compact")
    assert grammar.accepts('{"name":null}')
    assert not grammar.accepts('{"name": null}')
    with pytest.raises(ingot.ArgumentError, match="pydantic model"):
        Grammar.from_pydantic(dict)


REFUSED: list[tuple[Any, str]] = [
    (
        {"properties": {"a/b": {"uniqueItems": True}}},
        r"#/properties/a~1b/uniqueItems of the schema",
    ),
    ({"type": "string", "pattern": "a(?=b)"}, r"#/pattern of the schema.*looking ahead"),
    ({"pattern": r"[a\p{Script=Greek}]"}, r"#/pattern of the schema.*a property that isn't known"),
    ({"format": "path"}, r"#/format of the schema.*'path'"),
    ({"$ref": "https://example.com/a.json"}, r"#/\$ref of the schema.*nothing is fetched"),
    ({"type": "number", "multipleOf": 1.5}, r"#/multipleOf of the schema.*1 is a multiple"),
    ({"type": "integer", "multipleOf": 99999999}, r"#/multipleOf of the schema.*states"),
    ({"not": {"uniqueItems": True}}, r"#/not/uniqueItems of the schema"),
    (
        {"contains": {"const": 1}, "minContains": 2, "prefixItems": [{"type": "integer"}]},
        r"#/contains of the schema",
    ),
]


@pytest.mark.parametrize(("schema", "message"), REFUSED, ids=lambda x: json.dumps(x)[:60])
def test_what_cant_be_enforced(schema: Any, message: str) -> None:
    with pytest.raises(ingot.UnsupportedError, match=message):
        Grammar.from_json_schema(schema)
    if "$ref" in schema:
        return
    grammar = Grammar.from_json_schema(schema, best_effort=True)
    grammar.compile()
    assert len(grammar.warnings) == 1
    assert "isn't enforced" in grammar.warnings[0]
    assert not report(schema).exact


MALFORMED: list[tuple[Any, str]] = [
    ({"type": "text"}, r"#/type of the schema is 'text': expected"),
    ({"properties": {"a": 1}}, r"#/properties/a of the schema is 1: expected a schema"),
    ({"items": {"minLength": -1}}, r"#/items/minLength of the schema is -1"),
    ({"enum": 3}, "#/enum of the schema is 3"),
    ({"const": float("nan")}, "#/const of the schema"),
    ({"pattern": "(a"}, r"#/pattern of the schema: .*without a '\)'"),
    ({"$ref": "#/$defs/none"}, r"leads nowhere"),
    ({"$ref": "#"}, "without an end"),
    ({"required": "a"}, "#/required of the schema"),
    ({"anyOf": []}, "#/anyOf of the schema"),
    ([], "expected a schema"),
]


@pytest.mark.parametrize(("schema", "message"), MALFORMED, ids=str)
def test_what_is_no_schema(schema: Any, message: str) -> None:
    for best_effort in (False, True):
        with pytest.raises(ingot.FormatError, match=message):
            Grammar.from_json_schema(schema, best_effort=best_effort)


def test_parameters_are_checked() -> None:
    with pytest.raises(ingot.ArgumentError, match="whitespace"):
        Grammar.from_json_schema(True, whitespace="none")  # type: ignore[arg-type]
    with pytest.raises(ingot.ArgumentError, match="one_of"):
        Grammar.from_json_schema(True, one_of="all")  # type: ignore[arg-type]


def test_one_of_as_any() -> None:
    schema = {"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 3}]}
    assert not Grammar.from_json_schema(schema).accepts("4")
    assert Grammar.from_json_schema(schema, one_of="any").accepts("4")


def nested(depth: int) -> Any:
    out: Any = {"type": "integer"}
    for _ in range(depth):
        out = {"type": "object", "properties": {"a": out}, "required": ["a"]}
    return out


def test_depth_has_no_end() -> None:
    depth = 2000
    grammar = Grammar.from_json_schema(nested(depth))
    assert grammar.accepts('{"a":' * depth + "1" + "}" * depth)


def pair(i: int) -> Any:
    return {"anyOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]}


CHAIN = {str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(999)}
HOSTILE: list[tuple[str, Any]] = [
    ("references", {"$defs": CHAIN, "$ref": "#/$defs/0"}),
    ("combinations", {"allOf": [pair(i) for i in range(30)]}),
    ("patterns", {"patternProperties": {f"x{i}": {"minimum": i} for i in range(20)}}),
    ("digits", {"type": "integer", "minimum": 10**5000}),
    ("count", {"type": "array", "minItems": 2 * 10**9}),
    ("groups", {"type": "string", "pattern": "(" * 5000 + "a" + ")" * 5000}),
]


@pytest.mark.parametrize(("what", "schema"), HOSTILE, ids=lambda x: x if isinstance(x, str) else "")
def test_too_much_is_an_error(what: str, schema: Any) -> None:
    with pytest.raises(ingot.LimitError, match="of the schema"):
        Grammar.from_json_schema(schema).compile()


def test_a_stack_that_is_nearly_used_up() -> None:
    schema: Any = {"type": "integer"}
    for _ in range(45):
        schema = {"anyOf": [schema]}

    def deep(frames: int) -> Grammar:
        return deep(frames - 1) if frames else Grammar.from_json_schema(schema)

    assert deep(100).accepts("1")
    with pytest.raises(ingot.LimitError, match="stack"):
        deep(sys.getrecursionlimit() - 150)


def test_wide_schemas() -> None:
    words = [f"word {i}" for i in range(10000)]
    grammar = Grammar.from_json_schema({"enum": words})
    assert grammar.accepts('"word 9999"')
    assert not grammar.accepts('"word 10000"')
    others = Grammar.from_json_schema({"type": "string", "not": {"enum": words}})
    assert others.accepts('"word 10000"')
    assert not others.accepts('"word 9999"')
    long = Grammar.from_json_schema(
        {"properties": {"x" * 3000: {"type": "integer"}}}, additional_properties=True
    )
    assert long.accepts(f'{{"{"x" * 2999}": ""}}')
    assert not long.accepts(f'{{"{"x" * 3000}": ""}}')


def test_report() -> None:
    found = report(
        {
            "title": "T",
            "x-order": 1,
            "type": "object",
            "properties": {"a": {"type": "array", "uniqueItems": True}},
        }
    )
    status = {(line.pointer, line.keyword): line.status for line in found.lines}
    assert status == {
        ("#", "title"): "annotation",
        ("#", "x-order"): "unknown",
        ("#", "type"): "enforced",
        ("#", "properties"): "enforced",
        ("#", "additionalProperties"): "assumed",
        ("#/properties/a", "type"): "enforced",
        ("#/properties/a", "uniqueItems"): "not enforced",
    }
    assert not found.exact
    assert "not enforced  #/properties/a/uniqueItems: can be" in str(found)


def test_gbnf() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", 'q"\n']}, "b": {"$ref": "#"}},
        "required": ["a"],
    }
    printed = Grammar.from_gbnf(to_gbnf(schema))
    own = Grammar.from_json_schema(schema)
    for text in ('{"a": "x"}', '{"b": {"a": "q\\"\\n"}, "a": "x"}', '{"b": {}}', '{"a": "x",}'):
        assert printed.accepts(text) == own.accepts(text)
    with pytest.raises(ingot.UnsupportedError, match="an intersection"):
        to_gbnf({"type": "string", "pattern": "^a", "maxLength": 3})
    with pytest.raises(ingot.UnsupportedError, match="12 properties"):
        to_gbnf({"properties": {f"p{i}": True for i in range(12)}})


def test_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "tool.json"
    path.write_text('{"type": "array", "items": {"type": "string"}, "maxItems": 2}')
    assert main(["schema", "report", str(path)]) == 0
    assert "enforced      #/maxItems" in capsys.readouterr().out
    assert main(["schema", "to-gbnf", str(path)]) == 0
    assert Grammar.from_gbnf(capsys.readouterr().out).accepts('["a", "b"]')
    path.write_text('{"uniqueItems": true}')
    assert main(["schema", "report", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["exact"] is False
    assert main(["schema", "to-gbnf", str(path)]) == 1
    assert "uniqueItems" in capsys.readouterr().err
    path.write_text("{")
    assert main(["schema", "report", str(path)]) == 1
    assert "no JSON" in capsys.readouterr().err


def test_recursive_unions() -> None:
    """What tells the parts of a oneOf apart is looked for inside of values that aren't read yet."""
    negation = {
        "properties": {"op": {"const": "neg"}, "of": {"$ref": "#/$defs/e"}},
        "required": ["op", "of"],
    }
    literal = {"properties": {"op": {"const": "lit"}, "v": {"type": "integer"}}}
    objects = [{"type": "object"} | negation, {"type": "object", "required": ["op"]} | literal]
    grammar = Grammar.from_json_schema({"$defs": {"e": {"oneOf": objects}}, "$ref": "#/$defs/e"})
    assert grammar.accepts('{"op": "neg", "of": {"op": "neg", "of": {"op": "lit", "v": 3}}}')
    assert not grammar.accepts('{"op": "neg", "of": 3}')
    after = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    chain = Grammar.from_json_schema({"oneOf": [{"type": "null"}, after]})
    assert chain.accepts('{"next": {"next": null}}')
    assert not chain.accepts('{"next": {}}')


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"prefixItems": [{"type": "integer"}], "items": [{}]}, "beside 'prefixItems'"),
        ({"properties": {"a": {"$recursiveRef": "#"}}}, "older draft"),
        ({"type": "string", "pattern": "^\\ud800\\u0041$"}, "no character"),
        ({"type": "string", "pattern": "^\\P{Alphabetic}$"}, "Alphabetic"),
        ({"type": "string", "pattern": "a{1,99999999999999999999999}"}, "count above"),
    ],
)
def test_what_was_taken_for_something_else(schema: Any, message: str) -> None:
    with pytest.raises(ingot.IngotError, match=message):
        Grammar.from_json_schema(schema).compile()


def test_braces_that_count_nothing_are_quick() -> None:
    assert Grammar.from_json_schema({"type": "string", "pattern": "^a{,2}b$"}).accepts('"a{,2}b"')
    with pytest.raises(ingot.IngotError):
        Grammar.from_json_schema({"type": "string", "pattern": "{" * 200000 + "("}).compile()
