"""Tensor types: how the weights of a GGUF file are encoded."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import check, runtime, utf8
from ingot._native import ffi, lib

_ID_LIMIT = 256  # ids are small; those that no type has are skipped


@dataclass(frozen=True)
class TensorType:
    """A way to encode weights: blocks of ``block_size`` of a row take ``block_bytes``."""

    id: int
    name: str
    block_size: int
    block_bytes: int
    can_encode: bool

    def row_bytes(self, width: int) -> int:
        """What a row of ``width`` weights takes."""
        if width % self.block_size:
            raise errors.ArgumentError(
                f"{self.name} encodes blocks of {self.block_size} weights: {width} is no multiple"
            )
        return width // self.block_size * self.block_bytes

    def row_width(self, row_bytes: int) -> int:
        """How many weights a row of ``row_bytes`` holds."""
        if row_bytes % self.block_bytes:
            raise errors.ArgumentError(
                f"a block of {self.name} takes {self.block_bytes} bytes: {row_bytes} is no multiple"
            )
        return row_bytes // self.block_bytes * self.block_size


def _from_native(info: Any) -> TensorType:
    name = ffi.string(info.name).decode("ascii")
    return TensorType(info.id, name, info.block_size, info.block_bytes, info.can_encode)


@functools.cache
def type_by_id(type_id: int) -> TensorType:
    info = ffi.new("ingot_type_info *")
    check(lib.ingot_type_get, type_id, info)
    return _from_native(info)


@functools.cache
def type_by_name(name: str) -> TensorType:
    """The type called ``name``, in any case."""
    info = ffi.new("ingot_type_info *")
    check(lib.ingot_type_find, utf8(name), info)
    return _from_native(info)


def types() -> dict[str, TensorType]:
    """All tensor types by name, in the order of their ids."""
    found: dict[str, TensorType] = {}
    for type_id in range(_ID_LIMIT):
        try:
            found[type_by_id(type_id).name] = type_by_id(type_id)
        except errors.NotFoundError:
            continue
    return found


def dequantize(data: npt.NDArray[np.uint8], type: str) -> npt.NDArray[np.float32]:  # noqa: A002
    """Decodes encoded rows, uint8 [..., row bytes], to float32 [..., row width]."""
    kind = type_by_name(type)
    rows = np.asarray(data, order="C")
    if rows.dtype != np.uint8 or rows.ndim == 0:
        raise errors.ArgumentError(
            f"expected an array of uint8 rows, got {rows.dtype} {rows.shape}"
        )
    out = np.empty((*rows.shape[:-1], kind.row_width(rows.shape[-1])), np.float32)
    check(
        lib.ingot_decode,
        kind.id,
        ffi.from_buffer(rows),
        out.size,
        ffi.from_buffer("float[]", out, require_writable=True),
    )
    return out


def quantize(
    data: npt.ArrayLike,
    type: str,  # noqa: A002
    importance: npt.ArrayLike | None = None,
) -> npt.NDArray[np.uint8]:
    """Encodes float32 [..., row width] to rows of ``type``, uint8 [..., row bytes].

    ``importance`` [row width] says how much a squared error of each column matters.
    """
    kind = type_by_name(type)
    rows = np.asarray(data, np.float32, order="C")
    if rows.ndim == 0:
        raise errors.ArgumentError("expected an array of rows, got a scalar")
    if kind.block_size > 1 and not np.isfinite(rows).all():
        raise errors.ArgumentError(f"{kind.name} has no code for NaN and infinity, which are there")
    weights = ffi.NULL
    if importance is not None:
        columns = np.ascontiguousarray(importance, np.float32)
        if columns.shape != rows.shape[-1:]:
            raise errors.ArgumentError(
                f"importance has shape {columns.shape}, expected {rows.shape[-1:]}"
            )
        weights = ffi.from_buffer("float[]", columns)
    out = np.empty((*rows.shape[:-1], kind.row_bytes(rows.shape[-1])), np.uint8)
    with runtime() as native:
        check(
            lib.ingot_encode,
            native,
            kind.id,
            ffi.from_buffer("float[]", rows),
            rows.size // max(rows.shape[-1], 1),
            rows.shape[-1],
            weights,
            ffi.from_buffer(out, require_writable=True),
        )
    return out
