"""Checkpoints as Hugging Face has them, small ones, made without its packages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = Mapping[str, npt.NDArray[Any]]

N_ROWS = 640  # tokens that the model has
WIDTH = 32
LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 5e4,
    "vocab_size": N_ROWS,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_NAMES = {"float32": "F32", "float16": "F16", "uint16": "BF16", "uint8": "U8", "float64": "F64"}


def safetensors(path: Path, tensors: Tensors) -> None:
    """Arrays of uint16 are the bits of BF16."""
    header, at = {}, 0
    for name, array in tensors.items():
        offsets = [at, at + array.nbytes]
        dtype = _NAMES[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": offsets}
        at += array.nbytes
    text = json.dumps(header).encode()
    data = b"".join(array.tobytes() for array in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def llama_tensors(dtype: str = "float32", **changes: Any) -> dict[str, npt.NDArray[Any]]:
    """Random weights for LLAMA; ``changes`` of its configuration."""
    config = LLAMA | changes
    width, wide = config["hidden_size"], config["intermediate_size"]
    kv = width // config["num_attention_heads"] * config["num_key_value_heads"]
    layer = {
        **{f"self_attn.{n}_proj": (width, width) for n in "qo"},
        **{f"self_attn.{n}_proj": (kv, width) for n in "kv"},
        **{f"mlp.{n}_proj": (wide, width) for n in ("gate", "up")},
        "mlp.down_proj": (width, wide),
        "input_layernorm": (width,),
        "post_attention_layernorm": (width,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens": (N_ROWS, width),
        "model.norm": (width,),
        "lm_head": (N_ROWS, width),
    }
    for i in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{i}.{name}": shape for name, shape in layer.items()}
    rng = np.random.default_rng(1)
    floats = {f"{n}.weight": rng.standard_normal(s, np.float32) for n, s in shapes.items()}
    if dtype == "bfloat16":
        return {n: (x.view(np.uint32) >> 16).astype(np.uint16) for n, x in floats.items()}
    return {n: x.astype(dtype) for n, x in floats.items()}


def checkpoint(
    folder: Path,
    tensors: Tensors | None = None,
    tokenizer: Any = None,
    settings: Mapping[str, Any] | None = None,
    **config: Any,
) -> Path:
    """A folder with LLAMA, changed by ``config``; ``tokenizer`` is one of HF's tokenizers."""
    folder.mkdir(exist_ok=True)
    safetensors(folder / "model.safetensors", llama_tensors() if tensors is None else tensors)
    values = {key: value for key, value in {**LLAMA, **config}.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(values))
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if tokenizer is not None:
        tokenizer.save(str(folder / "tokenizer.json"))
    return folder
