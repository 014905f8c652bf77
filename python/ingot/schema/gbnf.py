"""A schema's grammar in GBNF, the notation of llama.cpp, if it can be said there."""

from __future__ import annotations

import re
from typing import Any

from ingot.errors import UnsupportedError
from ingot.schema.emit import Whitespace
from ingot.schema.record import OneOf, record
from ingot.schema.tape import Node, Step, Tape

_MOST_STATES = 600  # of a set of properties, which may come in any order
_LONG = 40  # characters from which on what is used twice becomes a rule

_CANT = {
    "both": "an intersection (such as a pattern with a length, or a multiple of 0.01)",
    "complement": "a complement (such as a pattern that must not match)",
    "regex": r"a class of Unicode (such as \p{L})",
}


def to_gbnf(
    schema: Any,
    *,
    whitespace: Whitespace = "free",
    additional_properties: bool = False,
    best_effort: bool = False,
    one_of: OneOf = "exact",
) -> str:
    """A grammar in GBNF of the same texts; parameters as ``Grammar.from_json_schema``.

    UnsupportedError names what GBNF has no words for.
    """
    found = record(schema, whitespace, additional_properties, best_effort, one_of)
    return _Printer(found.tape).text(found.root)


class _Printer:
    """Prints nodes, those below first: what can't be said matters only where it is used."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._alive = _alive(tape)
        self._names: dict[Node, str] = {}
        self._rules: dict[str, str] = {}
        self._texts: list[str | UnsupportedError] = []

    def text(self, root: Node) -> str:
        """The whole grammar."""
        if root not in self._alive:
            raise UnsupportedError("no value meets the schema, and GBNF can't say that")
        steps = self._tape.steps
        uses: dict[Node, int] = {}
        for step in steps:
            for node in step.nodes:
                uses[node] = uses.get(node, 0) + 1
        for node, step in enumerate(steps):
            try:
                printed: str | UnsupportedError = self._step(node, step)
            except UnsupportedError as e:
                printed = e
            shared = uses.get(node, 0) > 1 and step.kind != "rule"
            if isinstance(printed, str) and shared and len(printed) > _LONG:
                name = self._named(node, "part")
                self._rules[name] = printed
                printed = name
            self._texts.append(printed)
        for node, body in self._tape.rules.items():
            if node in self._alive:
                self._texts_of(self._names[node], body)
        lines = [f"root ::= {self._said(root)}"]
        needed = self._needed(lines[0])
        lines += [f"{name} ::= {self._rules[name]}" for name in self._rules if name in needed]
        return "\n".join(lines) + "\n"

    def _texts_of(self, name: str, body: Node) -> None:
        printed = self._texts[body]
        self._rules[name] = printed if isinstance(printed, str) else f"\0{printed}"

    def _needed(self, line: str) -> set[str]:
        """The rules that a line leads to. What can't be said and is needed is raised."""
        needed: set[str] = set()
        waiting = [line]
        while waiting:
            for name in re.findall(r"\b[a-z][a-z0-9]*(?:-[a-z0-9]+)+\b", _bare(waiting.pop())):
                if name in self._rules and name not in needed:
                    needed.add(name)
                    body = self._rules[name]
                    if body.startswith("\0"):
                        raise UnsupportedError(body[1:])
                    waiting.append(body)
        return needed

    def _said(self, node: Node) -> str:
        printed = self._texts[node]
        if isinstance(printed, str):
            return printed
        raise printed

    def _named(self, node: Node, stem: str) -> str:
        stem = "-".join(re.findall(r"[a-z0-9]+", stem.lower())[-3:]) or "value"
        stem = stem if stem[0].isalpha() else f"n{stem}"
        self._names[node] = f"{stem[:40].strip('-')}-{node}"
        return self._names[node]

    def _step(self, node: Node, step: Step) -> str:
        if node not in self._alive and step.kind != "rule":
            return '""'  # of a branch that is left out
        if step.kind in _CANT:
            raise UnsupportedError(
                f"GBNF has no words for {_CANT[step.kind]}: llama.cpp can't read it"
            )
        if step.kind == "literal":
            return _quoted(step.rest[0])
        if step.kind == "chars":
            return f"[{''.join(map(_range, step.rest))}]"
        if step.kind == "rule":
            return self._named(node, step.rest[0])
        if step.kind == "set":
            return self._set(node, step)
        if step.kind == "repeat":
            if step.nodes[0] not in self._alive or step.rest[1] == 0:
                return '""'
            part = self._said(step.nodes[0])
            part = part if self._is_atom(step.nodes[0]) else f"({part})"
            return part + _times(*step.rest)
        if step.kind == "sequence":
            parts = [self._grouped(part) for part in step.nodes]
            return " ".join(part for part in parts if part != '""') or '""'
        parts = [self._said(part) for part in step.nodes if part in self._alive]
        return " | ".join(parts) if parts else '""'

    def _is_atom(self, node: Node) -> bool:
        step = self._tape.steps[node]
        return step.kind in ("chars", "rule") or self._texts[node] == self._names.get(node)

    def _grouped(self, node: Node) -> str:
        said = self._said(node)
        choice = self._tape.steps[node].kind == "choice" and said != self._names.get(node)
        return f"({said})" if choice else said

    def _set(self, node: Node, step: Step) -> str:
        """Members in any order: a rule for each combination of what was there."""
        flags, low, high = step.rest
        found = zip(step.nodes[1:], flags, strict=True)
        members = [(part, *flag) for part, flag in found if part in self._alive]
        once = sum(not repeatable for _, _, repeatable in members)
        cap = low if high is None else high
        if once > 20 or (1 << once) * (cap + 1) > _MOST_STATES:
            raise UnsupportedError(
                f"GBNF has no words for {once} properties or items in any order: at most 8 are "
                "written out as rules for each combination"
            )
        texts = [self._grouped(part) for part, _, _ in members]
        comma = self._grouped(step.nodes[0])
        stem = self._named(node, "members")
        ways = _ways([flag for _, *flag in members], low, high)
        start = ""
        for (taken, count), (done, followers) in ways.items():
            before = f"{comma} " if count else ""
            parts = ['""'] if done else []
            parts += [f"{before}{texts[i]} {stem}-{t}-{n}" for i, (t, n) in followers]
            if count:
                self._rules[f"{stem}-{taken}-{count}"] = " | ".join(parts)
            else:
                start = " | ".join(parts)
        return f"({start})"


