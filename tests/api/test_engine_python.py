"""ingot.Engine: many requests over one model, in threads and in event loops."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import ingot
import numpy as np
import pytest
from ingot import errors
from ingot._lib import Handle
from ingot.engine import Opening

_T = TypeVar("_T")

N_SEQS = 4
LONG: dict[str, Any] = {"max_tokens": None, "ignore_eos": True}


@pytest.fixture(scope="module")
def model() -> Iterator[ingot.Model]:
    with ingot.Model(n_ctx=1024, n_seqs=N_SEQS) as opened:
        yield opened


@pytest.fixture
def engine(model: ingot.Model) -> Iterator[ingot.Engine]:
    with ingot.Engine(model) as opened:
        yield opened


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """In an event loop; not for ever."""

    async def limited() -> _T:
        return await asyncio.wait_for(work, 60)

    return asyncio.run(limited())


def n_requests(engine: ingot.Engine) -> int:
    """How many requests it has."""
    shared = engine.model._started()
    children: list[Handle] = [*shared._children, *engine._handle._children]
    return sum(child._what == "request" and not child.closed for child in children)


def is_idle(engine: ingot.Engine) -> bool:
    """Whether a request that needs all pages gets them soon: nothing else runs."""
    start = time.monotonic()
    with engine.generate("Now", **LONG) as answer:
        return next(answer).token is not None and time.monotonic() - start < 5


# ------------------------------------------------------------------------------------------ answers


def test_parallel_streams_equal_lone_ones(engine: ingot.Engine) -> None:
    """The bits of a request are the same alone and in company."""
    prompts = [f"Once upon a time {i} cats" for i in range(3 * N_SEQS)]
    options: list[dict[str, Any]] = [
        {"seed": i, "max_tokens": 5 + 3 * (i % 4), "logprobs": 2} for i in range(len(prompts))
    ]
    alone = [engine.model.generate(p, **o) for p, o in zip(prompts, options, strict=True)]

    async def one(i: int) -> tuple[str, ingot.Completion]:
        answer = engine.generate(prompts[i], **options[i])
        text = "".join([chunk.text async for chunk in answer])
        return text, await answer

    async def all_of_them() -> list[tuple[str, ingot.Completion]]:
        return await asyncio.gather(*map(one, range(len(prompts))))

    for (text, answer), expected in zip(run(all_of_them()), alone, strict=True):
        assert text == answer.text == expected.text
        assert (answer.tokens, answer.logprobs) == (expected.tokens, expected.logprobs)
        assert answer.finish_reason == expected.finish_reason


def test_every_way_of_reading_is_the_same(engine: ingot.Engine) -> None:
    def begin() -> ingot.Answer:
        return engine.generate("Once upon a time", seed=3, max_tokens=12)

    expected = engine.model.generate("Once upon a time", seed=3, max_tokens=12)

    async def awaited() -> ingot.Completion:
        return await begin()

    async def some_of_it() -> ingot.Completion:
        answer = begin()
        async for chunk in answer:
            assert chunk.token == expected.tokens[0]
            break
        return await answer

    async def changing() -> ingot.Completion:
        answer = begin()
        first = await anext_(answer)
        second = next(answer)
        assert [first.token, second.token] == expected.tokens[:2]
        return answer.result()

    read = begin()
    chunks = list(read)
    answers = [begin().result(), run(awaited()), run(some_of_it()), run(changing()), read.result()]
    assert [chunk.token for chunk in chunks[:-1]] == expected.tokens
    for answer in answers:
        assert (answer.text, answer.tokens) == (expected.text, expected.tokens)
    assert read.completion is read.result()


async def anext_(answer: ingot.Answer) -> ingot.Chunk:
    return await answer.__anext__()  # anext() for Python 3.10


def test_chat(engine: ingot.Engine) -> None:
    messages = [{"role": "user", "content": "Tell me of a cat."}]
    expected = engine.model.chat(messages, seed=1, max_tokens=10)

    async def ask() -> ingot.Completion:
        answer = await asyncio.to_thread(engine.chat, messages, seed=1, max_tokens=10)
        return await answer

    assert run(ask()).tokens == expected.tokens
    assert engine.chat(messages, seed=1, max_tokens=10).result().tokens == expected.tokens


def test_grammars_processors_and_prompts(engine: ingot.Engine) -> None:
    """What lends memory to the engine."""
    tokens = engine.model.tokenize("Once upon a time", add_special=True)

    def halve(_so_far: list[int], logits: Any) -> None:
        logits /= 2

    options: dict[str, Any] = {"seed": 4, "max_tokens": 30, "prompt_logprobs": 1}
    for more in ({"regex": "[a-z ]{5,40}"}, {"logits_processors": [halve]}):
        expected = engine.model.generate(tokens, **options, **more)

        async def ask(more: dict[str, Any] = more) -> ingot.Completion:
            return await engine.generate(tokens, **options, **more)

        answer = run(ask())
        assert (answer.tokens, answer.prompt_logprobs) == (
            expected.tokens,
            expected.prompt_logprobs,
        )


def test_progress_of_a_prompt(engine: ingot.Engine) -> None:
    prompt = engine.model.tokenize("The king had a horse. " * 60)[:600]
    shares: list[float] = []

    async def ask(progress: Any) -> None:
        await engine.generate([5, *prompt], max_tokens=1, progress=progress)

    run(ask(shares.append))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    with pytest.raises(errors.CancelledError):
        run(ask(lambda _: False))
    assert n_requests(engine) == 0


def test_errors_reach_who_waits(engine: ingot.Engine) -> None:
    with pytest.raises(errors.LimitError, match="the prompt has 5000 tokens"):
        engine.generate([1] * 5000)
    with pytest.raises(errors.ArgumentError, match="temprature"):
        engine.generate("x", temprature=1)  # type: ignore[call-arg]

    def fail(_so_far: list[int], _logits: Any) -> None:
        raise ZeroDivisionError("mine")

    async def ask() -> None:
        await engine.generate("x", logits_processors=[fail])

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(ask())
    assert is_idle(engine)


# ------------------------------------------------------------------------------- prompts themselves


def test_prompts(engine: ingot.Engine) -> None:
    model = engine.model
    ids = model.tokenize("Once upon a time there was a cat", add_special=True)
    texts = [f"cat {i}" for i in range(9)]
    shares: list[float] = []

    async def ask() -> list[Any]:
        work: list[ingot.Pending[Any]] = [
            engine.embed(texts, progress=shares.append),
            engine.embed("a cat", pooling="none", normalize=False),
            engine.embed([]),
            engine.logits(ids, 3),
            engine.score(ids),
            engine.top_logprobs(ids, 3),
        ]
        return await asyncio.gather(*map(_awaited, work))

    expected: list[Any] = [
        model.embed(texts),
        model.embed("a cat", pooling="none", normalize=False),
        model.embed([]),
        model.logits(ids, 3),
        model.score(ids),
        model.top_logprobs(ids, 3),
    ]
    for got, wanted in zip(run(ask()), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(engine.score(ids).result(), expected[4])
    assert len(shares) == 9
    assert shares[-1] == 1
    with pytest.raises(errors.ArgumentError, match="pooling"):
        engine.embed("a", pooling="sum")


async def _awaited(pending: ingot.Pending[_T]) -> _T:
    return await pending


def test_a_result_can_be_had_again(engine: ingot.Engine) -> None:
    pending = engine.score([1, 2, 3])
    first = pending.result()
    assert pending.result() is first

    async def again() -> Any:
        return await pending

    assert run(again()) is first


def test_pending_work_that_is_cancelled(engine: ingot.Engine) -> None:
    async def ask() -> None:
        pending = engine.embed([[7 + i] * 200 for i in range(60)])
        task = asyncio.create_task(_awaited(pending))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(errors.StateError, match="failed"):
            pending.result()
        await until_no_request(engine)

    run(ask())
    assert is_idle(engine)


# --------------------------------------------------------------------------------------- cancelling


async def until_no_request(engine: ingot.Engine) -> None:
    for _ in range(500):
        if n_requests(engine) == 0:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{n_requests(engine)} requests are left")


@pytest.mark.parametrize("more", [{}, {"regex": "[a-z ]{900,}", "ignore_eos": False}])
def test_leaving_cancels(engine: ingot.Engine, more: dict[str, Any]) -> None:
    options = {**LONG, **more}

    async def leave() -> None:
        async for _ in engine.generate("Once", **options):
            break
        await until_no_request(engine)
        async with engine.generate("Once", **options) as answer:
            await anext_(answer)
        await until_no_request(engine)
        kept = engine.generate("Once", **options)
        await anext_(kept)
        await kept.aclose()
        await until_no_request(engine)
        assert [chunk async for chunk in kept] == []
        with pytest.raises(errors.StateError, match="hasn't come to its end"):
            await kept

    run(leave())
    assert is_idle(engine)


@pytest.mark.parametrize("more", [{}, {"regex": "[a-z ]{900,}", "ignore_eos": False}])
@pytest.mark.parametrize("moment", [0, 0.001, 0.02])
def test_cancelled_tasks(engine: ingot.Engine, moment: float, more: dict[str, Any]) -> None:
    """At once: the loop isn't held up meanwhile, and the pages are free again."""

    async def read() -> None:
        async for _ in engine.generate("Once", **{**LONG, **more}):
            pass

    async def cancel() -> None:
        tasks = [asyncio.create_task(read()) for _ in range(2 * N_SEQS)]
        await asyncio.sleep(moment)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with pytest.raises(asyncio.CancelledError):
                await task
        del tasks, task
        await until_no_request(engine)

    run(cancel())
    assert is_idle(engine)


