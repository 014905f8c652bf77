"""Writes quants.bin, the small golden set of tensor types, from the large one of ../shared.

    python tests/golden/make_quants.py [SHARED]

The large set (bytes, and what they decode to) was made by llama.cpp. Of every type this keeps some
weights of a Gaussian row and some of a heavy-tailed one. The types that it lacks are plain numbers,
whose values numpy gives; of Q8_1 it holds the bytes alone, and numpy multiplies codes by scales.

The file is a run of records, little-endian:
    char name[16]; uint32 weights, bytes, sources;
    uint8 encoded[bytes]; float32 decoded[weights]; float32 source[sources];
where `source` (the floats that `encoded` was made of) is kept for types that have an encoder.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
ENCODED = ("F32", "F16", "BF16", "Q4_0", "Q8_0")  # those that keep their source
PLAIN = {"F32": "<f4", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}

Record = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.float32]]


def plain(dtype: str) -> Record:
    """Random numbers of `dtype` and its extremes."""
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        values = (rng.standard_normal(64) * 10.0 ** rng.integers(-30, 30, 64)).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min, limits.max, 64, dtype=dtype, endpoint=True)
        values[:3] = limits.min, limits.max, 0
    floats = values.astype(np.float32)
    return values.view(np.uint8), floats, floats


def from_shared(path: Path) -> Record:
    data = np.load(path)
    n_weights = data["x"].shape[1]
    keep = 256 if path.stem.endswith("_K") or path.stem[:2] in ("IQ", "TQ") else 128
    parts: list[Record] = []
    second = ("noimat",) if path.stem in ENCODED else ("imat", "noimat")
    for row, variants in ((0, ("noimat", "imat")), (8, second)):
        variant = next(v for v in variants if f"bytes_{v}" in data)
        encoded = data[f"bytes_{variant}"][row]
        encoded = encoded[: len(encoded) * keep // n_weights]
        if f"deq_{variant}" in data:
            decoded = data[f"deq_{variant}"][row, :keep]
        else:  # Q8_1: a half scale, a half sum, 32 codes
            blocks = encoded.reshape(-1, 36)
            scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
            decoded = (scales * blocks[:, 4:].view(np.int8).astype(np.float32)).ravel()
        parts.append((encoded, decoded, data["x"][row, :keep]))
    encoded, decoded, source = (np.concatenate(part) for part in zip(*parts, strict=True))
    return encoded, decoded, source


def main() -> None:
    shared = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[2] / "shared")
    records = {name: plain(dtype) for name, dtype in PLAIN.items()}
    records |= {p.stem: from_shared(p) for p in sorted((shared / "golden/quants").glob("*.npz"))}
    with (HERE / "quants.bin").open("wb") as out:
        for name, (encoded, decoded, source) in records.items():
            kept = source[: len(source) if name in ENCODED else 0]
            out.write(struct.pack("<16sIII", name.encode(), len(decoded), len(encoded), len(kept)))
            out.write(encoded.tobytes() + decoded.tobytes() + kept.tobytes())


if __name__ == "__main__":
    main()
