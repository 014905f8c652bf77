"""Generating: answers, streams, sampling, threads, closing in the middle."""

from __future__ import annotations

import dataclasses
import gc
import threading
import time
from typing import Any

import ingot
import numpy as np
import pytest
from ingot import ArgumentError, Completion, IngotError, LimitError, StateError
from ingot.request import Keywords, Options

PROMPT = "Once upon a time"


def test_an_answer(model: ingot.Model) -> None:
    answer = model.generate(PROMPT, max_tokens=20, seed=5, ignore_eos=True)
    assert isinstance(answer, Completion)
    assert answer.n_prompt == len(model.tokenize(PROMPT, add_special=True))
    assert answer.n_generated == len(answer.tokens) == 20
    assert answer.finish_reason == "length"
    assert answer.stop is None
    assert answer.seed == 5
    assert answer.text == model.detokenize(model.tokenize(PROMPT) + answer.tokens)[len(PROMPT) :]
    assert answer.timings.prompt_seconds >= 0
    assert answer.timings.decode_seconds > 0
    assert answer.timings.decode_speed == pytest.approx(20 / answer.timings.decode_seconds)


def test_tokens_as_the_prompt(model: ingot.Model) -> None:
    tokens = model.tokenize(PROMPT, add_special=True)
    texts = {
        model.generate(prompt, max_tokens=8, seed=1).text
        for prompt in (
            PROMPT,
            tokens,
            tuple(tokens),
            np.array(tokens),
            np.array(tokens, np.uint8 if max(tokens) < 256 else np.int16),
        )
    }
    assert len(texts) == 1


def test_same_seed_same_text(model: ingot.Model) -> None:
    def text(seed: int | None, **keywords: Any) -> str:
        answer = model.generate(PROMPT, max_tokens=24, seed=seed, temperature=1.5, **keywords)
        assert isinstance(answer, Completion)
        return answer.text

    assert text(7) == text(7)
    assert len({text(seed) for seed in range(6)}) > 1
    assert len({text(seed, top_k=1) for seed in range(4)}) == 1
    drawn = model.generate(PROMPT, max_tokens=24, temperature=1.5)
    assert text(drawn.seed) == drawn.text
    assert text(2**64 - 1) == text(2**64 - 1)
    assert len({model.generate(PROMPT, max_tokens=1).seed for _ in range(5)}) > 1


def test_a_stream_is_the_answer_in_pieces(model: ingot.Model) -> None:
    whole = model.generate(PROMPT, max_tokens=30, seed=3)
    stream = model.generate(PROMPT, max_tokens=30, seed=3, stream=True)
    assert (stream.seed, stream.n_prompt) == (3, whole.n_prompt)
    with pytest.raises(StateError, match="hasn't come to its end"):
        stream.completion  # noqa: B018
    chunks = list(stream)
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert [chunk.token for chunk in chunks[:-1]] == whole.tokens
    assert chunks[-1].token is None
    assert [chunk.finish_reason for chunk in chunks] == [None] * len(whole.tokens) + [
        whole.finish_reason
    ]
    assert stream.completion.text == whole.text
    assert next(stream, None) is None


def test_streams_hold_whole_characters(model: ingot.Model) -> None:
    """A character that is spelled by several tokens comes as one."""
    emoji = model.tokenize("🙂")
    assert len(emoji) > 1
    bias: dict[int, float] = {}
    said: list[str] = []
    prompt = model.tokenize("x")
    # Forces the tokens of the emoji one after the other by asking again.
    for token in emoji:
        bias = {token: 1000.0}
        said.append(model.generate(prompt, max_tokens=1, logit_bias=bias, temperature=0).text)
        prompt.append(token)
    assert model.detokenize(prompt) == "x🙂"
    # Each answer alone is half a character: what can't become whole is shown at the end, as U+FFFD.
    assert all(text in ("\ufffd", "") for text in said)
    only = dict.fromkeys(emoji, 1e30)
    chunks = list(model.generate("x", max_tokens=12, logit_bias=only, seed=1, stream=True))
    assert len(chunks) == 13
    assert "".join(c.text for c in chunks) == model.detokenize(
        [c.token for c in chunks if c.token is not None]
    )


