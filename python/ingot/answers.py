"""What an engine gives: answers and other work that a thread may wait for, or an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ingot import errors
from ingot.dispatcher import Signal, next_event
from ingot.generation import Chunk, Completion, Stream
from ingot.prompts import Steps, finished
from ingot.request import WAIT_MS

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ingot.dispatcher import Dispatcher

_T = TypeVar("_T")


class Answer(Stream, AsyncIterator[Chunk]):
    """An answer that is on its way.

    Its chunks come by ``for`` or ``async for``, the whole of it by ``result()`` or ``await``; who
    has read some of the chunks may ask for the whole too.

    Closing it, leaving its block (``with`` or ``async with``) or dropping it cancels the request at
    once, and so does an exception while a chunk is waited for: Ctrl-C, or the end of a task that
    was cancelled. What is told of it in one event loop needn't be read in the same one next time.
    """

    _signal: Signal | None = None  # until somebody reads in an event loop
    _dispatcher: Dispatcher
    _why: errors.IngotError | None = None

    def told_by(self, dispatcher: Dispatcher) -> Self:
        self._dispatcher = dispatcher
        return self

    def listen(self) -> Signal:
        """What tells that ``take`` may have something."""
        if self._signal is None:
            self._signal = self._dispatcher.signal(self._request)
        return self._signal

    def take(self) -> Chunk | None:
        """The next chunk if it is there; None if it isn't, or if there is none left."""
        with self._alone():
            return self._read(0)

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to read: it is complete, failed, or was closed."""
        return self._ended

    def result(self) -> Completion:
        """The whole answer; waits for it."""
        for _ in self:
            pass
        return self.completion

    async def __anext__(self) -> Chunk:
        signal = self.listen()
        with self._alone():
            while not self._ended:
                chunk = self._read(0)
                if chunk is not None:
                    return chunk
                if not self._ended:
                    await signal.wait()
        raise StopAsyncIteration

    def __await__(self) -> Generator[Any, None, Completion]:
        return self._whole().__await__()

    async def _whole(self) -> Completion:
        async for _ in self:
            pass
        return self.completion

    def cancel(self, why: errors.IngotError | None = None) -> None:
        """Ends it soon: who reads it gets a CancelledError, or ``why``."""
        self._why = why
        self._request.cancel()

    def _read(self, wait_ms: int = WAIT_MS) -> Chunk | None:
        try:
            return super()._read(wait_ms)
        except errors.CancelledError as e:
            raise self._why or e from None

    def close(self) -> None:
        if self._signal is None:
            super().close()
            return
        self._ended = True
        self._request.cancel()
        if self._request.borrows:
            self._dispatcher.close_later(self._request.close)
        else:
            self._request.close()
        self._signal.tell()

    async def aclose(self) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._signal is not None and not self._ended:
            self.close()


class Pending(Generic[_T]):
    """Work that was begun: ``result()`` or ``await`` gives what comes of it.

    Dropping it, or an exception while it is waited for, ends the work.
    """

    def __init__(self, steps: Steps[_T], dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._steps: Steps[_T] | None = steps
        self._found: list[_T] = []
        try:
            self._first = next(steps)
        except StopIteration as end:
            self._steps, self._found = None, [end.value]

    def result(self) -> _T:
        """What comes of it; waits for that."""
        if not self._found:
            self._found = [finished(self._taken(), self._first)]
        return self._found[0]

    def __await__(self) -> Generator[Any, None, _T]:
        return self._wait().__await__()

    def _taken(self) -> Steps[_T]:
        steps, self._steps = self._steps, None
        if steps is None:
            raise errors.StateError("somebody waits for this already, or it has failed")
        return steps

    async def _wait(self) -> _T:
        if self._found:
            return self._found[0]
        steps, request = self._taken(), self._first
        try:
            while True:
                signal = self._dispatcher.signal(request)
                request = steps.send(await next_event(signal, request))
        except StopIteration as end:
            self._found = [end.value]
            return self._found[0]
        except BaseException:
            self._dispatcher.close_later(steps.close)
            raise
