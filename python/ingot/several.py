"""Several answers to one prompt: samples of a seed, the best of them, and beams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import Handle, integer
from ingot.generation import Completion, Stream
from ingot.request import Options, Request

if TYPE_CHECKING:
    from ingot.model import Model

_MOST = 4096


def samples(
    model: Model,
    engine: Handle,
    tokens: npt.NDArray[np.int32],
    options: Options,
    n: int,
    best_of: int | None,
) -> list[Completion]:
    """As ``Model.samples`` says."""
    n = integer("n", n, 1, _MOST)
    drawn = n if best_of is None else integer("best_of", best_of, n, _MOST)
    first = replace(options, seed=Stream.seed_of(options.seed))
    if best_of is not None and options.logprobs is None:
        first = replace(first, logprobs=0)
    grammar = options.constraint()
    with ExitStack() as streams:
        asked = []
        for i in range(drawn):
            matcher = None if grammar is None else grammar.matcher(model)
            one = replace(first, sample=(options.sample + i) % 2**32)
            stream = Stream(engine, tokens, one, model, matcher)
            asked.append(streams.enter_context(stream))
        answers = [_read(stream) for stream in asked]
    if best_of is not None:
        answers = sorted(answers, key=_likelihood, reverse=True)[:n]
    if options.logprobs is None:
        answers = [replace(answer, logprobs=None) for answer in answers]
    return answers


def _read(stream: Stream) -> Completion:
    for _ in stream:
        pass
    return stream.completion


def _likelihood(answer: Completion) -> float:
    """The mean log-probability of its tokens."""
    known = [one.logprob for one in answer.logprobs or () if one.logprob is not None]
    return sum(known) / len(known) if known else -math.inf


@dataclass(frozen=True)
class Beam:
    """One of the likeliest answers: the logarithm of its probability, and the score by which
    answers of different lengths were compared. ``finish_reason``: "eos", "stop" or "length"."""

    text: str
    tokens: list[int]
    logprob: float
    score: float
    finish_reason: str


@dataclass(frozen=True)
class _Path:
    """A beginning of an answer."""

    tokens: tuple[int, ...]
    logprob: float


def beam_search(
    model: Model,
    engine: Handle,
    prompt: npt.NDArray[np.int32],
    width: int,
    max_tokens: int,
    length_penalty: float,
    stop_tokens: Sequence[int],
) -> list[Beam]:
    """As ``Model.beam_search`` says. Each path's next tokens are a request of their own: what paths
    share, the engine has computed once."""
    width = integer("width", width, 1, min(_MOST, model.info.n_vocab // 2))
    max_tokens = integer("max_tokens", max_tokens, 1, 2**31 - 1)
    if len(prompt) + max_tokens > model.n_ctx:
        raise errors.LimitError(
            f"the prompt has {len(prompt)} tokens and max_tokens is {max_tokens}, but the context "
            f"has {model.n_ctx}; shorten one of them, or open the model with a larger n_ctx"
        )
    ends = set(stop_tokens)
    done: list[Beam] = []

    def score(path: _Path) -> float:
        return path.logprob / float(len(path.tokens) ** length_penalty)

    def finish(path: _Path, reason: str) -> None:
        shown = path.tokens if reason == "length" else path.tokens[:-1]
        text = model.detokenize(list(shown))
        done.append(Beam(text, list(path.tokens), path.logprob, score(path), reason))

    paths = [_Path((), 0.0)]
    for _ in range(max_tokens):
        following = _next_paths(model, engine, prompt, paths, 2 * width)
        paths = []
        for path in following:
            last = path.tokens[-1]
            if last in ends or model.token(last).ends_generation:
                finish(path, "stop" if last in ends else "eos")
            elif len(paths) < width:
                paths.append(path)
        done = sorted(done, key=lambda beam: beam.score, reverse=True)[:width]
        # Longer paths are no likelier: their scores grow only as far as the penalty makes them.
        most = max((_most(path, max_tokens, length_penalty) for path in paths), default=-math.inf)
        if not paths or (len(done) == width and done[-1].score >= most):
            break
    else:
        for path in paths:
            finish(path, "length")
    return sorted(done, key=lambda beam: beam.score, reverse=True)[:width]


def _most(path: _Path, max_tokens: int, length_penalty: float) -> float:
    """The best score that may still come of a path."""
    lengths = (len(path.tokens), max_tokens)
    return max(path.logprob / float(n**length_penalty) for n in lengths)


def _next_paths(
    model: Model, engine: Handle, prompt: npt.NDArray[np.int32], paths: list[_Path], n: int
) -> list[_Path]:
    """The ``n`` likeliest paths that are a token longer, likeliest first."""
    options = Options(max_tokens=1, logprobs=n, sampling={"temperature": 0})
    requests: list[Request] = []
    found: list[_Path] = []
    try:
        for path in paths:
            tokens = np.concatenate([prompt, np.array(path.tokens, np.int32)])
            requests.append(Request(engine, tokens, options, 0, model=model))
        for path, request in zip(paths, requests, strict=True):
            top: tuple[tuple[int, float], ...] = ()
            while (event := request.next()) is None or event.finish is None:
                if event is not None and event.token is not None:
                    top = event.top
            found += [_Path((*path.tokens, token), path.logprob + value) for token, value in top]
    finally:
        for request in requests:
            request.cancel()
        for request in requests:
            request.close()
    return sorted(found, key=lambda path: path.logprob, reverse=True)[:n]
