"""A request to the engine: what is asked for, and the events that come of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from hashlib import blake2b
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import INT32_MAX, Handle, Progress, check, error_of, integer, raw, utf8
from ingot._native import ffi, lib
from ingot.adapter import Adapters, lent
from ingot.sampling import sampling_of

if TYPE_CHECKING:
    from ingot.grammar import Grammar, Matcher
    from ingot.model import Model

_T = TypeVar("_T")

WAIT_MS = 50  # longest native wait: what Ctrl-C, or close() in another thread, has to wait for

# A text stands for its tokens, or, if it is digits, for a token, as in JSON. False bans.
Bias: TypeAlias = "float | Literal[False]"
LogitBias: TypeAlias = Mapping[int, Bias] | Mapping[str, Bias]
# Changes logits (float32 [n_vocab]) in place, or returns others; the tokens came before.
LogitsProcessor: TypeAlias = Callable[[list[int], npt.NDArray[np.float32]], Any]

Messages: TypeAlias = Sequence[Mapping[str, Any]]

_FINISH = {
    lib.INGOT_FINISH_EOS: "eos",
    lib.INGOT_FINISH_STOP: "stop",
    lib.INGOT_FINISH_LENGTH: "length",
    lib.INGOT_FINISH_TIME: "time",
    lib.INGOT_FINISH_CONTEXT: "context",
}


class Keywords(TypedDict, total=False):
    """What ``Model.generate`` and ``Model.chat`` take; the last part is the samplers' table."""

    max_tokens: int | None
    min_tokens: int
    max_seconds: float | None
    stop: str | Sequence[str]
    stop_regex: str | Sequence[str]
    stop_tokens: Sequence[int]
    seed: int | None
    sample: int
    logit_bias: LogitBias | None
    allowed_tokens: Sequence[int] | None
    banned: str | Sequence[str]
    logits_processors: Sequence[LogitsProcessor]
    logprobs: int | None
    sampled_logprobs: bool
    prompt_logprobs: int | None
    ignore_eos: bool
    special: bool
    progress: Progress | None
    priority: int
    client: str | None
    max_wait: float | None
    context_shift: bool
    n_keep: int
    grammar: Grammar | str | None
    json_schema: Any
    regex: str | None
    choices: Sequence[str] | None
    close_in_time: bool
    jump_forward: bool
    adapters: Adapters | None
    draft: int | None

    samplers: Sequence[str] | None
    dry_sequence_breakers: Sequence[str] | None
    temperature: float
    dynatemp_range: float
    dynatemp_exponent: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    top_n_sigma: float
    xtc_probability: float
    xtc_threshold: float
    min_keep: int
    repeat_penalty: float
    repeat_last_n: int
    frequency_penalty: float
    presence_penalty: float
    dry_multiplier: float
    dry_base: float
    dry_allowed_length: int
    dry_penalty_last_n: int
    mirostat: int
    mirostat_tau: float
    mirostat_eta: float
    adaptive_target: float
    adaptive_decay: float


class Shape(TypedDict, total=False):
    """How a conversation becomes a prompt; see ``Model.apply_template``."""

    tools: Sequence[Mapping[str, Any]] | None
    template: str | None
    variables: Mapping[str, Any] | None
    add_generation_prompt: bool
    continue_final_message: bool


class ChatKeywords(Keywords, Shape, total=False):
    """What ``Model.chat`` takes."""


