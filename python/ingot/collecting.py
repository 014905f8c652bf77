"""What a model's matrices were multiplied with: sums of squares, by column of their inputs, and of
products of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import Handle, check, text
from ingot._native import ffi, lib
from ingot.correlations import WINDOW, Floats

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Collected:
    """Of a tensor's inputs: the squares summed over tokens, [experts or 1, columns], and of how
    many tokens they are, [experts or 1]. ``moments``: sums of products of columns, as
    ``ingot.correlations`` lays them out, of a model opened with ``moments``. Tensors with the same
    input have the same arrays."""

    sums: Doubles
    counts: Counts
    moments: Floats | None


def read(model: Handle, moments: bool) -> dict[str, Collected]:
    """By tensor, those that were multiplied at all."""
    info = ffi.new("ingot_collected *")
    found: dict[str, Collected] = {}
    inputs: dict[int, Collected] = {}
    with model as native:
        i = 0
        while True:
            try:
                check(lib.ingot_model_collected, native, i, info)
            except errors.NotFoundError:
                return found
            if info.input >= 0:
                if info.input not in inputs:
                    inputs[info.input] = _read_one(native, i, info, moments)
                if inputs[info.input].counts.any():
                    found[text(info.tensor)] = inputs[info.input]
            i += 1


def _read_one(native: Any, i: int, info: Any, with_moments: bool) -> Collected:
    sums = np.empty((info.matrices, info.width), np.float64)
    counts = np.empty(len(sums), np.uint64)
    memory = (ffi.from_buffer("double[]", sums), ffi.from_buffer("uint64_t[]", counts))
    check(lib.ingot_model_collected_read, native, i, *memory)
    moments = None
    if with_moments:
        moments = np.empty((info.matrices, info.width, WINDOW), np.float32)
        products = ffi.from_buffer("float[]", moments)
        check(lib.ingot_model_collected_moments, native, i, products)
    return Collected(sums, counts, moments)


def clear(model: Handle) -> None:
    with model as native:
        check(lib.ingot_model_collected_clear, native)
