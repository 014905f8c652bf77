"""Every tensor type against the bytes and floats that llama.cpp makes: decoded bit for bit alike.

Encoded, plain types and Q8_0 have the same bytes; of the others the errors are no larger.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from golden import HERE, quant_records, same_bits
from ingot import errors, quant

SAME_BYTES = ["F32", "F16", "BF16", "Q8_0"]
PLAIN = ["F32", "F64", "I8", "I16", "I32", "I64"]
DECODED_BY_GGUF = [
    *("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K"),
    *("Q6_K", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL"),
    *("IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4"),
]
TYPES = [*DECODED_BY_GGUF, "F64", "I8", "I16", "I32", "I64", "Q8_1", "Q8_K", "Q1_0", "Q2_0"]


def test_every_type_is_tested() -> None:
    assert set(quant.types()) == set(TYPES) == set(quant_records())
    encoded = {name for name, kind in quant.types().items() if kind.can_encode}
    assert encoded == {*TYPES} - {"F64", "I8", "I16", "I32", "I64", "Q8_1", "Q8_K"}


@pytest.mark.parametrize("name", TYPES)
def test_small_set(name: str) -> None:
    encoded, decoded, source = quant_records()[name]
    assert same_bits(quant.decode(encoded, name, decoded.shape), decoded)
    if len(source):
        again = quant.encode(source, name)
        if name in SAME_BYTES:
            assert again == encoded.tobytes()
        else:
            ours = quant.decode(again, name, source.shape)
            assert error_of(ours, source) <= error_of(decoded, source)


@pytest.mark.parametrize("name", [name for name in TYPES if name not in PLAIN])
def test_large_set(shared: Path, name: str) -> None:
    folder = shared / "golden/quants"
    meta = json.loads((folder / "quants.json").read_text())[name]
    kind = quant.types()[name]
    assert (kind.id, kind.block_size) == (meta["ggml_type"], meta["block"])
    assert kind.block_bytes == meta["type_size"]

    with np.load(folder / f"{name}.npz") as data:
        for variant in ("noimat", "imat"):
            if f"deq_{variant}" in data:
                expected = data[f"deq_{variant}"]
                decoded = quant.decode(data[f"bytes_{variant}"], name, expected.shape)
                assert same_bits(decoded, expected), variant
        if name == "Q8_1":
            # llama.cpp has no decoder; rounding codes and scale may cost a bit over half a step.
            blocks = data["bytes_noimat"].reshape(-1, 36)
            step = blocks[:, :2].copy().view("<f2").astype(np.float32)
            decoded = quant.decode(blocks, name, (len(blocks), 32))
            error = np.abs(decoded - data["x"].reshape(-1, 32))
            assert (error <= 0.57 * step + 127 * 2.0**-25).all()
        if name in SAME_BYTES:
            assert quant.encode(data["x"], name) == data["bytes_noimat"].tobytes()


@pytest.mark.parametrize(
    "name", [n for n in TYPES if n not in {*PLAIN, *SAME_BYTES, "Q8_1", "Q8_K"}]
)
def test_errors_are_no_larger(shared: Path, name: str) -> None:
    with np.load(shared / f"golden/quants/{name}.npz") as data:
        rows, importance = data["x"], data["imatrix"]
        for variant, weights in (("noimat", None), ("imat", importance)):
            if f"deq_{variant}" not in data:
                continue
            encoded = quant.encode(rows, name, weights)
            ours = error_of(quant.decode(encoded, name, rows.shape), rows, weights)
            assert ours <= error_of(data[f"deq_{variant}"], rows, weights), variant


def error_of(
    decoded: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32] | None = None,
) -> float:
    """The sum of squared errors, weighed by column."""
    squares = (decoded.astype(np.float64) - rows) ** 2
    return float((squares if weights is None else squares * weights).sum())


@pytest.mark.parametrize("name", DECODED_BY_GGUF)
def test_any_bytes_decode_as_in_the_reference(name: str) -> None:
    """Random blocks (any scale, NaNs and infinities too) against the PyPI package gguf."""
    reference = pytest.importorskip("gguf")
    kind = quant.types()[name]
    blocks = np.random.default_rng(1).integers(0, 256, (256, kind.block_bytes), dtype=np.uint8)
    try:
        with np.errstate(all="ignore"):
            expected = reference.dequantize(blocks, reference.GGMLQuantizationType(kind.id))
    except (NotImplementedError, ValueError):
        pytest.skip(f"this version of the package gguf doesn't know {name}")
    assert same_bits(quant.decode(blocks, name, expected.shape), expected)


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(errors.IngotError, match="Q8_K"):
        quant.encode(np.zeros(256, np.float32), "Q8_K")


def test_importance_must_fit() -> None:
    rows = np.ones((2, 64), np.float32)
    with pytest.raises(errors.ArgumentError, match=r"shape \(32,\), expected \(64,\)"):
        quant.encode(rows, "Q4_0", np.ones(32))
    with pytest.raises(errors.ArgumentError, match="importance of column 3 is -1"):
        quant.encode(rows, "Q4_0", np.where(np.arange(64) == 3, -1.0, 1.0))


def test_table_of_types_is_complete() -> None:
    rows = (HERE / "README.md").read_text()
    assert [name for name in TYPES if f"| {name} |" not in rows] == []