@dataclass(frozen=True)
class Options:
    """What a request asks for beside its prompt; as ``Model.generate`` documents it."""

    max_tokens: int | None = 256
    min_tokens: int = 0
    max_seconds: float | None = None
    stop: str | Sequence[str] = ()
    stop_regex: str | Sequence[str] = ()
    stop_tokens: Sequence[int] = ()
    seed: int | None = None
    sample: int = 0
    logit_bias: LogitBias | None = None
    allowed_tokens: Sequence[int] | None = None
    banned: str | Sequence[str] = ()
    logits_processors: Sequence[LogitsProcessor] = ()
    logprobs: int | None = None
    sampled_logprobs: bool = False
    prompt_logprobs: int | None = None
    ignore_eos: bool = False
    special: bool = False
    progress: Progress | None = None
    priority: int = 0
    client: str | None = None
    max_wait: float | None = None
    context_shift: bool = False
    n_keep: int = 0
    grammar: Grammar | str | None = None
    json_schema: Any = None
    regex: str | None = None
    choices: Sequence[str] | None = None
    close_in_time: bool = True
    jump_forward: bool = False
    adapters: Adapters | None = None
    draft: int | None = None
    samplers: Sequence[str] | None = None
    dry_sequence_breakers: Sequence[str] | None = None
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
    """A request in an engine's hands. ``close`` cancels it; a dropped one is closed.

    ``model`` is whose tokens these are, for what names texts instead of tokens.
    """

    def __init__(
        self,
        engine: Handle,
        tokens: npt.NDArray[np.int32],
        options: Options,
        seed: int,
        fills: Fills | None = None,
        matcher: Matcher | None = None,
        model: Model | None = None,
    ) -> None:
        stops = texts_of("stop", options.stop)
        self.stop_tokens = _ids("stop_tokens", options.stop_tokens)
        self._processors = _list("logits_processors", options.logits_processors)
        self._edited = self._room(model)
        native = ffi.new("ingot_request *", lib.ingot_request_default())
        native.sampling, sampling = self._sampling(options, seed)
        memory = {"tokens": (ffi.from_buffer("int32_t[]", tokens), len(tokens))}
        memory["bias"] = _array("ingot_logit_bias", _bias(options.logit_bias or {}, model))
        memory["stop_tokens"] = _array("int32_t", self.stop_tokens)
        if options.allowed_tokens is not None:
            allowed = _ids("allowed_tokens", options.allowed_tokens)
            memory["allowed"] = (ffi.new("int32_t[]", allowed or 1), len(allowed))
        regexes = texts_of("stop_regex", options.stop_regex)
        self._n_stops = len(stops) + len(regexes)
        banned = texts_of("banned", options.banned)
        texts = {"stop": stops, "stop_regex": regexes, "banned": banned}
        encoded = {
            name: [ffi.from_buffer(utf8(one)) for one in all_] for name, all_ in texts.items()
        }
        memory |= {
            name: _array("ingot_str", [(one, len(one)) for one in all_])
            for name, all_ in encoded.items()
        }
        for name, (data, n) in memory.items():
            setattr(native, name, data)
            setattr(native, f"n_{name}", n)
        native.max_tokens = _max_tokens(options.max_tokens)
        native.min_tokens = integer("min_tokens", options.min_tokens, 0, INT32_MAX)
        native.max_seconds = seconds("max_seconds", options.max_seconds)
        native.priority = integer("priority", options.priority, -INT32_MAX, INT32_MAX)
        native.client = _client(options.client)
        native.max_wait_seconds = seconds("max_wait", options.max_wait)
        native.shift = options.context_shift
        native.n_keep = integer("n_keep", options.n_keep, 0, INT32_MAX)
        native.n_logprobs = _count("logprobs", options.logprobs)
        native.sampled_logprobs = options.sampled_logprobs
        native.ignore_eos, native.special = options.ignore_eos, options.special
        native.close_in_time, native.jump_forward = options.close_in_time, options.jump_forward
        native.max_draft = _count("draft", options.draft)
        native.edited_logits = _writable(self._edited)
        if fills is not None:
            fills.put(native)
        if matcher is not None:
            native.matcher = matcher._lent()

        self._engine = engine
        # The engine's pointer lives as long as the request does, which keeps its adapters itself.
        with lent(options.adapters, model) as adapters, engine as self._pointer:
            native.adapters, native.n_adapters = adapters
            drop = partial(lib.ingot_engine_drop, self._pointer)
            kept = (fills, matcher, self._edited)
            self.borrows = any(one is not None for one in kept)  # then closing it waits for a step
            self._handle = Handle(ffi.new("uint64_t *"), drop, "request", engine, kept)
            with self._handle:
                check(lib.ingot_engine_submit, self._pointer, native, self._handle.out)
        del encoded, sampling
        self._event = ffi.new("ingot_event *")

    def _room(self, model: Model | None) -> npt.NDArray[np.float32] | None:
        if not self._processors:
            return None
        if model is None or not all(callable(one) for one in self._processors):
            raise errors.ArgumentError("logits_processors: expected a list of functions")
        return np.empty(model.info.n_vocab, np.float32)

    @staticmethod
    def _sampling(options: Options, seed: int) -> tuple[Any, object]:
        native, memory = sampling_of(
            options.sampling or {},
            seed,
            integer("sample", options.sample, 0, 2**32 - 1),
            options.samplers,
            options.dry_sequence_breakers,
        )
        return native[0], (native, memory)

    @property
    def number(self) -> int:
        """By which the engine knows it."""
        return int(self._handle.out[0])

    def next(self, wait_ms: int = WAIT_MS) -> Event | None:
        """The next event, None if it takes longer than ``wait_ms``. Raises what a request failed
        with.

        One thread at a time: an event's text is valid until the next wait.
        """
        while True:
            # The engine first: when a model is closed, its requests are too, but only one by one.
            with self._engine as engine, self._handle as number:
                check(lib.ingot_engine_wait, engine, number, wait_ms, self._event)
                if self._event.kind != lib.INGOT_EVENT_LOGITS:
                    return self._read(self._event)
                tokens = ffi.unpack(self._event.tokens, self._event.n_tokens)
            self._edit(list(tokens))
            # If it has ended meanwhile, the next event says why.
            with suppress(errors.StateError), self._engine as engine, self._handle as number:
                check(lib.ingot_engine_resume, engine, number)

    def _edit(self, tokens: list[int]) -> None:
        """Has the logits changed."""
        assert self._edited is not None
        for processor in self._processors:
            changed = processor(tokens, self._edited)
            if changed is None or changed is self._edited:
                continue
            row = np.asarray(changed)
            if row.shape != self._edited.shape:
                raise errors.ArgumentError(
                    f"a logits processor returned {type(changed).__name__} of shape {row.shape}; "
                    f"expected None, or an array of shape {self._edited.shape}"
                )
            self._edited[:] = row

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
            n_shifted=event.n_shifted,
            finish=_FINISH[event.finish] if done else None,
            stop=self._stop(event) if event.finish == lib.INGOT_FINISH_STOP else None,
            logprob=None if math.isnan(event.logprob) else event.logprob,
            top=tuple(
                zip(
                    ffi.unpack(event.top_tokens, event.n_top),
                    ffi.unpack(event.top_logprobs, event.n_top),
                    strict=True,
                )
            )
            if event.n_top
            else (),
            prompt_seconds=event.prefill_seconds,
            decode_seconds=event.decode_seconds,
            n_drafted=event.n_drafted,
            n_accepted=event.n_accepted,
            n_forced=event.n_forced,
        )

    def _stop(self, event: Any) -> str | int:
        """What ended the answer: a text, or a token."""
        if event.stop_text.size:
            text: str = raw(event.stop_text).decode("utf-8", "replace")
            return text
        return self.stop_tokens[int(event.stop_index) - self._n_stops]

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
    n_shifted: int
    finish: str | None
    stop: str | int | None
    logprob: float | None
    top: tuple[tuple[int, float], ...]
    prompt_seconds: float
    decode_seconds: float
    n_drafted: int
    n_accepted: int
    n_forced: int


