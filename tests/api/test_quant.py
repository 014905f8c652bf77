"""Tensor types: weights to bytes and back."""

from __future__ import annotations

import threading

import gguf as reference
import ingot
import numpy as np
import numpy.typing as npt
import pytest
from ingot import ArgumentError, NotFoundError, quant

weights = np.random.default_rng(1).standard_normal((3, 4, 512)).astype(np.float32)


def test_all_types_are_listed() -> None:
    types = quant.types()
    for name, expected in reference.GGML_QUANT_SIZES.items():
        if name.name in types and name.name != "Q8_1":  # which the reference takes for 40 bytes
            kind = types[name.name]
            assert (kind.id, kind.block_size, kind.block_bytes) == (name.value, *expected)
    assert {"F32", "F16", "BF16", "Q8_0", "Q4_K", "IQ4_XS", "I8", "F64"} <= types.keys()
    assert {name for name, kind in types.items() if kind.can_encode} >= {
        "F32",
        "F16",
        "BF16",
        "Q8_0",
    }


@pytest.mark.parametrize("name", ["F16", "BF16", "Q8_0"])
def test_encoding_is_the_references(name: str) -> None:
    encoded = quant.encode(weights, name)
    expected = reference.quants.quantize(weights, reference.GGMLQuantizationType[name])
    assert isinstance(encoded, bytes)
    assert encoded == expected.tobytes()
    assert len(encoded) == quant.types()[name].array_bytes((3, 4, 512))
    decoded = quant.decode(encoded, name.lower(), (3, 4, 512))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, weights, atol=0.02)


def test_f32_is_exact_and_views_are_taken() -> None:
    view = weights[::2, :, ::2]
    encoded = quant.encode(view, "F32")
    assert encoded == view.tobytes()
    for data in (encoded, bytearray(encoded), memoryview(encoded), np.frombuffer(encoded, "<f4")):
        np.testing.assert_array_equal(quant.decode(data, "F32", view.shape), view)


def test_doubles_and_lists_are_converted() -> None:
    np.testing.assert_array_equal(
        quant.decode(quant.encode([1.0, -2.0], "F16"), "F16", [2]), np.array([1, -2], np.float32)
    )


