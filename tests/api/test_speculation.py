"""Speculation: the same answers with and without, and what is said about it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import ingot
import pytest
from ingot import ArgumentError, gguf
from ingot.cli import main

PROMPT = "Once upon a time there was a little dog. Once upon a time there was a"

MIXES: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 0, "stop": "dog"},
    {"seed": 1},
    {"seed": 2, "logprobs": 3, "repeat_penalty": 1.1},
    {"seed": 3, "mirostat": 2, "banned": ["the", "was"]},
    {"seed": 4, "regex": "(the (cat|dog) and )+the end"},
    {"seed": 5, "grammar": 'root ::= ("one, " | "one; " | "two, ")+', "jump_forward": True},
    {"seed": 6, "choices": ["a dog, a dog, a dog, a dog and a dog", "a cat"]},
    {"seed": 7, "allowed_tokens": [300, 301], "min_tokens": 20},
    {"seed": 8, "json_schema": {"type": "array", "items": {"enum": ["yes", "no"]}}},
]


def essence(answer: ingot.Completion) -> tuple[Any, ...]:
    return (answer.text, answer.tokens, answer.finish_reason, answer.stop, answer.logprobs)


def ask(model: ingot.Model, mix: dict[str, Any], draft: int | None) -> ingot.Completion:
    answer = model.generate(PROMPT, max_tokens=50, draft=draft, **mix)
    assert isinstance(answer, ingot.Completion)
    return answer


def test_same_answers(model: ingot.Model) -> None:
    n_drafted = n_accepted = 0
    for mix in MIXES:
        plain = ask(model, mix, 0)
        assert plain.n_drafted == plain.n_accepted == 0
        for draft in (None, 1, 6, 32):
            answer = ask(model, mix, draft)
            assert essence(answer) == essence(plain)
            assert 0 <= answer.n_accepted <= answer.n_drafted
            n_drafted += answer.n_drafted
            n_accepted += answer.n_accepted
    assert n_drafted > n_accepted > 100


def test_same_answers_in_company(model: ingot.Model) -> None:
    plain = [essence(ask(model, mix, 0)) for mix in MIXES]
    found: dict[int, Any] = {}
    with ingot.Model(n_ctx=2048) as other:

        def run(i: int) -> None:
            found[i] = essence(ask(other, MIXES[i], 5))

        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(MIXES))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found.get(i) for i in range(len(MIXES))] == plain


def test_repeated_text_is_drafted(model: ingot.Model) -> None:
    regex = "(all work and no play. ){30}"
    answer = model.generate(PROMPT, max_tokens=64, regex=regex, temperature=0, draft=8)
    assert answer.n_accepted >= 8
    assert answer.n_accepted + answer.n_forced >= 30


def test_bad_numbers(model: ingot.Model) -> None:
    for draft in (-1, 1.5, "many"):
        with pytest.raises(ArgumentError, match="draft is"):
            model.generate(PROMPT, draft=draft)  # type: ignore[arg-type]


def test_draft_model(model: ingot.Model, bundled: Path) -> None:
    """The model itself, as the best of drafters: whatever is likeliest comes."""
    with ingot.Model(n_ctx=512, draft_model=bundled) as with_path:
        for mix in MIXES:
            answer, plain = ask(with_path, mix, 4), ask(model, mix, 0)
            assert essence(answer) == essence(plain)
        answer = ask(with_path, {"temperature": 0}, 4)
        assert answer.n_accepted >= 35
    with ingot.Model() as drafter:
        with_model = ingot.Model(n_ctx=512, draft_model=drafter)
        assert essence(ask(with_model, {"temperature": 0}, 4)) == essence(answer)
        drafter.close()
        with pytest.raises(ingot.StateError):
            ask(with_model, {"temperature": 0}, 4)
        with_model.close()


def test_another_vocabulary(bundled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    with gguf.open(bundled) as source, gguf.Writer(other) as writer:
        for key in source.metadata:
            value = source.metadata[key]
            if key == "tokenizer.ggml.tokens":
                texts: Any = value
                texts[300], texts[301] = texts[301], texts[300]
            writer.add(key, value)
        for tensor in source.tensors.values():
            writer.add_tensor(tensor.name, tensor.data, tensor.type)
    with (
        ingot.Model(draft_model=other) as model,
        pytest.raises(ArgumentError, match=r"token 300 is .* the same vocabulary"),
    ):
        model.generate("Once", max_tokens=1)


def test_command_line(capsys: pytest.CaptureFixture[str], bundled: Path) -> None:
    run = ["run", "-p", PROMPT, "-n", "60", "--temp", "0", "--json", "--regex", "[ab]{60,}"]
    answers = []
    for more in (["--draft", "0"], ["--draft", "6"], ["--draft", "4", "-md", str(bundled)]):
        assert main([*run, *more]) == 0
        captured = capsys.readouterr()
        answers.append(json.loads(captured.out))
        assert ("drafted" in captured.err) == (answers[-1]["n_drafted"] > 0)
    assert len({answer["text"] for answer in answers}) == 1
    assert [answer["n_drafted"] > 0 for answer in answers] == [False, True, True]


def test_bench(capsys: pytest.CaptureFixture[str], bundled: Path) -> None:
    bench = ["bench", str(bundled), "--speculation", "-r", "1", "-n", "80"]
    assert main([*bench, "--json"]) == 0
    rows = {row["text"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert list(rows) == ["repeated", "copied", "certain", "free"]
    assert all(row["tokens"] == 80 for name, row in rows.items() if name != "repeated")
    assert rows["certain"]["accepted"][0] <= rows["certain"]["drafted"][0]
    assert main([*bench, "--draft-model", str(bundled)]) == 0
    assert "certain" in capsys.readouterr().out
    for wrong in (["--samplers"], ["--vs-llama-cpp"], ["-n", "1"]):
        with pytest.raises(SystemExit):
            main([*bench, *wrong])
    with pytest.raises(SystemExit):
        main(["bench", "--draft-model", str(bundled)])
    assert "goes with --speculation" in capsys.readouterr().err
