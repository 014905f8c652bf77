"""Products of a matrix's input columns, by windows of columns, and how they are kept in files.

Sums of products are float32 [experts or 1, columns, 256]: row i holds those of column i with the
columns of its window, which begins at column i // 256 * 256, and zeros for what would lie behind
the last column. A file has them as correlations in float16: divided by the roots of both columns'
sums of squares.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ingot._native import lib

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
Doubles = npt.NDArray[np.float64]

WINDOW: int = lib.INGOT_WINDOW


def _roots(sums: Doubles) -> tuple[Floats, Floats]:
    """Of the columns' sums, and of those of their windows' columns: [..., columns, 1 and 256]."""
    columns = sums.shape[1]
    padded = np.zeros((len(sums), -(-columns // WINDOW) * WINDOW), np.float32)
    padded[:, :columns] = np.sqrt(sums)
    windows = np.repeat(padded.reshape(len(sums), -1, WINDOW), WINDOW, axis=1)[:, :columns]
    return padded[:, :columns, None], windows


def from_moments(sums: Doubles, moments: Floats) -> Halves:
    own, others = _roots(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = moments / own / others
    found[~np.isfinite(found)] = 0  # of columns that never had anything
    halves: Halves = np.clip(found, -1, 1).astype(np.float16)
    return halves


def to_moments(sums: Doubles, correlations: Halves) -> Floats:
    own, others = _roots(sums)
    return correlations * own * others
