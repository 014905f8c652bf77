"""Models of random weights: types as llama-quantize chooses them, weights of the wanted size."""

from __future__ import annotations

import json
from pathlib import Path

import ingot
import numpy as np
import pytest
from ingot import errors, gguf, quant, shapes
from ingot.quant import type_by_name
from ingot.shapes import SHAPES, Shape

QUANTIZED = {  # what the files of the shared data call these shapes
    "llama_8b_32L_gqa4": Shape("llama", 32, 256, 256, 8, 2, 32, 512, False),
    "llama_tied_20L_gqa2": Shape("llama", 20, 256, 256, 8, 4, 32, 512, True),
    "qwen3moe_16x_12L_gqa4": Shape(
        "qwen3moe", 12, 256, 256, 8, 2, 32, 512, False, n_expert=16, n_expert_used=4, head_norm=32
    ),
}
MIXES = """
F16 BF16 Q8_0 Q6_K Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M IQ4_NL
IQ4_XS IQ2_XXS IQ1_M MXFP4_MOE Q1_0
"""
RANDOM = """
F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ1_S IQ2_XXS IQ2_XS IQ2_S IQ3_XXS
IQ3_S IQ4_NL IQ4_XS TQ1_0 TQ2_0 Q1_0 Q2_0 IQ1_M MXFP4 NVFP4
"""


@pytest.mark.parametrize("mix", MIXES.split())
@pytest.mark.parametrize("name", QUANTIZED)
def test_mixes_are_those_of_llama_quantize(name: str, mix: str, shared: Path) -> None:
    known = json.loads((shared / f"golden/quantmodel/types_{name}.json").read_text())
    expected = {
        tensor: (known["types"][number], tuple(reversed(dims)))
        for tensor, number, dims in zip(
            known["names"], known["maps"][mix], known["shapes"], strict=True
        )
    }
    found = {t.name: (t.type, t.shape) for t in shapes.tensors(QUANTIZED[name], mix)}
    assert found == expected


@pytest.mark.parametrize("name", RANDOM.split())
def test_weights_have_their_deviation_and_no_mean(name: str) -> None:
    kind = type_by_name(name)
    n = 200_000 // kind.block_size
    blocks = shapes.random_blocks(kind, n, np.random.default_rng(1))
    assert blocks.shape == (n, kind.block_bytes)
    weights = quant.decode(blocks, name, (n, kind.block_size)).astype(np.float64)
    assert weights.std() == pytest.approx(0.02, rel=0.12)
    assert abs(weights.mean()) < 0.001
    assert np.abs(weights).max() < 0.2


def test_a_type_without_random_weights_is_refused() -> None:
    with pytest.raises(errors.UnsupportedError, match="I32 can't be made; of BF16, F16, "):
        shapes.random_blocks(type_by_name("I32"), 1, np.random.default_rng(1))
    with pytest.raises(errors.ArgumentError, match="'Q9_Z' is no tensor type"):
        shapes.tensors(SHAPES["tiny"], "Q9_Z")


@pytest.mark.parametrize(
    ("shape", "mix"),
    [
        (SHAPES["tiny"], "Q4_K_M"),
        (Shape("qwen3", 1, 256, 256, 2, 1, 128, 300, False, 1e6, 1e-6, head_norm=128), "Q8_0"),
        (Shape("olmoe", 1, 256, 256, 4, 4, 64, 300, False, 1e4, 1e-5, 8, 2, 256), "F16"),
    ],
    ids=["llama", "qwen3", "olmoe"],
)
def test_models_can_be_run(shape: Shape, mix: str, tmp_path: Path) -> None:
    path, again = tmp_path / "a.gguf", tmp_path / "b.gguf"
    shapes.write(path, shape, mix)
    shapes.write(again, shape, mix)
    assert path.read_bytes() == again.read_bytes()
    with ingot.Model(path, n_ctx=64) as model:
        assert model.info.architecture == shape.arch
        assert (model.info.n_layer, model.info.n_vocab) == (shape.n_layer, shape.n_vocab)
        logits = model.logits(np.arange(16))
        assert np.isfinite(logits).all()
        assert 0.1 < logits.std() < 2
        assert model.generate([1, 2, 3], max_tokens=4).n_generated == 4


def test_no_two_rows_are_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where blocks are repeated to fill a tensor."""
    monkeypatch.setattr(shapes, "_CHUNK", 601)  # a quarter of the embedding's 2048 blocks
    shapes.write(tmp_path / "model.gguf", SHAPES["tiny"], "Q8_0")
    with gguf.open(tmp_path / "model.gguf") as file:
        rows = np.asarray(file.tensors["token_embd.weight"].data).reshape(1024, -1)[:601]
        assert len(np.unique(rows, axis=0)) == 601
        up, gate = (file.tensors[f"blk.0.ffn_{part}.weight"].data for part in ("up", "gate"))
        assert not np.array_equal(up, gate)


@pytest.mark.parametrize(
    ("name", "n_weights"),
    [
        ("llama-1b", 1_235_814_400),
        ("llama-8b", 8_030_261_248),
        ("qwen3-0.6b", 596_049_920),
        ("olmoe", 6_919_161_856),
    ],
)
def test_shapes_are_the_models(name: str, n_weights: int) -> None:
    """The numbers of weights that the models' makers publish."""
    assert sum(int(np.prod(t.shape)) for t in shapes.tensors(SHAPES[name], "F16")) == n_weights


def test_models_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = shapes.kept("tiny", "q4_0")
    assert path.parent == tmp_path / "ingot" / "bench"
    made = path.stat().st_mtime_ns
    assert shapes.kept("tiny", "Q4_0") == path
    assert path.stat().st_mtime_ns == made
    with pytest.raises(errors.ArgumentError, match="no shape 'big'; shapes: tiny, llama-1b"):
        shapes.kept("big", "Q4_0")