def texts_of(name: str, given: str | Sequence[str]) -> list[str]:
    """A text or texts, as a list."""
    texts = [given] if isinstance(given, str) else list(given)
    if isinstance(given, bytes) or not all(isinstance(text, str) for text in texts):
        raise errors.ArgumentError(f"{name} is {given!r}; expected a text or texts")
    return texts


def _array(kind: str, items: Sequence[Any]) -> tuple[Any, int]:
    return ffi.new(f"{kind}[]", items), len(items)


def _ids(name: str, given: Sequence[int]) -> list[int]:
    return [integer(f"a token of {name}", token, 0, INT32_MAX) for token in _list(name, given)]


def _list(name: str, given: Sequence[_T]) -> list[_T]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise errors.ArgumentError(f"{name} is {given!r}; expected a list")
    return list(given)


def _count(name: str, value: int | None) -> int:
    return -1 if value is None else integer(name, value, 0, INT32_MAX)


def seconds(name: str, value: float | None) -> float:
    if value is None:
        return 0.0
    if not isinstance(value, Real) or not value > 0:
        raise errors.ArgumentError(f"{name} is {value!r}; expected a number above 0, or None")
    return _finite(name, value)


def _client(name: str | None) -> int:
    """Any number that is the same for the same name."""
    if name is None:
        return 0
    if not isinstance(name, str):
        raise errors.ArgumentError(f"client is {name!r}; expected a text, or None")
    return int.from_bytes(blake2b(utf8(name), digest_size=8).digest(), "little")


def _finite(name: str, value: Real) -> float:
    try:
        return float(value)
    except OverflowError:
        raise errors.ArgumentError(f"{name} doesn't fit into a float") from None


def _max_tokens(value: int | None) -> int:
    if value is None:
        return -1
    return min(integer("max_tokens", value, -1, 2**63 - 1), INT32_MAX)


def _bias(given: LogitBias, model: Model | None) -> list[tuple[int, float]]:
    if not isinstance(given, Mapping):
        raise errors.ArgumentError(f"logit_bias is {given!r}; expected {{token: bias, ...}}")
    return [(token, _number(bias)) for key, bias in given.items() for token in _tokens(key, model)]


def _tokens(key: int | str, model: Model | None) -> list[int]:
    """The tokens that a key of ``logit_bias`` stands for."""
    if isinstance(key, str) and not re.fullmatch("[0-9]{1,4000}", key):
        if model is None or not key:
            raise errors.ArgumentError(
                f"a key of logit_bias is {key!r}; expected a token or a text"
            )
        return model.tokenize(key)
    return [
        integer("a token of logit_bias", int(key) if isinstance(key, str) else key, 0, INT32_MAX)
    ]


def _number(bias: Bias) -> float:
    if bias is False:
        return -math.inf
    if bias is True or not isinstance(bias, Real):
        raise errors.ArgumentError(
            f"a value of logit_bias is {bias!r}; expected a number, or False, which bans"
        )
    return _finite("a value of logit_bias", bias)
