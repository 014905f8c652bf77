"""Importance matrices: beside llama-imatrix's own, beside plain formulas, and their files."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from ingot import Imatrix, errors
from ingot.imatrix_statistics import statistics
from test_cli import INGOT, run, run_well

ROOT = Path(__file__).resolve().parents[2]
TEXT = ROOT.joinpath("LICENSE").read_bytes() * 5
N_CTX = 64

Doubles = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def model(bundled: Path) -> Iterator[ingot.Model]:
    with ingot.Model(bundled, n_ctx=N_CTX, collect=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(model: ingot.Model) -> Imatrix:
    return ingot.imatrix(model, TEXT, n_ctx=N_CTX, n_chunks=6, name="license")


def same(a: Imatrix, b: Imatrix) -> bool:
    """To the bit."""
    return a.sums.keys() == b.sums.keys() and all(
        np.array_equal(a.sums[name], b.sums[name])
        and np.array_equal(a.counts[name], b.counts[name])
        for name in a.sums
    )


def near(a: Imatrix, b: Imatrix, tolerance: float) -> None:
    assert a.sums.keys() == b.sums.keys()
    for name in a.sums:
        np.testing.assert_allclose(a.sums[name], b.sums[name], rtol=tolerance, err_msg=name)
        np.testing.assert_array_equal(a.counts[name], b.counts[name])


# -------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize(
    ("golden", "n_tensors", "options"),
    [
        ("imatrix.gguf", 21, {}),
        ("imatrix.dat", 21, {}),
        ("imatrix_output.gguf", 22, {"process_output": True}),
    ],
)
def test_llama_imatrix(golden: str, n_tensors: int, options: dict[str, Any], shared: Path) -> None:
    """Its products round activations to F16, which is what is left of difference."""
    folder = shared / "golden" / "imatrix"
    expected = Imatrix.load(folder / golden, chunk_size=128)
    found = ingot.imatrix(
        shared / "golden" / "quantmodel" / "model-F16.gguf",
        (folder / "calibration.txt").read_bytes(),
        n_ctx=128,
        n_chunks=expected.chunks,
        **options,
    )
    assert len(expected.sums) == n_tensors
    assert (found.chunks, found.chunk_size) == (expected.chunks, expected.chunk_size)
    near(found, expected, 1e-3)
    for name, mean in expected.mean().items():
        assert np.abs(found.mean()[name] / mean - 1).mean() < 2e-4, name


@pytest.mark.long
def test_llama_imatrix_on_a_trained_model(shared: Path) -> None:
    """All of a text; a few of its tokens weren't counted there."""
    folder = shared / "models"
    expected = Imatrix.load(folder / "prose-7m-imatrix.gguf").mean()
    text = (folder / "calib.txt").read_bytes()
    found = ingot.imatrix(folder / "prose-7m-f16.gguf", text).mean()
    assert found.keys() == expected.keys()
    for name, mean in expected.items():
        error = np.abs(found[name] / mean - 1)
        assert error.mean() < 2e-4, name
        assert error.max() < 1e-2, name


def weights(path: Path, name: str) -> Doubles:
    with ingot.gguf.open(path) as file:
        return file.tensors[name].dequantize().astype(np.float64)


def rms(x: Doubles, weight: Doubles, eps: float) -> Doubles:
    normed: Doubles = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * weight
    return normed


def test_the_first_input(model: ingot.Model, whole: Imatrix) -> None:
    x = first_input(model)
    for name in ("attn_q", "attn_k", "attn_v"):
        found = whole.sums[f"blk.0.{name}.weight"]
        np.testing.assert_allclose(found[0], (x**2).sum(axis=0), rtol=1e-5)
        assert whole.counts[f"blk.0.{name}.weight"].tolist() == [len(x)]
    assert not any(name.startswith(("output", "token_embd")) for name in whole.sums)
    # The first layer's attention is computed from the same numbers in both.
    assert whole.sums["blk.0.attn_q.weight"] is whole.sums["blk.0.attn_v.weight"]


