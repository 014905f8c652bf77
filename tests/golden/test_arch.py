"""Every architecture against an independent forward pass (HF transformers, float32), and itself.

A folder is a case: `model.gguf`, small and random; `golden.npz`, tokens and what the reference
makes of them. `arch/` here was made by make_arch.py; the large set lies beside the repository.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from golden import HERE, Floats, nmse

# Two float32 computations of these models agree to 1e-11; a wrong detail (an epsilon, the pairing
# of rope, a router that isn't normalised) shows at 1e-6 or more.
LIMIT = 1e-9
# Keys and values are rounded. A trained model takes less harm than these of random weights.
LIMIT_PAGES = {"f16": 1e-5, "bf16": 5e-4, "q8_0": 1e-3, "q4_0": 0.2}
BLOCKS = ("q8_0", "q4_0")  # for heads of 32, 64, ...
WIDE_SMALL = "qwen3_wide_heads"
WIDE_LARGE = ("gemma", "gemma2", "mistral", "qwen3", "qwen3moe")

Tokens = npt.NDArray[np.int32]


def folders(path: Path) -> list[str]:
    """The cases under `path`; where it is missing one that the fixture `shared` skips or fails."""
    return sorted(p.name for p in path.iterdir()) if path.is_dir() else ["missing"]


SHARED = Path(os.environ.get("INGOT_SHARED", HERE.parents[2] / "shared")) / "golden"
SMALL = folders(HERE / "arch")
LARGE = folders(SHARED / "arch")
NEXT = folders(SHARED / "arch-next")


def golden(folder: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(folder / "golden.npz") as data:
        return dict(data)


def tokens_of(folder: Path) -> Tokens:
    return golden(folder)["tokens"]


def context_of(folder: Path) -> int:
    """What a case asks for, or as much as its tokens need."""
    case = folder / "case.json"
    asked = json.loads(case.read_text(encoding="utf-8")).get("n_ctx") if case.is_file() else None
    return int(asked or len(tokens_of(folder)))


def open_model(
    folder: Path, kv_type: str = "f32", threads: int | None = None, n_batch: int | None = None
) -> ingot.Model:
    path, n_ctx = folder / "model.gguf", context_of(folder)
    return ingot.Model(path, kv_type=kv_type, n_ctx=n_ctx, threads=threads, n_batch=n_batch)


def results(model: ingot.Model, tokens: Tokens) -> dict[str, Floats]:
    """What a case may be compared with: logits, or an encoder's vectors and scores."""
    if model.info.generates:
        return {"logits": model.logits(tokens)}
    names = {"hidden": "none", "mean": "mean", "cls": "cls"}
    if model.info.n_label > 0:
        names["scores"] = "rank"
    return {
        name: model.embed(tokens, pooling=pooling, normalize=False)
        for name, pooling in names.items()
    }


def check(
    name: str,
    result: Floats,
    reference: npt.NDArray[Any],
    capsys: pytest.CaptureFixture[str],
    limit: float = LIMIT,
) -> None:
    assert result.size == reference.size
    error = nmse(result.reshape(reference.shape), reference)
    with capsys.disabled():
        print(f"\n{name}: NMSE {error:.1e}", end=" ")
    assert error <= limit


def check_case(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    kv_type: str = "f32",
    limit: float = LIMIT,
) -> None:
    data = golden(folder)
    with open_model(folder, kv_type) as model:
        found = results(model, data["tokens"])
    assert ("scores" in found) == ("scores" in data)
    for name, result in found.items():
        check(f"{folder.name}, {name}, {kv_type} pages", result, data[name], capsys, limit)


