"""Answers that a grammar holds: through Python and the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import pytest
from ingot.cli import main

PROMPT = "Once upon a time"
PET = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["cat", "dog"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 30},
    },
    "required": ["name", "kind"],
}


def test_each_way_to_ask(model: ingot.Model) -> None:
    for seed in range(3):
        answer = model.generate(PROMPT, json_schema=PET, seed=seed, max_tokens=60)
        value = json.loads(answer.text)
        assert value["kind"] in ("cat", "dog")
        assert answer.finish_reason == "eos"
        answer = model.generate(PROMPT, regex="[a-c]{3,5}-[0-9]+", seed=seed, max_tokens=20)
        assert re.fullmatch("[a-c]{3,5}-[0-9]+", answer.text)
        answer = model.generate(PROMPT, choices=["yes", "no", "perhaps"], seed=seed)
        assert answer.text in ("yes", "no", "perhaps")
        answer = model.generate(PROMPT, grammar='root ::= "<" [a-z]{3} ">"', seed=seed)
        assert re.fullmatch("<[a-z]{3}>", answer.text)
        grammar = ingot.Grammar.from_choices(["left", "right"])
        assert model.generate(PROMPT, grammar=grammar, seed=seed).text in ("left", "right")


def test_a_conversation(model: ingot.Model) -> None:
    messages = [{"role": "user", "content": "A pet, please."}]
    with model.chat(messages, json_schema=PET, stream=True, seed=1, max_tokens=60) as stream:
        text = "".join(chunk.text for chunk in stream)
    assert set(json.loads(text)) <= {"name", "kind", "age"}


def test_a_pydantic_model(model: ingot.Model) -> None:
    class Pet:  # what is asked of pydantic
        @staticmethod
        def model_json_schema() -> dict[str, Any]:
            return PET

    assert "name" in json.loads(model.generate(PROMPT, json_schema=Pet, max_tokens=60).text)


def test_greedy_is_the_likeliest_allowed(model: ingot.Model) -> None:
    """What the engine leaves out on the way changes nothing."""
    grammar = ingot.Grammar.from_json_schema(PET)
    answer = model.generate(PROMPT, grammar=grammar, temperature=0, max_tokens=50)
    tokens = model.tokenize(PROMPT, add_special=True)
    expected: list[int] = []
    with grammar.matcher(model) as matcher:
        while not expected or not model.token(expected[-1]).ends_generation:
            logits = model.logits(tokens + expected, len(tokens) + len(expected) - 1)[0]
            expected.append(int(np.where(matcher.mask(), logits, -np.inf).argmax()))
            assert matcher.accept_token(expected[-1])
            if len(expected) == len(answer.tokens):
                break
    assert expected == answer.tokens


def test_an_answer_closes_in_time(model: ingot.Model) -> None:
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    shortest = len(ingot.Grammar.from_json_schema(schema).matcher(model).closing())
    for most in range(1, 24):
        answer = model.generate(PROMPT, json_schema=schema, max_tokens=most, seed=most)
        assert answer.n_generated <= most
        if most >= shortest:
            assert json.loads(answer.text)
            assert answer.finish_reason == "eos"
    cut = [
        model.generate(PROMPT, json_schema=schema, max_tokens=6, seed=i, close_in_time=False)
        for i in range(8)
    ]
    assert "length" in {answer.finish_reason for answer in cut}
    assert any(not _is_json(answer.text) for answer in cut)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_stop_texts_do_not_cut_json(model: ingot.Model) -> None:
    for seed in range(6):
        answer = model.generate(
            PROMPT, json_schema=PET, stop=["a", '"', "}", "e"], seed=seed, max_tokens=60
        )
        assert _is_json(answer.text), answer.text
        assert answer.stop is None


def test_jump_forward(model: ingot.Model) -> None:
    schema = {
        "type": "object",
        "properties": {"a_long_name_of_a_property": {"type": "boolean"}},
        "required": ["a_long_name_of_a_property"],
    }
    grammar = ingot.Grammar.from_json_schema(schema, whitespace="compact")
    for seed in range(4):
        answer = model.generate(PROMPT, grammar=grammar, jump_forward=True, seed=seed)
        assert list(json.loads(answer.text)) == ["a_long_name_of_a_property"]


def test_the_only_token(model: ingot.Model) -> None:
    with ingot.Grammar.from_gbnf('root ::= "x"').matcher(model) as matcher:
        token = matcher.only()
        assert token is not None
        assert model.detokenize([token]).strip() == "x"
        assert matcher.accept_token(token)
        assert matcher.closing() == []
    with ingot.Grammar.from_gbnf('root ::= "xy" | "z"').matcher(model) as matcher:
        assert matcher.only() is None
        assert model.detokenize(matcher.closing()).strip() in ("z", "xy")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"regex": "a", "choices": ["a"]}, "regex and choices were given"),
        ({"choices": "yes"}, "expected several texts"),
        ({"choices": []}, "nothing to choose"),
        ({"regex": 5}, "expected a text"),
        ({"regex": "("}, "regular expression"),
        ({"grammar": "root ::= other"}, "line 1"),
        ({"grammar": 7}, "expected a text"),
        ({"json_schema": '{"type": "object"}'}, "json.loads makes one"),
        ({"grammar": ["root"]}, "expected a text"),
        ({"json_schema": {"enum": [object()]}}, "json_schema"),
        ({"regex": "a", "ignore_eos": True}, "ignore_eos"),
    ],
)
def test_what_is_refused(model: ingot.Model, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ingot.IngotError, match=message):
        model.generate(PROMPT, **keywords)


def test_many_at_once(model: ingot.Model) -> None:
    """Together they say what each says alone."""
    grammar = ingot.Grammar.from_json_schema(PET)

    def ask(seed: int) -> ingot.Stream:
        keywords: dict[str, Any] = {"seed": seed, "max_tokens": 40, "stream": True}
        if seed % 3:
            keywords["grammar"] = grammar
        stream = model.generate(PROMPT, **keywords)
        assert isinstance(stream, ingot.Stream)
        return stream

    streams = [ask(seed) for seed in range(9)]
    together = ["".join(chunk.text for chunk in stream) for stream in streams]
    alone = ["".join(chunk.text for chunk in ask(seed)) for seed in range(9)]
    assert together == alone


def test_a_dropped_stream_lets_go_of_its_grammar(model: ingot.Model) -> None:
    for seed in range(20):
        stream = model.generate(PROMPT, json_schema=PET, stream=True, seed=seed)
        next(stream)
        del stream
    assert json.loads(model.generate(PROMPT, json_schema=PET, max_tokens=60).text)


def test_the_command(bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = tmp_path / "pet.json"
    schema.write_text(json.dumps(PET))
    run = ["run", str(bundled), "-p", PROMPT, "-q", "-n", "60"]
    for given in (["-j", json.dumps(PET)], ["-jf", str(schema)]):
        assert main([*run, *given]) == 0
        assert json.loads(capsys.readouterr().out)["kind"] in ("cat", "dog")
    grammar = tmp_path / "g.gbnf"
    grammar.write_text('root ::= "[" [a-z]+ "]"')
    for given in (["--grammar", grammar.read_text()], ["--grammar-file", str(grammar)]):
        assert main([*run, *given]) == 0
        assert re.fullmatch(r"\[[a-z]+\]\n?", capsys.readouterr().out)
    assert main([*run, "--choice", "yes", "--choice", "no"]) == 0
    assert capsys.readouterr().out.strip() in ("yes", "no")
    assert main([*run, "--regex", "[0-9]{4}", "--jump-forward", "--no-close-in-time"]) == 0
    assert re.fullmatch("[0-9]{4}\n?", capsys.readouterr().out)


def test_the_command_says_what_is_wrong(
    bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", str(bundled), "-p", PROMPT]
    assert main([*run, "-j", "{"]) != 0
    assert "--json-schema" in capsys.readouterr().err
    assert main([*run, "-j", "null"]) != 0
    assert "null" in capsys.readouterr().err
    assert main([*run, "--grammar-file", str(tmp_path / "none.gbnf")]) != 0
    assert "none.gbnf" in capsys.readouterr().err