def first_input(model: ingot.Model) -> Doubles:
    """Of attention, in the first layer: the tokens' rows of the embedding, normed."""
    path = Path(model.path)
    ids = np.array(model.tokenize(TEXT, add_special=True)[: 6 * N_CTX])
    eps = model.metadata[f"{model.info.architecture}.attention.layer_norm_rms_epsilon"]
    assert isinstance(eps, float)
    return rms(
        weights(path, "token_embd.weight")[ids], weights(path, "blk.0.attn_norm.weight"), eps
    )


@pytest.fixture(scope="module")
def moments(bundled: Path) -> Imatrix:
    return ingot.imatrix(bundled, TEXT, n_ctx=N_CTX, n_chunks=6, name="license", moments=True)


def test_moments(model: ingot.Model, whole: Imatrix, moments: Imatrix) -> None:
    assert same(moments, whole)
    assert moments.moments.keys() == moments.sums.keys()
    x = first_input(model)
    found = moments.moments["blk.0.attn_q.weight"]
    assert found.shape == (1, x.shape[1], 256)
    np.testing.assert_allclose(found[0], x.T @ x, rtol=1e-4, atol=1e-5 * np.abs(found).max())
    assert found is moments.moments["blk.0.attn_k.weight"]
    assert found is not moments.moments["blk.0.attn_output.weight"]
    twice = moments.merge(moments)
    assert np.array_equal(twice.moments["blk.0.attn_q.weight"], 2 * found)
    assert moments.merge(whole).moments == {}


def test_files_with_moments(whole: Imatrix, moments: Imatrix, tmp_path: Path) -> None:
    again = round_trip(moments, tmp_path / "found.gguf")
    assert again.moments.keys() == moments.moments.keys()
    assert again.moments["blk.0.attn_q.weight"] is again.moments["blk.0.attn_v.weight"]
    for name, found in moments.moments.items():
        squares = np.diagonal(found[0].reshape(-1, 256, 256), axis1=1, axis2=2)
        bound = 1e-3 * np.sqrt(squares[:, :, None] * squares[:, None, :])
        assert (np.abs(again.moments[name] - found).reshape(bound.shape) <= bound + 1e-12).all()
    with pytest.raises(errors.ArgumentError, match="can't hold moments"):
        ingot.imatrix("x", TEXT, moments=True, output_format="dat")
    for tensor, message in [
        (np.zeros((2, 256), np.float16), r"F16 of shape \(2, 256\); expected F16 of \(1, 3, 256\)"),
        (np.zeros((3, 256), np.float32), "is F32 of shape"),
    ]:
        wrong = {"a.in_sum2": f32(1, 2, 3), "a.counts": f32(1), "a.in_correlations": tensor}
        with pytest.raises(errors.FormatError, match=message):
            Imatrix.load(gguf_with(tmp_path / "wrong.gguf", wrong))


