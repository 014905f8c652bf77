"""Generating: a request to the engine, its stream of chunks, and what comes of it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import INT32_MAX, Handle, Progress, advance, check, error_of, integer, raw, utf8
from ingot._native import ffi, lib
from ingot.closing import Closing
from ingot.sampling import sampling_values

if TYPE_CHECKING:
    from ingot.grammar import Grammar, Matcher

_WAIT_MS = 50  # longest native wait: what Ctrl-C, or close() in another thread, has to wait for

LogitBias: TypeAlias = Mapping[int, float] | Mapping[str, float]  # str: digits, as in JSON

_FINISH = {
    lib.INGOT_FINISH_EOS: "eos",
    lib.INGOT_FINISH_STOP: "stop",
    lib.INGOT_FINISH_LENGTH: "length",
    lib.INGOT_FINISH_CONTEXT: "context",
}


class Keywords(TypedDict, total=False):
    """What ``Model.generate`` and ``Model.chat`` take; the second half is the samplers' table."""

    max_tokens: int | None
    stop: str | Sequence[str]
    seed: int | None
    logit_bias: LogitBias | None
    ignore_eos: bool
    special: bool
    progress: Progress | None
    grammar: Grammar | str | None
    json_schema: Any
    regex: str | None
    choices: Sequence[str] | None
    close_in_time: bool
    jump_forward: bool

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    repeat_last_n: int
    frequency_penalty: float
    presence_penalty: float


@dataclass(frozen=True)
class Options:
    """What a request asks for beside its prompt; as ``Model.generate`` documents it."""

    max_tokens: int | None = 256
    stop: str | Sequence[str] = ()
    seed: int | None = None
    logit_bias: LogitBias | None = None
    ignore_eos: bool = False
    special: bool = False
    progress: Progress | None = None
    grammar: Grammar | str | None = None
    json_schema: Any = None
    regex: str | None = None
    choices: Sequence[str] | None = None
    close_in_time: bool = True
    jump_forward: bool = False
    sampling: Mapping[str, object] | None = None

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> Options:
        """From keyword arguments: what is no field here is a sampling parameter."""
        own = {field.name for field in fields(cls)} - {"sampling"}
        known = {name: value for name, value in keywords.items() if name in own}
        return cls(**known, sampling={k: v for k, v in keywords.items() if k not in own})

    def constraint(self) -> Grammar | None:
        """The grammar that holds the answer."""
        ways = {
            "grammar": self.grammar,
            "json_schema": self.json_schema,
            "regex": self.regex,
            "choices": self.choices,
        }
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            raise errors.ArgumentError(f"{' and '.join(given)} were given; expected one of them")
        if not given:
            return None
        from ingot.grammar import grammar_of

        return grammar_of(given[0], ways[given[0]])


@dataclass(frozen=True)
class Chunk:
    """What came since the last one: at most one token, and the text that may be shown now.

    The last chunk has a ``finish_reason`` and no token. Texts end at whole code points, and what
    could become a stop text is held back, so a token's text may come with a later chunk.
    """

    text: str
    token: int | None
    finish_reason: str | None = None


@dataclass(frozen=True)
class Timings:
    """Seconds spent on the prompt and on the generated tokens, and tokens computed per second."""

    prompt_seconds: float
    decode_seconds: float
    prompt_speed: float
    decode_speed: float


@dataclass(frozen=True)
class Completion:
    """A finished answer.

    ``finish_reason``: "eos" (the model ended it, or a grammar, in time), "stop" (a stop text, which
    is not part of the text), "length" (max_tokens), "context" (the context is full). ``tokens``
    has all that were chosen, the one that ended it too. The first ``n_cached`` of the prompt were
    known from the request before. ``seed`` gives the answer again.
    """

    text: str
    tokens: list[int]
    finish_reason: str
    stop: str | None
    n_prompt: int
    n_cached: int
    n_generated: int
    seed: int
    timings: Timings


