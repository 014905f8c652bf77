"""What may come: banned texts, allowed tokens, biases, functions that change logits, samples."""

from __future__ import annotations

import gc
import json
import re
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from ingot import ArgumentError, Completion, Sampler, StateError
from ingot.request import LogitsProcessor

PROMPT = "Once upon a time"
Row = npt.NDArray[np.float32]


def streamed(model: ingot.Model, prompt: Any = PROMPT, **keywords: Any) -> Completion:
    """An answer from a stream, whose chunks are what it says they are."""
    stream = model.generate(prompt, stream=True, **keywords)
    shown, tokens = "", []
    for chunk in stream:
        shown += chunk.text
        if chunk.token is not None:
            tokens.append(chunk.token)
    answer = stream.completion
    assert isinstance(answer, Completion)
    assert (shown, tokens) == (answer.text, answer.tokens)
    assert answer.n_generated == len(tokens)
    return answer


def checked(model: ingot.Model, banned: Sequence[str], **keywords: Any) -> Completion:
    """An answer that has none of the banned texts, and whose tokens are its text."""
    answer = streamed(model, banned=banned, **keywords)
    for text in banned:
        assert text not in answer.text
    begin = model.tokenize("x")
    assert model.detokenize(begin + answer.tokens)[1:] == answer.text
    return answer


def script(model: ingot.Model, tokens: Sequence[int], force: float = 1000.0) -> LogitsProcessor:
    """Has the model say these tokens, then end."""
    start: list[int] = []
    eos = model.specials.eos
    assert eos is not None

    def change(so_far: list[int], logits: Row) -> None:
        start.append(len(so_far))
        at = len(so_far) - start[0]
        logits[tokens[at] if at < len(tokens) else eos] += force

    return change


# ------------------------------------------------------------------------------------ banned texts


@pytest.mark.parametrize(
    "banned",
    [
        ["e"],
        ["the", "The", "a"],
        ["ed ", "was a quiet", "he "],
        [". H", "y l", "One day, L", "lived in a"],
        ["quiet b", "there was a", "tree", "  ", "in a "],
        ["said", '"', "?", "o"],
    ],
)
def test_banned_texts_never_appear(model: ingot.Model, banned: list[str]) -> None:
    taken_back = 0
    for seed in range(24):
        options: dict[str, Any] = {"seed": seed, "max_tokens": 40}
        options["temperature"] = (0.0, 0.8, 1.5, 3.0)[seed % 4]
        answer = checked(model, banned, **options)
        free = model.generate(PROMPT, **options)
        taken_back += answer.tokens != free.tokens
        if answer.finish_reason == "length":
            assert len(answer.tokens) == 40
        if not any(text in free.text for text in banned):
            assert answer.tokens == free.tokens
    assert taken_back > 0


def without(
    model: ingot.Model,
    banned: Sequence[str],
    n: int,
    sampler: dict[str, Any],
    eos: Sequence[int],
) -> list[int]:
    """What an engine says that knows nothing but whole rows of logits: it writes the first token of
    what it takes back on a list of its place. What was told once stays."""
    prompt = model.tokenize(PROMPT, add_special=True)
    texts = [text.encode() for text in banned]
    tokens: list[int] = []
    bans: dict[int, set[int]] = {}
    rows: list[Row] = []  # from which the tokens were chosen
    told = 0
    while len(tokens) < n:
        at = len(tokens)
        row = model.logits(prompt + tokens, len(prompt) + at - 1)[0]
        row[list(bans.get(at, set()) | set(eos))] = -np.inf
        choosing = Sampler(model, **sampler)
        for i, before in enumerate(rows):  # its state is that of the tokens which stayed
            assert choosing.choose(before, prompt + tokens[:i]) == tokens[i]
        tokens.append(choosing.choose(row, prompt + tokens))
        rows.append(row)
        pieces = [model.piece(token) for token in tokens]
        said = b"".join(pieces)
        ends = [(said.index(t) + len(t), -len(t)) for t in texts if t in said]
        if not ends:
            held = max(n for t in texts for n in range(len(t)) if said.endswith(t[:n]))
            safe = (i for i in range(at + 2) if len(b"".join(pieces[:i])) <= len(said) - held)
            told = max(told, *safe)
            continue
        end, size = min(ends)
        first = next(i for i in range(at + 1) if len(b"".join(pieces[: i + 1])) > end + size)
        first = max(first, told)
        bans = {i: one for i, one in bans.items() if i <= first}
        bans.setdefault(first, set()).add(tokens[first])
        del tokens[first:], rows[first:]
    return tokens


