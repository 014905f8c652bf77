"""Writes the model as GGUF: weights in Q8_0, norms in F32, and all that an engine must know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ingot import gguf

from .model import Llama, Shape
from .tokenizer import CLOSE, END, SPECIAL, TEMPLATE, build

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DEFAULT = Path(__file__).resolve().parent.parent / "ingot-tiny-q8_0.gguf"

Value = str | int | float | bool | list[str] | list[int]

MOSTLY_Q8_0 = 7  # general.file_type
TOKEN_TYPE = "tokenizer.ggml.token_type"
NORMAL, CONTROL = 1, 3


def metadata(shape: Shape, tokenizer: Tokenizer) -> dict[str, Value]:
    bpe = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].__getitem__)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in bpe["merges"]]
    return {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "Ingot Tiny",
        "general.basename": "ingot-tiny",
        "general.size_label": "3.5M",
        "general.version": "1",
        "general.description": "A tiny chat model for trying and testing the Ingot engine, trained "
        "by its own recipe on text that the recipe writes.",
        "general.license": "cc0-1.0",
        "general.tags": ["text-generation"],
        "general.languages": ["en"],
        "general.file_type": MOSTLY_Q8_0,
        "general.quantization_version": 2,
        "llama.context_length": shape.context,
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.ffn,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.layer_norm_rms_epsilon": shape.eps,
        "llama.rope.dimension_count": shape.head,
        "llama.rope.freq_base": shape.rope_base,
        "llama.vocab_size": shape.vocab,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        TOKEN_TYPE: [CONTROL if t in SPECIAL else NORMAL for t in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": bpe["vocab"][END],
        "tokenizer.ggml.eos_token_id": bpe["vocab"][CLOSE],
        "tokenizer.ggml.padding_token_id": bpe["vocab"][END],
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


def write(path: Path, model: Llama, tokenizer: Tokenizer) -> None:
    with gguf.Writer(path) as file:
        for key, value in metadata(model.shape, tokenizer).items():
            file.add(key, value, "int32" if key == TOKEN_TYPE else None)
        for name, weight in model.state_dict().items():
            file.add_tensor(name, weight.numpy(), type="Q8_0" if weight.dim() == 2 else "F32")


def read(path: Path) -> tuple[Llama, Tokenizer]:
    """The model and the tokenizer as the file has them."""
    with gguf.Reader(path) as file:
        info: dict[str, Any] = dict(file.metadata)
        shape = Shape(
            vocab=info["llama.vocab_size"],
            width=info["llama.embedding_length"],
            ffn=info["llama.feed_forward_length"],
            layers=info["llama.block_count"],
            heads=info["llama.attention.head_count"],
            kv_heads=info["llama.attention.head_count_kv"],
            context=info["llama.context_length"],
            rope_base=info["llama.rope.freq_base"],
            eps=info["llama.attention.layer_norm_rms_epsilon"],
        )
        model = Llama(shape)
        weights = {name: torch.from_numpy(t.dequantize()) for name, t in file.tensors.items()}
        model.load_state_dict(weights)
    vocab = {token: i for i, token in enumerate(info["tokenizer.ggml.tokens"])}
    merges = [(a, b) for a, b in (m.split(" ") for m in info["tokenizer.ggml.merges"])]
    return model.eval(), build(vocab, merges)
