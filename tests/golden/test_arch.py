"""Logits against an independent forward pass (HF transformers, float32), and against themselves.

The models are small and random; `meta.json` beside each says how it was made.
"""

from __future__ import annotations

from pathlib import Path

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from golden import HERE, Floats, nmse

# Two float32 computations of these models agree to 1e-11; a wrong detail (an epsilon, the pairing
# of rope, a router that isn't normalised) shows at 1e-6 or more.
LIMIT = 1e-9
LIMIT_F16_PAGES = 1e-5  # keys and values rounded to halves

FAMILIES = [
    *("llama", "llama_rope_llama3", "llama_rope_yarn", "mistral", "mixtral"),
    *("qwen2", "qwen3", "qwen2moe", "qwen3moe"),
]
SMALL = ["llama"]  # lies in this folder too, so that the repository can test itself

Tokens = npt.NDArray[np.int32]


def golden(folder: Path) -> tuple[Tokens, Floats]:
    with np.load(folder / "golden.npz") as data:
        return data["tokens"], data["logits"]


def logits(
    path: Path,
    tokens: Tokens,
    kv_type: str = "f32",
    threads: int | None = None,
    n_batch: int | None = None,
) -> Floats:
    with ingot.Model(path, kv_type=kv_type, n_ctx=256, threads=threads, n_batch=n_batch) as model:
        return model.logits(tokens)


def check(
    name: str,
    result: Floats,
    reference: Floats,
    capsys: pytest.CaptureFixture[str],
    limit: float = LIMIT,
) -> None:
    assert result.shape == reference.shape
    error = nmse(result, reference)
    with capsys.disabled():
        print(f"\n{name}: NMSE {error:.1e}", end=" ")
    assert error <= limit


@pytest.mark.parametrize("name", SMALL)
def test_small_set(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = HERE / "arch" / name
    tokens, reference = golden(folder)
    check(name, logits(folder / "model.gguf", tokens), reference, capsys)


@pytest.mark.parametrize("name", SMALL)
def test_f16_pages(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = HERE / "arch" / name
    tokens, reference = golden(folder)
    result = logits(folder / "model.gguf", tokens, kv_type="f16")
    check(f"{name}, F16 pages", result, reference, capsys, LIMIT_F16_PAGES)


@pytest.mark.parametrize("name", FAMILIES)
def test_large_set(shared: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "golden/arch" / name
    tokens, reference = golden(folder)
    check(name, logits(folder / "model.gguf", tokens), reference, capsys)


@pytest.mark.parametrize(
    ("file", "answers", "key"),
    [
        ("model-F16.gguf", "golden_F16.npz", "logits_hf"),
        ("model-Q8_0.gguf", "golden_Q8_0.npz", "logits_dequant_f32"),
        ("model-Q4_K_M.gguf", "golden_Q4_K_M.npz", "logits_dequant_f32"),
    ],
)
def test_quantized(
    shared: Path, file: str, answers: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same weights, decoded, in a float32 forward pass."""
    folder = shared / "golden/quantmodel"
    with np.load(folder / answers) as data:
        tokens, reference = data["tokens"], data[key]
    check(file, logits(folder / file, tokens), reference, capsys)


def company(path: Path, tokens: Tokens, kv_type: str = "f32") -> None:
    """A row of logits depends on its sequence alone, not on batch, chunk or threads."""
    whole = logits(path, tokens, kv_type, threads=1)
    assert np.isfinite(whole).all()
    for n_batch in (1, 7, 16, 47):
        assert np.array_equal(whole, logits(path, tokens, kv_type, 1, n_batch)), n_batch
    for threads in (2, 3):
        for n_batch in (1, 256):
            result = logits(path, tokens, kv_type, threads, n_batch)
            assert np.array_equal(whole, result), (threads, n_batch)
    for n in (1, 5, 33):
        assert np.array_equal(whole[:n], logits(path, tokens[:n], kv_type, threads=1)), n
    with ingot.Model(path, kv_type=kv_type, n_ctx=256) as model:
        for _ in range(2):  # the second time its pages are used again
            assert np.array_equal(whole, model.logits(tokens))


@pytest.mark.parametrize("kv_type", ["f32", "f16"])
@pytest.mark.parametrize("name", SMALL)
def test_company_small_set(name: str, kv_type: str) -> None:
    folder = HERE / "arch" / name
    company(folder / "model.gguf", golden(folder)[0], kv_type)


@pytest.mark.parametrize("name", FAMILIES)
def test_company_large_set(shared: Path, name: str) -> None:
    folder = shared / "golden/arch" / name
    company(folder / "model.gguf", golden(folder)[0])


@pytest.mark.parametrize("file", ["model-F16.gguf", "model-Q8_0.gguf", "model-Q4_K_M.gguf"])
def test_company_quantized(shared: Path, file: str) -> None:
    folder = shared / "golden/quantmodel"
    with np.load(folder / "golden_F16.npz") as data:
        tokens = data["tokens"]
    company(folder / file, tokens)