def test_going_on_with_moments(bundled: Path, moments: Imatrix, tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"
    told: dict[str, Any] = {"n_ctx": N_CTX, "name": "license", "output": path}
    ingot.imatrix(bundled, TEXT, n_chunks=2, moments=True, **told)
    found = ingot.imatrix(bundled, TEXT, n_chunks=6, moments=True, **told)
    near(found, moments, 1e-6)
    ours, wanted = (m.moments["blk.1.ffn_down.weight"] for m in (found, moments))
    np.testing.assert_allclose(ours, wanted, atol=1e-3 * np.abs(wanted).max())
    assert found.moments["blk.0.attn_q.weight"] is found.moments["blk.0.attn_v.weight"]
    with pytest.raises(errors.ArgumentError, match="other choices of process_output or moments"):
        ingot.imatrix(bundled, TEXT, n_chunks=6, **told)


def test_experts() -> None:
    """Each expert's own tokens. A text of one token attends to itself alone, so that all before the
    experts is a few formulas."""
    path = ROOT / "tests" / "golden" / "arch" / "qwen3moe" / "model.gguf"
    n_head, n_head_kv, n_expert, n_used, eps = 4, 2, 6, 2, 1e-3

    def part(name: str) -> Doubles:
        return weights(path, f"blk.0.{name}.weight")

    x = weights(path, "token_embd.weight")
    v = (rms(x, part("attn_norm"), eps) @ part("attn_v").T).reshape(len(x), n_head_kv, -1)
    heads = np.repeat(v, n_head // n_head_kv, axis=1).reshape(len(x), -1)
    x = rms(x + heads @ part("attn_output").T, part("ffn_norm"), eps)
    chosen = np.argsort(-(x @ part("ffn_gate_inp").T), axis=1)[:, :n_used]

    with ingot.Model(path, n_ctx=len(x), collect=True, kv_type="f32") as model:
        model.embed([[i] for i in range(len(x))], pooling="last")
        found = model.collected()
    router = found["blk.0.ffn_gate_inp.weight"]
    np.testing.assert_allclose(router.sums, (x**2).sum(axis=0)[None], rtol=1e-5)
    gate, down = (found[f"blk.0.ffn_{name}_exps.weight"] for name in ("gate", "down"))
    assert found["blk.0.ffn_up_exps.weight"] is gate
    for e in range(n_expert):
        rows = x[(chosen == e).any(axis=1)]
        inner = rows @ part("ffn_gate_exps")[e].T
        inner *= 1 / (1 + np.exp(-inner)) * (rows @ part("ffn_up_exps")[e].T)
        assert gate.counts[e] == down.counts[e] == len(rows)
        np.testing.assert_allclose(gate.sums[e], (rows**2).sum(axis=0), rtol=1e-4)
        np.testing.assert_allclose(down.sums[e], (inner**2).sum(axis=0), rtol=1e-3)
    assert gate.counts.sum() == n_used * len(x)


def test_parts_of_a_tensor_count_once() -> None:
    path = ROOT / "tests" / "golden" / "arch" / "phi3" / "model.gguf"
    with ingot.Model(path, n_ctx=8, collect=True) as model:
        model.embed([1, 2, 3], pooling="last")
        found = model.collected()
    assert found["blk.0.attn_qkv.weight"].counts.tolist() == [3]
    assert found["blk.1.ffn_up.weight"].counts.tolist() == [3]
    assert not any("attn_q." in name for name in found)


@pytest.mark.parametrize(
    "options", [{"threads": 1}, {"threads": 3}, {"n_batch": 7}, {"n_batch": 512, "n_ctx": 512}]
)
def test_threads_and_batches_dont_matter(
    options: dict[str, Any], bundled: Path, whole: Imatrix
) -> None:
    with ingot.Model(bundled, collect=True, **{"n_ctx": N_CTX, **options}) as model:
        found = ingot.imatrix(model, TEXT, n_ctx=N_CTX, n_chunks=6)
        again = ingot.imatrix(model, TEXT, n_ctx=N_CTX, n_chunks=6)
    assert same(found, whole)
    assert same(again, whole)


def test_text_may_be_a_str(model: ingot.Model, whole: Imatrix) -> None:
    assert same(ingot.imatrix(model, TEXT.decode(), n_ctx=N_CTX, n_chunks=6), whole)


def test_the_output_matrix(model: ingot.Model, whole: Imatrix) -> None:
    found = ingot.imatrix(model, TEXT, n_ctx=N_CTX, n_chunks=6, process_output=True)
    more = found.sums.keys() - whole.sums.keys()
    assert more in ({"output.weight"}, {"token_embd.weight"})
    (name,) = more
    assert found.counts[name].tolist() == [6 * N_CTX]
    near(dataclasses.replace(found, sums={n: found.sums[n] for n in whole.sums}), whole, 0)


def test_words(whole: Imatrix) -> None:
    n = len(whole.sums)
    assert repr(whole) == f"<ingot.Imatrix: {n} tensors, 6 chunks of 64 tokens>"
    assert whole != made(1)


def test_means() -> None:
    sums = np.array([[2.0, 4.0], [0.0, 0.0]])
    found = Imatrix({"a": sums}, {"a": np.array([4.0, 0.0])}).mean()["a"]
    assert found.dtype == np.float32
    assert found.tolist() == [[0.5, 1.0], [1.0, 1.0]]


def test_statistics() -> None:
    sums = {
        "blk.1.a": np.array([[4.0, 0.0, 0.0, 0.0]]),
        "blk.0.a": np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]),
        "blk.1.b": np.array([[30.0, 30.0]]),
        "output": np.array([[0.0]]),
    }
    counts = {name: np.array([2.0, 0.0])[: len(one)] for name, one in sums.items()}
    rows = statistics(Imatrix(sums, counts))
    assert [row.tensor for row in rows] == ["blk.0.a", "blk.1.b", "blk.1.a", "output"]
    even, _, single, nothing = rows
    assert (even.layer, even.columns, even.total, even.peak) == (0, 4, 2.0, 1.0)
    assert (even.evenness, even.top_share, even.alike, even.unused) == (1.0, 0.25, None, 0.5)
    assert (single.total, single.peak, single.evenness, single.top_share) == (2.0, 4.0, 0.0, 1.0)
    assert single.alike == pytest.approx(0.5)
    assert (nothing.layer, nothing.total, nothing.evenness) == (None, 0.0, 1.0)


