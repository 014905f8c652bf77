"""How likely tokens were: of answers and prompts, by the model and by the samplers."""

from __future__ import annotations

import math
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from ingot import ArgumentError, Completion, Sampler, TokenLogprob

PROMPT = "Once upon a time"
Row = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]


def log_softmax(rows: npt.NDArray[Any]) -> Wide:
    """Of each row; -inf stays."""
    shifted = rows.astype(np.float64) - rows.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def ranked(row: Wide, n: int) -> list[int]:
    """The likeliest tokens, equal ones by number, without those that can't come."""
    order = np.lexsort((np.arange(len(row)), -row))
    return [int(token) for token in order[:n] if row[token] > -np.inf]


def check(model: ingot.Model, told: TokenLogprob, row: Wide, n: int) -> None:
    """A token's probability and those of its place, against a row of them."""
    assert told.logprob == pytest.approx(row[told.token], abs=1e-4)
    assert told.piece == model.piece(told.token)
    values = [one.logprob for one in told.top]
    assert len(values) == min(n, int((row > -np.inf).sum()))
    assert values == sorted(values, key=lambda value: -(value or 0))
    for one in told.top:
        assert one.top == ()
        assert one.piece == model.piece(one.token)
        assert one.logprob == pytest.approx(row[one.token], abs=1e-4)
    best = ranked(row, n)
    # Tokens that are as good as equal may change places.
    np.testing.assert_allclose(row[[one.token for one in told.top]], row[best], atol=1e-5)


def rows_of(model: ingot.Model, answer: Completion, prompt: str = PROMPT) -> Row:
    """The logits from which each of an answer's tokens was chosen."""
    tokens = model.tokenize(prompt, add_special=True)
    return model.logits(tokens + answer.tokens, len(tokens) - 1)[:-1]


def ask(model: ingot.Model, **keywords: Any) -> tuple[Completion, list[TokenLogprob]]:
    """An answer and what is told of its tokens: one each, and in a stream the same."""
    options: dict[str, Any] = {"max_tokens": 20, "seed": 1} | keywords
    stream = model.generate(PROMPT, stream=True, **options)
    chunks = list(stream)
    answer = stream.completion
    assert answer.logprobs is not None
    assert [chunk.logprob for chunk in chunks if chunk.token is not None] == answer.logprobs
    assert chunks[-1].logprob is None
    assert [told.token for told in answer.logprobs] == answer.tokens
    whole = model.generate(PROMPT, **options)
    assert (whole.tokens, whole.logprobs) == (answer.tokens, answer.logprobs)
    return answer, answer.logprobs


# --------------------------------------------------------------------------- as the model gave them


@pytest.mark.parametrize("n", [0, 5, 1536])
@pytest.mark.parametrize(
    "keywords",
    [
        {"temperature": 0},
        {"temperature": 2.0},
        {"top_k": 3, "repeat_penalty": 1.3},
        {"mirostat": 2, "ignore_eos": True},
    ],
)
def test_an_answer_s(model: ingot.Model, keywords: dict[str, Any], n: int) -> None:
    assert model.info.n_vocab == 1536
    answer, logprobs = ask(model, logprobs=n, max_tokens=8, **keywords)
    for told, row in zip(logprobs, log_softmax(rows_of(model, answer)), strict=True):
        check(model, told, row, n)
    free = model.generate(PROMPT, max_tokens=8, seed=1, **keywords)
    assert answer.tokens == free.tokens
    assert free.logprobs is None


def test_what_is_told_is_the_model_s_whatever_bans(model: ingot.Model) -> None:
    best = model.generate(PROMPT, max_tokens=1, temperature=0).tokens[0]
    for keywords in (
        {"logit_bias": {best: False, 7: 3.0}},
        {"allowed_tokens": [*range(best), *range(best + 1, 600)]},
        {"regex": "[A-Za-z ,]{10,}"},
        {"banned": [model.piece(best).decode(), "e"]},
        {"min_tokens": 9, "stop_tokens": [best]},
    ):
        answer, logprobs = ask(model, logprobs=4, temperature=0, **keywords)
        rows = log_softmax(rows_of(model, answer))
        for told, row in zip(logprobs, rows, strict=True):
            check(model, told, row, 4)
        assert logprobs[0].top[0].token == best
        assert logprobs[0].token != best or "regex" in keywords


