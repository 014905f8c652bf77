"""Compiles grammars and computes masks with one engine, for ``masks.py``.

A program of its own, run by a Python that has the engine's package: it needs nothing of Ingot
unless that is the engine. Its arguments are the engine's name and a file with a JSON object:
vocabulary (a GGUF file), tokens (their bytes as Latin-1; null: of control), specials (their names
and numbers), end (the token that ends generation), pre (the name of the rule that splits texts),
every (of so many texts one is followed) and cases: kind ("gbnf" or "schema"), source, and texts as
lists of tokens. A line of standard input
is the first case to take. It prints a line about the engine, and one for each case, JSON objects:
CPU seconds of compiling and of every mask, or why not. A case that kills the process costs no other
its result.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Of a clock on the wall, then the process ends: a timer of CPU time coarsens what is measured.
CASE_SECONDS = 600

# As their authors give them to tokenizers; llguidance cuts texts that must come into tokens itself.
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {"llama-bpe": _LETTERS + r"\p{N}{1,3}" + _REST, "qwen2": _LETTERS + r"\p{N}" + _REST}


class RefusedError(Exception):
    """The engine doesn't take a grammar."""


class Engine(ABC):
    """One engine with one vocabulary. A text is at its beginning after ``begin``."""

    version: str
    vocabulary = 0.0  # CPU seconds that preparing it took; 0: that is part of reading the file

    @abstractmethod
    def compile(self, kind: str, source: Any) -> Any: ...

    @abstractmethod
    def begin(self, grammar: Any) -> Any:
        """A place in a text of a grammar: what ``mask`` and ``accept`` take."""

    @abstractmethod
    def mask(self, place: Any) -> None:
        """Computes which tokens may come; ``allowed`` reads it."""

    def renew(self) -> None:  # noqa: B027  (most need nothing)
        """What must be done before a mask, and is no part of computing it."""

    @abstractmethod
    def allowed(self, token: int) -> bool: ...

    @abstractmethod
    def accept(self, place: Any, token: int) -> None: ...