def test_stop_texts(model: ingot.Model) -> None:
    free = model.generate(PROMPT, max_tokens=40, temperature=0)
    middle = free.text[10:14]
    stopped = model.generate(PROMPT, max_tokens=40, temperature=0, stop=middle)
    assert stopped.finish_reason == "stop"
    assert stopped.stop == middle
    assert stopped.text == free.text[: free.text.index(middle)]
    both = model.generate(PROMPT, max_tokens=40, temperature=0, stop=["never appears", middle])
    assert (both.text, both.stop) == (stopped.text, middle)
    chunks = list(model.generate(PROMPT, max_tokens=40, temperature=0, stop=[middle], stream=True))
    assert "".join(chunk.text for chunk in chunks) == stopped.text
    never = model.generate(PROMPT, max_tokens=40, temperature=0, stop=[free.text + "!"])
    assert never.text == free.text


def test_end_of_generation(model: ingot.Model) -> None:
    eos = model.specials.eos
    assert eos is not None
    ended = model.generate(PROMPT, logit_bias={eos: 1000.0})
    assert (ended.finish_reason, ended.tokens, ended.text) == ("eos", [eos], "")
    shown = model.generate(PROMPT, logit_bias={eos: 1000.0}, special=True)
    assert shown.text == model.token(eos).text
    ignored = model.generate(PROMPT, logit_bias={eos: 1000.0}, ignore_eos=True, max_tokens=3)
    assert ignored.finish_reason == "length"
    assert eos not in ignored.tokens


def test_logit_bias(model: ingot.Model) -> None:
    best = model.generate(PROMPT, max_tokens=1, temperature=0).tokens[0]
    other = model.generate(PROMPT, max_tokens=1, temperature=0, logit_bias={best: -np.inf})
    assert other.tokens[0] != best
    assert model.generate(PROMPT, max_tokens=3, logit_bias={best: 1000}).tokens == [best] * 3
    assert model.generate(PROMPT, max_tokens=2, logit_bias={str(best): 1000}).tokens == [best] * 2
    odd: list[Any] = [{-1: 1.0}, {model.info.n_vocab: 1.0}, {2**40: 1.0}, {"": 1}, {1: "1"}]
    for wrong in [*odd, [(5, 1)], {1.5: 1}, {1: True}]:
        with pytest.raises(ArgumentError):
            model.generate(PROMPT, logit_bias=wrong)


def test_how_many(model: ingot.Model) -> None:
    assert model.generate(PROMPT, max_tokens=0).tokens == []
    full = model.generate(PROMPT, max_tokens=None, ignore_eos=True)
    assert full.finish_reason == "context"
    assert full.n_prompt + full.n_generated in (512, 513)
    assert (
        len(model.generate(PROMPT, max_tokens=10**12, ignore_eos=True).tokens) == full.n_generated
    )
    assert len(model.generate(PROMPT, max_tokens=-1, ignore_eos=True).tokens) == full.n_generated
    with pytest.raises(ArgumentError, match="max_tokens is -2"):
        model.generate(PROMPT, max_tokens=-2)
    with pytest.raises(LimitError, match="512"):
        model.generate([1] * 513)
    with pytest.raises(ArgumentError):
        model.generate("")
    with pytest.raises(ArgumentError):
        model.generate([])