def test_what_is_told_is_the_model_s_whatever_changes_logits(model: ingot.Model) -> None:
    best = model.generate(PROMPT, max_tokens=1, temperature=0).tokens[0]

    def less(_: list[int], logits: Row) -> None:
        logits[best] -= 50
        logits[7] += 3

    answer, logprobs = ask(model, logprobs=4, temperature=0, logits_processors=[less])
    assert answer.tokens[0] != best
    for told, row in zip(logprobs, log_softmax(rows_of(model, answer)), strict=True):
        check(model, told, row, 4)


def test_each_token_is_told_once(model: ingot.Model) -> None:
    """Also where others were taken back."""
    for seed in range(6):
        for banned in (["e", "a"], ["was a", "ed ", "the", ". "], ["there was a quiet"]):
            answer, logprobs = ask(
                model, banned=banned, logprobs=3, seed=seed, temperature=1.5, max_tokens=30
            )
            rows = log_softmax(rows_of(model, answer))
            for told, row in zip(logprobs, rows, strict=True):
                check(model, told, row, 3)


def test_what_ends_an_answer_is_told(model: ingot.Model) -> None:
    eos = model.specials.eos
    assert eos is not None
    answer, logprobs = ask(model, logprobs=1, logit_bias={eos: 1000})
    assert [told.token for told in logprobs] == [eos]
    assert logprobs[0].piece == model.token(eos).text.encode()
    assert (logprobs[0].logprob or 0) < -1
    token = model.generate(PROMPT, temperature=0, max_tokens=5).tokens[4]
    answer, logprobs = ask(model, logprobs=0, temperature=0, stop_tokens=[token])
    assert answer.finish_reason == "stop"
    assert (logprobs[-1].token, logprobs[-1].top) == (token, ())
    answer, logprobs = ask(model, logprobs=0, max_tokens=0)
    assert logprobs == []


def test_grammars(model: ingot.Model) -> None:
    """Where there is one way to go on, too; but not of what closes an answer in time."""
    answer, logprobs = ask(model, logprobs=2, choices=["yes, indeed", "no, never"], temperature=0)
    for told, row in zip(logprobs, log_softmax(rows_of(model, answer)), strict=True):
        check(model, told, row, 2)
    options: dict[str, Any] = {"regex": '"[a-z ]{0,100}[a-z]"', "max_tokens": 9, "logprobs": 1}
    answer, logprobs = ask(model, **options)
    assert answer.text.endswith('"')
    assert answer.finish_reason == "eos"
    known = [told.logprob is not None for told in logprobs]
    assert known == sorted(known, reverse=True)
    assert known[0]
    for told, row in zip(logprobs, log_softmax(rows_of(model, answer)), strict=True):
        if told.logprob is not None:
            check(model, told, row, 1)
    last = logprobs[-1]
    assert (last.logprob, last.top, last.piece) == (None, (), b'"')
    free = model.generate(PROMPT, regex='"[a-z ]{0,100}[a-z]"', max_tokens=9, seed=1)
    assert answer.text == free.text


def test_tokens_that_are_no_text(model: ingot.Model) -> None:
    tokens = model.tokenize("🙂")
    answer, logprobs = ask(model, logprobs=2, allowed_tokens=tokens, max_tokens=6)
    assert b"".join(told.piece for told in logprobs) == model.detokenize_bytes(answer.tokens)
    assert all(isinstance(told.piece, bytes) for told in logprobs)
    for told in logprobs:
        with pytest.raises(UnicodeDecodeError):
            told.piece.decode()


# ---------------------------------------------------------------------- as the samplers left them


