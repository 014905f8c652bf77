"""Generating: a request's answer as a stream of chunks, and what comes of it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import Handle, advance, integer
from ingot.closing import Closing
from ingot.request import WAIT_MS, Event, Fills, Options, Request

if TYPE_CHECKING:
    from typing_extensions import Self

    from ingot.grammar import Matcher
    from ingot.model import Model


@dataclass(frozen=True)
class TokenLogprob:
    """A token, its bytes, and the natural logarithm of its probability.

    ``logprob`` is None for tokens that nobody chose: those that close an answer in time. ``top``
    has the likeliest tokens at its place, likeliest first (without ``top`` of their own).
    """

    token: int
    piece: bytes
    logprob: float | None
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Chunk:
    """What came since the last one: at most one token, and the text that may be shown now.

    The last chunk has a ``finish_reason`` and no token. Texts end at whole code points, and what
    could become a stop text is held back, so a token's text may come with a later chunk.
    ``logprob`` is there if it was asked for.
    """

    text: str
    token: int | None
    finish_reason: str | None = None
    logprob: TokenLogprob | None = None


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

    ``finish_reason``: "eos" (the model ended it, or a grammar, in time), "stop" (``stop`` says
    what: a text, which is not part of the answer, or a token), "length" (max_tokens), "time"
    (max_seconds), "context" (the context is full). ``tokens`` has all that were chosen, the one
    that ended it too. The first ``n_cached`` of the prompt were known from requests before it.
    ``n_shifted`` tokens were forgotten because the context was full (context_shift).
    ``seed`` gives the answer again. Of its tokens ``n_accepted`` were among the ``n_drafted`` that
    were computed before it was known whether they come, and ``n_forced`` came because a grammar
    left no choice, so nobody had to wait for them (docs/speculation.md). ``logprobs`` and
    ``prompt_logprobs`` are there if they were asked for; the prompt's first token has none.
    """

    text: str
    tokens: list[int]
    finish_reason: str
    stop: str | int | None
    n_prompt: int
    n_cached: int
    n_generated: int
    seed: int
    timings: Timings
    n_drafted: int = 0
    n_accepted: int = 0
    n_forced: int = 0
    logprobs: list[TokenLogprob] | None = None
    prompt_logprobs: list[TokenLogprob | None] | None = None
    n_shifted: int = 0


class PromptLogprobs:
    """Room for the log-probabilities of a prompt's tokens, and what comes of it."""

    def __init__(self, tokens: npt.NDArray[np.int32], n_top: int) -> None:
        n = len(tokens)
        self._tokens = tokens
        top = (np.empty((n, n_top), np.int32), np.empty((n, n_top), np.float32)) if n_top else None
        self.fills = Fills(
            logprobs=np.empty(n, np.float32),
            top_tokens=top and top[0],
            top_logprobs=top and top[1],
        )

    def read(self, model: Model) -> list[TokenLogprob | None]:
        logprobs, ids, tops = self.fills.logprobs, self.fills.top_tokens, self.fills.top_logprobs
        assert logprobs is not None
        found: list[TokenLogprob | None] = [None]
        for i, token in enumerate(self._tokens[1:].tolist()):
            pairs = [] if ids is None or tops is None else zip(ids[i], tops[i], strict=True)
            top = [(int(one), float(logprob)) for one, logprob in pairs]
            found.append(_named(model, token, float(logprobs[i]), top))
        return found


def _named(
    model: Model, token: int, logprob: float | None, top: Sequence[tuple[int, float]]
) -> TokenLogprob:
    others = tuple(TokenLogprob(one, model.piece(one), value) for one, value in top)
    return TokenLogprob(token, model.piece(token), logprob, others)


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
        model: Model,
        matcher: Matcher | None = None,
    ) -> None:
        self.seed = self.seed_of(options.seed)
        self.n_prompt = len(tokens)
        self._progress = options.progress
        self._model = model
        self._logprobs: list[TokenLogprob] | None = None if options.logprobs is None else []
        self._prompt = None
        if options.prompt_logprobs is not None:
            n_top = integer("prompt_logprobs", options.prompt_logprobs, 0, model.info.n_vocab)
            self._prompt = PromptLogprobs(tokens, n_top)
        self._tokens: list[int] = []
        self._texts: list[str] = []
        self._completion: Completion | None = None
        self._ended = False
        self._reading = threading.Lock()
        fills = None if self._prompt is None else self._prompt.fills
        self._request = Request(engine, tokens, options, self.seed, fills, matcher, model)

    @classmethod
    def of(
        cls,
        model: Model,
        engine: Handle,
        tokens: npt.NDArray[np.int32],
        options: Mapping[str, Any],
    ) -> Self:
        """The answer to a prompt; ``options`` as in ``Model.generate``."""
        asked = Options.of(options)
        grammar = asked.constraint()
        matcher = None if grammar is None else grammar.matcher(model)
        return cls(engine, tokens, asked, model, matcher)

    @staticmethod
    def seed_of(given: int | None) -> int:
        """The seed, or a random one."""
        return secrets.randbits(32) if given is None else integer("seed", given, 0, 2**64 - 1)

    def __next__(self) -> Chunk:
        with self._alone():
            while not self._ended:
                chunk = self._read()
                if chunk is not None:
                    return chunk
        raise StopIteration

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One reads at a time; who is interrupted has lost a chunk, so that is the end."""
        if not self._reading.acquire(blocking=False):
            raise errors.StateError("another thread or task is reading this stream")
        try:
            yield
        except BaseException:
            self.close()
            raise
        finally:
            self._reading.release()

    def _read(self, wait_ms: int = WAIT_MS) -> Chunk | None:
        """The next chunk, None if it takes longer, or if the stream was closed meanwhile, by
        another thread or a signal handler."""
        while not self._ended:
            try:
                event = self._request.next(wait_ms)
            except errors.IngotError:
                if self._ended:
                    break
                self.close()
                raise
            if event is None:
                break
            if event.finish is not None or event.token is not None:
                return self._chunk(event)
            advance(self._progress, event.n_prompt / self.n_prompt)
        return None

    def _chunk(self, event: Event) -> Chunk:
        logprob = None
        self._texts.append(event.text)
        if event.token is not None:
            self._tokens.append(event.token)
            if self._logprobs is not None:
                logprob = _named(self._model, event.token, event.logprob, event.top)
                self._logprobs.append(logprob)
        if event.finish is not None:
            self._completion = self._finish(event, event.finish)
            self._ended = True
            self._request.close()
        return Chunk(event.text, event.token, event.finish, logprob)

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
            n_drafted=event.n_drafted,
            n_accepted=event.n_accepted,
            n_forced=event.n_forced,
            logprobs=self._logprobs,
            prompt_logprobs=None if self._prompt is None else self._prompt.read(self._model),
            n_shifted=event.n_shifted,
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
