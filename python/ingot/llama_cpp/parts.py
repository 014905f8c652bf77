"""What ``Llama`` is used with: grammars, lists of functions, a tokenizer, states, caches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ingot.errors import FormatError
from ingot.grammar import Grammar

if TYPE_CHECKING:
    import os

    from ingot.llama_cpp.llama import Llama

IntArray = npt.NDArray[np.intc]
FloatArray = npt.NDArray[np.float32]


class LlamaGrammar:
    """A grammar, by the names of llama-cpp-python; JSON schemas are read by Ingot."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar

    @classmethod
    def from_string(cls, grammar: str, verbose: bool = True) -> LlamaGrammar:
        made = Grammar.from_gbnf(grammar)
        made.compile()
        return cls(made)

    @classmethod
    def from_file(cls, file: str | os.PathLike[str], verbose: bool = True) -> LlamaGrammar:
        return cls.from_string(Path(file).read_text(encoding="utf-8"))

    @classmethod
    def from_json_schema(cls, json_schema: str, verbose: bool = True) -> LlamaGrammar:
        import json

        try:
            return cls(Grammar.from_json_schema(json.loads(json_schema)))
        except ValueError as e:
            raise FormatError(f"the JSON schema: {e}") from e


class LogitsProcessorList(list[Callable[[IntArray, FloatArray], Any]]):
    """Functions of all tokens so far and the logits, which return logits."""

    def __call__(self, input_ids: IntArray, scores: FloatArray) -> FloatArray:
        for function in self:
            scores = function(input_ids, scores)
        return scores


class StoppingCriteriaList(list[Callable[[IntArray, FloatArray], bool]]):
    """Functions of all tokens so far and the logits behind them; one that is true ends it."""

    def __call__(self, input_ids: IntArray, logits: FloatArray) -> bool:
        return any(function(input_ids, logits) for function in self)


class MinTokensLogitsProcessor:
    """Keeps an answer from ending before it has so many tokens."""

    def __init__(self, min_tokens: int, token_eos: int) -> None:
        self.min_tokens, self.token_eos = min_tokens, token_eos
        self.prompt_tokens: int | None = None

    def __call__(self, input_ids: IntArray, scores: FloatArray) -> FloatArray:
        if self.prompt_tokens is None:
            self.prompt_tokens = len(input_ids)
        if len(input_ids) - self.prompt_tokens < self.min_tokens:
            scores[self.token_eos] = -np.inf
        return scores


class LlamaTokenizer:
    """The tokenizer of a ``Llama``."""

    def __init__(self, llama: Llama) -> None:
        self._llama = llama

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> list[int]:
        return self._llama.tokenize(text, add_bos, special)

    def detokenize(
        self,
        tokens: Sequence[int],
        prev_tokens: Sequence[int] | None = None,
        special: bool = False,
    ) -> bytes:
        return self._llama.detokenize(tokens, prev_tokens, special)

    def encode(self, text: str, add_bos: bool = True, special: bool = True) -> list[int]:
        return self.tokenize(text.encode("utf-8", "ignore"), add_bos, special)

    def decode(self, tokens: Sequence[int]) -> str:
        return self.detokenize(tokens).decode("utf-8", "ignore")


@dataclass
class LlamaState:
    """Where a ``Llama`` was: its tokens. What was computed of them the engine keeps itself, as
    long as there is room, and computes again where there isn't."""

    input_ids: IntArray
    scores: FloatArray | None
    n_tokens: int
    seed: int


class LlamaRAMCache:
    """Taken by ``set_cache``, and not needed: the engine keeps what prompts share by itself."""

    def __init__(self, capacity_bytes: int = 2 << 30) -> None:
        self.capacity_bytes = capacity_bytes


class LlamaDiskCache(LlamaRAMCache):
    """As ``LlamaRAMCache``: nothing is written."""

    def __init__(
        self, cache_dir: str = ".cache/llama_cache", capacity_bytes: int = 2 << 30
    ) -> None:
        super().__init__(capacity_bytes)


LlamaCache = LlamaRAMCache
