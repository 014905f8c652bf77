"""Programs: functions of a state, run alone, as batches, or while somebody reads along."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial, update_wrapper
from inspect import signature
from typing import Any, Concatenate, Generic, Literal, ParamSpec, overload

from ingot import errors
from ingot._lib import Progress, advance, integer
from ingot.closing import Closing
from ingot.generation import Stream
from ingot.lang.expressions import Call
from ingot.lang.state import THREADS, State, sub_seed, together
from ingot.model import Model

P = ParamSpec("P")


class Program(Generic[P]):
    """A function whose first argument is a state, as ``@program`` makes it.

    ``program(...)`` is an expression: appended to a state, it is done there.
    """

    def __init__(self, function: Callable[Concatenate[State, P], object]) -> None:
        taken = {"model", "seed", "options", "chat", "stream"} & signature(
            function
        ).parameters.keys()
        if taken:
            raise errors.ArgumentError(
                f"a program's parameters can't be called {', '.join(sorted(taken))}: run has "
                "arguments of these names"
            )
        self._function = function
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **keywords: P.kwargs) -> Call:
        return Call(self._function, args, keywords)

    @overload
    def run(
        self,
        *args: Any,
        model: Model,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        chat: Mapping[str, Any] | None = None,
        stream: Literal[False] = False,
        **keywords: Any,
    ) -> State: ...

    @overload
    def run(
        self,
        *args: Any,
        model: Model,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        chat: Mapping[str, Any] | None = None,
        stream: Literal[True],
        **keywords: Any,
    ) -> Running: ...

    def run(
        self,
        *args: Any,
        model: Model,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        chat: Mapping[str, Any] | None = None,
        stream: bool = False,
        **keywords: Any,
    ) -> State | Running:
        """The state that the function leaves when it is called with these arguments; ``State`` says
        what ``seed``, ``options`` and ``chat`` are. With ``stream`` it runs while it is read."""
        state = State(model, seed=seed, options=options, chat=chat)
        call = Call(self._function, args, keywords)
        if stream:
            return Running(state, call)
        return _done(state, call)

    def run_batch(
        self,
        arguments: Iterable[Mapping[str, Any] | tuple[Any, ...]],
        *,
        model: Model,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        chat: Mapping[str, Any] | None = None,
        threads: int = THREADS,
        progress: Progress | None = None,
    ) -> list[State]:
        """A state for each of ``arguments`` (keywords, or a tuple), in their order.

        ``threads`` of them run at the same time, which changes no answer: each has a seed of its
        own, ``state.seed``, that gives it again alone. The first error ends all others and is
        raised. ``progress`` is called with the share that is done; False, or an exception in it,
        ends them too.
        """
        first = Stream.seed_of(seed)
        tasks, states = [], []
        for i, one in enumerate(arguments):
            state = State(model, seed=sub_seed(first, i), options=options, chat=chat)
            args, keywords = ((), one) if isinstance(one, Mapping) else (tuple(one), {})
            tasks.append(partial(_done, state, Call(self._function, args, keywords)))
            states.append(state)

        def cancel() -> None:
            for state in states:
                state.close()

        def done(n: int) -> None:
            advance(progress, n / len(tasks))

        return together(tasks, integer("threads", threads, 1, 4096), cancel, done)


def program(function: Callable[Concatenate[State, P], object]) -> Program[P]:
    """Makes a program of a function: ``def ask(state, question): state += ...``"""
    return Program(function)


def _done(state: State, call: Call) -> State:
    state.result = call(state)
    for fork in state._forks:
        fork.join()
    return state


class Running(Closing):
    """A program that runs in a thread of its own while its text is read.

    Closing it, leaving its ``with`` block or dropping it ends the program, and so does an exception
    while text is waited for, such as Ctrl-C.
    """

    def __init__(self, state: State, call: Call) -> None:
        self._state, self._told = state, _Told()
        state._tell = self._told.put
        # The thread knows nothing of this object, so that dropping it can end the program.
        work = threading.Thread(
            target=_run, args=(state, call, self._told), name="ingot.lang", daemon=True
        )
        work.start()

    def text_iter(self, name: str | None = None) -> Iterator[str]:
        """The text as it comes, of all that is appended or of one variable, from its beginning and
        however often it is asked for. Raises what the program failed with, unless it was closed."""
        at = 0
        while True:
            try:
                pieces, over = self._told.after(at)
            except BaseException:
                self.close()
                raise
            at += len(pieces)
            for whose, text in pieces:
                if text is None and whose is not None and whose == name:
                    return
                if text and name in (None, whose):
                    yield text
            if over:
                if not self._state.closed:
                    self._told.check()
                return

    @property
    def state(self) -> State:
        """The state that the program leaves: waits for its end. Raises what it failed with."""
        try:
            self._told.wait()
        except BaseException:
            self.close()
            raise
        self._told.check()
        return self._state

    def close(self) -> None:
        self._state.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # interrupted while it was made
            self._state.close()


class _Told:
    """What a program has written so far, and how it ended."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._pieces: list[tuple[str | None, str | None]] = []
        self._over = False
        self._error: BaseException | None = None

    def put(self, name: str | None, text: str | None) -> None:
        """A text, of a variable if it has a name; None: the variable is complete."""
        with self._news:
            self._pieces.append((name, text))
            self._news.notify_all()

    def end(self, error: BaseException | None) -> None:
        with self._news:
            self._over, self._error = True, error
            self._news.notify_all()

    def after(self, n: int) -> tuple[list[tuple[str | None, str | None]], bool]:
        """Waits for more than ``n`` pieces, and says whether these are the last."""
        with self._news:
            self._news.wait_for(lambda: len(self._pieces) > n or self._over)
            return self._pieces[n:], self._over

    def wait(self) -> None:
        with self._news:
            self._news.wait_for(lambda: self._over)

    def check(self) -> None:
        if self._error is not None:
            raise self._error


def _run(state: State, call: Call, told: _Told) -> None:
    error: BaseException | None = None
    try:
        _done(state, call)
    except BaseException as e:  # told where the text is read
        error = e
    told.end(error)
