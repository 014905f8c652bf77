"""``LLM``: vLLM's class for offline work, over an engine."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import batch, errors
from ingot._lib import integer
from ingot.answers import Answer
from ingot.closing import Closing
from ingot.engine import Engine
from ingot.honouring import refuse
from ingot.llm.outputs import (
    BeamSearchOutput,
    BeamSearchSequence,
    ClassificationOutput,
    EmbeddingOutput,
    PoolingOutput,
    PoolingRequestOutput,
    RequestOutput,
    ScoringOutput,
)
from ingot.llm.params import BeamSearchParams, PoolingParams, SamplingParams
from ingot.model import Model
from ingot.request import token_array

# What changes no result: memory, speed, logs, other files than the model's, other hardware.
_HARMLESS = {
    "trust_remote_code",
    "gpu_memory_utilization",
    "swap_space",
    "cpu_offload_gb",
    "enforce_eager",
    "max_seq_len_to_capture",
    "disable_custom_all_reduce",
    "disable_async_output_proc",
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "disable_log_stats",
    "block_size",
    "download_dir",
    "revision",
    "tokenizer_revision",
    "hf_token",
    "load_format",
    "num_gpu_blocks_override",
    "preemption_mode",
    "distributed_executor_backend",
    "compilation_config",
    "max_num_partial_prefills",
    "scheduling_policy",
    "task",
    "runner",
    "convert",
    "use_tqdm_on_load",
    "kv_cache_memory_bytes",
    "async_scheduling",
    "guided_decoding_backend",
    "structured_outputs_config",
    "served_model_name",
}
_NEUTRAL: dict[str, Sequence[object]] = {
    "tokenizer_mode": ["auto"],
    "skip_tokenizer_init": [False],
    "tensor_parallel_size": [1],
    "pipeline_parallel_size": [1],
    "data_parallel_size": [1],
    "dtype": ["auto"],
    "enable_lora": [False],
    "logits_processors": [[]],
    "model_impl": ["auto"],
    "generation_config": ["vllm", "auto"],
    "logprobs_mode": ["raw_logprobs"],
    "device": ["auto", "cpu"],
}
_KV_TYPES = {"auto": "f16", "float16": "f16", "bfloat16": "bf16", "float32": "f32"}

Prompts = Any  # a text, tokens, {"prompt": ...}, {"prompt_token_ids": ...}, or a list of such


class LLM(Closing):
    """A model for offline work, with the methods of vLLM's class of this name.

    model                   a GGUF file's path, an ``ingot.Model`` or an ``ingot.Engine``; without
                            it the bundled model
    max_model_len           positions of a sequence (``n_ctx``)
    max_num_seqs            answers that are generated at the same time (``n_seqs``)
    max_num_batched_tokens  most tokens in one forward pass (``n_batch``)
    kv_cache_dtype          "auto", or a ``kv_type`` of ``ingot.Model``
    seed                    from which those of requests without one are made

    Other arguments of vLLM's are taken if they change no result, and refused by name if they would.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model | Engine | None = None,
        *,
        max_model_len: int | None = None,
        max_num_seqs: int | None = None,
        max_num_batched_tokens: int | None = None,
        kv_cache_dtype: str = "auto",
        seed: int | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
        **others: Any,
    ) -> None:
        refuse("LLM", others, _HARMLESS, _NEUTRAL)
        if tokenizer is not None and tokenizer != model:
            refuse("LLM", {"tokenizer": tokenizer})
        self._seeds = random.Random(seed)
        sizes = {
            "n_ctx": max_model_len,
            "n_seqs": max_num_seqs,
            "n_batch": max_num_batched_tokens,
            "kv_type": None if kv_cache_dtype == "auto" else kv_cache_dtype,
        }
        given: Any = {name: value for name, value in sizes.items() if value is not None}
        if "kv_type" in given:
            given["kv_type"] = _KV_TYPES.get(kv_cache_dtype, kv_cache_dtype)
        if isinstance(model, Engine):
            refuse("an LLM over an Engine", given)
        self._owned = not isinstance(model, Engine)
        self.engine = model if isinstance(model, Engine) else Engine(model, **given)
        self._model = self.engine.model
        self._numbers = itertools.count()

    # -------------------------------------------------------------------------------------- answers

    def generate(
        self,
        prompts: Prompts,
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
        **others: Any,
    ) -> list[RequestOutput]:
        """The answers to prompts: texts, tokens, {"prompt": text} or {"prompt_token_ids": tokens}.

        ``use_tqdm``: a bar on the terminal. A prompt that fails doesn't end the others; when all
        are done, a ``BatchError`` has their ``results``.
        """
        refuse("generate", others)
        asked = [self._read(one) for one in _several(prompts)]
        return self._answers(asked, sampling_params, use_tqdm)

    def chat(
        self,
        messages: Sequence[Any],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
        chat_template: str | None = None,
        chat_template_content_format: str = "auto",
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> list[RequestOutput]:
        """The answers to a conversation, or to several."""
        from ingot.chat import unmarked

        refuse("chat", others)
        if chat_template_content_format not in ("auto", "string", "openai"):
            raise errors.ArgumentError(
                f"chat_template_content_format is {chat_template_content_format!r}; expected auto, "
                "string or openai"
            )
        one = not messages or isinstance(messages[0], Mapping)
        how = (tools, chat_template, chat_template_kwargs)
        asked: list[tuple[str | None, list[int]]] = []
        for conversation in [messages] if one else messages:
            prompt = self._model._rendered(
                conversation, *how, add_generation_prompt, continue_final_message
            )
            asked.append((unmarked(prompt), self._model._prompt_tokens(prompt)))
        return self._answers(asked, sampling_params, use_tqdm)

    def _read(self, prompt: Any) -> tuple[str | None, list[int]]:
        """A prompt's text, if there is one, and its tokens."""
        if isinstance(prompt, Mapping):
            ways = {"prompt", "prompt_token_ids"}
            refuse("a prompt", {name: one for name, one in prompt.items() if name not in ways})
            if prompt.get("prompt_token_ids") is not None:
                return prompt.get("prompt"), token_array(prompt["prompt_token_ids"]).tolist()
            prompt = prompt.get("prompt")
        if isinstance(prompt, str):
            return prompt, self._model.tokenize(prompt, add_special=True)
        if isinstance(prompt, (bytes, type(None))):
            raise errors.ArgumentError(
                f"a prompt is {prompt!r}; expected a text, tokens, or a dict with a prompt or with "
                "prompt_token_ids"
            )
        return None, token_array(prompt).tolist()

    def _answers(
        self,
        asked: Sequence[tuple[str | None, list[int]]],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None,
        use_tqdm: bool,
    ) -> list[RequestOutput]:
        wanted = _each(sampling_params, len(asked))
        begin: list[Callable[[], Answer]] = []
        parts: list[slice] = []
        prompts = [
            (text, self._cut(tokens, params))
            for params, (text, tokens) in zip(wanted, asked, strict=True)
        ]
        for params, (_, tokens) in zip(wanted, prompts, strict=True):
            requests = self._requests(tokens, params)
            parts.append(slice(len(begin), len(begin) + len(requests)))
            begin += requests
        with batch.shown(use_tqdm, "answers") as report:
            found = batch.answers(begin, batch.IN_FLIGHT, report)
        results: list[RequestOutput | Exception] = []
        for part, params, (text, tokens) in zip(parts, wanted, prompts, strict=True):
            answers = found[part]
            failed = [one for one in answers if isinstance(one, Exception)]
            good = [one for one in answers if not isinstance(one, Exception)]
            results.append(
                failed[0]
                if failed
                else RequestOutput.of(next(self._numbers), text, tokens, good, params)
            )
        return batch.checked(results)

    def _cut(self, tokens: list[int], params: SamplingParams) -> list[int]:
        """The end of a prompt, if that is what was asked for."""
        if params.truncate_prompt_tokens is None:
            return tokens
        n_ctx = self._model.n_ctx
        n = integer("truncate_prompt_tokens", params.truncate_prompt_tokens, -1, n_ctx)
        return tokens[-(n_ctx if n == -1 else n) :] if n != 0 else []

    def _requests(self, tokens: list[int], params: SamplingParams) -> list[Callable[[], Answer]]:
        """What begins each answer to a prompt: samples of one seed, the prompt computed once."""
        n = integer("n", params.n, 1, 4096)
        drawn = n if params.best_of is None else integer("best_of", params.best_of, n, 4096)
        options = params.options(tokens, self._model.info.n_vocab)
        if params.best_of is not None and options["logprobs"] is None:
            options["logprobs"] = 0
        if params.seed is None or params.seed == -1:
            options["seed"] = self._seeds.getrandbits(32)
        else:
            options["seed"] = params.seed
        first = partial(self.engine.generate, tokens, **options)
        options["prompt_logprobs"] = None
        rest = partial(self.engine.generate, tokens, **options)
        return [partial(first if i == 0 else rest, sample=i) for i in range(drawn)]

    def beam_search(
        self, prompts: Prompts, params: BeamSearchParams, **others: Any
    ) -> list[BeamSearchOutput]:
        """The likeliest answers to each prompt."""
        refuse("beam_search", others, ("use_tqdm",))
        unlike = {"ignore_eos": params.ignore_eos, "temperature": params.temperature}
        refuse("BeamSearchParams", unlike, neutral={"ignore_eos": [False], "temperature": [0, 0.0]})
        found: list[BeamSearchOutput] = []
        for one in _several(prompts):
            _, tokens = self._read(one)
            beams = self._model.beam_search(
                tokens,
                params.beam_width,
                max_tokens=params.max_tokens,
                length_penalty=params.length_penalty,
            )
            found.append(
                BeamSearchOutput(
                    [
                        BeamSearchSequence(
                            [*tokens, *beam.tokens],
                            beam.text,
                            beam.logprob,
                            "length" if beam.finish_reason == "length" else "stop",
                        )
                        for beam in beams
                    ]
                )
            )
        return found

    # -------------------------------------------------------------------------------------- pooling

    def embed(
        self,
        prompts: Prompts,
        *,
        use_tqdm: bool = True,
        pooling_params: PoolingParams | None = None,
        **others: Any,
    ) -> list[PoolingRequestOutput]:
        """A vector for each text, in ``outputs.embedding``."""
        refuse("embed", others)
        texts, vectors = self._vectors(prompts, None, pooling_params, use_tqdm)
        return self._pooled(texts, [EmbeddingOutput(one.tolist()) for one in vectors])

    def encode(
        self,
        prompts: Prompts,
        pooling_params: PoolingParams | None = None,
        *,
        use_tqdm: bool = True,
        pooling_task: str | None = None,
        **others: Any,
    ) -> list[PoolingRequestOutput]:
        """What the model makes of each text, a numpy array in ``outputs.data``.

        ``pooling_task``: "embed" (a vector, the default), "token_embed" (one of each token) or
        "classify" (scores, as they are).
        """
        refuse("encode", others)
        task = pooling_task or (pooling_params and pooling_params.task) or "embed"
        ways = {"embed": None, "token_embed": "none", "classify": "rank"}
        if task not in ways:
            raise errors.UnsupportedError(
                f"pooling_task is {task!r}; expected one of {', '.join(ways)}"
            )
        texts, vectors = self._vectors(prompts, ways[task], pooling_params, use_tqdm)
        return self._pooled(texts, [PoolingOutput(one) for one in vectors])

    def classify(
        self, prompts: Prompts, *, use_tqdm: bool = True, **others: Any
    ) -> list[PoolingRequestOutput]:
        """The probability of each class, in ``outputs.probs``: the softmax of a classifier's
        scores, or of a single one its logistic function."""
        refuse("classify", others)
        texts, scores = self._vectors(prompts, "rank", None, use_tqdm)
        return self._pooled(texts, [ClassificationOutput(_probs(one).tolist()) for one in scores])

    def score(
        self, data_1: Prompts, data_2: Prompts, *, use_tqdm: bool = True, **others: Any
    ) -> list[PoolingRequestOutput]:
        """How well each pair fits, in ``outputs.score``: one text and many, or pairs of two lists.

        A reranker's judgement, from 0 to 1; of other models the cosine of two vectors.
        """
        refuse("score", others)
        one, two = ([self._read(text)[1] for text in _several(data)] for data in (data_1, data_2))
        if len(one) == 1:
            one = one * len(two)
        if len(one) != len(two):
            raise errors.ArgumentError(
                f"there are {len(one)} texts and {len(two)} to score them with; expected as many, "
                "or one and many"
            )
        if self._model.info.pooling == "rank":
            pairs = [self._pair(a, b) for a, b in zip(one, two, strict=True)]
            texts, rows = self._vectors(pairs, "rank", None, use_tqdm)
            scores = [float(_probs(row)[0]) for row in rows]
        else:
            texts = [[*a, *b] for a, b in zip(one, two, strict=True)]
            _, vectors = self._vectors([*one, *two], None, None, use_tqdm)
            scores = [float(a @ b) for a, b in zip(vectors, vectors[len(one) :], strict=False)]
        return self._pooled(texts, [ScoringOutput(score) for score in scores])

    def _pair(self, one: list[int], two: list[int]) -> list[int]:
        """Two texts as a descendant of BERT reads them."""
        special = self._model.specials
        if special.sep is None:
            raise errors.UnsupportedError(
                "the model has no separator between two texts: its card says how to join them for "
                "encode(..., pooling_task='classify')"
            )
        return [*one, *(two[1:] if two[:1] == [special.cls] else two)]

    def _vectors(
        self, prompts: Prompts, pooling: str | None, params: PoolingParams | None, use_tqdm: bool
    ) -> tuple[list[list[int]], list[npt.NDArray[np.float32]]]:
        """The tokens of texts, and what is made of them."""
        how = params or PoolingParams()
        unlike = {"truncate_prompt_tokens": how.truncate_prompt_tokens, "task": how.task}
        refuse("PoolingParams", unlike, neutral={"task": ["embed", "token_embed", "classify"]})
        texts = [self._read(one)[1] for one in _several(prompts)]
        wants = {one for one in (how.normalize, how.use_activation) if one is not None}
        if len(wants) > 1:
            raise errors.ArgumentError("normalize and use_activation differ: they are one thing")
        embed = partial(
            self.engine.embed,
            pooling=pooling,
            normalize=wants.pop() if wants else pooling is None,
            dimensions=how.dimensions,
        )
        with batch.shown(use_tqdm, "texts") as report:
            if pooling != "none":
                return texts, list(embed(texts, progress=report).result())
            pending = [embed([text]) for text in texts]
            return texts, [one.result() for one in pending]

    def _pooled(
        self, texts: Sequence[list[int]], outputs: Sequence[Any]
    ) -> list[PoolingRequestOutput]:
        return [
            PoolingRequestOutput(str(next(self._numbers)), output, text)
            for text, output in zip(texts, outputs, strict=True)
        ]

    # ----------------------------------------------------------------------------------------- rest

    def get_default_sampling_params(self) -> SamplingParams:
        return SamplingParams()

    def get_tokenizer(self) -> Model:
        """The model: ``tokenize``, ``detokenize``, ``apply_template``, ``specials``."""
        return self._model

    def close(self) -> None:
        if self._owned:
            self.engine.close()


def _several(prompts: Prompts) -> list[Any]:
    """Prompts, of which one may stand alone."""
    alone = isinstance(prompts, (str, bytes, Mapping)) or (
        len(prompts) > 0 and isinstance(prompts[0], (int, np.integer))
    )
    return [prompts] if alone else list(prompts)


def _each(
    params: SamplingParams | Sequence[SamplingParams] | None, n: int
) -> Sequence[SamplingParams]:
    """The parameters of each prompt."""
    if params is None or isinstance(params, SamplingParams):
        return [replace(params) if params else SamplingParams()] * n
    found = list(params)
    if len(found) != n or not all(isinstance(one, SamplingParams) for one in found):
        raise errors.ArgumentError(
            f"there are {n} prompts and {len(found)} sampling parameters; expected one "
            "SamplingParams for all, or one for each"
        )
    return found


def _probs(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    values = scores.astype(np.float64)
    if len(values) == 1:
        return 1 / (1 + np.exp(-values))
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())