# ------------------------------------------------------------------------------------------- files


def round_trip(of: Imatrix, path: Path, format: str = "gguf") -> Imatrix:  # noqa: A002
    of.save(path, format)
    assert not Path(f"{path}.part").exists()
    return Imatrix.load(path, of.chunk_size)


def made(n_experts: int) -> Imatrix:
    random = np.random.default_rng(3)
    sums = {
        "blk.0.exps.weight": random.random((n_experts, 5)),
        "blk.0.dense.weight": random.random((1, 8)),
    }
    counts = {name: np.full(len(one), 24.0) for name, one in sums.items()}
    return Imatrix(sums, counts, 3, 8, ["one", "two"])


def test_gguf_files(whole: Imatrix, tmp_path: Path) -> None:
    found = round_trip(whole, tmp_path / "a.gguf")
    near(found, whole, 1e-7)
    assert found.origin == whole.origin is not None
    assert (found.chunks, found.chunk_size, found.datasets) == (6, N_CTX, ["license"])
    with ingot.gguf.open(tmp_path / "a.gguf") as file:
        assert file.metadata["general.type"] == "imatrix"
        assert list(file.tensors) == [
            f"{name}.{part}" for name in sorted(whole.sums) for part in ("in_sum2", "counts")
        ]
        assert {tensor.type for tensor in file.tensors.values()} == {"F32"}
        assert file.tensors["blk.0.attn_q.weight.counts"].shape == (1,)
    experts = made(3)
    near(round_trip(experts, tmp_path / "b.gguf"), experts, 1e-7)
    with ingot.gguf.open(tmp_path / "b.gguf") as file:
        assert file.tensors["blk.0.exps.weight.in_sum2"].shape == (3, 5)
        assert file.tensors["blk.0.exps.weight.counts"].shape == (3, 1)


def test_dat_files(whole: Imatrix, tmp_path: Path) -> None:
    found = round_trip(whole, tmp_path / "a.dat", "dat")
    near(found, whole, 1e-6)
    assert (found.chunks, found.chunk_size, found.datasets) == (6, N_CTX, ["license"])
    assert found.origin is None
    experts = made(2)
    experts.counts["blk.0.exps.weight"] = np.array([24.0, 0.0])
    experts.sums["blk.0.exps.weight"][1] = 0
    mean = experts.mean()["blk.0.exps.weight"]
    found = round_trip(experts, tmp_path / "b.dat", "dat")
    np.testing.assert_allclose(found.mean()["blk.0.exps.weight"], mean.reshape(1, -1), rtol=1e-6)