def token_array(ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int32]:
    """Token ids as C takes them."""
    try:
        array = np.asarray(ids)
    except ValueError as e:  # rows of several lengths
        raise errors.ArgumentError(f"expected a sequence of token ids (integers): {e}") from None
    if array.size == 0:
        return np.empty(0, np.int32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise errors.ArgumentError(
            f"expected a sequence of token ids (integers), got {array.dtype} of shape {array.shape}"
        )
    if array.min() < -INT32_MAX or array.max() > INT32_MAX:
        raise errors.ArgumentError("a token id doesn't fit into 32 bits")
    return np.ascontiguousarray(array, np.int32)


@dataclass(frozen=True)
class Fills:
    """Arrays for results of the prompt itself, as ``ingot_request`` describes them."""

    first: int = 0
    logits: npt.NDArray[np.float32] | None = None
    logprobs: npt.NDArray[np.float32] | None = None
    top_tokens: npt.NDArray[np.int32] | None = None
    top_logprobs: npt.NDArray[np.float32] | None = None
    embedding: npt.NDArray[np.float32] | None = None
    pooling: int = 0

    def put(self, native: Any) -> None:
        """Into an ``ingot_request``, which borrows the arrays."""
        rows = native.rows
        rows.first, native.pooling = self.first, self.pooling
        rows.logits, rows.logprobs = _writable(self.logits), _writable(self.logprobs)
        rows.n_top = 0 if self.top_tokens is None else self.top_tokens.shape[1]
        rows.top_tokens, rows.top_logprobs = (
            _writable(self.top_tokens),
            _writable(self.top_logprobs),
        )
        native.embedding = _writable(self.embedding)


def _writable(array: npt.NDArray[Any] | None) -> Any:
    if array is None:
        return ffi.NULL
    kind = "int32_t[]" if array.dtype == np.int32 else "float[]"
    return ffi.from_buffer(kind, array, require_writable=True)


class Request:
    """A request in an engine's hands. ``close`` cancels it; a dropped one is closed."""

    def __init__(
        self,
        engine: Handle,
        tokens: npt.NDArray[np.int32],
        options: Options,
        seed: int,
        fills: Fills | None = None,
        matcher: Matcher | None = None,
    ) -> None:
        stops = _stops(options.stop)
        texts = [ffi.from_buffer(utf8(text)) for text in stops]
        bias = _bias(options.logit_bias or {})
        values = sampling_values(options.sampling or {})
        native = ffi.new("ingot_request *", lib.ingot_request_default())
        memory = {
            "tokens": ffi.from_buffer("int32_t[]", tokens),
            "sampling": ffi.new("double[]", values),
            "bias": ffi.new("ingot_logit_bias[]", bias),
            "stop": ffi.new("ingot_str[]", [(text, len(text)) for text in texts]),
        }
        for name, data in memory.items():
            setattr(native, name, data)
        native.n_tokens, native.n_sampling = len(tokens), len(values)
        native.n_bias, native.n_stop = len(bias), len(stops)
        native.max_tokens, native.seed = _max_tokens(options.max_tokens), seed
        native.ignore_eos, native.special = options.ignore_eos, options.special
        native.close_in_time, native.jump_forward = options.close_in_time, options.jump_forward
        if fills is not None:
            fills.put(native)
        if matcher is not None:
            native.matcher = matcher._lent()

        self._engine = engine
        with engine as self._pointer:  # which lives as long as the request does
            drop = partial(lib.ingot_engine_drop, self._pointer)
            kept = (fills, matcher)
            self._handle = Handle(ffi.new("uint64_t *"), drop, "request", engine, kept)
            with self._handle:
                check(lib.ingot_engine_submit, self._pointer, native, self._handle.out)
        self._event = ffi.new("ingot_event *")
        self.stops = stops

    def next(self) -> Event | None:
        """Waits for the next event, None if it takes long. Raises what a request failed with.

        One thread at a time: an event's text is valid until the next wait.
        """
        # The engine first: when a model is closed, its requests are too, but only one by one.
        with self._engine as engine, self._handle as number:
            check(lib.ingot_engine_wait, engine, number, _WAIT_MS, self._event)
            return self._read(self._event)

    def _read(self, event: Any) -> Event | None:
        if event.kind == lib.INGOT_EVENT_NONE:
            return None
        if event.kind == lib.INGOT_EVENT_ERROR:
            raise error_of(event.error)
        done = event.kind == lib.INGOT_EVENT_DONE
        return Event(
            token=event.token if event.kind == lib.INGOT_EVENT_TOKEN else None,
            text=raw(event.text).decode("utf-8", "replace"),
            n_prompt=event.n_prompt,
            n_cached=event.n_cached,
            finish=_FINISH[event.finish] if done else None,
            stop=self.stops[event.stop_index] if event.finish == lib.INGOT_FINISH_STOP else None,
            prompt_seconds=event.prefill_seconds,
            decode_seconds=event.decode_seconds,
        )

    def cancel(self) -> None:
        """Ends it soon, without waiting for that; its last event is a CancelledError.

        ``close`` waits where memory was lent: who closes several cancels all of them before, else
        the engine goes on with those whose turn to be closed hasn't come.
        """
        with suppress(errors.StateError), self._handle as number:  # closed: it has ended
            lib.ingot_engine_cancel(self._pointer, number)

    def close(self) -> None:
        self._handle.close()


@dataclass(frozen=True)
class Event:
    """An ``ingot_event``, copied. ``finish`` is set in the last one."""

    token: int | None
    text: str
    n_prompt: int
    n_cached: int
    finish: str | None
    stop: str | None
    prompt_seconds: float
    decode_seconds: float


class Stream(Closing, Iterator[Chunk]):
    """The chunks of an answer as they come.

    Closing it, leaving its ``with`` block or dropping it cancels the request at once, and so does
    an exception while the next chunk is waited for, such as Ctrl-C.
    """

    def __init__(
        self,
        engine: Handle,
        tokens: npt.NDArray[np.int32],
        options: Options,
        matcher: Matcher | None = None,
    ) -> None:
        self.seed = (
            secrets.randbits(32)
            if options.seed is None
            else integer("seed", options.seed, 0, 2**64 - 1)
        )
        self.n_prompt = len(tokens)
        self._progress = options.progress
        self._tokens: list[int] = []
        self._texts: list[str] = []
        self._completion: Completion | None = None
        self._ended = False
        self._reading = threading.Lock()
        self._request = Request(engine, tokens, options, self.seed, matcher=matcher)

    def __next__(self) -> Chunk:
        if not self._reading.acquire(blocking=False):
            raise errors.StateError("another thread is reading this stream")
        try:
            return self._next()
        except StopIteration:
            raise
        except BaseException:  # what was interrupted has lost a chunk: it must not go on
            self.close()
            raise
        finally:
            self._reading.release()

    def _next(self) -> Chunk:
        while not self._ended:
            try:
                event = self._request.next()
            except errors.IngotError:
                if self._ended:  # closed meanwhile, by another thread or a signal handler
                    break
                self.close()
                raise
            if event is None:
                continue
            if event.finish is None and event.token is None:
                advance(self._progress, event.n_prompt / self.n_prompt)
                continue
            return self._chunk(event)
        raise StopIteration

    def _chunk(self, event: Event) -> Chunk:
        self._texts.append(event.text)
        if event.token is not None:
            self._tokens.append(event.token)
        if event.finish is not None:
            self._completion = self._finish(event, event.finish)
            self.close()
        return Chunk(event.text, event.token, event.finish)

    def _finish(self, event: Event, reason: str) -> Completion:
        n = len(self._tokens)
        prompt, decode = event.prompt_seconds, event.decode_seconds
        return Completion(
            text="".join(self._texts),
            tokens=self._tokens,
            finish_reason=reason,
            stop=event.stop,
            n_prompt=self.n_prompt,
            n_cached=event.n_cached,
            n_generated=n,
            seed=self.seed,
            timings=Timings(
                prompt,
                decode,
                (self.n_prompt - event.n_cached) / prompt if prompt > 0 else 0.0,
                n / decode if decode > 0 else 0.0,
            ),
        )

    @property
    def completion(self) -> Completion:
        """The whole answer, once the stream has come to its end."""
        if self._completion is None:
            raise errors.StateError("the stream hasn't come to its end")
        return self._completion

    def close(self) -> None:
        self._ended = True
        self._request.close()


def _stops(stop: str | Sequence[str]) -> list[str]:
    stops = [stop] if isinstance(stop, str) else list(stop)
    if isinstance(stop, bytes) or not all(isinstance(text, str) for text in stops):
        raise errors.ArgumentError(f"stop is {stop!r}; expected a text or texts")
    return stops


def _max_tokens(value: int | None) -> int:
    if value is None:
        return -1
    return min(integer("max_tokens", value, -1, 2**63 - 1), INT32_MAX)


def _bias(given: LogitBias) -> list[tuple[int, float]]:
    if not isinstance(given, Mapping):
        raise errors.ArgumentError(f"logit_bias is {given!r}; expected {{token: bias, ...}}")
    return [(_token(token), _number(bias)) for token, bias in given.items()]


def _token(token: int | str) -> int:
    if isinstance(token, str) and token.isdecimal():
        token = int(token)
    return integer("a token of logit_bias", token, 0, INT32_MAX)


def _number(bias: float) -> float:
    if not isinstance(bias, Real):
        raise errors.ArgumentError(f"a value of logit_bias is {bias!r}; expected a number")
    return float(bias)
