"""How long masks take: the CPU time of each one on the way through texts of the grammars/ folder.

    python tests/bench/grammar_masks.py VOCABULARY.gguf...

Each grammar is compiled anew (so nothing is known at its first text), and each of its texts is
tokenised and followed token by token. A vocabulary of shared/golden/tokenizers must be unpacked
with xz first.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import ingot
import numpy as np
from ingot._lib import check
from ingot._native import ffi, lib

ROOT = Path(__file__).resolve().parents[2]
GRAMMARS = ROOT / "grammars"


def json_texts(count: int) -> list[str]:
    """JSON as models write it, nested and indented."""
    draw = np.random.default_rng(1)
    strings = ["hello world, this is text", "ünï 日本", 'a\n"q"\\x', "", "https://x.org/a?b=c"]

    def value(depth: int) -> object:
        kind = draw.integers(0, 4 if depth < 4 else 2)
        if kind == 0:
            return strings[draw.integers(len(strings))]
        if kind == 1:
            return [1, -2.5, 1e10, True, None][draw.integers(5)]
        if kind == 2:
            return [value(depth + 1) for _ in range(draw.integers(5))]
        return {f"key {i}": value(depth + 1) for i in range(draw.integers(5))}

    return [
        json.dumps({"a": value(0), "b": value(0)}, ensure_ascii=False, indent=i % 3 or None)
        for i in range(count)
    ]


def follow(model: ingot.Model, grammar: ingot.Grammar, text: str) -> list[float]:
    """The seconds that each mask took on the way through a text."""
    n_vocab = model.info.n_vocab
    bits = ffi.new("uint32_t[]", (n_vocab + 31) // 32)
    seconds = []
    with grammar.matcher(model) as matcher, matcher._handle as native:
        for token in model.tokenize(text):
            start = time.thread_time()
            check(lib.ingot_matcher_mask, native, bits, (n_vocab + 31) // 32, ffi.NULL)
            seconds.append(time.thread_time() - start)
            if not bits[token // 32] >> token % 32 & 1 or not matcher.accept_token(token):
                raise SystemExit(f"token {token} of {text!r} isn't allowed:\n{matcher.explain()}")
    return seconds


def measure(path: str) -> None:
    strings = json.loads((GRAMMARS / "strings.json").read_text(encoding="utf-8"))
    strings["json"]["accept"] += json_texts(50)
    with ingot.Model(path, vocab_only=True) as model:
        start = time.process_time()
        assert model._token_trie is not None
        trie = time.process_time() - start
        print(f"{path}: {model.info.n_vocab} tokens, trie {trie * 1e3:.0f} ms")
        print(f"{'grammar':12} {'compile':>10} {'masks':>6} {'p50':>8} {'p99':>8} {'max':>8}")
        for name, case in strings.items():
            grammar = ingot.Grammar.from_gbnf((GRAMMARS / f"{name}.gbnf").read_text("utf-8"))
            start = time.process_time()
            grammar.compile(model)
            compiled = time.process_time() - start
            times = [t * 1e6 for text in case["accept"] for t in follow(model, grammar, text)]
            p50, p99 = np.percentile(times, [50, 99])
            print(
                f"{name:12} {compiled * 1e3:7.2f} ms {len(times):6} {p50:5.1f} us {p99:5.0f} us "
                f"{max(times):5.0f} us"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vocabularies", nargs="+", metavar="VOCABULARY.gguf")
    for path in parser.parse_args().vocabularies:
        measure(path)


if __name__ == "__main__":
    main()
