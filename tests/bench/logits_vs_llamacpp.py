"""Compares logits with llama.cpp's on a text, teacher-forced: NMSE, and how often the top is equal.

    python tests/bench/logits_vs_llamacpp.py MODEL.gguf TEXT.txt [--tokens 256]

needs the package llama-cpp-python beside ingot. That both make the same tokens of the text is
checked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ingot
import numpy as np
import numpy.typing as npt


def peer(model: Path, text: bytes, n: int) -> tuple[list[int], npt.NDArray[np.float32]]:
    """The first ``n`` tokens of the text, and llama.cpp's logits after each."""
    import llama_cpp  # type: ignore[import-not-found,import-untyped,unused-ignore]

    llama = llama_cpp.Llama(str(model), n_ctx=2 * n, logits_all=True, verbose=False)
    tokens = llama.tokenize(text)[:n]
    llama.eval(tokens)
    return tokens, np.array(llama.scores[: len(tokens)], np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--tokens", type=int, default=256)
    args = parser.parse_args()

    text = args.text.read_bytes()[: 64 * args.tokens]
    tokens, reference = peer(args.model, text, args.tokens)
    for kv_type in ("f32", "f16"):
        with ingot.Model(args.model, n_ctx=2 * args.tokens, kv_type=kv_type) as model:
            ours = model.tokenize(text, add_special=True)[: args.tokens]
            if ours != tokens:
                raise SystemExit(f"the tokens differ: {ours[:16]} and {tokens[:16]}")
            logits = model.logits(tokens).astype(np.float64)
        error = ((logits - reference) ** 2).sum() / (reference.astype(np.float64) ** 2).sum()
        same = (logits.argmax(1) == reference.argmax(1)).mean()
        print(f"{args.model.name}, {kv_type} pages: NMSE {error:.1e}, same top token {same:.1%}")


if __name__ == "__main__":
    main()
