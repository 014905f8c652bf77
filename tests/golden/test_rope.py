"""Ways of stretching rotary positions that no golden model of the family has by itself.

Longrope is checked against HF's logits of a phi3 model whose fused tensors are taken apart, which
makes it a model of the same block layout as qwen2; linear scaling against the factors that mean the
same.
"""

from __future__ import annotations

from pathlib import Path

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from golden import HERE, Floats, nmse
from ingot import gguf

LIMIT = 1e-9
Tokens = npt.NDArray[np.int32]


def logits(path: Path, tokens: Tokens, n_ctx: int = 256) -> Floats:
    with ingot.Model(path, kv_type="f32", n_ctx=n_ctx) as model:
        return model.logits(tokens)


def number(file: gguf.Reader, key: str) -> int:
    value = file.metadata[key]
    assert isinstance(value, int)
    return value


def split_phi3(source: Path, target: Path, *, swap: bool = False) -> None:
    """Writes a phi3 model as a qwen2 one; ``swap`` exchanges its short and long factors."""
    with gguf.Reader(source) as file, gguf.Writer(target) as out:
        for key, value in file.metadata.items():
            if key == "general.architecture":
                out.add(key, "qwen2")
            elif key.startswith("phi3."):
                out.add(key.replace("phi3.", "qwen2.", 1), value)
            else:
                out.add(key, value)
        n_embd = number(file, "phi3.embedding_length")
        head = n_embd // number(file, "phi3.attention.head_count")
        n_kv = head * number(file, "phi3.attention.head_count_kv")
        for name, tensor in file.tensors.items():
            if "attn_qkv" in name:
                rows = np.split(tensor.data, [n_embd, n_embd + n_kv])
                for part, data in zip("qkv", rows, strict=True):
                    out.add_tensor(name.replace("attn_qkv", f"attn_{part}"), data)
            elif "ffn_up" in name:
                gate, up = np.split(tensor.data, 2)
                out.add_tensor(name.replace("ffn_up", "ffn_gate"), gate)
                out.add_tensor(name, up)
            elif swap and name.startswith("rope_factors_"):
                other = {"long": "short", "short": "long"}
                kind = name.split("_")[2].split(".")[0]
                out.add_tensor(f"rope_factors_{other[kind]}.weight", tensor.data)
            else:
                out.add_tensor(name, tensor.data)


@pytest.mark.parametrize("swap", [False, True])
def test_longrope(shared: Path, tmp_path: Path, swap: bool) -> None:
    """The short factors hold up to the original context, the long ones for a longer one."""
    folder = shared / "golden/arch" / "phi3_longrope_short"
    with np.load(folder / "golden.npz") as data:
        tokens, reference = data["tokens"], data["logits"]
    path = tmp_path / "model.gguf"
    split_phi3(folder / "model.gguf", path, swap=swap)
    within, beyond = 512, 544  # the model's original context is 512
    assert nmse(logits(path, tokens, beyond if swap else within), reference) <= LIMIT
    assert nmse(logits(path, tokens, within if swap else beyond), reference) > 1e-6


def rewrite(
    source: Path, target: Path, metadata: dict[str, object], factors: Floats | None
) -> None:
    with gguf.Reader(source) as file, gguf.Writer(target) as out:
        for key, value in {**file.metadata, **metadata}.items():
            out.add(key, value)
        for name, tensor in file.tensors.items():
            out.add_tensor(name, tensor.data)
        if factors is not None:
            out.add_tensor("rope_freqs.weight", factors)


def test_linear(tmp_path: Path) -> None:
    source = HERE / "arch" / "llama" / "model.gguf"
    tokens = np.arange(40, dtype=np.int32)
    scaling = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    rewrite(source, tmp_path / "linear.gguf", scaling, None)
    rewrite(source, tmp_path / "older.gguf", {"llama.rope.scale_linear": 4.0}, None)
    rewrite(source, tmp_path / "factors.gguf", {}, np.full(8, 4.0, np.float32))
    linear = logits(tmp_path / "linear.gguf", tokens)
    assert np.array_equal(linear, logits(tmp_path / "factors.gguf", tokens))
    assert np.array_equal(linear, logits(tmp_path / "older.gguf", tokens))
    assert nmse(linear, logits(source, tokens)) > 1e-6


def test_unknown_scaling(tmp_path: Path) -> None:
    source = HERE / "arch" / "llama" / "model.gguf"
    rewrite(source, tmp_path / "model.gguf", {"llama.rope.scaling.type": "stretchy"}, None)
    with pytest.raises(ingot.UnsupportedError, match=r"llama\.rope\.scaling\.type.*stretchy.*yarn"):
        ingot.Model(tmp_path / "model.gguf")
