"""What is asked for, in vLLM's words, and what it is in Ingot's."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot.errors import ArgumentError
from ingot.grammar import Grammar
from ingot.honouring import refuse
from ingot.request import LogitsProcessor


@dataclass(kw_only=True)
class StructuredOutputsParams:
    """What an answer is held to: exactly one of the first five.

    ``grammar`` is GBNF, which is also the notation of XGrammar's EBNF. ``json``: a schema as a dict
    or as text, or a pydantic model. Which ``backend`` others would use changes nothing here.
    """

    json: Any = None
    regex: str | None = None
    choice: Sequence[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None

    backend: str | None = None
    disable_fallback: bool = False
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None

    def options(self) -> dict[str, Any]:
        """As ``Model.generate`` takes it."""
        unlike = {
            "whitespace_pattern": self.whitespace_pattern,
            "structural_tag": self.structural_tag,
        }
        refuse(type(self).__name__, unlike)
        ways = {
            "json": self.json,
            "regex": self.regex,
            "choice": self.choice,
            "grammar": self.grammar,
            "json_object": self.json_object or None,
        }
        given = [name for name, value in ways.items() if value is not None]
        if len(given) != 1:
            raise ArgumentError(
                f"{type(self).__name__} has {' and '.join(given) or 'nothing'}; expected one of "
                f"{', '.join(ways)}"
            )
        if given[0] == "regex":
            return {"regex": self.regex}
        if given[0] == "choice":
            return {"choices": self.choice}
        if given[0] == "grammar":
            return {"grammar": self.grammar}
        return self._json({"type": "object"} if self.json is None else self.json)

    def _json(self, given: Any) -> dict[str, Any]:
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except ValueError as e:
                raise ArgumentError(f"the JSON schema is no JSON: {e}") from None
        if not self.disable_any_whitespace:
            return {"json_schema": given}
        make = (
            Grammar.from_json_schema if isinstance(given, (dict, bool)) else Grammar.from_pydantic
        )
        return {"grammar": make(given, whitespace="compact")}


GuidedDecodingParams = StructuredOutputsParams  # its name in older versions


@dataclass(kw_only=True)
class SamplingParams:
    """How answers are chosen, with vLLM's names, meanings and defaults.

    presence_penalty, frequency_penalty   look at the answer alone; repetition_penalty at the prompt
                                          too
    best_of      so many are drawn, and the ``n`` likeliest kept
    logprobs     of so many likeliest tokens at each place (-1: of all), as the model gave them
    bad_words    texts that the answer won't have
    logits_processors   functions of the answer's tokens so far and the logits, or of the prompt's
                 tokens, the answer's and the logits; numpy arrays instead of tensors
    truncate_prompt_tokens   use so many of the prompt's last tokens (-1: what the context holds)
    """

    n: int = 1
    best_of: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | Sequence[str] | None = None
    stop_token_ids: Sequence[int] | None = None
    bad_words: Sequence[str] | None = None
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    logits_processors: Sequence[Callable[..., Any]] | None = None
    truncate_prompt_tokens: int | None = None
    guided_decoding: StructuredOutputsParams | None = None
    structured_outputs: StructuredOutputsParams | None = None
    logit_bias: Mapping[int, float] | None = None
    allowed_token_ids: Sequence[int] | None = None
    extra_args: Mapping[str, Any] | None = None

    def clone(self) -> SamplingParams:
        return replace(self)

    def options(self, prompt: Sequence[int], n_vocab: int) -> dict[str, Any]:
        """As ``Model.generate`` takes it, for an answer to this prompt."""
        refuse("SamplingParams", {"extra_args": self.extra_args})
        if self.guided_decoding is not None and self.structured_outputs is not None:
            raise ArgumentError(
                "guided_decoding and structured_outputs were given; expected one of them"
            )
        held = self.guided_decoding or self.structured_outputs
        processors = [_processor(one, prompt) for one in self.logits_processors or ()]
        punished = bool(self.presence_penalty or self.frequency_penalty)
        if punished:
            processors.append(self._penalties(len(prompt)))
        return {
            **({} if held is None else held.options()),
            "max_tokens": self.max_tokens,
            "min_tokens": self.min_tokens,
            "stop": self.stop or (),
            "stop_tokens": self.stop_token_ids or (),
            "banned": self.bad_words or (),
            "logit_bias": self.logit_bias,
            "allowed_tokens": self.allowed_token_ids,
            "logits_processors": processors,
            "logprobs": n_vocab if self.logprobs == -1 else self.logprobs,
            "prompt_logprobs": n_vocab if self.prompt_logprobs == -1 else self.prompt_logprobs,
            "ignore_eos": self.ignore_eos,
            "special": not self.skip_special_tokens,
            "temperature": self.temperature,
            "top_k": max(self.top_k, 0),
            "top_p": self.top_p,
            "min_p": self.min_p,
            "repeat_penalty": 1.0 if punished else self.repetition_penalty,
            "repeat_last_n": -1,
        }

    def _penalties(self, n_prompt: int) -> LogitsProcessor:
        """All three, in vLLM's order: the samplers' own would look at the prompt too."""
        repetition, presence = self.repetition_penalty, self.presence_penalty
        frequency = self.frequency_penalty

        def punish(tokens: list[int], logits: npt.NDArray[np.float32]) -> None:
            if repetition != 1:
                seen = np.unique(tokens)
                values = logits[seen]
                logits[seen] = np.where(values > 0, values / repetition, values * repetition)
            said, counts = np.unique(np.array(tokens[n_prompt:], np.int64), return_counts=True)
            logits[said] -= frequency * counts + presence

        return punish


def _processor(function: Callable[..., Any], prompt: Sequence[int]) -> LogitsProcessor:
    """A function that takes the answer's tokens alone, or the prompt's apart."""
    if not callable(function):
        raise ArgumentError(f"logits_processors has {function!r}; expected functions")
    before = list(prompt)
    apart = len(inspect.signature(function).parameters) > 2

    def process(tokens: list[int], logits: npt.NDArray[np.float32]) -> Any:
        said = tokens[len(before) :]
        return function(before, said, logits) if apart else function(said, logits)

    return process


@dataclass(kw_only=True)
class BeamSearchParams:
    """A search for the likeliest answers."""

    beam_width: int
    max_tokens: int
    ignore_eos: bool = False
    temperature: float = 0.0
    length_penalty: float = 1.0
    include_stop_str_in_output: bool = False


@dataclass(kw_only=True)
class PoolingParams:
    """What is made of a text's vectors: the first ``dimensions``, of length 1 if ``normalize``."""

    dimensions: int | None = None
    normalize: bool | None = None
    use_activation: bool | None = None
    truncate_prompt_tokens: int | None = None
    task: str | None = None
