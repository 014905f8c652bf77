"""Where the golden data lies, and what the golden tests compare with."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent

Floats = npt.NDArray[np.float32]


def same_bits(a: Floats, b: Floats) -> bool:
    """Equal as float32 bits; a NaN equals every NaN."""
    a, b = a.ravel(), b.ravel()
    nan = np.isnan(a)
    numbers = a.view(np.uint32)[~nan], b.view(np.uint32)[~nan]
    return np.array_equal(nan, np.isnan(b)) and np.array_equal(*numbers)


def nmse(a: Floats, reference: Floats) -> float:
    """The mean squared error, normalised: sum((a - r)^2) / sum(r^2)."""
    r = reference.astype(np.float64)
    return float(((a.astype(np.float64) - r) ** 2).sum() / (r**2).sum())


def quant_records() -> dict[str, tuple[npt.NDArray[np.uint8], Floats, Floats]]:
    """quants.bin (make_quants.py describes it): type -> encoded, decoded, source (may be empty)."""
    image = (HERE / "quants.bin").read_bytes()
    records = {}
    at = 0
    while at < len(image):
        name, weights, size, sources = struct.unpack_from("<16sIII", image, at)
        at += 28
        encoded = np.frombuffer(image, np.uint8, size, at)
        decoded = np.frombuffer(image, "<f4", weights, at + size)
        source = np.frombuffer(image, "<f4", sources, at + size + 4 * weights)
        at += size + 4 * (weights + sources)
        records[name.rstrip(b"\0").decode()] = (encoded, decoded, source)
    return records