_State = tuple[int, int]
"""Which members were there, as bits, and how many in all, as far as that matters."""


def _ways(
    flags: list[list[bool]], low: int, high: int | None
) -> dict[_State, tuple[bool, list[tuple[int, _State]]]]:
    """For each state from which there is a way to the end: whether it is one, what may follow."""
    cap = low if high is None else high
    ways: dict[_State, tuple[bool, list[tuple[int, _State]]]] = {}
    waiting = [(0, 0)]
    while waiting:
        state = waiting.pop()
        if state in ways:
            continue
        taken, count = state
        missing = any(need and not taken >> i & 1 for i, (need, _) in enumerate(flags))
        followers = []
        for i, (_, repeatable) in enumerate(flags):
            bit = 0 if repeatable else 1 << i
            if not taken & bit and (high is None or count < high):
                followers.append((i, (taken | bit, min(count + 1, cap))))
        ways[state] = (count >= low and not missing, followers)
        waiting += [after for _, after in followers]
    alive: set[_State] = set()
    size = -1
    while size < len(alive):
        size = len(alive)
        for state, (done, followers) in ways.items():
            if done or any(after in alive for _, after in followers):
                alive.add(state)
    return {
        state: (done, [one for one in followers if one[1] in alive])
        for state, (done, followers) in ways.items()
        if state in alive
    }


def _alive(tape: Tape) -> set[Node]:
    """The nodes that match something."""
    alive: set[Node] = set()
    size = -1
    while size < len(alive):
        size = len(alive)
        for node, step in enumerate(tape.steps):
            if node not in alive and _lives(tape, node, step, alive):
                alive.add(node)
    return alive


def _lives(tape: Tape, node: Node, step: Step, alive: set[Node]) -> bool:
    inside = [part in alive for part in step.nodes]
    if step.kind == "rule":
        return tape.rules.get(node) in alive
    if step.kind == "choice":
        return any(inside)
    if step.kind == "repeat":
        return inside[0] or step.rest[0] == 0
    if step.kind == "set":
        flags, low, high = step.rest
        there = [flag for flag, living in zip(flags, inside[1:], strict=True) if living]
        needed = sum(need for need, _ in flags)
        enough = len(there) >= low or any(repeatable for _, repeatable in there)
        few = high is None or needed <= high
        return enough and few and sum(need for need, _ in there) == needed
    return all(inside)


def _times(low: int, high: int | None) -> str:
    plain = {(0, 1): "?", (0, None): "*", (1, None): "+", (1, 1): ""}.get((low, high))
    if plain is not None:
        return plain
    return f"{{{low}}}" if low == high else f"{{{low},{'' if high is None else high}}}"


def _quoted(text: str) -> str:
    return '"' + "".join(_char(c, '"\\') for c in text) + '"'


def _range(pair: tuple[int, int]) -> str:
    low, high = (_char(chr(end), "[]^-\\") for end in pair)
    return low if low == high else f"{low}-{high}"


def _char(c: str, special: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    if c in short:
        return short[c]
    if c in special:
        return f"\\{c}" if c in '"[]\\' else f"\\x{ord(c):02x}"
    if 0x20 <= ord(c) < 0x7F:
        return c
    return f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\U{ord(c):08x}"


def _bare(line: str) -> str:
    """A line without what stands in quotes or brackets."""
    return re.sub(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]', " ", line)
