"""Completions: from arguments to a request, and from its chunks to dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingot import errors
from ingot.closing import Closing
from ingot.generation import Chunk, Stream, TokenLogprob
from ingot.grammar import Grammar
from ingot.honouring import refuse
from ingot.llama_cpp.parts import FloatArray, IntArray, LlamaGrammar
from ingot.llama_cpp.shapes import Shape
from ingot.model import Model
from ingot.request import LogitsProcessor


class ContextError(errors.LimitError, ValueError):
    """A prompt that leaves no room for an answer."""


@dataclass(frozen=True)
class Sampling:
    """What a call asks for, as Ingot takes it."""

    seed: int
    samplers: dict[str, Any]  # keywords of ingot.Sampler
    processors: list[LogitsProcessor]
    grammar: Grammar | None
    options: dict[str, Any]  # further keywords of Model.generate
    criteria: Callable[[IntArray, FloatArray], bool] | None


class Steps(Closing, Iterator[Any]):
    """Chunks of an answer with a token each, and then how it ended."""

    def __init__(
        self, chunks: Stream, model: Model, prompt: Sequence[int], asked: Sampling, rows: list[Any]
    ) -> None:
        self._chunks, self._model, self._asked, self._rows = chunks, model, asked, rows
        self._so_far = list(prompt)
        self.logprobs = "logprobs" in asked.options
        self.tokens: list[int] = []  # but the one that ends the answer
        self.rest = ""  # text that came with no token
        self.reason = "length"
        self.at_end = False  # the model ended it

    def __next__(self) -> Any:
        for chunk in self._chunks:
            if chunk.token is None:
                self.rest = chunk.text
                self._end(chunk)
                continue
            if self._asked.criteria is not None:
                row = self._rows[-1]
                if self._asked.criteria(np.array(self._so_far, np.intc), row):
                    self.reason = "stop"
                    self.close()
                    break
            self._so_far.append(chunk.token)
            self.tokens.append(chunk.token)
            return chunk
        raise StopIteration

    def _end(self, chunk: Chunk) -> None:
        self.at_end = chunk.finish_reason == "eos"
        self.reason = "stop" if chunk.finish_reason in ("eos", "stop") else "length"
        if self.tokens and self._model.token(self.tokens[-1]).ends_generation:
            self.tokens.pop()

    def of_prompt(self) -> list[TokenLogprob]:
        """The prompt's tokens but BOS, once an answer has begun; nothing is said of the first."""
        assert self._chunks._prompt is not None
        known = self._chunks._prompt.read(self._model)
        first = self._so_far[0]
        if first == self._model.specials.bos:
            known = known[1:]
            first = self._so_far[1] if known else first
        if not known:
            return []
        begin = TokenLogprob(first, self._model.piece(first), None)
        return [begin, *(one for one in known[1:] if one is not None)]

    def close(self) -> None:
        self._chunks.close()


