"""The Python side of grammars: compiling, matchers, masks, the command."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import ingot
import numpy as np
import pytest
from ingot.cli import main
from ingot.grammar import Builder, Grammar, Member

PARENTHESES = 'root ::= "(" root ")" | "x"'


def test_accepts_whole_texts() -> None:
    grammar = Grammar.from_gbnf(PARENTHESES)
    assert grammar.accepts("((x))")
    assert grammar.accepts(b"x")
    assert not grammar.accepts("((x)")
    assert not grammar.accepts("")


def test_choices() -> None:
    grammar = Grammar.from_choices(["red", "green", "reddish"])
    assert grammar.accepts("red")
    assert grammar.accepts("reddish")
    assert not grammar.accepts("redd")
    with pytest.raises(ingot.ArgumentError, match="nothing to choose"):
        Grammar.from_choices([])


def test_steps_back_and_aside() -> None:
    with Grammar.from_gbnf(PARENTHESES).matcher() as matcher:
        assert matcher.accept("((")
        other = matcher.fork()
        assert matcher.accept("x)")
        assert not matcher.accepting
        assert not matcher.accept("))")
        assert matcher.accept(")")
        assert matcher.accepting
        matcher.rollback(2)
        assert matcher.shortest() == b"x))"
        assert other.accept("(x")
        assert other.forced() == b")))"
        other.reset()
        assert other.accept("x")
        with pytest.raises(ingot.ArgumentError, match="2 steps back: it has made 1"):
            other.rollback(2)


def test_masks_are_what_is_accepted(model: ingot.Model) -> None:
    grammar = Grammar.from_gbnf('root ::= "Once upon a time" [a-z ,]* "."')
    text = "Once upon a time, there was a cat."
    with grammar.matcher(model) as matcher:
        for token in model.tokenize(text):
            mask = matcher.mask()
            assert mask.dtype == np.bool_
            allowed = [i for i in range(model.info.n_vocab) if _fits(matcher, i)]
            assert np.flatnonzero(mask).tolist() == allowed
            assert matcher.accept_token(token)
        ends = [i for i in range(model.info.n_vocab) if model.token(i).ends_generation]
        assert ends
        assert np.flatnonzero(matcher.mask()).tolist() == ends


def _fits(matcher: ingot.Matcher, token: int) -> bool:
    fits = matcher.accept_token(token)
    if fits:
        matcher.rollback()
    return fits


def test_tokens_by_number(model: ingot.Model) -> None:
    def build(b: Builder) -> int:
        return b.sequence(b.tokens([5]), b.repeat(b.tokens([5, 6], negated=True)), b.tokens([6]))

    with Grammar(build).matcher(model) as matcher:
        assert np.flatnonzero(matcher.mask()).tolist() == [5]
        assert matcher.accept_token(5)
        mask = matcher.mask()
        assert mask[6]
        assert mask[7]
        assert not mask[5]
        assert matcher.accept_token(9)
        assert matcher.accept_token(6)
        assert matcher.accepting


def test_sets() -> None:
    def build(b: Builder, ordered: bool = False) -> int:
        members = [Member(b.literal(name), name != "c", name == "d") for name in "abcd"]
        return b.set([*members[:3], Member(b.literal("d"), False, True)], b.literal(","), ordered)

    any_order, in_order = Grammar(build), Grammar(lambda b: build(b, ordered=True))
    for text in ("a,b", "b,a", "c,b,a", "d,a,d,b,d"):
        assert any_order.accepts(text)
    for text in ("a", "a,b,a", "a,b,", ",a,b", "ab", ""):
        assert not any_order.accepts(text)
    assert in_order.accepts("a,b,d,d")
    assert not in_order.accepts("b,a")


def test_tags() -> None:
    def build(b: Builder) -> int:
        value = b.tag(2, b.regex("[0-9]+"))
        return b.sequence(b.tag(1, b.regex("[a-z]+")), b.literal("="), value)

    with Grammar(build).matcher() as matcher:
        assert matcher.accept("ab")
        assert matcher.events() == ([(1, True, 0)], 2)
        assert matcher.accept("=12")
        given = [(1, True, 0), (1, False, 2), (2, True, 3)]
        assert matcher.events() == (given, 5)
        assert matcher.events(complete=True, first=2) == ([(2, True, 3), (2, False, 5)], 5)
    with pytest.raises(ingot.StateError, match="no tags"):
        Grammar.from_gbnf(PARENTHESES).matcher().events()


def test_errors_say_where() -> None:
    with pytest.raises(ingot.FormatError, match="line 2, column 13 of the grammar: a rule that"):
        Grammar.from_gbnf('root ::= a\na ::= "x" | nothing').compile()
    with pytest.raises(ingot.ArgumentError, match="no text matches the grammar"):
        Grammar.from_gbnf('root ::= "a" root').compile()
    with pytest.raises(ingot.ArgumentError, match="intersection in the grammar isn't of regular"):
        Grammar(lambda b: b.both(b.literal("a"), b.tokens([1]))).compile()
    with pytest.raises(ingot.StateError, match="without a vocabulary"):
        Grammar.from_gbnf(PARENTHESES).matcher().mask()


def test_explanations(model: ingot.Model) -> None:
    with Grammar.from_gbnf('root ::= [0-9]+ unit\nunit ::= "kg" | "lb"').matcher(model) as matcher:
        assert matcher.accept("12")
        told = matcher.explain(model.tokenize("a")[-1])
        assert "open rules: root" in told or "open rules: (root)" in told
        assert "next bytes: 0..9 k l" in told
        assert "stops at its byte 0" in told


def test_a_grammar_in_many_threads(model: ingot.Model) -> None:
    grammar = Grammar.from_gbnf('root ::= "[" (item ("," item)*)? "]"\nitem ::= [a-z]+ | root')
    failures: list[str] = []

    def run(number: int) -> None:
        text = "[" + ",".join(["ab", "[x,[y]]"] * (5 + number)) + "]"
        with grammar.matcher(model) as matcher:
            for letter in text:
                if not matcher.mask().any() or not matcher.accept(letter):
                    failures.append(text)
            if not matcher.accepting:
                failures.append("incomplete")

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "g.gbnf").write_text(PARENTHESES)
    (tmp_path / "good").write_text("((x))\n")
    (tmp_path / "bad").write_text("((x)y)\n")
    check = ["grammar", "check", str(tmp_path / "g.gbnf")]
    good, bad = str(tmp_path / "good"), str(tmp_path / "bad")
    assert main([*check, "--accept", good, "--reject", bad]) == 0
    assert "2 texts, 0 not as they should be" in capsys.readouterr().out
    assert main([*check, "--accept", bad]) == 1
    told = capsys.readouterr().out
    assert "WRONG" in told
    assert "rejected at byte 4" in told
    assert main([*check, "--accept", bad, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["wrong"] == 1
    assert report["texts"][0]["stopped_at"] == 4
    (tmp_path / "g.gbnf").write_text("root ::= other")
    assert main(check) == 1
    assert "line 1, column 10" in capsys.readouterr().err


def test_rules_that_the_root_does_not_reach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'root ::= "a" b | root\nb ::= "é"\nc ::= d\n  é ::= c'.replace("  é", "  d")
    grammar = Grammar.from_gbnf(text)
    grammar.compile()
    where = {"c": "line 3, column 1", "d": "line 4, column 3"}
    expected = [
        f"{place} of the grammar: the rule '{name}' isn't reached from the root"
        for name, place in where.items()
    ]
    assert list(grammar.warnings) == expected
    other = Grammar.from_gbnf(text, root="d")
    with pytest.raises(ingot.ArgumentError, match="no text matches"):
        other.compile()

    (tmp_path / "g.gbnf").write_text(text, encoding="utf-8")
    check = ["grammar", "check", str(tmp_path / "g.gbnf")]
    assert main(check) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("warning: ")] == [
        f"warning: {warning}" for warning in expected
    ]
    assert main([*check, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == expected


def test_other_names_for_it() -> None:
    assert Grammar.from_ebnf('root ::= "a" b\nb ::= "b"+').accepts("abb")
    lark = 'start: word (SPACE word)*\nword: /[a-z]+/ | "!"\nSPACE: " "+'
    assert Grammar.from_ebnf(lark, root="start").accepts("so  it is !")


@pytest.mark.parametrize(
    "body", ['"a"~2..5', '"a" // comment', '"a" -> name', '"a"\n%ignore " "', '"a"i', "b.2: /a/"]
)
def test_what_lark_has_besides_is_refused(body: str) -> None:
    with pytest.raises(ingot.FormatError, match=r"line [12], column"):
        Grammar.from_ebnf(f"start: {body}", root="start").compile()


def test_a_builder_ends_with_its_grammar() -> None:
    kept: list[Builder] = []

    def build(b: Builder) -> int:
        kept.append(b)
        return b.literal("a")

    assert Grammar(build).accepts("a")
    with pytest.raises(ingot.StateError, match="is compiled"):
        kept[0].literal("b")
    with pytest.raises(ingot.StateError, match="is compiled"):
        kept[0].define(0, 0)