def test_importance_chooses_whose_error_is_small() -> None:
    importance = np.where(np.arange(512) % 32 < 4, 1000.0, 1.0)
    errors = []
    for columns in (None, importance):
        decoded = quant.decode(quant.encode(weights, "Q4_0", columns), "Q4_0", weights.shape)
        errors.append(float((importance * (decoded - weights) ** 2).sum()))
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("name", ["Q8_0", "Q4_K", "IQ2_XXS"])
def test_bytes_and_floats_do_not_depend_on_threads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with enough blocks for many pieces."""
    many = np.random.default_rng(2).standard_normal((64, 1024)).astype(np.float32)
    encoded = quant.encode(many, name)
    decoded = quant.decode(encoded, name, many.shape)
    monkeypatch.setattr(quant, "runtime", lambda: ingot._lib.runtime(1))
    assert quant.encode(many, name) == encoded
    np.testing.assert_array_equal(quant.decode(encoded, name, many.shape), decoded)
    row = quant.types()[name].row_bytes(1024)
    for i in (0, 33, 63):
        alone = quant.decode(encoded[i * row : (i + 1) * row], name, (1024,))
        np.testing.assert_array_equal(alone, decoded[i])


def covariance(
    width: int, seed: int = 3
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Means of products of correlated columns, whole and in windows."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((2000, 24)) @ rng.standard_normal((24, width))
    inputs += 0.5 * rng.standard_normal(inputs.shape)
    whole = inputs.T @ inputs / len(inputs)
    windows = np.zeros((width, 256), np.float32)
    for i in range(width):
        first = i // 256 * 256
        part = whole[i, first : first + 256]
        windows[i, : len(part)] = part
    return whole, windows


@pytest.mark.parametrize(
    "name", ["Q4_0", "Q4_1", "Q5_1", "IQ4_NL", "MXFP4", "Q2_K", "Q4_K", "Q6_K"]
)
def test_feedback_makes_errors_of_products_smaller(name: str) -> None:
    kind = quant.type_by_name(name)
    width = 288 if kind.block_size == 32 else 512  # the last window isn't whole
    x = np.random.default_rng(1).standard_normal((37, width)).astype(np.float32)
    whole, windows = covariance(width)

    def error(data: bytes) -> float:
        lost = quant.decode(data, name, x.shape) - x.astype(np.float64)
        return float(np.einsum("ri,ij,rj->", lost, whole, lost))

    importance = np.diag(whole)
    plain = quant.encode(x, name, importance)
    better = quant.encode(x, name, importance, windows)
    assert len(better) == len(plain)
    assert error(better) < 0.6 * error(plain)
    # Nothing is made up for by columns that go with no others.
    alone = np.zeros_like(windows)
    alone[np.arange(width), np.arange(width) % 256] = importance
    assert quant.encode(x, name, importance, alone) == plain


@pytest.mark.parametrize("name", ["Q8_0", "BF16", "IQ3_S"])
def test_types_without_feedback_are_encoded_as_ever(name: str) -> None:
    x = np.random.default_rng(1).standard_normal((5, 256)).astype(np.float32)
    assert quant.encode(x, name, moments=covariance(256)[1]) == quant.encode(x, name)


def test_wrong_moments() -> None:
    x = np.ones((2, 64), np.float32)
    moments = covariance(64)[1]
    with pytest.raises(ArgumentError, match=r"shape \(64, 64\), expected \(64, 256\)"):
        quant.encode(x, "Q4_0", moments=moments[:, :64])
    moments[3, 5] = np.nan
    with pytest.raises(ArgumentError, match="columns 3 and 5 is nan"):
        quant.encode(x, "Q4_0", moments=moments)
    moments[3, 5], moments[3, 3] = 0, -1
    with pytest.raises(ArgumentError, match="columns 3 and 3 is -1, expected a finite"):
        quant.encode(x, "Q4_0", moments=moments)
    with pytest.raises(ArgumentError, match="multiple of 32"):
        quant.encode(np.ones((1, 33)), "F16", moments=np.zeros((33, 256)))


def test_moments_that_cant_be() -> None:
    """Columns that go together more than numbers can."""
    x = np.random.default_rng(1).standard_normal((4, 512)).astype(np.float32)
    for size in (1e30, 1.0):
        moments = covariance(512)[1]
        moments[256:] = np.random.default_rng(2).choice([-size, size], (256, 256))
        moments[256:][np.arange(256), np.arange(256)] = 1
        with pytest.raises(ArgumentError, match="columns from 256 on go together more than"):
            quant.encode(x, "Q4_K", moments=moments)


def test_other_threads_run_meanwhile() -> None:
    """Encoding, which takes a second here, holds no lock of the interpreter's."""
    many = np.resize(weights, (1024, 512))
    done = threading.Event()

    def encode() -> None:
        quant.encode(many, "IQ2_S")
        done.set()

    worker = threading.Thread(target=encode)
    worker.start()
    turns = 0
    while not done.wait(0.001):
        turns += 1
    worker.join()
    assert turns > 3


def test_empty() -> None:
    assert quant.encode(np.empty((0, 32), np.float32), "Q8_0") == b""
    assert quant.decode(b"", "Q8_0", (2, 0)).shape == (2, 0)


@pytest.mark.parametrize("name", ["Q4_K", "Q8_0"])
def test_rows_must_be_whole_blocks(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} encodes blocks of"):
        quant.encode(np.zeros((2, 40), np.float32), name)
    with pytest.raises(ArgumentError, match=f"{name} encodes blocks of"):
        quant.decode(bytes(80), name, (2, 40))


def test_wrong_arguments() -> None:
    with pytest.raises(NotFoundError, match="Q9_Z"):
        quant.encode(weights, "Q9_Z")
    with pytest.raises(ArgumentError, match="scalar"):
        quant.encode(1.0, "F32")
    with pytest.raises(ArgumentError, match="no code for NaN and infinity"):
        quant.encode([float("nan")] * 32, "Q8_0")
    with pytest.raises(ArgumentError, match="scalar has no rows"):
        quant.decode(bytes(4), "F32", ())
    with pytest.raises(ArgumentError, match=r"shape \(2, 32\) take 68 bytes, got 67"):
        quant.decode(bytes(67), "Q8_0", (2, 32))
    with pytest.raises(ArgumentError, match="expected an integer from 0"):
        quant.decode(b"", "F32", (-1,))
    with pytest.raises(ArgumentError, match="no bytes in one piece"):
        quant.decode(weights[:, :, ::2], "F32", (3, 4, 256))
    with pytest.raises(ArgumentError, match="no bytes in one piece"):
        quant.decode("text", "F32", (1,))  # type: ignore[arg-type]