@pytest.mark.parametrize(
    "sampler",
    [
        {"temperature": 0},
        {"temperature": 0, "repeat_penalty": 1.3, "frequency_penalty": 0.2},
        {"temperature": 0, "dry_multiplier": 2.0, "dry_allowed_length": 1},
        {"temperature": 1.2, "seed": 5},
        {"temperature": 1.0, "seed": 2, "mirostat": 2},
        {"temperature": 1.0, "seed": 3, "adaptive_target": 0.3},
        {"temperature": 1.0, "seed": 4, "xtc_probability": 1.0, "xtc_threshold": 0.05},
    ],
)
@pytest.mark.parametrize(
    "banned", [["quiet b", ", O", "was a", "ed "], ["there", " L", "y w", ". She lived in", "e n"]]
)
def test_banned_texts_by_brute_force(
    model: ingot.Model, banned: list[str], sampler: dict[str, Any]
) -> None:
    ends = [i for i in range(model.info.n_vocab) if model.token(i).ends_generation]
    answer = checked(model, banned, max_tokens=24, ignore_eos=True, **sampler)
    assert answer.tokens == without(model, banned, 24, sampler, ends)


def test_the_first_token_may_be_banned(model: ingot.Model) -> None:
    """And the next, and so on: down to what nothing forbids."""
    banned: list[str] = []
    for _ in range(8):
        answer = checked(model, banned, max_tokens=3, temperature=0)
        bias = dict.fromkeys(banned, False)
        assert answer.tokens[0] not in [model.tokenize(text)[0] for text in bias]
        banned.append(model.piece(answer.tokens[0]).decode())


def test_a_banned_text_of_many_tokens(model: ingot.Model) -> None:
    """All of it is held back, and taken back to where it began."""
    free = model.generate(PROMPT, max_tokens=60, temperature=0, ignore_eos=True)
    banned = model.detokenize(free.tokens[10:50])
    answer = checked(model, [banned], max_tokens=60, temperature=0, ignore_eos=True)
    assert answer.tokens[:10] == free.tokens[:10]
    assert answer.tokens[10] != free.tokens[10]
    # Where it doesn't get so far nothing changes.
    close = checked(model, [banned + "x"], max_tokens=60, temperature=0, ignore_eos=True)
    assert close.tokens == free.tokens
    cut = checked(model, [banned], max_tokens=49, temperature=0, ignore_eos=True)
    assert cut.tokens == free.tokens[:49]


def test_text_that_was_held_back_is_not_lost(model: ingot.Model) -> None:
    """A token begins what another banned text takes back, while the end of the one before it is
    held back."""
    (q,) = model.tokenize("q")
    for first, second, banned in (
        ("there", " was red", ["e is", " was red"]),
        ("there", " was red", ["e w.", "was red"]),
        ("a b", "cd", ["bx", "cd"]),
        ("a b", "cdef", ["a bcx", "def"]),
    ):
        tokens = model.tokenize(first) + model.tokenize(second)
        answer = checked(
            model,
            banned,
            logits_processors=[script(model, tokens)],
            logit_bias={q: 500},
            temperature=0,
            max_tokens=30,
        )
        assert answer.text.startswith(first)
        assert "q" in answer.text


def test_tokens_are_told_once_they_are_safe(model: ingot.Model) -> None:
    """One whose text can't become banned any more doesn't wait, others do."""
    words = [" The", " red", " hat", " is", " old", "."]
    tokens = [token for word in words for token in model.tokenize(word)]
    change = script(model, tokens)
    asked: list[int] = []

    def counted(so_far: list[int], logits: Row) -> None:
        change(so_far, logits)
        asked.append(len(so_far))

    banned = " red hat is new"
    told: list[tuple[str, int]] = []
    for chunk in model.generate(
        PROMPT, banned=banned, logits_processors=[counted], temperature=0, stream=True
    ):
        if chunk.token in tokens:
            told.append((model.piece(chunk.token).decode(), len(asked)))
    assert "".join(piece for piece, _ in told) == "".join(words)
    when = dict(told)
    assert when[" The"] < when[" red"] == when[" hat"] == when[" is"]


