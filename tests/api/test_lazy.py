"""Grammars that hold from a trigger on."""

from __future__ import annotations

import re
from itertools import product

import ingot
import numpy as np
import pytest
from ingot.grammar import Builder, Grammar

CALL = Grammar.from_gbnf('root ::= "<tool>" [0-9]+ "</tool>"')


def test_text_and_then_the_rest() -> None:
    grammar = Grammar.lazy(CALL, ["<tool>"])
    for text in ("", "hello", "a<too", "a<<tool", "x<tool>12</tool>", "<<tool>1</tool>", "é日"):
        assert grammar.accepts(text), text
    for text in ("<tool>", "<tool>x", "<tool>1</tool> and", "a<tool>1</tool><tool>"):
        assert not grammar.accepts(text), text
    assert not grammar.accepts(b"\xff")


def expected(text: str, triggers: list[str], rest: str) -> bool:
    """By the definition: from the trigger that is complete first, the rest decides."""
    ends = [(text.find(t) + len(t), t) for t in triggers if t in text]
    if not ends:
        return True
    first = min(ends)[0]
    return any(
        re.fullmatch(rest, text[first - len(t) :]) is not None for end, t in ends if end == first
    )


@pytest.mark.parametrize(
    ("triggers", "rest"),
    [
        (["ab"], "ab(a|b)?b"),
        (["aa"], "aa(b|ab)"),
        (["aba"], "aba(b|ba)*"),
        (["a", "ab"], "a(b*)"),
        (["ab", "abb"], "ab(b|aa)"),
        (["ab", "aab"], "ab|aaba"),
        (["ba", "a"], "(a|ba)a*"),
        (["bab", "a"], "a+b"),
    ],
)
def test_every_short_text(triggers: list[str], rest: str) -> None:
    grammar = Grammar.lazy(Grammar.from_regex(rest), triggers)
    texts = ["".join(letters) for n in range(9) for letters in product("ab", repeat=n)]
    wrong = [text for text in texts if grammar.accepts(text) != expected(text, triggers, rest)]
    assert not wrong


def test_triggers_that_overlap_each_other() -> None:
    """Any of them may be the one that begins the rest."""
    grammar = Grammar.lazy(Grammar.from_choices(["abx", "bcy"]), ["ab", "bc"])
    assert grammar.accepts("abx")
    assert grammar.accepts("bbcy")
    assert grammar.accepts("abcy")
    assert not grammar.accepts("abcx")
    itself = Grammar.lazy(Grammar.from_regex("(a|bb)a"), ["bb", "a"])
    assert itself.accepts("bbba")
    assert not itself.accepts("bbbb")


def allowed(model: ingot.Model, grammar: Grammar, text: str) -> set[int]:
    """The mask after a text, which must be what is taken token by token."""
    with grammar.matcher(model) as matcher:
        assert matcher.accept(text)
        mask = set(matcher.mask().nonzero()[0].tolist())
        taken = set()
        for token in range(model.info.n_vocab):
            if matcher.accept_token(token):
                taken.add(token)
                matcher.rollback()
    assert mask == taken
    return mask


def test_masks_at_every_border(model: ingot.Model) -> None:
    """Before a trigger all tokens may come but those that break the rest; it may be cut into tokens
    in any way."""
    inner = Grammar.from_gbnf('root ::= " the end" [.!]')
    grammar = Grammar.lazy(inner, [" the end"])
    pieces = [model.token(i).piece for i in range(model.info.n_vocab)]
    texts = {
        i: piece.decode("utf-8", "replace")
        for i, piece in enumerate(pieces)
        if i not in model._controls and not model.token(i).ends_generation
    }
    for before in ("", "x", " the", " the en", "the e"):
        found = allowed(model, grammar, before)
        for token, piece in texts.items():
            after = (before + piece).partition(" the end")
            if "\ufffd" not in piece:
                assert (token in found) == (not after[1] or after[2] in ("", ".", "!"))
        assert model._controls <= found
    assert allowed(model, grammar, " the end") == {
        i for i, piece in texts.items() if piece in (".", "!")
    }


def test_tokens(model: ingot.Model) -> None:
    control = min(model._controls)
    word = next(i for i in range(model.info.n_vocab) if model.token(i).piece == b" the")

    def build(b: Builder) -> int:
        return b.sequence(b.tokens([control, word]), b.literal("!"))

    grammar = Grammar.lazy(Grammar(build), ["<x>"], [control, word])
    with grammar.matcher(model) as matcher:
        assert matcher.accept("some text")
        assert not matcher.accept(" the")  # the token's text, by other tokens
        with matcher.fork() as other:
            assert other.accept_token(word)
            assert other.forced() == b"!"
        assert matcher.accept_token(control)
        assert not matcher.accepting
        assert matcher.forced() == b"!"
        assert matcher.accept("!")
        assert matcher.accepting
        mask = np.flatnonzero(matcher.mask())
        assert all(model.token(i).ends_generation for i in mask)


def test_control_tokens_between_texts(model: ingot.Model) -> None:
    grammar = Grammar.lazy(CALL, ["<tool>"])
    with grammar.matcher(model) as matcher:
        assert matcher.accept("<to")
        assert matcher.accept_token(min(model._controls))
        assert matcher.accept("ol> no trigger, but <tool")
        assert matcher.accept_token(min(model._controls))
        assert matcher.accept("<tool>1</")
        assert not matcher.accept_token(min(model._controls))
        assert matcher.forced() == b"tool>"


def test_generating(model: ingot.Model) -> None:
    """As without it, until a trigger comes."""
    free = model.generate("Once upon a time", max_tokens=24, temperature=0).text
    unheard = Grammar.lazy(CALL, ["<tool>"])
    assert model.generate("Once upon a time", grammar=unheard, max_tokens=24, temperature=0,
                          close_in_time=False).text == free  # fmt: skip
    word = free.split()[5]
    held = Grammar.lazy(Grammar.from_choices([f"{word}!?"]), [word])
    answer = model.generate("Once upon a time", grammar=held, max_tokens=24, temperature=0)
    assert answer.text == free[: free.index(word)] + f"{word}!?"
    assert answer.finish_reason == "eos"


@pytest.mark.parametrize("triggers", [[], [""], ["a", b""]])
def test_there_must_be_a_trigger(triggers: list[str | bytes]) -> None:
    with pytest.raises(ingot.ArgumentError, match="trigger"):
        Grammar.lazy(CALL, triggers)
