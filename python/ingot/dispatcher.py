"""Waiting for many requests at once: a thread asks the engine which of them have events."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

from ingot import errors
from ingot._lib import Handle, check
from ingot._native import ffi, lib
from ingot.request import WAIT_MS, Event, Request

_AT_ONCE = 256  # requests that one call tells of; more are told of by the next
_LINGER = 1.0  # seconds that the thread stays when nobody waits any more


class Dispatcher:
    """Tells those who wait for requests of an engine that there are events.

    Its thread lives while somebody waits, and a moment longer: an engine that has nothing to do
    has no thread that asks, and whoever is dropped isn't held by one.
    """

    def __init__(self, engine: Handle) -> None:
        self._engine = engine
        # Reentrant: a finaliser or a signal's handler may come to it at any instruction.
        self._wanted = threading.Condition(threading.RLock())
        self._signals: weakref.WeakValueDictionary[int, Signal] = weakref.WeakValueDictionary()
        self._waiting: set[Signal] = set()
        self._closing: list[Callable[[], object]] = []
        self._thread: threading.Thread | None = None
        self._failure: errors.IngotError | None = None

    def signal(self, request: Request) -> Signal:
        """What tells of a request's events from now on."""
        signal = Signal(self)
        self._signals[request.number] = signal
        return signal

    def close_later(self, close: Callable[[], object]) -> None:
        """Has the thread call what would wait for the engine: an event loop mustn't."""
        if self._engine.closed:  # and so is all that was made from it
            return
        with self._wanted:
            self._closing.append(close)
            self._start()
        with suppress(errors.StateError), self._engine as engine:
            lib.ingot_engine_wake(engine)

    def tell_all(self) -> None:
        """Has all who wait look: what they wait for may be closed."""
        for reference in self._signals.valuerefs():
            signal = reference()
            if signal is not None:
                signal.tell()

    def _wait(self, signal: Signal) -> None:
        with self._wanted:
            if self._failure is not None:
                raise self._failure
            self._waiting.add(signal)
            self._start()

    def _leave(self, signal: Signal) -> None:
        if not self._engine.closed:  # after a fork the lock may be held by a thread that isn't here
            with self._wanted:
                self._waiting.discard(signal)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ingot-events", daemon=True)
            self._thread.start()
        self._wanted.notify()

    def _run(self) -> None:
        ids, n = ffi.new("uint64_t[]", _AT_ONCE), ffi.new("size_t *")
        while self._is_wanted():
            try:
                with self._engine as engine:
                    check(lib.ingot_engine_ready, engine, WAIT_MS, ids, _AT_ONCE, n)
            except errors.IngotError as e:
                self._fail(e)
                return
            for number in ffi.unpack(ids, n[0]):
                signal = self._signals.get(number)
                if signal is not None:
                    signal.tell()
            while self._closing:
                with suppress(errors.IngotError):
                    self._closing.pop()()

    def _is_wanted(self) -> bool:
        with self._wanted:
            if self._wanted.wait_for(lambda: self._waiting or self._closing, _LINGER):
                return True
            self._thread = None
            return False

    def _fail(self, why: errors.IngotError) -> None:
        """The engine is closed, most likely: who waits finds that out by himself."""
        with self._wanted:
            self._failure = why
            waiting = list(self._waiting)
            self._closing.clear()
            self._thread = None
        for signal in waiting:
            signal.tell()


class Signal:
    """Tells one who waits that a request may have events: read them until there are none, then
    wait. Being told is remembered, so what comes between the two isn't missed."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._lock = threading.RLock()
        self._told = False
        self._callback: Callable[[], object] | None = None

    def call(self, callback: Callable[[], object]) -> None:
        """Calls ``callback`` once, from any thread: at once if there was news since the last time.

        Raises what the engine failed with.
        """
        self._dispatcher._wait(self)  # first: who is told meanwhile waits no more
        with self._lock:
            told, self._told = self._told, False
            self._callback = None if told else callback
        if told:
            self.leave()
            callback()

    def leave(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._callback = None
        self._dispatcher._leave(self)

    def tell(self) -> None:
        """Calls whoever waits; may be called from any thread."""
        with self._lock:
            callback, self._callback = self._callback, None
            self._told = callback is None
        self._dispatcher._leave(self)
        if callback is not None:
            callback()

    async def wait(self) -> None:
        """Until there is news, without holding up the event loop."""
        loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not news.done():
                news.set_result(None)

        def call() -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits
                loop.call_soon_threadsafe(tell)

        self.call(call)
        try:
            await news
        finally:
            self.leave()


async def next_event(signal: Signal, request: Request) -> Event:
    """A request's next event; raises what the request failed with."""
    while (event := request.next(0)) is None:
        await signal.wait()
    return event
