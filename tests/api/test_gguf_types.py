"""Tensor types: encoding and decoding arrays."""

from __future__ import annotations

import gguf as reference
import numpy as np
import pytest
from ingot import ArgumentError, NotFoundError, gguf

weights = np.random.default_rng(1).standard_normal((3, 4, 512)).astype(np.float32)


def test_all_types_are_listed() -> None:
    types = gguf.types()
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
    encoded = gguf.quantize(weights, name)
    expected = reference.quants.quantize(weights, reference.GGMLQuantizationType[name])
    assert encoded.dtype == np.uint8
    assert encoded.shape == (3, 4, gguf.types()[name].row_bytes(512))
    np.testing.assert_array_equal(encoded, expected.view(np.uint8))
    decoded = gguf.dequantize(encoded, name.lower())
    assert decoded.shape == weights.shape
    np.testing.assert_allclose(decoded, weights, atol=0.02)


def test_f32_is_exact_and_views_are_taken() -> None:
    encoded = gguf.quantize(weights[::2, :, ::2], "F32")
    np.testing.assert_array_equal(encoded.view(np.float32), weights[::2, :, ::2])
    np.testing.assert_array_equal(gguf.dequantize(encoded, "F32"), weights[::2, :, ::2])


def test_doubles_and_lists_are_converted() -> None:
    np.testing.assert_array_equal(
        gguf.dequantize(gguf.quantize([1.0, -2.0], "F16"), "F16"), np.array([1, -2], np.float32)
    )


def test_empty() -> None:
    assert gguf.quantize(np.empty((0, 32), np.float32), "Q8_0").shape == (0, 34)
    assert gguf.dequantize(np.empty((2, 0), np.uint8), "Q8_0").shape == (2, 0)


@pytest.mark.parametrize("name", ["Q4_K", "Q8_0"])
def test_rows_must_be_whole_blocks(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} encodes blocks of"):
        gguf.quantize(np.zeros((2, 40), np.float32), name)
    with pytest.raises(ArgumentError, match=f"block of {name} takes"):
        gguf.dequantize(np.zeros((2, 40), np.uint8), name)


def test_wrong_arguments() -> None:
    with pytest.raises(NotFoundError, match="Q9_Z"):
        gguf.quantize(weights, "Q9_Z")
    with pytest.raises(ArgumentError, match="uint8"):
        gguf.dequantize(weights, "F32")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="scalar"):
        gguf.quantize(1.0, "F32")
    with pytest.raises(ArgumentError, match="uint8"):
        gguf.dequantize(np.array(1, np.uint8), "F32")