@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        (
            {"temprature": 1},
            "no sampling parameter 'temprature': did you mean temperature. known are",
        ),
        ({"temperature": -1}, "temperature is -1; expected a number from 0 to"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": None}, "temperature is None"),
        ({"temperature": "0.5"}, "temperature is '0.5'; expected a number from 0 to 100"),
        ({"top_k": -1}, "top_k is -1; expected an integer from 0 to 16777216"),
        ({"max_tokens": 3.0}, r"max_tokens is 3.0; expected an integer"),
        ({"max_tokens": "3"}, "max_tokens is '3'; expected an integer"),
        ({"seed": "1"}, "seed is '1'; expected an integer"),
        ({"stop": [None]}, "stop is"),
        ({"stop": b"e"}, "stop is"),
        ({"top_k": 1.5}, "top_k is 1.5; expected an integer"),
        ({"top_p": 2}, "top_p is 2; expected a number from 0 to 1"),
        ({"top_k": 10**400}, "top_k"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "seed is"),
        ({"stop": [""]}, "stop"),
    ],
)
def test_wrong_parameters(model: ingot.Model, keywords: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        model.generate(PROMPT, **keywords)


def test_the_table_of_parameters(model: ingot.Model) -> None:
    params = ingot.sampler_params()
    assert {"temperature", "top_k", "top_p", "min_p"} <= {param.name for param in params}
    for param in params:
        assert param.min <= param.default <= param.max
        assert param.doc
        keyword: dict[str, Any] = {param.name: param.default}
        assert model.generate(PROMPT, max_tokens=1, **keyword).n_generated == 1
    explicit: dict[str, Any] = {param.name: param.default for param in params}
    assert model.generate(PROMPT, seed=1, **explicit).text == model.generate(PROMPT, seed=1).text


def test_keywords_are_the_table() -> None:
    """What type checkers know is what the library has."""
    names = list(Keywords.__annotations__)
    first = names.index("temperature")
    assert names[first:] == [param.name for param in ingot.sampler_params()]
    assert {*names[:first], "sampling"} == {field.name for field in dataclasses.fields(Options)}


def test_types_of_answers(model: ingot.Model) -> None:
    """What mypy makes of each way to call."""
    flag = bool(model)
    stream: ingot.Stream = model.generate(PROMPT, max_tokens=1, stream=True)
    whole: Completion = model.generate(PROMPT, max_tokens=1)
    either: ingot.Stream | Completion = model.generate(PROMPT, max_tokens=1, stream=flag)
    assert [type(answer) for answer in (stream, whole, either)] == [
        ingot.Stream,
        Completion,
        ingot.Stream,
    ]
    with pytest.raises(ArgumentError, match="temprature"):
        model.generate(PROMPT, temprature=1)  # type: ignore[call-overload]


def test_chat(model: ingot.Model) -> None:
    messages = [{"role": "user", "content": "Hello!"}]
    answer = model.chat(messages, temperature=0)
    assert answer.finish_reason == "eos"
    assert answer.text.strip()
    assert "<|im" not in answer.text
    streamed = model.chat(messages, temperature=0, stream=True)
    assert "".join(chunk.text for chunk in streamed) == answer.text
    raw = model.generate(
        model.tokenize(model.apply_template(messages), parse_special=True), temperature=0
    )
    assert raw.text == answer.text
    again = model.chat(messages, temperature=0)
    assert again.n_cached == again.n_prompt - 1
    assert again.text == answer.text


def test_progress_of_the_prompt(model: ingot.Model) -> None:
    seen: list[float] = []
    model.generate([1] * 500, max_tokens=1, progress=seen.append)
    assert seen[-1] == 1
    assert seen == sorted(seen)

    def stop(share: float) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        model.generate([2] * 500, max_tokens=1, progress=stop)
    with pytest.raises(ingot.CancelledError, match="progress callback ended the work"):
        model.generate([3] * 500, max_tokens=1, progress=lambda _: False)
    assert model.generate(PROMPT, max_tokens=2).n_generated == 2


# ------------------------------------------------------------------------- what ends before its end


def wait_until_free(model: ingot.Model) -> float:
    """Seconds until the engine, which serves one request at a time, answers."""
    start = time.monotonic()
    model.generate("x", max_tokens=1)
    return time.monotonic() - start


def test_an_abandoned_stream_is_cancelled(model: ingot.Model) -> None:
    """Of three times the shortest: a busy machine stretches any of them."""

    def alone() -> float:
        """What the rest of the answer would take."""
        start = time.monotonic()
        model.generate(PROMPT, max_tokens=None, ignore_eos=True)
        return time.monotonic() - start

    def abandoned() -> float:
        for chunk in model.generate(PROMPT, max_tokens=None, ignore_eos=True, stream=True):
            if chunk.token is not None:
                break
        gc.collect()
        return wait_until_free(model)

    whole = min(alone() for _ in range(3))
    assert min(abandoned() for _ in range(3)) < whole / 2


def test_closing_a_stream(model: ingot.Model) -> None:
    with model.generate(PROMPT, max_tokens=None, ignore_eos=True, stream=True) as stream:
        assert next(stream).token is not None
    assert next(stream, None) is None
    stream.close()
    with pytest.raises(StateError):
        stream.completion  # noqa: B018
    assert wait_until_free(model) < 5


def test_an_error_in_the_loop_cancels(model: ingot.Model) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        for _ in model.generate(PROMPT, max_tokens=None, ignore_eos=True, stream=True):
            1 / 0  # noqa: B018
    assert wait_until_free(model) < 5


def test_a_stream_keeps_its_model() -> None:
    stream = ingot.Model(n_ctx=64).generate(PROMPT, max_tokens=10, ignore_eos=True, stream=True)
    gc.collect()
    assert len(list(stream)) == 11


def test_streams_of_one_model_take_turns(model: ingot.Model) -> None:
    texts = [model.generate(PROMPT, max_tokens=10, seed=i).text for i in range(3)]
    streams = [model.generate(PROMPT, max_tokens=10, seed=i, stream=True) for i in range(3)]
    got = ["".join(chunk.text for chunk in stream) for stream in reversed(streams)]
    assert got == texts[::-1]


def test_many_threads(model: ingot.Model) -> None:
    expected = {i: model.generate(f"Day {i}:", max_tokens=12, seed=i).text for i in range(8)}
    got: dict[int, str] = {}
    problems: list[BaseException] = []

    def work(i: int) -> None:
        try:
            for _ in range(3):
                text = "".join(
                    c.text for c in model.generate(f"Day {i}:", max_tokens=12, seed=i, stream=True)
                )
                assert got.setdefault(i, text) == text
                assert model.detokenize(model.tokenize(text)) == text
        except BaseException as e:
            problems.append(e)

    threads = [threading.Thread(target=work, args=(i,)) for i in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert got == expected


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.01, 0.05, 0.1])
def test_closing_the_model_in_the_middle(delay: float) -> None:
    model = ingot.Model(n_ctx=1024)
    ends: list[object] = []
    started = threading.Barrier(5)

    def work(use: Any) -> None:
        started.wait()
        try:
            for _ in range(1000):
                use()
            ends.append("done")
        except IngotError as e:
            ends.append(type(e))

    uses: list[Any] = [
        lambda: model.generate(PROMPT, max_tokens=None, ignore_eos=True),
        lambda: list(model.generate(PROMPT, max_tokens=None, ignore_eos=True, stream=True)),
        lambda: model.logits([1] * 900),
        lambda: (model.tokenize("x" * 10000), dict(model.metadata)),
    ]
    threads = [threading.Thread(target=work, args=(use,)) for use in uses]
    for thread in threads:
        thread.start()
    started.wait()
    time.sleep(delay)
    start = time.monotonic()
    model.close()
    for thread in threads:
        thread.join()
    assert time.monotonic() - start < 5
    assert ends == [StateError] * 4


def test_a_suspended_stream_of_a_closed_model(model: ingot.Model) -> None:
    own = ingot.Model(n_ctx=64)
    stream = own.generate(PROMPT, max_tokens=None, ignore_eos=True, stream=True)
    next(stream)
    own.close()
    with pytest.raises(StateError, match="closed"):
        next(stream)
    assert next(stream, None) is None


def test_two_threads_on_one_stream(model: ingot.Model) -> None:
    stream = model.generate(PROMPT, max_tokens=200, ignore_eos=True, stream=True)
    tokens: list[int] = []
    refusals = 0  # most of the time the other one is waiting

    def work() -> None:
        nonlocal refusals
        while True:
            try:
                chunk = next(stream)
            except StopIteration:
                return
            except StateError:
                refusals += 1
                continue
            if chunk.token is not None:
                tokens.append(chunk.token)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 200


def test_requests_are_not_leaked() -> None:
    """Thousands of short requests don't grow the process."""
    import resource

    with ingot.Model(n_ctx=64) as model:
        for _ in range(300):
            model.generate("a", max_tokens=1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for i in range(1500):
            stream = model.generate("a", max_tokens=2, stream=True)
            if i % 2:
                list(stream)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10