@pytest.mark.parametrize(
    "sampler",
    [
        {},
        {"temperature": 0},
        {"temperature": 0.5, "top_k": 5},
        {"temperature": 1.5, "top_p": 0.7, "min_p": 0.05},
        {"typical_p": 0.6},
        {"top_n_sigma": 1.0},
        {"repeat_penalty": 1.4, "presence_penalty": 0.5},
        {"dry_multiplier": 1.0, "dry_allowed_length": 1},
        {"xtc_probability": 1.0, "xtc_threshold": 0.05},
        {"dynatemp_range": 0.5},
        {"mirostat": 1},
        {"mirostat": 2},
        {"adaptive_target": 0.3},
    ],
)
def test_sampled_logprobs(model: ingot.Model, sampler: dict[str, Any]) -> None:
    prompt = model.tokenize(PROMPT, add_special=True)
    best = model.generate(PROMPT, max_tokens=1, temperature=0).tokens[0]
    ways: list[dict[str, Any]] = [
        {},
        {"logit_bias": {best: False, 7: 4.0}},
        {"regex": "[a-z ,.]{30,}"},
        {"allowed_tokens": list(range(5, 1500))},
    ]
    for way in ways:
        keywords = {"logprobs": 6, "sampled_logprobs": True, "min_tokens": 20, **way, **sampler}
        answer, logprobs = ask(model, seed=9, **keywords)
        choosing = Sampler(model, seed=9, **sampler)
        rows = allowed_rows(model, answer, way)
        for i, (told, changed) in enumerate(zip(logprobs, rows, strict=True)):
            before = prompt + answer.tokens[:i]
            probabilities = choosing.probabilities(changed, before)
            with np.errstate(divide="ignore"):
                check(model, told, np.log(probabilities.astype(np.float64)), 6)
            assert choosing.choose(changed, before) == told.token
        free = model.generate(PROMPT, max_tokens=20, seed=9, min_tokens=20, **way, **sampler)
        assert free.tokens == answer.tokens


def allowed_rows(model: ingot.Model, answer: Completion, way: dict[str, Any]) -> Row:
    """Logits as the samplers got them."""
    rows = rows_of(model, answer)
    for token, bias in way.get("logit_bias", {}).items():
        rows[:, token] += np.float32(-np.inf if bias is False else bias)
    kept = np.ones(rows.shape, bool)
    if "allowed_tokens" in way:
        kept[:] = False
        kept[:, way["allowed_tokens"]] = True
    if "regex" in way:
        with ingot.Grammar.from_regex(way["regex"]).matcher(model) as matcher:
            for i, token in enumerate(answer.tokens):
                kept[i] &= matcher.mask()
                assert matcher.accept_token(token)
    ends = [token for token in range(model.info.n_vocab) if model.token(token).ends_generation]
    kept[:, ends] = False  # min_tokens
    return np.where(kept, rows, np.float32(-np.inf))


def test_sampled_logprobs_are_of_what_is_left(model: ingot.Model) -> None:
    _, logprobs = ask(model, logprobs=10, sampled_logprobs=True, temperature=0)
    for told in logprobs:
        assert told.logprob == 0
        assert [one.token for one in told.top] == [told.token]
    whole: dict[str, Any] = {"logprobs": 10, "sampled_logprobs": True, "top_p": 1, "min_p": 0}
    _, logprobs = ask(model, top_k=3, **whole)
    for told in logprobs:
        assert len(told.top) == 3
        assert sum(math.exp(one.logprob or 0) for one in told.top) == pytest.approx(1, abs=1e-5)
        assert told.token in [one.token for one in told.top]
    _, logprobs = ask(model, banned=["e", "a"], temperature=3, top_k=50, **whole)
    for told in logprobs:
        assert told.logprob is not None
        assert -math.inf < told.logprob <= 0
        assert len(told.top) == 10


def test_ties_by_number(model: ingot.Model) -> None:
    equal = [900, 31, 1200, 77, 450]

    def flat(_: list[int], logits: Row) -> None:
        logits[:] = -5
        logits[equal] = 2

    for n in (1, 3, 5, 8):
        sampler: dict[str, Any] = {"top_k": 0, "top_p": 1, "min_p": 0, "sampled_logprobs": True}
        _, logprobs = ask(
            model, logprobs=n, logits_processors=[flat], max_tokens=3, ignore_eos=True, **sampler
        )
        for told in logprobs:
            top = [one.token for one in told.top]
            assert top[:5] == sorted(equal)[:n]
            rest = [token for token in range(20) if not model.token(token).ends_generation]
            assert top[5:] == rest[: n - 5 if n > 5 else 0]


