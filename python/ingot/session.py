"""Sessions: what a model has computed of a text, kept in a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingot._lib import Handle, check, path_bytes
from ingot._native import ffi, lib

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Session:
    """tokens    the text that was saved
    n_known   how many of them, from the first one on, needn't be computed again
    """

    tokens: list[int]
    n_known: int


def save(engine: Handle, path: str | os.PathLike[str], tokens: npt.NDArray[np.int32]) -> int:
    n_saved = ffi.new("size_t *")
    with engine as native:
        data = ffi.from_buffer("int32_t[]", tokens)
        check(lib.ingot_engine_save, native, data, len(tokens), path_bytes(path), n_saved)
    return int(n_saved[0])


def load(engine: Handle, path: str | os.PathLike[str], n_ctx: int) -> Session:
    tokens = ffi.new("int32_t[]", n_ctx)
    n, n_known = ffi.new("size_t *"), ffi.new("size_t *")
    with engine as native:
        check(lib.ingot_engine_restore, native, path_bytes(path), tokens, n_ctx, n, n_known)
    return Session(ffi.unpack(tokens, n[0]), int(n_known[0]))