def test_cancelled_while_it_reads_nothing(engine: ingot.Engine) -> None:
    """A task that is cancelled in the loop's body, with the answer in no variable."""

    async def read() -> None:
        async for _ in engine.generate("Once", **LONG):
            await asyncio.sleep(30)

    async def cancel() -> None:
        task = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        assert n_requests(engine) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_no_request(engine)

    run(cancel())


def test_answers_that_nobody_reads(engine: ingot.Engine) -> None:
    for _ in range(3):
        engine.generate("Once", **LONG)
    gc.collect()
    assert n_requests(engine) == 0
    answer = engine.generate("Once", **LONG)
    answer.cancel()
    with pytest.raises(errors.CancelledError):
        answer.result()


def test_one_reader_at_a_time(engine: ingot.Engine) -> None:
    async def read(answer: ingot.Answer) -> None:
        async for _ in answer:
            pass

    async def both() -> None:
        answer = engine.generate("Once", max_tokens=50, ignore_eos=True)
        first = asyncio.create_task(read(answer))
        await asyncio.sleep(0)
        with pytest.raises(errors.StateError, match="is reading"):
            await answer
        await first
        assert (await answer).n_generated == 50

    run(both())


# --------------------------------------------------------------------------------------------- many


def test_many_requests(engine: ingot.Engine) -> None:
    """More than the engine has room for, some of which are left early."""
    n = 300
    prompts = [[9 + i % 7, 5] for i in range(n)]
    expected = [engine.model.generate(prompts[i], seed=i, max_tokens=6).tokens for i in range(9)]

    async def one(i: int) -> list[int]:
        if i % 5 == 4:
            async for _ in engine.generate(prompts[i], seed=i, **LONG):
                return []
        return (await engine.generate(prompts[i], seed=i, max_tokens=6)).tokens

    async def all_of_them() -> list[list[int]]:
        return await asyncio.gather(*map(one, range(n)))

    got = run(all_of_them())
    for i, tokens in enumerate(expected):
        assert got[i] == ([] if i % 5 == 4 else tokens)
    assert sum(map(bool, got)) == n - n // 5
    assert n_requests(engine) == 0