# ------------------------------------------------------------------------------------------ prompts


@pytest.mark.parametrize("n", [0, 1, 7])
def test_a_prompt_s(model: ingot.Model, n: int) -> None:
    text = "The little bird was very hungry, so it flew to the 🙂 garden."
    tokens = model.tokenize(text, add_special=True)
    rows = log_softmax(model.logits(tokens))
    for prompt in (text, tokens):
        for _ in range(2):  # once over what the pages know already
            answer = model.generate(prompt, max_tokens=2, prompt_logprobs=n, seed=1)
            found = answer.prompt_logprobs
            assert found is not None
            assert len(found) == answer.n_prompt == len(tokens)
            assert found[0] is None
            for told, token, row in zip(found[1:], tokens[1:], rows, strict=False):
                assert told is not None
                assert told.token == token
                check(model, told, row, n)
    assert model.generate(text, max_tokens=2).prompt_logprobs is None
    alone = model.generate(text, max_tokens=0, prompt_logprobs=n)
    assert (alone.prompt_logprobs, alone.tokens) == (found, [])
    scores = model.score(tokens).tolist()
    assert [told and told.logprob for told in (found or [])[1:]] == pytest.approx(scores, abs=1e-6)


def test_prompt_and_answer_together(model: ingot.Model) -> None:
    """Each has its own number of likeliest tokens, and nothing disturbs the other: not even going
    back to the prompt's end."""
    tokens = model.tokenize(PROMPT, add_special=True)
    rows = log_softmax(model.logits(tokens))
    for keywords in (
        {},
        {"banned": [" there", ",", " in"]},
        {"regex": "[a-z ]{9,}"},
        {"sampled_logprobs": True, "temperature": 0},
    ):
        answer, logprobs = ask(model, logprobs=3, prompt_logprobs=2, **keywords)
        assert answer.prompt_logprobs is not None
        for told, token, row in zip(answer.prompt_logprobs[1:], tokens[1:], rows, strict=False):
            assert told is not None
            assert told.token == token
            check(model, told, row, 2)
        if "sampled_logprobs" not in keywords:
            for told, row in zip(logprobs, log_softmax(rows_of(model, answer)), strict=True):
                check(model, told, row, 3)
    single = model.generate([5], max_tokens=1, prompt_logprobs=3)
    assert single.prompt_logprobs == [None]


def test_several_at_once(model: ingot.Model) -> None:
    """What is told of one is the same in any company."""
    keywords: list[dict[str, Any]] = [
        {"logprobs": 4, "seed": 1},
        {"logprobs": 0, "prompt_logprobs": 3, "seed": 2},
        {"logprobs": 9, "sampled_logprobs": True, "top_k": 20, "seed": 3},
        {"logprobs": 2, "banned": ["e"], "seed": 4},
        {"logprobs": 2, "regex": "[a-z ]{9,}", "seed": 5},
        {"prompt_logprobs": 0, "seed": 6},
        {"seed": 7},
    ]
    streams = [model.generate(PROMPT, max_tokens=25, stream=True, **one) for one in keywords]
    for stream in reversed(streams):
        list(stream)
    for stream, one in zip(streams, keywords, strict=True):
        alone = model.generate(PROMPT, max_tokens=25, **one)
        assert stream.completion.logprobs == alone.logprobs
        assert stream.completion.prompt_logprobs == alone.prompt_logprobs


@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        ({"logprobs": -1}, "logprobs is -1; expected an integer from 0"),
        ({"logprobs": 1537}, "logprobs is 1537, expected -1 .none. to 1536"),
        ({"logprobs": 2.0}, "logprobs is 2.0"),
        ({"logprobs": "2"}, "logprobs is '2'"),
        ({"prompt_logprobs": -1}, "prompt_logprobs is -1; expected an integer from 0 to 1536"),
        ({"prompt_logprobs": 1537}, "prompt_logprobs is 1537"),
        ({"prompt_logprobs": 0.5}, "prompt_logprobs is 0.5"),
    ],
)
def test_what_is_refused(model: ingot.Model, keywords: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        model.generate(PROMPT, **keywords)
