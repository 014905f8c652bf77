"""Measures llama.cpp through the package llama_cpp, for ``ingot bench --vs-llama-cpp``.

A program of its own, run by any Python that has llama_cpp: it needs nothing else but the NumPy that
comes with it, Ingot neither. Its argument is a JSON object: the settings of ``Model`` or of
``Samplers``. It prints a line when they are loaded, and then one for each line that it reads: what
``round`` returns for these arguments. All lines are JSON objects.
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


class Model:
    """Settings: model, prompt, tokens, n_ctx, n_seqs, threads, kv_types (of keys, of values)."""

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
        params.n_seq_max = settings["n_seqs"]
        params.kv_unified = True  # one sequence may have all of n_ctx
        params.n_threads = params.n_threads_batch = settings["threads"]
        params.type_k, params.type_v = (_KV_TYPES[name] for name in settings["kv_types"])
        self._context = lc.llama_init_from_model(model, params)
        if not self._context:
            raise RuntimeError(f"llama.cpp can't make a context of {settings['n_ctx']} tokens")
        self._memory = lc.llama_get_memory(self._context)
        self._depth = self._filled = 0  # tokens that stay in the cache, of so many sequences

    def round(self, depth: int, batch: int) -> dict[str, float]:
        """The rates of prefill (of one sequence) and of decoding so many sequences together on top
        of so many tokens each, in tokens per second."""
        self._fill(depth, batch)
        rates = {}
        if self._prompt and batch == 1:
            rates["prefill"] = self._rate(
                self._prompt, lambda: self._prefill(0, depth, self._prompt)
            )
        if self._tokens:
            rates["decode"] = self._rate(batch * self._tokens, lambda: self._decode(batch))
        return rates

    def _fill(self, depth: int, batch: int) -> None:
        """``depth`` tokens of each sequence, and nothing else: whatever is there takes time."""
        if depth != self._depth or batch < self._filled:
            self._lc.llama_memory_clear(self._memory, True)
            self._depth, self._filled = depth, 0
        for seq in range(self._filled, batch):
            self._prefill(seq, 0, depth)
        self._filled = batch

    def _rate(self, n: int, work: Callable[[], None]) -> float:
        self._lc.llama_synchronize(self._context)
        start = time.perf_counter()
        work()
        self._lc.llama_synchronize(self._context)
        seconds = time.perf_counter() - start
        self._lc.llama_memory_seq_rm(self._memory, -1, self._depth, -1)  # of all sequences
        return n / seconds

    def _prefill(self, seq: int, begin: int, n: int) -> None:
        for first in range(begin, begin + n, _BATCH):
            self._compute([(seq, i) for i in range(first, min(first + _BATCH, begin + n))])

    def _decode(self, batch: int) -> None:
        for position in range(self._depth, self._depth + self._tokens):
            self._compute([(seq, position) for seq in range(batch)])

    def _compute(self, places: Sequence[tuple[int, int]]) -> None:
        """Tokens at these places (sequence, position), and the logits of each sequence's last."""
        batch = self._lc.llama_batch_init(len(places), 0, 1)
        batch.n_tokens = len(places)
        for i, (seq, position) in enumerate(places):
            batch.token[i] = (position + seq) * 7919 % self._n_vocab
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = seq
            batch.logits[i] = i + 1 == len(places) or places[i + 1][0] != seq
        status = self._lc.llama_decode(self._context, batch)
        self._lc.llama_batch_free(batch)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}")


class Samplers:
    """Settings: logits (a file of float32 [rows, n_vocab]), n_vocab, recent (tokens), and a model
    whose vocabulary is taken, and breakers for DRY, or null and none."""

    def __init__(self, lc: Any, settings: dict[str, Any]) -> None:
        np = importlib.import_module("numpy")
        self._lc, self._recent, n_vocab = lc, settings["recent"], settings["n_vocab"]
        self._breakers = [text.encode() for text in settings["breakers"]]
        self._vocab = settings["model"] and self._load(os.fsencode(settings["model"]))
        self._rows = np.fromfile(settings["logits"], np.float32).reshape(-1, n_vocab)
        self._chains: dict[str, Any] = {}
        self._data = (lc.llama_token_data * n_vocab)()
        self._fresh = np.zeros((n_vocab, 3), np.int32)  # id, logit, p
        self._fresh[:, 0] = np.arange(n_vocab)
        self._entries = np.frombuffer(self._data, np.int32).reshape(n_vocab, 3)
        self._logits = np.frombuffer(self._data, np.float32).reshape(n_vocab, 3)[:, 1]

    def _load(self, path: bytes) -> Any:
        params = self._lc.llama_model_default_params()
        params.vocab_only = True
        model = self._lc.llama_model_load_from_file(path, params)
        if not model:
            raise RuntimeError(f"llama.cpp can't load {os.fsdecode(path)}")
        return self._lc.llama_model_get_vocab(model)

    def round(self, chain: list[list[Any]], n: int, passes: int) -> dict[str, float]:
        """CPU seconds of a choice among the first ``n`` tokens, over all rows of logits so often,
        by samplers: [name, argument ...] of the functions llama_sampler_init_<name>. They go on
        where they were."""
        key = json.dumps(chain)
        if key not in self._chains:
            self._chains[key] = self._chain(chain)
        samplers = self._chains[key]
        # Who adapts to its choices has to know them; to others the recent tokens stay the same.
        adapts = any(name == "adaptive_p" for name, *_ in chain)
        self._choose(samplers, n, adapts)
        start = time.thread_time()
        for _ in range(passes):
            self._choose(samplers, n, adapts)
        seconds = time.thread_time() - start
        return {"seconds": seconds / (passes * len(self._rows))}

    def _chain(self, chain: list[list[Any]]) -> Any:
        samplers = self._lc.llama_sampler_chain_init(self._lc.llama_sampler_chain_default_params())
        for name, *args in chain:
            self._lc.llama_sampler_chain_add(samplers, self._sampler(name, args))
        for token in self._recent:
            self._lc.llama_sampler_accept(samplers, token)
        return samplers

    def _sampler(self, name: str, args: list[Any]) -> Any:
        init = getattr(self._lc, f"llama_sampler_init_{name}")
        if name == "infill":
            return init(self._vocab)
        if name == "dry":
            texts = (ctypes.c_char_p * len(self._breakers))(*self._breakers)
            return init(self._vocab, *args, texts, len(texts))
        return init(*args)

    def _choose(self, samplers: Any, n: int, adapts: bool) -> None:
        left = self._lc.llama_token_data_array()
        for row in self._rows:
            # Two passes by NumPy, which take as long as llama.cpp's own loop over the tokens.
            self._entries[:n] = self._fresh[:n]
            self._logits[:n] = row[:n]
            left.data, left.size, left.selected, left.sorted = self._data, n, -1, False
            self._lc.llama_sampler_apply(samplers, ctypes.byref(left))
            if adapts:
                self._lc.llama_sampler_accept(samplers, left.data[left.selected].id)


def main(settings: dict[str, Any]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the library prints goes elsewhere
    lc = importlib.import_module("llama_cpp")
    silent = lc.llama_log_callback(lambda *_: None)
    lc.llama_log_set(silent, ctypes.c_void_p(0))
    lc.llama_backend_init()
    peer = Samplers(lc, settings) if "logits" in settings else Model(lc, settings)
    print(json.dumps({"version": lc.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(peer.round(**json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