class Answering:
    """What the completions of a ``Llama`` share."""

    def __init__(self, model: Model, template: str | None, last_n: int, spm_infill: bool) -> None:
        self._model, self._template = model, template
        self._last_n, self._spm_infill = last_n, spm_infill

    # ------------------------------------------------------------------------------------- what for

    def sampling(self, given: Mapping[str, Any], seed: int) -> Sampling:
        refuse("Llama", {"tfs_z": given["tfs_z"]}, neutral={"tfs_z": [1, 1.0]})
        options: dict[str, Any] = {}
        grammar = _grammar(given["grammar"], given.get("response_format"))
        if given.get("logit_bias"):
            options["logit_bias"] = {int(k): float(v) for k, v in given["logit_bias"].items()}
        if given.get("stop"):
            options["stop"] = given["stop"]
        if given.get("logprobs") is not None:
            options["logprobs"] = int(given["logprobs"])
        limit = given.get("max_tokens")
        options["max_tokens"] = None if limit is None or limit <= 0 else limit
        temperature = given["temperature"]
        samplers = {
            "temperature": max(temperature, 0.0),
            "top_k": max(given["top_k"], 0),
            "top_p": given["top_p"],
            "min_p": given["min_p"],
            "typical_p": given["typical_p"],
            "repeat_penalty": given["repeat_penalty"],
            "repeat_last_n": self._last_n,
            "frequency_penalty": given["frequency_penalty"],
            "presence_penalty": given["presence_penalty"],
            "mirostat": given["mirostat_mode"] if temperature > 0 else 0,
            "mirostat_tau": given["mirostat_tau"],
            "mirostat_eta": given["mirostat_eta"],
        }
        if temperature < 0:  # the model's own probabilities, whatever else is asked for
            samplers |= {"samplers": ["penalties"], "temperature": 1.0}
        processors = [_processor(one) for one in _functions(given["logits_processor"])]
        criteria = given.get("stopping_criteria")
        return Sampling(seed, samplers, processors, grammar, options, criteria)

    def prompt(self, prompt: str | Sequence[int], suffix: str | None) -> list[int]:
        """The tokens of a prompt; names of control tokens in it are those tokens."""
        if suffix is not None:
            return self._infill(prompt, suffix)
        if isinstance(prompt, str):
            return self._model.tokenize(prompt, add_special=True, parse_special=True)
        return list(prompt)

    def _infill(self, prompt: str | Sequence[int], suffix: str) -> list[int]:
        """Prefix and suffix around a gap, as the model was trained to see them."""
        metadata: Mapping[str, Any] = self._model.metadata
        marks = []
        for name, older in (("pre", "prefix"), ("suf", "suffix"), ("mid", "middle")):
            keys = [f"tokenizer.ggml.fim_{name}_token_id", f"tokenizer.ggml.{older}_token_id"]
            marks += [int(metadata[key]) for key in keys if key in metadata][:1]
        if len(marks) != 3:
            raise errors.UnsupportedError(
                "Llama can't honour suffix: the model has no tokens for filling gaps "
                "(tokenizer.ggml.fim_pre_token_id and its like)"
            )
        pre, suf, mid = marks
        special = self._model.specials
        bos = [special.bos] if special.add_bos and special.bos is not None else []
        before = self._model.tokenize(prompt) if isinstance(prompt, str) else list(prompt)
        after = self._model.tokenize(suffix)
        first, second = [pre, *before], [suf, *after]
        if self._spm_infill:
            first, second = second, first
        return [*bos, *first, *second, mid]

    def chat_prompt(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        model = self._model
        return model._prompt_tokens(model._rendered(messages, None, self._template, None, True))

    # ---------------------------------------------------------------------------------- what comes

    def stream(
        self, tokens: Sequence[int], asked: Sampling, prompt_logprobs: int | None, sample: int = 0
    ) -> Steps:
        """The answer, step by step."""
        n_ctx = self._model.n_ctx
        if len(tokens) >= n_ctx:
            raise ContextError(
                f"the prompt has {len(tokens)} tokens and the context {n_ctx}: shorten it, or open "
                "the model with a larger n_ctx"
            )
        limit = asked.options["max_tokens"] or n_ctx
        rows: list[Any] = []
        processors = asked.processors
        if asked.criteria is not None:

            def keep(_tokens: list[int], logits: FloatArray) -> None:
                rows[:] = [logits.copy()]

            processors = [keep, *processors]
        chunks = self._model.generate(
            tokens,
            stream=True,
            seed=asked.seed,
            sample=sample,
            grammar=asked.grammar,
            logits_processors=processors,
            prompt_logprobs=prompt_logprobs,
            **asked.samplers,
            **{**asked.options, "max_tokens": min(limit, n_ctx - len(tokens))},
        )
        return Steps(chunks, self._model, tokens, asked, rows)

    def run(
        self,
        shape: Shape,
        tokens: Sequence[int],
        asked: Sampling,
        stream: bool,
        echo: str | Sequence[int] | None = None,
        prompt: str | Sequence[int] = "",
    ) -> Any:
        """A completion as a dict, or its chunks; ``echo`` comes before it."""
        text = prompt if isinstance(prompt, str) else self._model.detokenize(tokens)
        wanted = asked.options.get("logprobs")
        steps = self.stream(tokens, asked, None if echo is None else wanted)
        if stream:
            return self._chunks(shape, steps, text, echo is not None)
        return self._whole(shape, steps, tokens, text, echo is not None)

    def _whole(
        self, shape: Shape, steps: Steps, prompt: Sequence[int], text: str, echo: bool
    ) -> dict[str, Any]:
        said: list[str] = []
        found: list[TokenLogprob] = []
        with steps:
            for chunk in steps:
                said.append(chunk.text)
                if chunk.logprob is not None:
                    found.append(chunk.logprob)
        said.append(steps.rest)
        logprobs = None
        if steps.logprobs:
            offset = 0 if echo else len(text)
            before = steps.of_prompt() if echo else []
            logprobs = shape.logprobs([*before, *found[: len(steps.tokens)]], offset)
        whole = "".join([text, *said] if echo else said)
        return shape.whole(whole, steps.reason, logprobs, len(prompt), len(steps.tokens))

    def _chunks(
        self, shape: Shape, steps: Steps, text: str, echo: bool
    ) -> Iterator[dict[str, Any]]:
        with steps:
            yield from shape.first()
            if echo:
                yield shape.part(text, None)
            offset = len(text)
            for chunk in steps:
                logprobs = None
                if chunk.logprob is not None:
                    if self._model.token(chunk.token).ends_generation:
                        continue
                    logprobs = shape.logprobs([chunk.logprob], offset)
                    offset += len(chunk.logprob.piece.decode("utf-8", "ignore"))
                if chunk.text or logprobs:
                    yield shape.part(chunk.text, logprobs)
            if steps.rest:
                yield shape.part(steps.rest, None)
            yield shape.last(steps.reason)


def _grammar(given: Any, response_format: Mapping[str, Any] | None) -> Grammar | None:
    if isinstance(given, LlamaGrammar):
        return given.grammar
    if isinstance(given, str):
        return LlamaGrammar.from_string(given).grammar
    if given is not None and not isinstance(given, Grammar):
        raise errors.ArgumentError(f"grammar is {given!r}; expected a LlamaGrammar")
    if given is not None or response_format is None:
        return given
    kind = response_format.get("type")
    if kind == "text":
        return None
    schema: Any = {"type": "object"}
    if kind == "json_object":
        schema = response_format.get("schema") or schema
    elif kind == "json_schema" and "schema" in response_format.get("json_schema", {}):
        schema = response_format["json_schema"]["schema"]
    else:
        raise errors.ArgumentError(
            f"response_format is {dict(response_format)!r}; expected the type text, json_object, "
            "or json_schema with {'json_schema': {'schema': ...}}"
        )
    return Grammar.from_json_schema(schema)


def functions_of(tools: Any, tool_choice: Any, functions: Any, function_call: Any) -> None:
    """Refuses tools: an answer that speaks of them would be taken for text."""
    asked = {"tools": tools or None, "functions": functions or None}
    choices = {"tool_choice": tool_choice, "function_call": function_call}
    usual = {name: ["none", "auto"] for name in choices}
    refuse("create_chat_completion", {**asked, **choices}, neutral=usual)


def _functions(given: Any) -> list[Callable[[IntArray, FloatArray], Any]]:
    if given is None:
        return []
    found = list(given) if isinstance(given, list) else [given]
    if not all(map(callable, found)):
        raise errors.ArgumentError(f"logits_processor is {given!r}; expected functions")
    return found


def _processor(function: Callable[[IntArray, FloatArray], Any]) -> LogitsProcessor:
    def process(tokens: list[int], logits: FloatArray) -> Any:
        return function(np.array(tokens, np.intc), logits)

    return process