def test_threads_and_loops_together(engine: ingot.Engine) -> None:
    """Loops in three threads, and threads without one, all at the same time."""
    expected = engine.model.generate("Once", seed=1, max_tokens=8).tokens
    found: list[list[int]] = []

    async def in_loop() -> None:
        answers = await asyncio.gather(
            *(_whole(engine.generate("Once", seed=1, max_tokens=8)) for _ in range(10))
        )
        found.extend(answer.tokens for answer in answers)

    def in_thread() -> None:
        found.extend(engine.generate("Once", seed=1, max_tokens=8).result().tokens for _ in "123")

    threads = [threading.Thread(target=lambda: asyncio.run(in_loop())) for _ in range(3)]
    threads += [threading.Thread(target=in_thread) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 39
    events = [thread for thread in threading.enumerate() if thread.name == "ingot-events"]
    assert len(events) <= 1


async def _whole(answer: ingot.Answer) -> ingot.Completion:
    return await answer


def test_a_closed_loop_harms_nobody(engine: ingot.Engine) -> None:
    loop = asyncio.new_event_loop()
    answer = engine.generate("Once", max_tokens=None, ignore_eos=True)

    async def begin() -> Coroutine[Any, Any, object]:
        while True:
            waits = answer.__anext__()
            try:
                waits.send(None)  # as a task does that nobody goes on with
            except StopIteration:  # a chunk was there already
                continue
            return waits

    waits = loop.run_until_complete(begin())
    loop.close()

    async def other() -> ingot.Completion:
        return await engine.generate("Twice", max_tokens=5, ignore_eos=True)

    for _ in range(3):
        assert run(other()).n_generated == 5
    waits.close()
    assert answer.ended
    assert is_idle(engine)


# ------------------------------------------------------------------------------------------ batches


def test_batches_keep_their_order(engine: ingot.Engine) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    prompts: list[Any] = ["Once", [5, 6, 7], messages, np.array([9, 10])] * 5
    each: list[dict[str, Any]] = [{"seed": i, "max_tokens": 3 + i % 5} for i in range(20)]
    shares: list[float] = []
    model: Any = engine.model
    expected = [
        (model.chat if prompt is messages else model.generate)(prompt, **own, ignore_eos=True)
        for prompt, own in zip(prompts, each, strict=True)
    ]
    for in_flight in (1, 3, 256):
        got = engine.generate_batch(
            prompts, each=each, in_flight=in_flight, progress=shares.append, ignore_eos=True
        )
        assert [one.tokens for one in got] == [one.tokens for one in expected]
    assert shares == [i / 20 for i in range(1, 21)] * 3
    assert engine.generate_batch([]) == []


def test_a_batch_is_given_bit_by_bit(engine: ingot.Engine) -> None:
    most = 0

    def look(_share: float) -> None:
        nonlocal most
        most = max(most, n_requests(engine))

    engine.generate_batch([[5, i] for i in range(40)], in_flight=6, progress=look, max_tokens=3)
    assert 3 <= most <= 6


def test_a_prompt_that_fails_loses_no_other(engine: ingot.Engine) -> None:
    def fail(_so_far: list[int], _logits: Any) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(
        ingot.BatchError, match=r"prompt 1 of 4 failed, and 1 more: .* 9000 tokens"
    ) as e:
        engine.generate_batch(
            ["a", [1] * 9000, "b", "c"],
            each=[{}, {}, {}, {"logits_processors": [fail]}],
            max_tokens=4,
            ignore_eos=True,
        )
    first, second, third, fourth = e.value.results
    assert isinstance(second, errors.LimitError)
    assert isinstance(fourth, ZeroDivisionError)
    assert (first.n_generated, third.n_generated) == (4, 4)
    assert e.value.__cause__ is second
    assert is_idle(engine)


def test_batches_can_be_cancelled(engine: ingot.Engine) -> None:
    prompts = [[5, i] for i in range(40)]
    with pytest.raises(errors.CancelledError):
        engine.generate_batch(prompts, progress=lambda share: share < 0.3, max_tokens=3)
    assert n_requests(engine) == 0
    wrong: list[dict[str, Any]] = [{"each": [{}]}, {"in_flight": 0}, {"progress": 3}]
    for options in wrong:
        with pytest.raises(errors.ArgumentError):
            engine.generate_batch(prompts, **options)
    with pytest.raises(errors.ArgumentError, match="list of prompts"):
        engine.generate_batch("Once")


# ------------------------------------------------------------------------------------------ closing


def test_closing_ends_what_runs(model: ingot.Model) -> None:
    async def read(engine: ingot.Engine) -> None:
        async for _ in engine.generate("Once", **LONG):
            pass

    async def close() -> None:
        engine = ingot.Engine(model)
        tasks = [asyncio.create_task(read(engine)) for _ in range(2 * N_SEQS)]
        await asyncio.sleep(0.02)
        await engine.aclose()
        for task in tasks:
            with pytest.raises(errors.StateError, match="the engine is closed"):
                await task
        with pytest.raises(errors.StateError, match="the engine is closed"):
            engine.generate("Once")
        await engine.aclose()
        assert repr(engine).endswith("closed>")

    run(close())
    assert model.generate("Once", max_tokens=2, ignore_eos=True).n_generated == 2


def test_closing_under_threads() -> None:
    engine = ingot.Engine(n_ctx=256)
    ended: list[type[BaseException]] = []

    def read() -> None:
        try:
            engine.generate("Once", **LONG).result()
            while True:
                engine.generate_batch(["Once"] * 9, max_tokens=20)
        except (errors.StateError, ingot.BatchError) as e:
            ended.append(type(e))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    engine.close()
    for thread in threads:
        thread.join(20)
    assert len(ended) == 4
    with pytest.raises(errors.StateError):
        engine.model.tokenize("a")


def test_closing_the_model_ends_what_waits() -> None:
    async def close() -> None:
        model = ingot.Model(n_ctx=256)
        engine = ingot.Engine(model)
        answer = engine.generate("Once", **LONG)
        task = asyncio.create_task(_whole(answer))
        await asyncio.sleep(0.02)
        model.close()
        with pytest.raises(errors.StateError, match="closed"):
            await task

    run(close())


@asynccontextmanager
async def watching() -> AsyncIterator[list[float]]:
    """How long the loop didn't come round, at most."""
    gaps = [0.0]

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            gaps[0], last = max(gaps[0], time.monotonic() - last), time.monotonic()

    task = asyncio.create_task(tick())
    try:
        yield gaps
    finally:
        task.cancel()


def test_two_engines_of_a_model(model: ingot.Model) -> None:
    """They share its slots and pages, and who tells of events."""
    expected = model.generate("Once", seed=1, max_tokens=8).tokens

    async def ask() -> None:
        async with ingot.Engine(model) as one, ingot.Engine(model) as two:
            answers = [engine.generate("Once", seed=1, max_tokens=8) for engine in (one, two) * 5]
            for answer in await asyncio.gather(*map(_whole, answers)):
                assert answer.tokens == expected
            left = two.generate("Once", max_tokens=40, ignore_eos=True)
            await one.aclose()
            assert (await left).n_generated == 40

    run(ask())


def test_opening(bundled: Any) -> None:
    with ingot.Engine(bundled, n_ctx=128, kv_type="q8_0", n_seqs=2) as engine:
        assert engine.model.n_ctx == 128
        with pytest.raises(errors.ArgumentError, match="n_ctx can't be given with a Model"):
            ingot.Engine(engine.model, n_ctx=64)
    with pytest.raises(errors.StateError, match="closed"):
        engine.model.generate("Once")
    with pytest.raises(errors.MissingFileError):
        ingot.Engine("nothing.gguf")
    with pytest.raises(errors.StateError, match="vocab_only"):
        ingot.Engine(bundled, vocab_only=True)


def test_options_of_opening_are_the_models() -> None:
    taken = inspect.signature(ingot.Model.__init__).parameters.keys() - {"self", "path"}
    assert set(Opening.__annotations__) == taken


def test_the_loop_isnt_held_up(engine: ingot.Engine) -> None:
    """By requests whose memory the engine is using when they are left."""
    prompt = engine.model.tokenize("The king had a horse. " * 300)[:900]

    async def leave() -> float:
        async with watching() as gaps:
            for i in range(4):
                answer = engine.generate([9 + i, *prompt], max_tokens=5, prompt_logprobs=0)
                task = asyncio.create_task(_whole(answer))
                await asyncio.sleep(0.01)
                gaps[0] = 0.0
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await until_no_request(engine)
        return gaps[0]

    start = time.monotonic()
    engine.generate([8, *prompt], max_tokens=1, prompt_logprobs=0).result()
    alone = time.monotonic() - start
    assert run(leave()) < max(0.1, alone)


def test_json_in_company(engine: ingot.Engine) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    async def ask() -> list[ingot.Completion]:
        answers = (
            engine.generate("x", json_schema=schema, max_tokens=30, seed=i) for i in range(8)
        )
        return await asyncio.gather(*map(_whole, answers))

    for answer in run(ask()):
        assert isinstance(json.loads(answer.text)["a"], int)
