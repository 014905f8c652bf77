"""``Llama``: llama-cpp-python's class over a model of Ingot's."""

from __future__ import annotations

import fnmatch
import itertools
import os
import random
import secrets
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ingot import errors
from ingot.closing import Closing
from ingot.llama_cpp import constants
from ingot.llama_cpp.completing import Answering, Sampling, functions_of
from ingot.llama_cpp.opening import chosen_template, model_options, pooling_of
from ingot.llama_cpp.parts import FloatArray, IntArray, LlamaState, LlamaTokenizer
from ingot.llama_cpp.shapes import Shape
from ingot.model import Model
from ingot.sampling import Sampler

_Criteria = Callable[[IntArray, FloatArray], bool]


class Llama(Closing):
    """A model with the methods of llama-cpp-python's class of this name.

    Arguments that change no result here (``n_gpu_layers``, ``flash_attn``, ``verbose``, ...) are
    taken; those that would, and can't be honoured (``lora_path``, ``rope_freq_base``, ...), are
    refused by name. Without ``model_path`` it is the bundled model. Unlike there, log-probabilities
    need no ``logits_all``, and vectors no ``embedding=True``.

    The model is ``llm.model``, an ``ingot.Model``.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str] | None = None,
        *,
        vocab_only: bool = False,
        use_mmap: bool = True,
        use_mlock: bool = False,
        seed: int = constants.LLAMA_DEFAULT_SEED,
        n_ctx: int = 512,
        n_batch: int = 512,
        n_threads: int | None = None,
        pooling_type: int = constants.LLAMA_POOLING_TYPE_UNSPECIFIED,
        logits_all: bool = False,
        last_n_tokens_size: int = 64,
        chat_format: str | None = None,
        type_k: int | None = None,
        type_v: int | None = None,
        spm_infill: bool = False,
        verbose: bool = True,
        **others: Any,
    ) -> None:
        given = {name: one for name, one in locals().items() if name not in ("self", "others")}
        self._given = {**given, **others}
        template = chosen_template(chat_format)
        self.model = Model(model_path, **model_options(given, others))
        self.model_path = str(self.model.path)
        self.n_batch, self.last_n_tokens_size = n_batch, last_n_tokens_size
        self.chat_format, self.verbose = chat_format, verbose
        self._pooling = pooling_of(self.model, pooling_type)
        self._logits_all = logits_all
        self._answering = Answering(self.model, template, last_n_tokens_size, spm_infill)
        self.set_seed(seed)
        self.reset()

    @classmethod
    def from_pretrained(
        cls,
        repo_id: str,
        filename: str,
        additional_files: Sequence[str] | None = None,
        local_dir: str | Path | None = None,
        local_dir_use_symlinks: bool | str = "auto",
        cache_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> Llama:
        """Opens a file of a Hugging Face repository, fetched by huggingface_hub.

        ``filename`` and ``additional_files``: names, or patterns that one file each matches.
        """
        try:
            from huggingface_hub import hf_hub_download, list_repo_files
        except ImportError:
            raise ImportError(
                "from_pretrained needs the package huggingface_hub: pip install huggingface_hub, "
                "or fetch the file by hand and give its path to Llama(...)"
            ) from None
        files = list_repo_files(repo_id)
        paths = []
        for pattern in [filename, *(additional_files or ())]:
            found = fnmatch.filter(files, pattern)
            if len(found) != 1:
                raise errors.ArgumentError(
                    f"{len(found)} files of {repo_id} match {pattern!r}; expected one. It has "
                    f"{', '.join(name for name in files if name.endswith('.gguf')) or 'no GGUF'}"
                )
            paths.append(
                hf_hub_download(repo_id, found[0], local_dir=local_dir, cache_dir=cache_dir)
            )
        return cls(paths[0], **kwargs)

    # ----------------------------------------------------------------------------------------- text

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """``add_bos``: with the special tokens that the model wants around a text."""
        return self.model.tokenize(text, add_special=add_bos, parse_special=special)

    def detokenize(
        self,
        tokens: Sequence[int],
        prev_tokens: Sequence[int] | None = None,
        special: bool = False,
    ) -> bytes:
        """``prev_tokens``: what stands before, where spaces depend on that."""
        before = list(prev_tokens or ())
        known = self.model.detokenize_bytes(before, special)
        return self.model.detokenize_bytes([*before, *tokens], special)[len(known) :]

    def tokenizer(self) -> LlamaTokenizer:
        return LlamaTokenizer(self)

    def n_ctx(self) -> int:
        return self.model.n_ctx

    def n_embd(self) -> int:
        return self.model.info.n_embd

    def n_vocab(self) -> int:
        return self.model.info.n_vocab

    def token_bos(self) -> int:
        """-1 if there is none, as in the next two."""
        return _or_none(self.model.specials.bos)

    def token_eos(self) -> int:
        return _or_none(self.model.specials.eos)

    def token_nl(self) -> int:
        """The token of a line's end."""
        tokens = self.model.tokenize("\n")
        return tokens[-1] if tokens else -1

    def pooling_type(self) -> int:
        names = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}
        return names[self._pooling]

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata but for its lists, as texts."""
        found: dict[str, str] = {}
        for key, value in self.model.metadata.items():
            if isinstance(value, bool):
                found[key] = str(value).lower()
            elif isinstance(value, float):
                found[key] = f"{value:f}"
            elif isinstance(value, (int, str)):
                found[key] = str(value)
        return found

    # -------------------------------------------------------------------------------------- vectors

    def embed(
        self,
        input: str | Sequence[str],  # noqa: A002
        normalize: bool = False,
        truncate: bool = True,
        return_count: bool = False,
    ) -> Any:
        """A list of numbers for a text, a list of those for several; without pooling, which is a
        decoder's way unless its file says otherwise, a list for each token instead.

        ``truncate`` cuts texts off that are longer than ``n_batch``; without it they are errors.
        """
        texts = [input] if isinstance(input, str) else list(input)
        tokens = [self.tokenize(text.encode("utf-8")) for text in texts]
        for i, ids in enumerate(tokens):
            if len(ids) > self.n_batch and not truncate:
                raise errors.ArgumentError(
                    f"text {i} has {len(ids)} tokens, and n_batch is {self.n_batch}: shorten it, "
                    "open the model with a larger n_batch, or have it truncated"
                )
            del ids[self.n_batch :]
        how: dict[str, Any] = {"pooling": self._pooling, "normalize": normalize}
        if self._pooling == "none":
            found = [self.model.embed([ids], **how).tolist() for ids in tokens]
        else:
            found = self.model.embed(tokens, **how).tolist()
        result = found[0] if isinstance(input, str) else found
        return (result, sum(map(len, tokens))) if return_count else result

    def create_embedding(
        self,
        input: str | Sequence[str],  # noqa: A002
        model: str | None = None,
    ) -> dict[str, Any]:
        """``embed`` as OpenAI's clients know it."""
        texts = [input] if isinstance(input, str) else list(input)
        vectors, count = self.embed(texts, return_count=True)
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "embedding": vector, "index": i}
                for i, vector in enumerate(vectors)
            ],
            "model": model or self.model_path,
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }

    # -------------------------------------------------------------------------------------- answers

    def create_completion(
        self,
        prompt: str | Sequence[int],
        suffix: str | None = None,
        max_tokens: int | None = 16,
        temperature: float = 0.8,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        logprobs: int | None = None,
        echo: bool = False,
        stop: str | Sequence[str] | None = None,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        top_k: int = 40,
        stream: bool = False,
        seed: int | None = None,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        stopping_criteria: _Criteria | None = None,
        logits_processor: Any = None,
        grammar: Any = None,
        logit_bias: Mapping[Any, float] | None = None,
    ) -> Any:
        """Continues a prompt: a dict, or with ``stream`` an iterator of dicts.

        ``max_tokens``: None or 0: as many as the context holds. ``suffix``: what comes behind the
        answer, for models that were trained to fill gaps.
        """
        given = dict(locals())
        shape = Shape(model or self.model_path, chat=False)
        tokens = self._answering.prompt(prompt, suffix)
        asked = self._sampling(given)
        return self._answering.run(shape, tokens, asked, stream, prompt if echo else None, prompt)

    __call__ = create_completion

    def create_chat_completion(
        self,
        messages: Sequence[Mapping[str, Any]],
        functions: Sequence[Any] | None = None,
        function_call: Any = None,
        tools: Sequence[Any] | None = None,
        tool_choice: Any = None,
        temperature: float = 0.2,
        top_p: float = 0.95,
        top_k: int = 40,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        stream: bool = False,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        response_format: Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        logits_processor: Any = None,
        grammar: Any = None,
        logit_bias: Mapping[Any, float] | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
    ) -> Any:
        """Answers a conversation: a dict, or with ``stream`` an iterator of dicts.

        ``response_format``: {"type": "json_object", "schema": ...}, the schema being optional, or
        {"type": "json_schema", "json_schema": {"schema": ...}}. Tools aren't there yet.
        """
        given = dict(locals())
        functions_of(tools, tool_choice, functions, function_call)
        given["logprobs"] = (top_logprobs or 0) if logprobs else None
        given["stopping_criteria"] = None
        shape = Shape(model or self.model_path, chat=True)
        asked = self._sampling(given)
        tokens = self._answering.chat_prompt(messages)
        return self._answering.run(shape, tokens, asked, stream)

    def create_chat_completion_openai_v1(self, *args: Any, **kwargs: Any) -> Any:
        """``create_chat_completion`` as objects of the package openai."""
        try:
            from openai.types.chat import ChatCompletion, ChatCompletionChunk
        except ImportError:
            raise ImportError(
                "create_chat_completion_openai_v1 needs the package openai: pip install openai"
            ) from None
        found = self.create_chat_completion(*args, **kwargs)
        if isinstance(found, dict):
            return ChatCompletion(**found)
        return (ChatCompletionChunk(**chunk) for chunk in found)

    def _sampling(self, given: Mapping[str, Any]) -> Sampling:
        return self._answering.sampling(given, self._next_seed(given.get("seed")))

    def set_seed(self, seed: int) -> None:
        """From which those of the next calls are made; -1 and 2^32 - 1: a random one."""
        chance = seed in (-1, constants.LLAMA_DEFAULT_SEED)
        self._seeds = random.Random(secrets.randbits(64) if chance else seed)

    def _next_seed(self, given: int | None = None) -> int:
        if given is None or given in (-1, constants.LLAMA_DEFAULT_SEED):
            return self._seeds.getrandbits(32)
        return given

    # ------------------------------------------------------------------------------- token by token

    def reset(self) -> None:
        """Begins a new text."""
        self._tokens: list[int] = []
        self._rows: list[FloatArray] = []  # [n, n_vocab] each

    @property
    def n_tokens(self) -> int:
        """How many tokens the text has so far."""
        return len(self._tokens)

    @property
    def input_ids(self) -> IntArray:
        return np.array(self._tokens, np.intc)

    @property
    def eval_tokens(self) -> deque[int]:
        return deque(self._tokens)

    @property
    def scores(self) -> FloatArray:
        """The logits after each token that was evaluated: [n_tokens, n_vocab]; needs logits_all."""
        if not self._logits_all:
            raise errors.StateError("scores needs logits_all=True: open the model with it")
        if sum(map(len, self._rows)) != len(self._tokens):
            self._rows = [self.model.logits(self._tokens)] if self._tokens else []
        return np.concatenate([np.empty((0, self.n_vocab()), np.float32), *self._rows])

    @property
    def eval_logits(self) -> deque[list[float]]:
        return deque(self.scores.tolist())

    def eval(self, tokens: Sequence[int]) -> None:
        """Goes on with these tokens."""
        if len(tokens) == 0:
            return
        known = len(self._tokens)
        text = [*self._tokens, *map(int, tokens)]
        rows = self.model.logits(text, known if self._logits_all else len(text) - 1)
        self._tokens = text
        self._rows = [*self._rows, rows] if self._logits_all else [rows]

    def sample(
        self,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_eta: float = 0.1,
        mirostat_tau: float = 5.0,
        penalize_nl: bool = True,
        logits_processor: Any = None,
        grammar: Any = None,
        idx: int | None = None,
    ) -> int:
        """A token to follow those that were evaluated (``idx``: the one of this index).

        ``grammar`` holds it to the beginning of a text: use ``generate`` for more.
        """
        given = dict(locals())
        if not self._tokens:
            raise errors.StateError("nothing was evaluated: call eval before sample")
        asked = self._answering.sampling({**given, "temperature": temp}, self._next_seed())
        if idx is not None:
            row = self.scores[idx].copy()
        elif self._rows:
            row = self._rows[-1][-1].copy()
        else:  # of a state that was loaded
            row = self.model.logits(self._tokens, len(self._tokens) - 1)[0]
        for processor in asked.processors:
            changed = processor(self._tokens, row)
            row = row if changed is None else np.asarray(changed, np.float32)
        if asked.grammar is not None:
            with asked.grammar.matcher(self.model) as matcher:
                row[~matcher.mask()] = -np.inf
        values: Any = asked.samplers
        with Sampler(self.model, seed=asked.seed, **values) as sampler:
            return sampler.choose(row, self._tokens)

    def generate(
        self,
        tokens: Sequence[int],
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        reset: bool = True,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        penalize_nl: bool = True,
        logits_processor: Any = None,
        stopping_criteria: _Criteria | None = None,
        grammar: Any = None,
    ) -> Generator[int, Sequence[int] | None, None]:
        """The tokens that follow, one by one, past the model's own end too: until it is left, or
        the context is full. What is sent to it comes behind the token before."""
        given = dict(locals())
        asked = self._answering.sampling({**given, "temperature": temp}, self._next_seed())
        self._tokens = [*(() if reset else self._tokens), *map(int, tokens)]
        self._rows = []
        sample = 0  # answers of one seed: each beginning is another one
        while len(self._tokens) < self.n_ctx():
            sent = False
            with self._answering.stream(self._tokens, asked, None, sample) as steps:
                for step in steps:
                    more = yield step.token
                    self._tokens += [step.token, *(more or ())]
                    sent = bool(more)
                    if sent:
                        break
            if not sent and (not steps.at_end or grammar is not None):
                return
            sample += 1

    # ---------------------------------------------------------------------------------------- state

    def save_state(self) -> LlamaState:
        scores = self.scores.copy() if self._logits_all else None
        return LlamaState(self.input_ids, scores, self.n_tokens, self._next_seed())

    def load_state(self, state: LlamaState) -> None:
        self._tokens = state.input_ids[: state.n_tokens].tolist()
        self._rows = [] if state.scores is None else [state.scores.copy()]
        self.set_seed(state.seed)

    def set_cache(self, cache: object) -> None:
        """Not needed: the engine keeps what prompts share by itself."""

    def __getstate__(self) -> dict[str, Any]:
        return self._given

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def close(self) -> None:
        self.model.close()

    @staticmethod
    def logits_to_logprobs(logits: Any, axis: int = -1) -> FloatArray:
        """Logarithms of the probabilities, which are the softmax of logits along ``axis``."""
        rows = np.asarray(logits, np.float64)
        below = rows - rows.max(axis=axis, keepdims=True)
        found = below - np.log(np.exp(below).sum(axis=axis, keepdims=True))
        return np.asarray(found, np.float32)

    @staticmethod
    def longest_token_prefix(a: Sequence[int], b: Sequence[int]) -> int:
        """How many tokens two texts begin with alike."""
        alike = (x == y for x, y in zip(a, b, strict=False))
        return sum(1 for _ in itertools.takewhile(bool, alike))


def _or_none(token: int | None) -> int:
    return -1 if token is None else token