@pytest.mark.parametrize("name", SMALL)
def test_small_set(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_case(HERE / "arch" / name, capsys)


@pytest.mark.parametrize("name", LARGE)
def test_large_set(shared: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_case(shared / "golden/arch" / name, capsys)


@pytest.mark.parametrize("name", NEXT)
def test_next(shared: Path, root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What isn't in the table is refused by name, and a line of the page says what it needs."""
    folder = shared / "golden/arch-next" / name
    architecture = str(ingot.gguf.Reader(folder / "model.gguf").metadata["general.architecture"])
    if architecture in ingot.architectures():
        check_case(folder, capsys)
        return
    with pytest.raises(ingot.UnsupportedError, match=f"'{architecture}'"):
        ingot.Model(folder / "model.gguf")
    assert f"| {architecture} |" in (root / "docs/architectures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kv_type", ["f16", "bf16"])
@pytest.mark.parametrize("name", SMALL)
def test_half_pages(name: str, kv_type: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_case(HERE / "arch" / name, capsys, kv_type, LIMIT_PAGES[kv_type])


@pytest.mark.parametrize("kv_type", BLOCKS)
def test_pages_of_blocks_small_set(kv_type: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_case(HERE / "arch" / WIDE_SMALL, capsys, kv_type, LIMIT_PAGES[kv_type])


@pytest.mark.parametrize("kv_type", LIMIT_PAGES)
@pytest.mark.parametrize("name", WIDE_LARGE)
def test_pages_large_set(
    shared: Path, name: str, kv_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_case(shared / "golden/arch" / name, capsys, kv_type, LIMIT_PAGES[kv_type])


@pytest.mark.parametrize("kv_type", BLOCKS)
def test_heads_that_blocks_do_not_fit(kv_type: str) -> None:
    """They are refused by name, with what to use instead."""
    problem = rf"{kv_type.upper()}\), whose blocks hold 32 numbers.*keys have 16.*use F16"
    with (
        open_model(HERE / "arch" / "llama", kv_type) as model,
        pytest.raises(ingot.ArgumentError, match=problem),
    ):
        model.logits([1])


def test_every_architecture_has_a_case() -> None:
    cases = (ingot.gguf.Reader(HERE / "arch" / name / "model.gguf") for name in SMALL)
    assert {str(r.metadata["general.architecture"]) for r in cases} == set(ingot.architectures())


# Activations are rounded to int8 where weights are quantized: that alone is 5e-5 for Q8_0 and 1e-4
# for Q4_K_M, whose products are the same integers as llama.cpp's.
@pytest.mark.parametrize(
    ("file", "answers", "key", "limit"),
    [
        ("model-F16.gguf", "golden_F16.npz", "logits_hf", LIMIT),
        ("model-Q8_0.gguf", "golden_Q8_0.npz", "logits_dequant_f32", 6e-5),
        ("model-Q8_0.gguf", "golden_Q8_0.npz", "logits_llamacpp", 7e-5),
        ("model-Q4_K_M.gguf", "golden_Q4_K_M.npz", "logits_dequant_f32", 1.2e-4),
        ("model-Q4_K_M.gguf", "golden_Q4_K_M.npz", "logits_llamacpp", LIMIT),
    ],
)
def test_quantized(
    shared: Path,
    file: str,
    answers: str,
    key: str,
    limit: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same weights, decoded, in a float32 forward pass; and llama.cpp's own result."""
    folder = shared / "golden/quantmodel"
    with np.load(folder / answers) as data:
        tokens, reference = data["tokens"], data[key]
    with ingot.Model(folder / file, kv_type="f32", n_ctx=256) as model:
        check(f"{file}, {key}", model.logits(tokens), reference, capsys, limit)


def whole(model: ingot.Model, tokens: Tokens) -> Floats:
    """Every row: logits, or the vectors of an encoder."""
    return results(model, tokens)["logits" if model.info.generates else "hidden"]


def company(folder: Path, kv_type: str = "f32") -> None:
    """A row depends on its sequence alone, not on batch, chunk, threads or what ran before."""
    tokens = tokens_of(folder)
    with open_model(folder, kv_type, 1) as model:
        expected = whole(model, tokens)
    assert np.isfinite(expected).all()

    def same(threads: int, n_batch: int | None) -> bool:
        with open_model(folder, kv_type, threads, n_batch) as model:
            return np.array_equal(expected, whole(model, tokens))

    for threads, n_batch in ((1, 1), (1, 7), (1, 16), (1, 47), (2, 1), (3, None)):
        assert same(threads, n_batch), (threads, n_batch)
    with open_model(folder, kv_type) as model:
        for _ in range(2):  # the second time its pages are used again
            assert np.array_equal(expected, whole(model, tokens))
        for n in (1, 5, 33):
            if model.info.generates:  # an encoder sees what follows
                assert np.array_equal(expected[:n], whole(model, tokens[:n])), n
    vectors_in_company(folder, tokens, kv_type)


def vectors_in_company(folder: Path, tokens: Tokens, kv_type: str) -> None:
    """An embedding is the same alone and among others, whole and in pieces."""
    texts = [tokens[i : i + n] for i, n in ((0, 1), (0, len(tokens)), (3, 9), (1, 32), (7, 2))]
    with open_model(folder, kv_type, 1) as model:
        scores = ["rank"] if model.info.n_label > 0 else []
        for pooling in ("mean", "cls", *scores, "last"):
            together = model.embed(texts, pooling=pooling)
            alone = [model.embed(text, pooling=pooling)[0] for text in texts]
            assert np.array_equal(together, np.stack(alone)), pooling
    with open_model(folder, kv_type, 2, n_batch=5) as model:
        assert np.array_equal(together, model.embed(texts, pooling="last"))


@pytest.mark.parametrize("kv_type", ["f32", "f16"])
@pytest.mark.parametrize("name", SMALL)
def test_company_small_set(name: str, kv_type: str) -> None:
    company(HERE / "arch" / name, kv_type)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_company_bf16(name: str) -> None:
    company(HERE / "arch" / name, "bf16")


@pytest.mark.parametrize("kv_type", BLOCKS)
def test_company_blocks(kv_type: str) -> None:
    company(HERE / "arch" / WIDE_SMALL, kv_type)


@pytest.mark.parametrize("kv_type", BLOCKS)
@pytest.mark.parametrize("name", ["gemma2", "mistral"])
def test_company_blocks_large_set(shared: Path, name: str, kv_type: str) -> None:
    company(shared / "golden/arch" / name, kv_type)


@pytest.mark.parametrize("name", LARGE)
def test_company_large_set(shared: Path, name: str) -> None:
    company(shared / "golden/arch" / name)


@pytest.mark.parametrize("file", ["model-F16.gguf", "model-Q8_0.gguf", "model-Q4_K_M.gguf"])
def test_company_quantized(shared: Path, file: str) -> None:
    folder = shared / "golden/quantmodel"
    with np.load(folder / "golden_F16.npz") as data:
        tokens = data["tokens"]
    found = []
    for threads, n_batch in ((1, None), (1, 1), (1, 7), (2, 1), (3, None)):
        with ingot.Model(folder / file, threads=threads, n_batch=n_batch, n_ctx=256) as model:
            found.append(model.logits(tokens))
    assert all(np.array_equal(found[0], other) for other in found[1:])
