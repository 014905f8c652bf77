"""Grammars against texts to accept and to reject: our own, and vectors of public test suites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ingot
import pytest
from ingot.grammar import Builder, Grammar

ROOT = Path(__file__).resolve().parents[2]
GRAMMARS = ROOT / "grammars"
STRINGS: dict[str, dict[str, list[str]]] = json.loads(
    (GRAMMARS / "strings.json").read_text(encoding="utf-8")
)


def test_every_grammar_has_strings() -> None:
    assert {path.stem for path in GRAMMARS.glob("*.gbnf")} == set(STRINGS)
    assert all(case["accept"] and case["reject"] for case in STRINGS.values())


@pytest.mark.parametrize("name", sorted(STRINGS))
def test_our_grammars(name: str) -> None:
    grammar = Grammar.from_gbnf((GRAMMARS / f"{name}.gbnf").read_text(encoding="utf-8"))
    grammar.compile()
    assert grammar.warnings == ()
    wrong = [text for text in STRINGS[name]["accept"] if not grammar.accepts(text)]
    wrong += [text for text in STRINGS[name]["reject"] if grammar.accepts(text)]
    assert not wrong


def vectors(shared: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / f"conformance/grammar/{name}.json").read_bytes())
    return found


def accepts(grammar: Grammar, model: ingot.Model, pieces: list[dict[str, Any]]) -> bool:
    """Whether a stream of texts and tokens is one of the grammar's, as a whole."""
    with grammar.matcher(model) as matcher:
        taken = all(
            matcher.accept_token(piece["token"])
            if "token" in piece
            else matcher.accept(piece["text"])
            for piece in pieces
        )
        return taken and matcher.accepting


def test_strings_of_llama_cpp(shared: Path) -> None:
    count = 0
    wrong = []
    with ingot.Model(vocab_only=True) as model:
        for case in vectors(shared, "gbnf_strings")["cases"]:
            grammar = Grammar.from_gbnf(case["grammar"])
            for kind in ("accept", "reject"):
                for string in case[kind]:
                    count += 1
                    if accepts(grammar, model, string.get("pieces", [string])) != (
                        kind == "accept"
                    ):
                        wrong.append((case["name"], kind, string))
    assert not wrong
    assert count == 139


def test_grammars_that_parse(shared: Path) -> None:
    with ingot.Model(vocab_only=True) as model:
        for case in vectors(shared, "gbnf_parse")["must_parse"]:
            Grammar.from_gbnf(case["grammar"], case["root"]).compile(model)


def test_grammars_that_dont(shared: Path) -> None:
    """What llama.cpp refuses by policy, such as left recursion, is accepted."""
    for case in vectors(shared, "gbnf_parse")["must_fail"]:
        grammar = Grammar.from_gbnf(case["grammar"], case["root"])
        if case["strict_error"]:
            with pytest.raises(ingot.FormatError, match=r"line \d+, column \d+|has no rule"):
                grammar.compile()
        else:
            grammar.compile()


def test_first_mask(shared: Path) -> None:
    for case in vectors(shared, "gbnf_mask")["cases"]:
        allowed = set()
        with Grammar.from_gbnf(case["grammar"]).matcher() as matcher:
            assert matcher.accept(case["prefix"])
            for code in case["candidates"]:
                if matcher.accept(chr(code)):
                    allowed.add(code)
                    matcher.rollback()
        assert allowed == set(case["allowed"])


REGEXES = [
    (r"^a+$", ["a", "aaa"], ["", "b", "ab"]),
    (r"[a-z]{2,3}|\d", ["ab", "abc", "7"], ["a", "abcd", "77"]),
    (r"(?i:yes|no)!?", ["YES", "no!", "nO"], ["y", "no!!"]),
    (r"\p{Lu}\p{Ll}*", ["Élan", "A"], ["élan", "A1"]),
    (r"[^\W\d_]+", ["abc"], ["a1", "_"]),
    (r"\x41\u00e9\t\.", ["Aé\t."], ["Aé\tx"]),
    (r"(?:ab?)*c", ["c", "abac"], ["b", "abbc"]),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), REGEXES)
def test_regular_expressions(pattern: str, good: list[str], bad: list[str]) -> None:
    grammar = Grammar.from_regex(pattern)
    assert [text for text in good if not grammar.accepts(text)] == []
    assert [text for text in bad if grammar.accepts(text)] == []


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("b", ["b", "abc", "ab\n"], ["", "ac"]),
        ("^b", ["b", "bc"], ["ab"]),
        ("b$", ["b", "ab"], ["ba"]),
        ("^a|b$", ["a", "ax", "xb"], ["xa", "bx"]),
        ("(^a|^b)c", ["ac", "bcd"], ["xac"]),
        ("", ["", "anything"], []),
    ],
)
def test_searching(pattern: str, good: list[str], bad: list[str]) -> None:
    grammar = Grammar.from_regex(pattern, search=True)
    assert [text for text in good if not grammar.accepts(text)] == []
    assert [text for text in bad if grammar.accepts(text)] == []


@pytest.mark.parametrize(
    ("pattern", "kind", "message"),
    [
        ("(", ingot.FormatError, r"at byte 0 .* without a '\)'"),
        ("a**?)", ingot.FormatError, r"without a '\('"),
        ("[b-a]", ingot.FormatError, "ends before it begins"),
        ("(?=a)", ingot.UnsupportedError, "look-ahead"),
        (r"\bword", ingot.UnsupportedError, "boundaries"),
        (r"(a)\1", ingot.UnsupportedError, "back references"),
        ("a^b", ingot.UnsupportedError, "anchor"),
        ("(^a|$)^", ingot.UnsupportedError, "anchor"),
        ("a{3,2}", ingot.FormatError, "count"),
    ],
)
def test_expressions_that_are_refused(pattern: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Grammar.from_regex(pattern).compile()


def test_left_recursion_depth_and_width() -> None:
    assert Grammar.from_gbnf('root ::= root "a" | "a"').accepts("a" * 20000)
    assert Grammar.from_gbnf('root ::= "a" root | "a"').accepts("a" * 20000)
    nested = Grammar.from_gbnf("root ::= " + "(" * 60000 + '"a"' + ")" * 60000)
    assert nested.accepts("a")
    arrays = Grammar.from_gbnf((GRAMMARS / "json.gbnf").read_text(encoding="utf-8"))
    assert arrays.accepts("[" * 60000 + "]" * 60000)
    assert not arrays.accepts("[" * 60000 + "]" * 59999)


def test_regular_parts_are_cut_and_turned_round() -> None:
    def build(b: Builder) -> int:
        word = b.repeat(b.chars([(ord("a"), ord("z"))]), 1, 8)
        return b.both(word, b.complement(b.choice(b.literal("if"), b.literal("else"))))

    grammar = Grammar(build)
    assert grammar.accepts("iff")
    assert grammar.accepts("els")
    assert not grammar.accepts("if")
    assert not grammar.accepts("else")
    assert not grammar.accepts("a" * 9)
