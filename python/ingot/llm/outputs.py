"""What comes of a prompt, in vLLM's shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ingot.generation import Completion, TokenLogprob
from ingot.llm.params import SamplingParams


@dataclass
class Logprob:
    """A token's log-probability; ``rank`` is its place among the likeliest, from 1 on, and None
    if it isn't among those that were asked for."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    """An answer. ``finish_reason`` is "stop" or "length", ``stop_reason`` the text or token that
    ended it, None for the model's own end."""

    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    lora_request: None = None

    def finished(self) -> bool:
        return self.finish_reason is not None

    @classmethod
    def of(cls, index: int, answer: Completion, params: SamplingParams) -> CompletionOutput:
        text = answer.text
        if params.include_stop_str_in_output and isinstance(answer.stop, str):
            text += answer.stop
        logprobs = answer.logprobs if params.logprobs is not None else None
        return cls(
            index=index,
            text=text if params.detokenize else "",
            token_ids=answer.tokens,
            cumulative_logprob=None if logprobs is None else likelihood(answer),
            logprobs=None if logprobs is None else [_by_token(one) for one in logprobs],
            finish_reason="stop" if answer.finish_reason in ("eos", "stop") else "length",
            stop_reason=answer.stop,
        )


def likelihood(answer: Completion) -> float:
    """The logarithm of an answer's probability, as far as it was chosen."""
    return sum(one.logprob for one in answer.logprobs or () if one.logprob is not None)


def _by_token(one: TokenLogprob) -> dict[int, Logprob]:
    found = {top.token: _logprob(top, rank) for rank, top in enumerate(one.top, 1)}
    found.setdefault(one.token, _logprob(one, None))
    return found


def _logprob(one: TokenLogprob, rank: int | None) -> Logprob:
    value = math.nan if one.logprob is None else one.logprob
    return Logprob(value, rank, one.piece.decode("utf-8", "replace"))


@dataclass
class RequestOutput:
    """A prompt and the answers to it."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput]
    finished: bool = True
    metrics: None = None
    lora_request: None = None
    num_cached_tokens: int | None = None

    @classmethod
    def of(
        cls,
        number: int,
        prompt: str | None,
        tokens: list[int],
        answers: Sequence[Completion],
        params: SamplingParams,
    ) -> RequestOutput:
        first = answers[0]
        if params.best_of is not None:
            answers = sorted(answers, key=likelihood, reverse=True)[: params.n]
        of_prompt = first.prompt_logprobs
        return cls(
            request_id=str(number),
            prompt=prompt,
            prompt_token_ids=tokens,
            prompt_logprobs=None
            if of_prompt is None
            else [None if one is None else _by_token(one) for one in of_prompt],
            outputs=[CompletionOutput.of(i, one, params) for i, one in enumerate(answers)],
            num_cached_tokens=first.n_cached,
        )


@dataclass
class BeamSearchSequence:
    """One of the likeliest answers; ``tokens`` begin with the prompt's."""

    tokens: list[int]
    text: str
    cum_logprob: float
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class BeamSearchOutput:
    sequences: list[BeamSearchSequence]


@dataclass
class PoolingOutput:
    """``data`` is a numpy array."""

    data: Any


@dataclass
class EmbeddingOutput:
    embedding: list[float]

    @property
    def hidden_size(self) -> int:
        return len(self.embedding)


@dataclass
class ClassificationOutput:
    probs: list[float]

    @property
    def num_classes(self) -> int:
        return len(self.probs)


@dataclass
class ScoringOutput:
    score: float


@dataclass
class PoolingRequestOutput:
    """What comes of a text without an answer: ``outputs`` is one of the four above."""

    request_id: str
    outputs: Any
    prompt_token_ids: list[int] = field(default_factory=list)
    finished: bool = True
