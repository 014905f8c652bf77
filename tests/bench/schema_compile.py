"""How long it takes from a schema as Python has it to a grammar that is ready.

    python tests/bench/schema_compile.py [SHARED]

Takes the schemas of SHARED/conformance/schema and thirty sets of tools, as requests bring them, and
sets of up to 128. Each is compiled five times; the least CPU time counts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ingot
from ingot.grammar import Grammar

Schema = dict[str, Any]

PARTS: list[Callable[[int], tuple[str, Schema]]] = [
    lambda i: ("city", {"type": "string", "description": "Where"}),
    lambda i: ("path", {"type": "string", "minLength": 1, "maxLength": 4096}),
    lambda i: ("unit", {"type": "string", "enum": ["celsius", "fahrenheit", "kelvin"]}),
    lambda i: ("count", {"type": "integer", "minimum": 1, "maximum": 100 + i}),
    lambda i: ("ratio", {"type": "number", "minimum": 0, "maximum": 1}),
    lambda i: ("date", {"type": "string", "format": "date"}),
    lambda i: ("mail", {"type": "string", "format": "email"}),
    lambda i: ("id", {"type": "string", "pattern": "^[a-z][a-z0-9_-]{2,30}$"}),
    lambda i: ("tags", {"type": "array", "items": {"type": "string"}, "maxItems": 10}),
    lambda i: ("limit", {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}),
    lambda i: ("verbose", {"type": "boolean", "default": False}),
    lambda i: ("labels", {"type": "object", "additionalProperties": {"type": "string"}}),
    lambda i: (
        "place",
        {
            "type": "object",
            "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
            "required": ["lat", "lon"],
        },
    ),
    lambda i: (
        "steps",
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"do": {"type": "string"}, "until": {"type": "string"}},
                "required": ["do"],
            },
        },
    ),
]


def tool(i: int) -> Schema:
    """The i-th tool: a name, and arguments of two to seven parts."""
    chosen = dict(PARTS[(i * 5 + k * (1 + i % 3)) % len(PARTS)](i) for k in range(2 + i % 6))
    required = list(chosen)[: 1 + i % 3]
    arguments = {"type": "object", "properties": chosen, "required": required}
    return {
        "type": "object",
        "properties": {"name": {"const": f"tool_{i}"}, "arguments": arguments},
        "required": ["name", "arguments"],
    }


def tools(first: int, n: int) -> Schema:
    """A call of one of n tools."""
    return {"anyOf": [tool(i) for i in range(first, first + n)]}


def milliseconds(schema: Any) -> float | None:
    """From the schema to a compiled grammar; None: it is refused."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        try:
            Grammar.from_json_schema(schema, best_effort=True).compile()
        except ingot.IngotError:
            return None
        best = min(best, time.process_time() - start)
    return best * 1000


def line(name: str, schemas: Iterable[Any]) -> str:
    """A row of the table."""
    times = sorted(t for t in map(milliseconds, schemas) if t is not None)
    shown = (
        f"{times[min(int(len(times) * share), len(times) - 1)]:.2f}" for share in (0.5, 0.9, 1)
    )
    return f"| {name} | {len(times)} | {' | '.join(shown)} |"


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else root.parent / "shared"
    vectors = [
        case["schema"]
        for path in sorted((shared / "conformance/schema").glob("*.json"))
        for case in json.loads(path.read_bytes()).get("cases", [])
        if "schema" in case
    ]
    sets = [tools(i, 1 + i % 8) for i in range(30)]
    print("| schemas | compiled | ms, p50 | p90 | most |\n|---|---:|---:|---:|---:|")
    print(line("vectors", vectors))
    print(line("30 sets of 1 to 8 tools", sets))
    print(line("all of these", vectors + sets))
    for n in (16, 64, 128):
        print(line(f"{n} tools", [tools(0, n)]))


if __name__ == "__main__":
    main()