class Bits(Engine):
    """Masks are bits of 32-bit words."""

    def __init__(self, n_tokens: int) -> None:
        self.words = (ctypes.c_uint32 * ((n_tokens + 31) // 32))()

    def allowed(self, token: int) -> bool:
        return bool(self.words[token // 32] >> token % 32 & 1)


class Ingot(Bits):
    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__(len(job["tokens"]))
        self._ingot = importlib.import_module("ingot")
        native = importlib.import_module("ingot._native")
        self._check = importlib.import_module("ingot._lib").check
        self._ffi, self._lib = native.ffi, native.lib
        self._bits = self._ffi.from_buffer("uint32_t[]", self.words, require_writable=True)
        self.version = self._ingot.__version__
        self._model = self._ingot.Model(job["vocabulary"], vocab_only=True)
        start = time.process_time()
        assert self._model._token_trie is not None
        self.vocabulary = time.process_time() - start

    def compile(self, kind: str, source: Any) -> Any:
        of = self._ingot.Grammar
        if kind == "gbnf":
            grammar = of.from_gbnf(source)
        else:
            grammar = of.from_json_schema(source, additional_properties=True)
        grammar.compile(self._model)
        return grammar

    def begin(self, grammar: Any) -> Any:
        matcher = grammar.matcher(self._model)
        self._native, self._null = matcher._lent(), self._ffi.NULL
        return matcher

    def mask(self, place: Any) -> None:
        compute = self._lib.ingot_matcher_mask
        self._check(compute, self._native, self._bits, len(self.words), self._null)

    def accept(self, place: Any, token: int) -> None:
        assert place.accept_token(token)


class LlamaCpp(Engine):
    """The sampler of grammars, over all tokens of a vocabulary."""

    def __init__(self, job: dict[str, Any]) -> None:
        lc = self._lc = importlib.import_module("llama_cpp")
        self._converter = importlib.import_module("llama_cpp.llama_grammar")
        self.version = lc.__version__
        self._silent = lc.llama_log_callback(lambda *_: None)
        lc.llama_log_set(self._silent, ctypes.c_void_p(0))
        lc.llama_backend_init()
        params = lc.llama_model_default_params()
        params.vocab_only = True
        self._model = lc.llama_model_load_from_file(os.fsencode(job["vocabulary"]), params)
        self._vocab = lc.llama_model_get_vocab(self._model)
        n = len(job["tokens"])
        self._fresh = (lc.llama_token_data * n)(*((i, 0.0, 0.0) for i in range(n)))
        self._data = (lc.llama_token_data * n)()
        self._array = lc.llama_token_data_array(self._data, n, -1, False)

    def compile(self, kind: str, source: Any) -> Any:
        if kind == "schema":
            source = self._converter.json_schema_to_gbnf(json.dumps(source))
        sampler = self._lc.llama_sampler_init_grammar(self._vocab, source.encode(), b"root")
        if not sampler:
            raise RefusedError("llama_sampler_init_grammar returned NULL")
        return sampler

    def begin(self, grammar: Any) -> Any:
        self._lc.llama_sampler_reset(grammar)
        return grammar

    def mask(self, place: Any) -> None:
        self._lc.llama_sampler_apply(place, ctypes.byref(self._array))

    def allowed(self, token: int) -> bool:
        return bool(self._data[token].logit == 0.0)

    def accept(self, place: Any, token: int) -> None:
        self._lc.llama_sampler_accept(place, token)

    def renew(self) -> None:
        ctypes.memmove(self._data, self._fresh, ctypes.sizeof(self._fresh))


class Xgrammar(Bits):
    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__(len(job["tokens"]))
        self._xgr = importlib.import_module("xgrammar")
        torch = importlib.import_module("torch")
        torch.set_num_threads(1)
        self.version = version("xgrammar")
        shape = self._xgr.get_bitmask_shape(1, len(job["tokens"]))
        self._mask = torch.frombuffer(self.words, dtype=torch.int32).reshape(shape)
        start = time.process_time()
        info = self._xgr.TokenizerInfo(
            [(text or "").encode("latin-1") for text in job["tokens"]],
            self._xgr.VocabType.RAW,
            stop_token_ids=[job["end"]],
        )
        self.vocabulary = time.process_time() - start
        self._compiler = self._xgr.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    def compile(self, kind: str, source: Any) -> Any:
        if kind == "gbnf":
            return self._compiler.compile_grammar(source)
        return self._compiler.compile_json_schema(json.dumps(source), strict_mode=False)

    def begin(self, grammar: Any) -> Any:
        return self._xgr.GrammarMatcher(grammar)

    def mask(self, place: Any) -> None:
        if not place.fill_next_token_bitmask(self._mask):
            self._mask.fill_(-1)

    def accept(self, place: Any, token: int) -> None:
        assert place.accept_token(token)


class Llguidance(Bits):
    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__(len(job["tokens"]))
        self._llg = importlib.import_module("llguidance")
        self.version = version("llguidance")
        specials = job["specials"]
        numbers = set(specials.values())
        ranks = {
            text.encode("latin-1"): i
            for i, text in enumerate(job["tokens"])
            if text is not None and i not in numbers
        }
        start = time.process_time()
        self._tokenizer = self._llg.LLTokenizer.from_tiktoken(
            encoder=ranks,
            special_tokens=specials,
            pattern=SPLITS[job["pre"]],
            eos_token=job["end"],
            n_vocab=len(job["tokens"]),
            slices=None,
        )
        self.vocabulary = time.process_time() - start

    def compile(self, kind: str, source: Any) -> Any:
        text = source if kind == "gbnf" else json.dumps(source)
        form = "gbnf" if kind == "gbnf" else "json_schema"
        grammar = self._llg.grammar_from(form, text)
        matcher = self._llg.LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise RefusedError(matcher.get_error())
        return matcher

    def begin(self, grammar: Any) -> Any:
        grammar.reset()
        return grammar

    def mask(self, place: Any) -> None:
        place.unsafe_compute_mask_ptr(ctypes.addressof(self.words), ctypes.sizeof(self.words))
        if place.is_error():
            raise RefusedError(place.get_error())

    def accept(self, place: Any, token: int) -> None:
        if not place.consume_token(token):
            raise RefusedError(place.get_error())


ENGINES: dict[str, type[Any]] = {
    "ingot": Ingot,
    "llama.cpp": LlamaCpp,
    "xgrammar": Xgrammar,
    "llguidance": Llguidance,
}


def follow(engine: Engine, grammar: Any, tokens: list[int], end: int) -> dict[str, Any]:
    """The seconds of each mask on the way through a text, the last one at its end. "refused": how
    many tokens were taken before one that isn't allowed, None where there is none."""
    seconds: list[float] = []
    try:
        place = engine.begin(grammar)
        for i, token in enumerate([*tokens, end]):
            engine.renew()
            start = time.process_time()
            engine.mask(place)
            seconds.append(time.process_time() - start)
            if not engine.allowed(token):
                return {"seconds": seconds, "refused": i}
            if i < len(tokens):
                engine.accept(place, token)
    except Exception as e:
        return {"seconds": seconds, "refused": len(seconds), "why": said(e)}
    return {"seconds": seconds, "refused": None}


def said(e: Exception) -> str:
    return f"{type(e).__name__}: {e}"[:300]


def measure(engine: Engine, job: dict[str, Any], number: int) -> dict[str, Any]:
    case = job["cases"][number]
    start = time.process_time()
    try:
        grammar = engine.compile(case["kind"], case["source"])
    except Exception as e:
        return {"why": said(e)}
    seconds = time.process_time() - start
    texts = [
        follow(engine, grammar, tokens, job["end"]) if (number + k) % job["every"] == 0 else None
        for k, tokens in enumerate(case["texts"])
    ]
    return {"compile": seconds, "texts": texts}


def main(name: str, path: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere
    job = json.loads(Path(path).read_bytes())
    engine = ENGINES[name](job)
    engine.compile("schema", {"type": "object"})  # what is made once isn't the first case's
    engine.compile("gbnf", 'root ::= "a"')
    about = {"version": engine.version, "vocabulary": engine.vocabulary}
    print(json.dumps(about), file=answers, flush=True)
    gc.disable()
    gc.freeze()  # the vocabulary needn't be looked through after each case
    for number in range(int(sys.stdin.readline()), len(job["cases"])):
        signal.alarm(CASE_SECONDS)
        print(json.dumps(measure(engine, job, number)), file=answers, flush=True)
        gc.collect()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
