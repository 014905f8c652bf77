"""Measures llama.cpp through the package llama_cpp, for ``ingot bench --vs-llama-cpp``.

A program of its own, run by any Python that has llama_cpp: it needs nothing else, Ingot neither.
Its argument is a JSON object: model, prompt, tokens, n_ctx, threads, kv_type. It prints a line when
the model is loaded, and then, for each line with a depth that it reads, one with the rates of
prefill and decoding on top of so many tokens, in tokens per second. All lines are JSON objects.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

_BATCH = 2048  # tokens in a call, as llama.cpp's own benchmark has it
_KV_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q4_0": 2}  # as ggml numbers them


class Peer:
    def __init__(self, lc: Any, settings: dict[str, Any]) -> None:
        self._lc = lc
        self._prompt, self._tokens = settings["prompt"], settings["tokens"]
        model = lc.llama_model_load_from_file(
            os.fsencode(settings["model"]), lc.llama_model_default_params()
        )
        if not model:
            raise RuntimeError(f"llama.cpp can't load {settings['model']}")
        self._n_vocab = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(model))
        params = lc.llama_context_default_params()
        params.n_ctx = settings["n_ctx"]
        params.n_batch = _BATCH
        params.n_threads = params.n_threads_batch = settings["threads"]
        params.type_k = params.type_v = _KV_TYPES[settings["kv_type"]]
        self._context = lc.llama_init_from_model(model, params)
        if not self._context:
            raise RuntimeError(f"llama.cpp can't make a context of {settings['n_ctx']} tokens")
        self._memory = lc.llama_get_memory(self._context)
        self._depth = 0  # tokens that stay in the cache

    def round(self, depth: int) -> dict[str, float]:
        if depth != self._depth:
            lc = self._lc
            lc.llama_memory_clear(self._memory, True)
            self._prefill(0, depth)
            self._depth = depth
        rates = {}
        if self._prompt:
            rates["prefill"] = self._rate(self._prompt, lambda n: self._prefill(depth, n))
        if self._tokens:
            rates["decode"] = self._rate(self._tokens, lambda n: self._decode(depth, n))
        return rates

    def _rate(self, n: int, work: Callable[[int], None]) -> float:
        self._lc.llama_memory_seq_rm(self._memory, 0, self._depth, -1)
        self._lc.llama_synchronize(self._context)
        start = time.perf_counter()
        work(n)
        self._lc.llama_synchronize(self._context)
        return n / (time.perf_counter() - start)

    def _prefill(self, begin: int, n: int) -> None:
        for first in range(begin, begin + n, _BATCH):
            self._compute(range(first, min(first + _BATCH, begin + n)))

    def _decode(self, begin: int, n: int) -> None:
        for position in range(begin, begin + n):
            self._compute([position])

    def _compute(self, positions: Sequence[int]) -> None:
        """Tokens at these positions, and the logits of the last one."""
        batch = self._lc.llama_batch_init(len(positions), 0, 1)
        batch.n_tokens = len(positions)
        for i, position in enumerate(positions):
            batch.token[i] = position * 7919 % self._n_vocab
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = i == len(positions) - 1
        status = self._lc.llama_decode(self._context, batch)
        self._lc.llama_batch_free(batch)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}")


def main(settings: dict[str, Any]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints goes elsewhere
    lc = importlib.import_module("llama_cpp")
    silent = lc.llama_log_callback(lambda *_: None)
    lc.llama_log_set(silent, ctypes.c_void_p(0))
    lc.llama_backend_init()
    peer = Peer(lc, settings)
    print(json.dumps({"version": lc.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(peer.round(json.loads(line)["depth"])), file=answers, flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
