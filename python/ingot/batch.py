"""Many prompts in one go: a bounded number with the engine at a time, the answers in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ingot import errors
from ingot._lib import Progress, advance, integer
from ingot.answers import Answer
from ingot.generation import Completion
from ingot.prompts import Tokens, check_progress

if TYPE_CHECKING:
    from ingot.engine import Engine

_T = TypeVar("_T")

Prompt: TypeAlias = "str | Tokens | Sequence[Mapping[str, Any]]"

IN_FLIGHT = 256  # enough for the engine to choose among, and little memory


_Result: TypeAlias = "Completion | Exception"


class BatchError(errors.IngotError):
    """Some prompts of a batch failed.

    ``results`` has, in the order of the prompts, what came of each: an answer, or the exception.
    """

    def __init__(self, message: str, results: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.results = list(results)


def run(
    engine: Engine,
    prompts: Iterable[Prompt],
    each: Sequence[Mapping[str, Any]] | None,
    in_flight: int,
    progress: Progress | bool | None,
    options: Mapping[str, Any],
) -> list[Completion]:
    """As ``Engine.generate_batch`` says."""
    given = list(prompts)
    own = [{}] * len(given) if each is None else list(each)
    if isinstance(prompts, str) or len(own) != len(given):
        what = "a text" if isinstance(prompts, str) else f"{len(own)} options for {len(given)}"
        raise errors.ArgumentError(f"expected a list of prompts, and options for each; got {what}")
    begin = [
        partial(_begin, engine, prompt, {**options, **mine})
        for prompt, mine in zip(given, own, strict=True)
    ]
    with shown(progress, "answers") as report:
        found = answers(begin, integer("in_flight", in_flight, 1, 2**15), report)
    return checked(found)


def shown(progress: Progress | bool | None, title: str) -> AbstractContextManager[Progress | None]:
    """The callback; for True one that shows a bar."""
    if not isinstance(progress, bool):
        check_progress(progress)
        return nullcontext(progress)
    if not progress:
        return nullcontext(None)
    from ingot.cli.terminal import progress as bar

    return bar(title)


def checked(results: Sequence[_T | Exception]) -> list[_T]:
    """The answers, if there are no exceptions among them."""
    failed = [(i, one) for i, one in enumerate(results) if isinstance(one, Exception)]
    if failed:
        i, why = failed[0]
        others = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise BatchError(
            f"prompt {i} of {len(results)} failed{others}: {why} (BatchError.results has the rest)",
            results,
        ) from why
    return [one for one in results if not isinstance(one, Exception)]


def _begin(engine: Engine, prompt: Any, options: dict[str, Any]) -> Answer:
    if not isinstance(prompt, str) and len(prompt) > 0 and isinstance(prompt[0], Mapping):
        return engine.chat(prompt, **options)
    return engine.generate(prompt, **options)


def answers(
    begin: Sequence[Callable[[], Answer]], in_flight: int, progress: Progress | None
) -> list[_Result]:
    """What comes of requests, of which so many are begun at a time; exceptions are results too."""
    found: dict[int, _Result] = {}
    running: dict[int, Answer] = {}
    news: SimpleQueue[int] = SimpleQueue()  # of which requests there may be events
    left = iter(range(len(begin)))

    def next_one() -> None:
        for i in left:
            try:
                running[i] = begin[i]()
            except Exception as e:
                found[i] = e
                continue
            news.put(i)
            return

    def look(i: int) -> None:
        answer = running[i]
        try:
            signal = answer.listen()  # first: what comes behind the last look is told
            while answer.take() is not None:
                pass
            if answer.ended:
                found[i] = answer.completion
            else:
                signal.call(partial(news.put, i))
        except Exception as e:
            found[i] = e

    try:
        for _ in range(in_flight):
            next_one()
        while running:
            i = news.get()
            look(i)
            if i in found:
                running.pop(i).close()
                next_one()
                advance(progress, len(found) / len(begin))
    finally:
        for answer in running.values():
            answer.cancel()
        for answer in running.values():
            answer.close()
    return [found[i] for i in range(len(begin))]