def test_the_bytes_of_a_dat_file(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    content = Imatrix({"ab": np.array([[6.0, 12.0]])}, {"ab": np.array([12.0])}, 3, 4, ["x"])
    content.save(path, "dat")
    tensor = struct.pack("<i2s2i2f", 2, b"ab", 3, 2, 1.5, 3.0)
    expected = struct.pack("<i", 1) + tensor + struct.pack("<2i1s", 3, 1, b"x")
    assert path.read_bytes() == expected
    path.write_bytes(expected[:-9])  # as the oldest ones end
    found = round_trip(Imatrix.load(path, 4), tmp_path / "a.gguf")
    assert (found.chunks, found.datasets) == (3, [])
    near(found, content, 0)


def test_llama_imatrix_files_agree(shared: Path) -> None:
    """Its two forms of the same numbers, as read here."""
    folder = shared / "golden" / "imatrix"
    near(Imatrix.load(folder / "imatrix.gguf"), Imatrix.load(folder / "imatrix.dat", 128), 1e-6)


def gguf_with(path: Path, tensors: dict[str, Any], **changes: object) -> Path:
    values: dict[str, object] = {
        "general.type": "imatrix",
        "imatrix.datasets": ["a"],
        "imatrix.chunk_count": 1,
        "imatrix.chunk_size": 8,
    }
    with ingot.gguf.Writer(path) as out:
        for key, value in (values | changes).items():
            if value is not None:
                out.add(key, value, "string" if key == "imatrix.datasets" else None)
        for name, array in tensors.items():
            out.add_tensor(name, np.asarray(array))
    return path


def f32(*numbers: float) -> npt.NDArray[np.float32]:
    return np.array(numbers, np.float32)


ONE = {"a.in_sum2": f32(1, 2), "a.counts": f32(8)}


@pytest.mark.parametrize(
    ("tensors", "changes", "message"),
    [
        (ONE, {"general.type": "model"}, "key 'general.type' is 'model'; expected 'imatrix'"),
        (ONE, {"general.type": None}, "key 'general.type' is None"),
        (ONE, {"imatrix.datasets": None}, "key 'imatrix.datasets' is no array of strings"),
        (ONE, {"imatrix.chunk_count": "1"}, "key 'imatrix.chunk_count' is '1'; expected a number"),
        (ONE, {"imatrix.chunk_size": 0}, "key 'imatrix.chunk_size' is 0; expected a number"),
        ({"a.in_sum2": ONE["a.in_sum2"]}, {}, "tensor 'a.counts' is missing"),
        ({"a.counts": ONE["a.counts"]}, {}, "'a.counts' is no part of an importance matrix"),
        ({**ONE, "b": f32(1)}, {}, "tensor 'b' is no part of an importance matrix"),
        (
            {**ONE, "a.counts": np.array([1], np.float16)},
            {},
            "tensor 'a.counts' is F16; expected F32",
        ),
        ({**ONE, "a.counts": f32(1, 2)}, {}, "'a.counts' has 2 numbers for the 1 rows"),
        ({**ONE, "a.in_sum2": f32(1, np.nan)}, {}, "negative or not finite"),
        ({**ONE, "a.counts": f32(-1)}, {}, "negative or not finite"),
        ({}, {}, "there is no importance of any tensor in it"),
    ],
    ids=itertools.count(),
)
def test_wrong_gguf_files(
    tensors: dict[str, Any], changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = gguf_with(tmp_path / "a.gguf", tensors, **changes)
    with pytest.raises(errors.FormatError, match=message):
        Imatrix.load(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the number of tensors at byte 0 has 4 bytes, and 0 are left"),
        (b"PK\3\4" * 9, "the number of tensors at byte 0 is 67324752; expected 1 to 3"),
        (struct.pack("<4i", 1, 5000, 0, 0), "the size of a tensor's name at byte 4 is 5000"),
        (struct.pack("<3i", 1, 100, 0), "a tensor's name at byte 8 has 100 bytes, and 4 are left"),
        (struct.pack("<2i1s2i", 1, 1, b"a", 0, 1), "the calls of 'a' at byte 9 is 0"),
        (struct.pack("<2i1s2i", 1, 1, b"a", 1, -1), "number of columns of 'a' at byte 13 is -1"),
        (struct.pack("<2i1s2i", 1, 1, b"a", 1, 2), "'a' at byte 17 has 8 bytes, and 0 are left"),
        (struct.pack("<2i1s2if", 1, 1, b"a", 1, 1, np.nan), "'a' holds numbers that are negative"),
        (struct.pack("<2i1s2ifi", 1, 1, b"a", 1, 1, 1, 7), "the size of the text's name at byte"),
        (
            struct.pack("<2i1s2if3i", 1, 1, b"a", 1, 1, 1, 7, 0, 0),
            "4 bytes are left behind",
        ),
    ],
    ids=itertools.count(),
)
def test_wrong_dat_files(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(data)
    with pytest.raises(errors.FormatError, match=message):
        Imatrix.load(path)


@pytest.mark.parametrize("format", ["gguf", "dat"])
def test_files_that_were_cut_off(format: str, whole: Imatrix, tmp_path: Path) -> None:  # noqa: A002
    path = tmp_path / "a"
    whole.save(path, format)
    data = path.read_bytes()
    for size in (5, 100, len(data) // 2, len(data) - 40):
        path.write_bytes(data[:size])
        with pytest.raises(errors.IngotError, match="a: "):
            Imatrix.load(path)


# ----------------------------------------------------------------------------------------- merging


def test_merging(model: ingot.Model, whole: Imatrix) -> None:
    other = ingot.imatrix(model, TEXT[3000:], n_ctx=N_CTX, n_chunks=3, name="rest")
    found = whole.merge(other)
    assert (found.chunks, found.chunk_size, found.datasets) == (9, N_CTX, ["license", "rest"])
    assert found.origin is None
    for name in whole.sums:
        np.testing.assert_array_equal(found.sums[name], whole.sums[name] + other.sums[name])
        assert found.counts[name].tolist() == [9 * N_CTX]
    assert same(ingot.imatrix(model, TEXT, n_ctx=N_CTX, n_chunks=6, merge=[other]), found)


def test_merging_what_differs(tmp_path: Path) -> None:
    one, other = made(3), made(3)
    del one.sums["blk.0.dense.weight"], one.counts["blk.0.dense.weight"]
    found = one.merge(other)
    assert found.counts["blk.0.exps.weight"].tolist() == [48, 48, 48]
    assert found.counts["blk.0.dense.weight"].tolist() == [24]
    # A file that doesn't know of experts has them in a row.
    flat = round_trip(other, tmp_path / "a.dat", "dat")
    for both in (other.merge(flat), flat.merge(other)):
        near(both, other.merge(other), 1e-6)
    with pytest.raises(errors.ArgumentError, match=r"shape \(3, 5\) in one and \(4, 5\) in the"):
        made(3).merge(made(4))


# ------------------------------------------------------------------------------------ interruption


def interrupted(model: ingot.Model, path: Path, **options: Any) -> int:
    """Stops in the middle; returns how many chunks the file has."""

    def stop(done: float) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingot.imatrix(model, TEXT, n_ctx=N_CTX, output=path, progress=stop, **options)
    return Imatrix.load(path).chunks if path.exists() else 0


def test_going_on(model: ingot.Model, bundled: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    expected = ingot.imatrix(model, TEXT, n_ctx=N_CTX, n_chunks=40, name="t")
    n = interrupted(model, path, n_chunks=40, name="t", save_frequency=1)
    assert 20 < n < 40
    shares: list[float] = []
    found = ingot.imatrix(
        bundled, TEXT, n_ctx=N_CTX, n_chunks=40, output=path, progress=shares.append
    )
    assert shares[0] > n / 40  # what is in the file isn't computed again
    assert shares[-1] == 1
    near(found, expected, 1e-6)
    assert (found.chunks, found.datasets, found.origin) == (40, ["t"], expected.origin)
    near(Imatrix.load(path), expected, 1e-6)
    # Once more: all is there.
    again = ingot.imatrix(model, TEXT, n_ctx=N_CTX, n_chunks=40, output=path)
    near(again, expected, 1e-6)


def test_what_is_whole_is_kept(model: ingot.Model, tmp_path: Path) -> None:
    """Without a frequency too; and what is there is what these chunks give."""
    path = tmp_path / "a.gguf"
    n = interrupted(model, path, n_chunks=40)
    assert n > 0
    near(Imatrix.load(path), ingot.imatrix(model, TEXT, n_ctx=N_CTX, n_chunks=n), 1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": TEXT[1:]}, "can't be continued: it was made from another text"),
        ({"n_ctx": 32}, "its chunks have 64 tokens; expected 32"),
        ({"n_chunks": 5}, "it has 6 chunks; 5 at most were expected"),
        ({"process_output": True}, "another model, or with other choices of process_output"),
        ({"merged": True}, "it doesn't say what it was made from"),
        ({"format": "dat"}, "it doesn't say what it was made from"),
    ],
)
def test_outputs_that_cant_be_continued(
    options: dict[str, Any], message: str, model: ingot.Model, whole: Imatrix, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    kept = whole.merge(whole) if options.pop("merged", False) else whole
    kept.save(path, options.pop("format", "gguf"))
    before = path.read_bytes()
    given = {"text": TEXT, "n_ctx": N_CTX, "n_chunks": 6, **options}
    with pytest.raises(errors.ArgumentError, match=message):
        ingot.imatrix(model, output=path, **given)
    assert path.read_bytes() == before


def test_another_model(whole: Imatrix, bundled: Path, tmp_path: Path) -> None:
    path, other = tmp_path / "a.gguf", tmp_path / "other.gguf"
    whole.save(path)
    with ingot.gguf.open(bundled) as file, ingot.gguf.Writer(other) as out:
        for key, value in file.metadata.items():
            out.add(key, value)
        for name, tensor in file.tensors.items():
            data = tensor.dequantize() * np.float32(1.5 if name == "output_norm.weight" else 1)
            out.add_tensor(name, data, "F32" if data.ndim == 1 else tensor.type)
    with pytest.raises(errors.ArgumentError, match="it was made from another model"):
        ingot.imatrix(other, TEXT, n_ctx=N_CTX, n_chunks=7, output=path)


# ------------------------------------------------------------------------------------------ errors


def test_models_that_dont_collect(bundled: Path) -> None:
    with ingot.Model(bundled, n_ctx=N_CTX) as model:
        for use in (model.collected, model.clear_collected):
            with pytest.raises(errors.StateError, match="opened without `collect`"):
                use()
        with pytest.raises(errors.StateError, match="opened without `collect`"):
            ingot.imatrix(model, TEXT, n_ctx=N_CTX)
    with pytest.raises(errors.ArgumentError, match="profile and collect can't go together"):
        ingot.Model(bundled, profile=True, collect=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": b"short"}, r"tokens; 1 chunks of 64 \(n_ctx\) need 64: take a longer text"),
        ({"n_ctx": 2}, "n_ctx is 2; a window needs at least 3 tokens"),
        ({"output_format": "csv"}, "format is 'csv'; expected one of gguf, dat"),
        ({"save_frequency": 0}, "save_frequency is 0; expected an integer from 1"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str, model: ingot.Model) -> None:
    given = {"text": TEXT, "n_ctx": N_CTX, "n_chunks": 1, **options}
    with pytest.raises(errors.ArgumentError, match=message):
        ingot.imatrix(model, **given)


def test_chunks_longer_than_the_context(model: ingot.Model) -> None:
    with pytest.raises(errors.LimitError, match="has 128 tokens and the context 64"):
        ingot.imatrix(model, TEXT, n_ctx=128, n_chunks=1)


# -------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(TEXT)
    return path


def test_command(text_file: Path, whole: Imatrix, tmp_path: Path) -> None:
    out, dat, both = tmp_path / "a.gguf", tmp_path / "a.dat", tmp_path / "both.gguf"
    given = ["imatrix", "-f", text_file, "-c", N_CTX, "--chunks", 6, "-o"]
    n = len(whole.sums)
    assert run_well(*given, out) == f"{out}: {n} tensors, 6 chunks of 64 tokens\n"
    near(Imatrix.load(out), whole, 1e-6)
    assert Imatrix.load(out).datasets == [str(text_file)]
    report = json.loads(run_well(*given, dat, "--output-format", "dat", "--in-file", out, "--json"))
    assert report == {
        "output": str(dat),
        "n_tensors": n,
        "n_chunks": 12,
        "n_ctx": N_CTX,
        "datasets": [str(text_file)],
    }
    near(Imatrix.load(dat, N_CTX), whole.merge(whole), 1e-6)
    run_well("imatrix", "--in-file", out, "--in-file", dat, "-c", N_CTX, "-o", both)
    near(Imatrix.load(both), whole.merge(whole).merge(whole), 1e-6)


def test_command_with_statistics(text_file: Path, whole: Imatrix, tmp_path: Path) -> None:
    out = tmp_path / "a.gguf"
    whole.save(out)
    lines = run_well("imatrix", "--in-file", out, "--show-statistics").splitlines()
    rows = statistics(whole)
    assert [line.split("\t")[0] for line in lines] == [row.tensor for row in rows]
    assert lines[0].split("\t")[4] == f"{rows[0].evenness:.4f}"
    given = ["-f", text_file, "-c", N_CTX, "--chunks", 1, "--show-statistics", "--json"]
    found = json.loads(run_well("imatrix", *given))["statistics"]
    assert {row["tensor"] for row in found} == whole.sums.keys()
    assert found[0].keys() == {field.name for field in dataclasses.fields(rows[0])}


def test_ctrl_c_saves(text_file: Path, model: ingot.Model, tmp_path: Path) -> None:
    out, long = tmp_path / "a.gguf", tmp_path / "long.txt"
    long.write_bytes(TEXT * 20)
    given = ["imatrix", "-f", long, "-c", N_CTX, "-o", out, "--save-frequency", "8"]
    process = subprocess.Popen(
        [*INGOT, *map(str, given)], stderr=subprocess.PIPE, text=True, env=os.environ
    )
    deadline = time.monotonic() + 60
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 130, said
    found = Imatrix.load(out)
    assert found.chunks >= 8
    assert f"interrupted; {out} has {found.chunks} chunks" in said
    expected = ingot.imatrix(model, TEXT * 20, n_ctx=N_CTX, n_chunks=found.chunks)
    near(found, expected, 1e-6)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ("-o {out}", 2, "one of -f/--file and --in-file is required"),
        ("-f {text}", 2, "one of -o/--output and --show-statistics is required"),
        ("-f {text} -o {out} --in-file {out}", 2, "--output is one of --in-file, and would count"),
        ("-f {text} -o {out} -c 2", 2, "--ctx-size is 2; a window needs at least 3 tokens"),
        ("-f {text} -o {out} --chunks 9999", 2, "9999 chunks of 512 (--ctx-size) need 5119488"),
        ("-f {text} -o {out} --output-format csv", 2, "invalid choice: 'csv'"),
        ("-f {text} -o /nowhere/out -c 64 --chunks 1", 1, "/nowhere/out"),
        ("-f /nowhere/text -o {out}", 1, "/nowhere/text"),
        ("--in-file /nowhere/a -o {out}", 1, "/nowhere/a"),
        ("--in-file {text} -o {out}", 1, "no importance matrix"),
        ("-f {text} -o {text} -c 64", 1, "no importance matrix"),
    ],
)
def test_wrong_usage(
    options: str, status: int, message: str, text_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("imatrix", *options.format(text=text_file, out=out).split())
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert not out.exists()
