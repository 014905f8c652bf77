"""Grammars, schemas and tools, each with texts that it accepts: what ``masks.py`` measures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from schema_compile import tools

ROOT = Path(__file__).resolve().parents[2]
GRAMMARS = ROOT / "grammars"
SETS = 30  # of 1 to 8 tools
CALLS = 4  # texts of each
MANY_TOOLS = 128

Draw: TypeAlias = np.random.Generator

STRINGS = ["hello world, this is text", "ünï 日本", 'a\n"q"\\x', "", "https://x.org/a?b=c"]
OF_FORMAT = {"date": "2026-03-14", "email": "ada.lovelace@example.org"}


@dataclass(frozen=True)
class Case:
    """``kind`` of the source: "gbnf" or "schema"; absent ``additionalProperties`` mean true."""

    group: str
    name: str
    kind: str
    source: Any
    texts: list[str]


def json_texts(count: int) -> list[str]:
    """JSON as models write it, nested and indented."""
    draw = np.random.default_rng(1)

    def value(depth: int) -> object:
        kind = draw.integers(0, 4 if depth < 4 else 2)
        if kind == 0:
            return STRINGS[draw.integers(len(STRINGS))]
        if kind == 1:
            return [1, -2.5, 1e10, True, None][draw.integers(5)]
        if kind == 2:
            return [value(depth + 1) for _ in range(draw.integers(5))]
        return {f"key {i}": value(depth + 1) for i in range(draw.integers(5))}

    return [
        json.dumps({"a": value(0), "b": value(0)}, ensure_ascii=False, indent=i % 3 or None)
        for i in range(count)
    ]


def closed(schema: Any) -> Any:
    """The schema with no properties but those that it lists: engines differ in what they assume."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    more = {"additionalProperties": False} if "properties" in schema else {}
    return {name: closed(part) for name, part in schema.items()} | more


def value_of(schema: Any, draw: Draw) -> Any:
    """A value of a schema of the kinds that ``schema_compile.PARTS`` have."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema or "anyOf" in schema:
        options = schema.get("enum") or schema["anyOf"]
        chosen = options[draw.integers(len(options))]
        return chosen if "enum" in schema else value_of(chosen, draw)
    kind = schema["type"]
    if kind == "string":
        plain = "long_id-42" if "pattern" in schema else STRINGS[draw.integers(2)]
        return OF_FORMAT.get(schema.get("format", ""), plain)
    if kind == "integer":
        return int(draw.integers(schema.get("minimum", -50), schema.get("maximum", 5000) + 1))
    if kind == "array":
        return [value_of(schema["items"], draw) for _ in range(draw.integers(4))]
    if kind == "object":
        named = schema.get("properties", {})
        given = [name for name in named if name in schema["required"] or draw.integers(2)]
        other = schema.get("additionalProperties")
        more = {f"label {i}": value_of(other, draw) for i in range(3)} if other else {}
        return {name: value_of(named[name], draw) for name in given} | more
    scalars = {"number": 0.25, "boolean": bool(draw.integers(2)), "null": None}
    return scalars[kind]


def tool_cases() -> Iterator[Case]:
    draw = np.random.default_rng(2)
    for i in range(SETS):
        schema = closed(tools(i, 1 + i % 8))
        calls = [json.dumps(value_of(schema, draw), ensure_ascii=False) for _ in range(CALLS)]
        yield Case("tools", f"{1 + i % 8} tools from {i}", "schema", schema, calls)
    schema = closed(tools(0, MANY_TOOLS))
    call = json.dumps(value_of(schema, draw), ensure_ascii=False)
    yield Case(f"{MANY_TOOLS} tools", f"{MANY_TOOLS} tools", "schema", schema, [call])


def grammar_cases(folder: Path) -> Iterator[Case]:
    strings = json.loads((GRAMMARS / "strings.json").read_text(encoding="utf-8"))
    strings["json"]["accept"] += json_texts(50)
    for name, case in strings.items():
        text = (GRAMMARS / f"{name}.gbnf").read_text(encoding="utf-8")
        yield Case("grammars", name, "gbnf", text, case["accept"])
    for case in json.loads((folder / "grammar/gbnf_strings.json").read_bytes())["cases"]:
        texts = [accepted["text"] for accepted in case["accept"] if "text" in accepted]
        if texts:  # others are lists of one vocabulary's tokens
            yield Case("grammars", case["name"], "gbnf", case["grammar"], texts)


def schema_cases(folder: Path) -> Iterator[Case]:
    for path in sorted((folder / "schema").glob("*.json")):
        for case in json.loads(path.read_bytes()).get("cases", []):
            if case.get("expect") == "failure" or "schema" not in case:
                continue
            accepted = case.get("accept", [])
            texts = [text if isinstance(text, str) else text["text"] for text in accepted]
            yield Case("schemas", case["name"], "schema", case["schema"], texts)


def cases(shared: Path) -> list[Case]:
    """All of them. ``shared``: the folder of large test data, whose ``conformance`` is taken."""
    folder = shared / "conformance"
    return [*grammar_cases(folder), *schema_cases(folder), *tool_cases()]