def test_banned_texts_in_company(model: ingot.Model) -> None:
    keywords: list[dict[str, Any]] = [
        {"banned": banned, "seed": seed, "temperature": 1.5, "max_tokens": 30}
        for seed in range(4)
        for banned in ([], ["e"], ["the", "was a", "y l"], ["ed ", "He", "o"])
    ]
    got: dict[int, Completion] = {}

    def ask(i: int) -> None:
        got[i] = streamed(model, **keywords[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(keywords))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, one in enumerate(keywords):
        alone = checked(model, **one)
        assert (got[i].text, got[i].tokens) == (alone.text, alone.tokens)


def test_banned_texts_to_the_end_of_the_context() -> None:
    with ingot.Model(n_ctx=96) as model:
        for banned in (["e"], ["was a", "ed ", "th"]):
            answer = checked(model, banned, max_tokens=None, ignore_eos=True, seed=1)
            assert answer.finish_reason == "context"
            assert answer.n_prompt + answer.n_generated == 97


def test_banned_texts_of_several_bytes(model: ingot.Model) -> None:
    tokens = model.tokenize("🙂")
    assert len(tokens) > 1
    answer = checked(
        model,
        ["🙂"],
        allowed_tokens=tokens,
        logits_processors=[script(model, tokens * 5)],
        max_tokens=20,
        temperature=0,
    )
    raw = model.detokenize_bytes(answer.tokens)
    assert "🙂".encode() not in raw
    assert len(answer.tokens) == 20


def test_banned_texts_and_grammars(model: ingot.Model) -> None:
    for seed in range(8):
        answer = checked(model, ["bad"], choices=["bad dog", "good dog"], seed=seed)
        assert answer.text == "good dog"
        for jump_forward in (False, True):
            answer = checked(
                model,
                ["yes", "9"],
                regex="([0-9]{3}|x[0-9]yes|no) sir",
                jump_forward=jump_forward,
                seed=seed,
            )
            assert re.fullmatch("([0-8]{3}|no) sir", answer.text)
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    for seed in range(12):
        answer = checked(model, ["e", "a"], regex="[a-z]{3,20}[.]", seed=seed, max_tokens=64)
        assert re.fullmatch("[b-df-z]{3,20}[.]", answer.text)
        answer = streamed(model, json_schema=schema, banned=["ar", "  "], seed=seed, max_tokens=200)
        assert isinstance(json.loads(answer.text)["name"], str)


def test_where_nothing_but_banned_texts_may_come(model: ingot.Model) -> None:
    for keywords in ({"choices": ["yes", "yes!"]}, {"regex": "x[0-9]yes", "jump_forward": True}):
        with pytest.raises(ArgumentError, match="banned"):
            model.generate(PROMPT, banned="yes", **keywords)
    every = [chr(i) for i in range(1, 128)]
    answer = model.generate(PROMPT, banned=every, temperature=0)
    assert answer.text.isascii() is False or answer.text == ""
    with pytest.raises(ArgumentError, match="every token"):
        model.generate(PROMPT, allowed_tokens=model.tokenize("a"), banned="a")
    assert model.generate(PROMPT, max_tokens=3, ignore_eos=True).n_generated == 3


@pytest.mark.parametrize(
    ("banned", "problem"),
    [
        ("", "a banned text is empty"),
        (["a", ""], "a banned text is empty"),
        (["a"] * 257, "257 banned texts were given, at most 256"),
        (b"a", "banned is"),
        ([5], "banned is"),
        ("\ud800", "half a surrogate"),
    ],
)
def test_texts_that_cannot_be_banned(model: ingot.Model, banned: Any, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        model.generate(PROMPT, banned=banned)


def test_pages_that_others_share_suffice_after_going_back() -> None:
    """A request goes back into a page that another one's prompt shares; the pages of all three
    were promised to them."""
    with ingot.Model(n_ctx=128) as roomy:
        pages = 5 * 32 * roomy.cache.bytes_per_token
    with ingot.Model(n_ctx=128, kv_bytes=pages) as model:
        prompt = model.tokenize(PROMPT, add_special=True)
        n, far = len(prompt), 45
        options: dict[str, Any] = {"temperature": 0, "ignore_eos": True}
        free = model.generate(prompt, max_tokens=far + 5, **options)
        banned = model.detokenize(free.tokens)
        there, go = threading.Semaphore(0), threading.Event()

        def stay(at: int) -> LogitsProcessor:
            def wait(so_far: list[int], _: Row) -> None:
                if len(so_far) == at and not go.is_set():
                    there.release()
                    go.wait()

            return wait

        got: dict[str, Any] = {}

        def ask(name: str, tokens: list[int], stops_at: int, **keywords: Any) -> None:
            wait = stay(stops_at)
            try:
                got[name] = model.generate(tokens, logits_processors=[wait], **options, **keywords)
            except ingot.IngotError as e:
                got[name] = e

        longer = prompt + free.tokens[: far - 1]
        threads = []
        for name, tokens, stops_at, most in (
            ("back", prompt, n + far, 65 - n),  # 2 pages
            ("shares", longer, len(longer), 65 - len(longer)),  # 2, one of them the other's
            ("alone", [7] * 20, 20, 13),  # 1
        ):
            keywords = {"max_tokens": most, "banned": banned if name == "back" else ()}
            threads.append(
                threading.Thread(target=ask, args=(name, tokens, stops_at), kwargs=keywords)
            )
            threads[-1].start()
            # The last one has to wait for its turn.
            assert there.acquire(timeout=1 if name == "alone" else 60) or name == "alone"
        go.set()
        for thread in threads:
            thread.join()
        assert {name: type(one) for name, one in got.items()} == dict.fromkeys(got, Completion)
        for name, tokens in (("back", prompt), ("shares", longer), ("alone", [7] * 20)):
            ban = banned if name == "back" else ()
            most = len(got[name].tokens)
            alone = model.generate(tokens, max_tokens=most, banned=ban, **options)
            assert got[name].tokens == alone.tokens


# --------------------------------------------------------------------------------- allowed, biased


def test_allowed_tokens(model: ingot.Model) -> None:
    allowed = [*model.tokenize(" a dog and a cat were there"), 3]
    prompt = model.tokenize(PROMPT, add_special=True)
    for seed in range(6):
        answer = streamed(model, allowed_tokens=allowed, seed=seed, temperature=2, max_tokens=20)
        assert set(answer.tokens) <= set(allowed)
        assert answer.finish_reason == "length"
    answer = streamed(model, allowed_tokens=allowed * 3, temperature=0, max_tokens=12)
    rows = model.logits(prompt + answer.tokens, len(prompt) - 1)
    kept = np.full_like(rows, -np.inf)
    kept[:, allowed] = rows[:, allowed]
    assert answer.tokens == kept[:-1].argmax(axis=1).tolist()
    assert streamed(model, allowed_tokens=[77], max_tokens=5).tokens == [77] * 5
    every = list(range(model.info.n_vocab))
    options: dict[str, Any] = {"seed": 3, "max_tokens": 20}
    assert (
        streamed(model, allowed_tokens=every, **options).tokens == streamed(model, **options).tokens
    )


def test_allowed_tokens_and_what_else_bans(model: ingot.Model) -> None:
    a, b, c = (model.tokenize(one)[0] for one in "abc")
    eos = model.specials.eos
    assert eos is not None
    options: dict[str, Any] = {"max_tokens": 6, "seed": 1}
    answer = streamed(model, allowed_tokens=[a, b, eos], logit_bias={a: False}, **options)
    assert set(answer.tokens) <= {b, eos}
    answer = streamed(model, allowed_tokens=[a, eos], ignore_eos=True, **options)
    assert answer.tokens == [a] * 6
    answer = streamed(model, allowed_tokens=[a, b, eos], regex="[ac]{3}", **options)
    assert answer.text == "aaa"
    answer = streamed(model, allowed_tokens=[b, c], logit_bias={a: 1e9}, **options)
    assert a not in answer.tokens
    for keywords in (
        {"allowed_tokens": [a], "logit_bias": {a: False}},
        {"allowed_tokens": [eos], "ignore_eos": True},
        {"allowed_tokens": [b], "regex": "a+"},
    ):
        with pytest.raises(ArgumentError, match="banned"):
            streamed(model, **keywords)
    wrong: list[tuple[Any, str]] = [
        ([], "no token is allowed"),
        ([-1], "allowed_tokens is -1"),
        ([model.info.n_vocab], "token 0 of the allowed ones is"),
        (["a"], "allowed_tokens is 'a'"),
    ]
    for allowed, problem in wrong:
        with pytest.raises(ArgumentError, match=problem):
            model.generate(PROMPT, allowed_tokens=allowed)


def test_logit_bias_by_text(model: ingot.Model) -> None:
    options: dict[str, Any] = {"max_tokens": 30, "temperature": 0}
    free = streamed(model, **options)
    word = next(text for text in free.text.split() if len(model.tokenize(" " + text)) > 1)
    tokens = model.tokenize(" " + word)
    by_text = streamed(model, logit_bias={" " + word: False}, **options)
    by_token = streamed(model, logit_bias=dict.fromkeys(tokens, -np.inf), **options)
    assert by_text.tokens == by_token.tokens != free.tokens
    assert not set(tokens) & set(by_text.tokens)
    assert streamed(model, logit_bias={" " + word: 0.0}, **options).tokens == free.tokens
    mixed = {" " + word: 3.5, "a": -2, "!?": False}
    flat = [(t, bias) for text, bias in mixed.items() for t in model.tokenize(text)]
    added: dict[int, float] = {}
    for token, bias in flat:
        added[token] = added.get(token, 0.0) + (-np.inf if bias is False else float(bias))
    assert (
        streamed(model, logit_bias=mixed, **options).tokens
        == streamed(model, logit_bias=added, **options).tokens
    )
    # Digits are a token's number, as in JSON.
    assert streamed(model, logit_bias={"77": 1000}, max_tokens=3).tokens == [77] * 3
    assert model.tokenize("77") != [77]


def test_infinite_biases(model: ingot.Model) -> None:
    assert streamed(model, logit_bias={77: np.inf}, max_tokens=4, seed=1).tokens == [77] * 4
    answer = streamed(model, logit_bias={77: np.inf, 78: np.inf}, max_tokens=20, seed=1)
    assert set(answer.tokens) == {77, 78}
    wrong: list[tuple[Any, str]] = [
        ({77: np.nan}, "nan for token 77"),
        ({77: True}, "True; expected a number, or False"),
        ({77: None}, "None; expected a number"),
        ({"": 1.0}, "expected a token or a text"),
        ({"9" * 30: 1.0}, "logit_bias is 99999"),
        ({b"a": 1.0}, "logit_bias is b'a'"),
    ]
    for bias, problem in wrong:
        with pytest.raises(ArgumentError, match=problem):
            model.generate(PROMPT, logit_bias=bias)


# --------------------------------------------------------------------- functions that change logits


def test_processors_see_what_came_before(model: ingot.Model) -> None:
    prompt = model.tokenize(PROMPT, add_special=True)
    free = streamed(model, max_tokens=12, temperature=0)
    seen: list[list[int]] = []
    rows: list[Row] = []

    def look(tokens: list[int], logits: Row) -> None:
        assert logits.shape == (model.info.n_vocab,)
        assert logits.dtype == np.float32
        seen.append(tokens)
        rows.append(logits.copy())

    answer = streamed(model, max_tokens=12, temperature=0, logits_processors=[look])
    assert answer.tokens == free.tokens
    assert seen == [prompt + free.tokens[:i] for i in range(12)]
    np.testing.assert_array_equal(rows, model.logits(prompt + free.tokens[:-1], len(prompt) - 1))
    streamed(model, max_tokens=0, logits_processors=[look])
    assert len(seen) == 12


def test_processors_change_in_place_or_return(model: ingot.Model) -> None:
    def in_place(_: list[int], logits: Row) -> None:
        logits[:] = -logits

    def same(_: list[int], logits: Row) -> Row:
        logits *= -1
        return logits

    def other(_: list[int], logits: Row) -> npt.NDArray[np.float64]:
        return -logits.astype(np.float64)

    def listed(_: list[int], logits: Row) -> list[float]:
        return [-float(one) for one in logits]

    options: dict[str, Any] = {"max_tokens": 6, "temperature": 0, "ignore_eos": True}
    answers = {
        tuple(streamed(model, logits_processors=[one], **options).tokens)
        for one in (in_place, same, other, listed)
    }
    assert len(answers) == 1
    prompt = model.tokenize(PROMPT, add_special=True)
    ends = [i for i in range(model.info.n_vocab) if model.token(i).ends_generation]
    row = -model.logits(prompt)[-1]
    row[ends] = -np.inf
    assert answers.pop()[0] == row.argmax()
    free = streamed(model, **options).tokens
    assert streamed(model, logits_processors=[in_place, other], **options).tokens == free
    # One after another, and before the biases.
    banned = streamed(
        model, logits_processors=[script(model, [5, 6])], logit_bias={5: False}, **options
    )
    assert 5 not in banned.tokens
    assert banned.tokens[1] == 6
    sampled: dict[str, Any] = {"max_tokens": 20, "temperature": 1.5, "seed": 4}
    assert (
        streamed(model, logits_processors=[lambda _, __: None], **sampled).tokens
        == streamed(model, **sampled).tokens
    )


def test_what_processors_raise(model: ingot.Model) -> None:
    def late(tokens: list[int], _: Row) -> None:
        if len(tokens) > 8:
            raise LookupError("enough")

    stream = model.generate(PROMPT, logits_processors=[late], ignore_eos=True, stream=True)
    got: list[ingot.Chunk] = []
    with pytest.raises(LookupError, match="enough"):
        got.extend(stream)
    assert sum(chunk.token is not None for chunk in got) >= 1
    assert next(stream, None) is None
    wrong: list[Any] = [
        lambda _, __: 1 / 0,
        lambda _, __: np.zeros(3),
        lambda _, __: "logits",
        lambda: None,
    ]
    for one in wrong:
        with pytest.raises((ZeroDivisionError, ValueError, TypeError)):
            model.generate(PROMPT, logits_processors=[one])
    with pytest.raises(ingot.IngotError, match="number"):
        model.generate(PROMPT, logits_processors=[lambda _, logits: logits * np.nan])
    with pytest.raises(ArgumentError, match="banned"):
        model.generate(PROMPT, logits_processors=[lambda _, logits: logits - np.inf])
    with pytest.raises(ArgumentError, match="logits_processors"):
        model.generate(PROMPT, logits_processors=[5])  # type: ignore[list-item]
    assert model.generate(PROMPT, max_tokens=3, ignore_eos=True).n_generated == 3


def test_other_requests_go_on(model: ingot.Model) -> None:
    """While one waits for its caller."""
    expected = model.generate(PROMPT, max_tokens=30, seed=1).tokens
    go, there = threading.Event(), threading.Event()
    ended: list[Completion] = []

    def wait(_: list[int], __: Row) -> None:
        there.set()
        assert go.wait(30)

    def ask() -> None:
        ended.append(model.generate(PROMPT, max_tokens=30, seed=1, logits_processors=[wait]))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert there.wait(10)
    for _ in range(3):
        assert model.generate(PROMPT, max_tokens=30, seed=1).tokens == expected
    assert model.embed(PROMPT).shape[0] == 1
    assert not ended
    # One that waits too, and another one inside a processor.
    inner: list[list[int]] = []

    def ask_again(_: list[int], __: Row) -> None:
        inner.append(model.generate(PROMPT, max_tokens=30, seed=1).tokens)

    outer = model.generate(PROMPT, max_tokens=2, ignore_eos=True, logits_processors=[ask_again])
    assert outer.n_generated == 2
    assert inner == [expected] * 2
    go.set()
    for thread in threads:
        thread.join()
    assert [answer.tokens for answer in ended] == [expected] * 3


def test_interrupting_a_processor(model: ingot.Model) -> None:
    def interrupt(tokens: list[int], _: Row) -> None:
        if len(tokens) > 6:
            signal.raise_signal(signal.SIGINT)

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            model.generate(PROMPT, logits_processors=[interrupt], ignore_eos=True)
        assert model.generate(PROMPT, max_tokens=3, ignore_eos=True).n_generated == 3


def test_closing_in_a_processor(model: ingot.Model) -> None:
    def close_stream(_: list[int], __: Row) -> None:
        stream.close()

    stream = model.generate(PROMPT, logits_processors=[close_stream], stream=True)
    assert list(stream) == []
    with pytest.raises(StateError):
        stream.completion  # noqa: B018

    own = ingot.Model(n_ctx=64)
    with pytest.raises(StateError, match="closed"):
        own.generate(PROMPT, logits_processors=[lambda _, __: own.close()])
    with pytest.raises(StateError, match="closed"):
        own.generate(PROMPT)


def test_closing_while_a_processor_works() -> None:
    model = ingot.Model(n_ctx=128)
    there, closed = threading.Semaphore(0), threading.Event()
    ends: list[object] = []

    def work(_: list[int], logits: Row) -> None:
        there.release()
        assert closed.wait(30)
        logits += 1

    def ask() -> None:
        try:
            model.generate(PROMPT, max_tokens=8, logits_processors=[work])
        except ingot.IngotError as e:
            ends.append(type(e))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
        assert there.acquire(timeout=10)
    start = time.monotonic()
    model.close()
    assert time.monotonic() - start < 5
    closed.set()
    for thread in threads:
        thread.join()
    assert ends == [StateError] * 3


def test_abandoned_requests_with_processors(model: ingot.Model) -> None:
    """They let go of their places, wherever they are."""
    keep: list[Row] = []

    def touch(_: list[int], logits: Row) -> None:
        keep.append(logits)

    for i in range(100):
        stream = model.generate(
            PROMPT, logits_processors=[touch], banned=["e"], ignore_eos=True, stream=True
        )
        for _ in range(i % 4):
            next(stream)
        del stream
    gc.collect()
    for logits in keep:
        logits[:] = 0  # the memory is theirs who have it
    assert model.generate(PROMPT, max_tokens=3, ignore_eos=True).n_generated == 3


def test_processors_beside_a_grammar(model: ingot.Model) -> None:
    seen: list[int] = []

    def against(tokens: list[int], logits: Row) -> None:
        seen.append(len(tokens))
        logits[:] = -100
        logits[model.tokenize("x")] = 1000

    answer = streamed(
        model, choices=["left", "right", "six"], logits_processors=[against], temperature=0
    )
    assert answer.text in ("left", "right", "six")
    # Where there is no choice nobody is asked.
    assert 1 <= len(seen) < len(answer.tokens)
    answer = streamed(
        model, regex="[a-z]{4}", logits_processors=[script(model, model.tokenize("q") * 4)]
    )
    assert answer.text == "qqqq"


def test_processors_beside_banned_texts(model: ingot.Model) -> None:
    """They are asked again for what was taken back."""
    a, b, c = (model.tokenize(one)[0] for one in "abc")
    prompt = model.tokenize(PROMPT, add_special=True)
    seen: list[list[int]] = []
    forced = script(model, [a, b, c])

    def look(tokens: list[int], logits: Row) -> None:
        seen.append(tokens[len(prompt) :])
        forced(tokens, logits)

    options: dict[str, Any] = {"temperature": 0, "logit_bias": {77: 500}}
    answer = checked(model, ["abc"], logits_processors=[look], **options)
    assert answer.tokens[:3] == [77, b, c]
    assert seen[:5] == [[], [a], [a, b], [], [77]]


# ----------------------------------------------------------------------------------------- samples


def test_samples_of_a_seed(model: ingot.Model) -> None:
    def said(seed: int, sample: int, **keywords: Any) -> list[int]:
        return streamed(
            model, seed=seed, sample=sample, max_tokens=16, temperature=1.5, **keywords
        ).tokens

    assert said(1, 0) == streamed(model, seed=1, max_tokens=16, temperature=1.5).tokens
    for keywords in ({}, {"banned": ["e"]}, {"mirostat": 2}, {"regex": "[a-z ]{12,}"}):
        drawn = [said(1, sample, **keywords) for sample in range(6)]
        assert len({tuple(one) for one in drawn}) > 3
        assert drawn == [said(1, sample, **keywords) for sample in range(6)]
        assert drawn[1] != said(2, 1, **keywords) or drawn[2] != said(2, 2, **keywords)
    assert said(1, 2**32 - 1) == said(1, 2**32 - 1) != said(1, 2**32 - 2)
    odd: list[Any] = [-1, 2**32, 1.0, "1"]
    for wrong in odd:
        with pytest.raises(ArgumentError, match="sample is"):
            model.generate(PROMPT, sample=wrong)
