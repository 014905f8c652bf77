"""What types of keys and values cost: the KL divergence from pages of F16, and bytes of a token.

    python tests/bench/kv_types.py MODEL.gguf TEXT.txt [--ctx-size 512] [--chunks 40] [--outliers X]

Each pair of types is measured without and, where keys have blocks, with rotated keys (k_rotate).
--outliers X first gives every key of a model of architecture llama two numbers that are X times as
large, and the queries' two X times smaller: the model computes the same, but its keys are
like those that large models are known for (Liu et al. 2024, "KIVI", figure 2).
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path

import ingot

TYPES = ("f16", "q8_0", "q4_0")
PAIR = slice(6, 8)  # of a head's numbers: rope rotates neighbours together


def with_outliers(source: Path, target: Path, factor: float) -> None:
    """The same model with such keys; its projections of queries and keys become F32."""
    with ingot.gguf.open(source) as file, ingot.gguf.Writer(target) as writer:
        n_head = file.metadata["llama.attention.head_count"]
        n_embd = file.metadata["llama.embedding_length"]
        assert isinstance(n_head, int)
        assert isinstance(n_embd, int)
        for key, value in file.metadata.items():
            writer.add(key, value)
        for name, tensor in file.tensors.items():
            part = name.split(".")[-2]
            if part not in ("attn_q", "attn_k"):
                writer.add_tensor(name, tensor.data, tensor.type)
                continue
            weights = tensor.dequantize().copy()
            heads = weights.reshape(-1, n_embd // n_head, weights.shape[-1])
            heads[:, PAIR] *= factor if part == "attn_k" else 1 / factor
            writer.add_tensor(name, weights)


def measure(model: Path, text: bytes, n_ctx: int, chunks: int, folder: Path) -> None:
    base = folder / "base.logits"
    found = ingot.perplexity(model, text, n_ctx=n_ctx, n_chunks=chunks, save_logits=base)
    print(f"{model.name}: {found.n_scored} tokens scored, perplexity {found.perplexity.value:.2f}")
    print("\n| keys | values | rotated | bytes a token | KL mean | error | KL 99 % | same top |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for k_type, v_type in product(TYPES, TYPES):
        for rotate in (False, True)[: 1 + (k_type != "f16")]:
            kept = {"k_type": k_type, "v_type": v_type, "k_rotate": rotate}
            with ingot.Model(model, n_ctx=n_ctx, **kept) as opened:  # type: ignore[arg-type]
                d = ingot.divergence(opened, text, base)
                size = opened.cache.bytes_per_token
            cells = [k_type, v_type, "yes" if rotate else "", str(size), f"{d.kl.value:.6f}"]
            cells += [
                f"{d.kl.error:.6f}",
                f"{d.kl_quantiles['99 %']:.6f}",
                f"{d.same_top.value:.2%}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--ctx-size", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=40)
    parser.add_argument("--outliers", type=float)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), args.model
        if args.outliers is not None:
            model = folder / args.model.name
            with_outliers(args.model, model, args.outliers)
        measure(model, args.text.read_bytes(), args.ctx_size, args.chunks, folder)


if __name__ == "__main__":
    main()
