"""Tensor types, and weights to bytes and back: how the weights of a GGUF file are encoded.

>>> from ingot import quant
>>> data = quant.encode([[0.5, -1.0] * 16], "Q8_0")
>>> len(data), quant.decode(data, "Q8_0", (1, 32)).shape
(34, (1, 32))
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import check, integer, runtime, utf8
from ingot._native import ffi, lib

_ID_LIMIT = 256  # ids are small; those that no type has are skipped
_DIM_LIMIT = 2**63 - 1

Encoded: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[Any]


@dataclass(frozen=True)
class TensorType:
    """A way to encode weights: blocks of ``block_size`` of a row take ``block_bytes``.
    ``has_feedback``: encoding heeds ``moments``."""

    id: int
    name: str
    block_size: int
    block_bytes: int
    can_encode: bool
    has_feedback: bool

    def row_bytes(self, width: int) -> int:
        """What a row of ``width`` weights takes."""
        if width % self.block_size:
            raise errors.ArgumentError(
                f"{self.name} encodes blocks of {self.block_size} weights: {width} is no multiple"
            )
        return width // self.block_size * self.block_bytes

    def array_bytes(self, shape: Sequence[int]) -> int:
        """What weights of ``shape`` take, rows first and the width of a row last."""
        if not shape:
            raise errors.ArgumentError(
                "a scalar has no rows: the shape is (), expected (..., row width)"
            )
        return self.row_bytes(shape[-1]) * math.prod(shape[:-1])

    def row_width(self, row_bytes: int) -> int:
        """How many weights a row of ``row_bytes`` holds."""
        if row_bytes % self.block_bytes:
            raise errors.ArgumentError(
                f"a block of {self.name} takes {self.block_bytes} bytes: {row_bytes} is no multiple"
            )
        return row_bytes // self.block_bytes * self.block_size


def _from_native(info: Any) -> TensorType:
    name = ffi.string(info.name).decode("ascii")
    numbers = info.id, name, info.block_size, info.block_bytes
    return TensorType(*numbers, info.can_encode, info.has_feedback)


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


def encode(
    x: npt.ArrayLike,
    type: str,  # noqa: A002
    importance: npt.ArrayLike | None = None,
    moments: npt.ArrayLike | None = None,
) -> bytes:
    """Encodes weights, float32 [..., row width], to rows of ``type``, one after the other.

    ``importance`` [row width] says how much a squared error of each column matters: finite numbers
    that aren't negative. ``moments`` [row width, 256] are means of products of the columns that the
    weights will be multiplied with, each with those of its window of 256: errors of a row's weights
    then make up for each other, if the type has a code for each weight. The bytes don't depend on
    the number of threads.
    """
    kind = type_by_name(type)
    rows = np.asarray(x, np.float32, order="C")
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
    out = bytearray(kind.array_bytes(rows.shape))
    with runtime() as native, _feedback(native, moments, rows.shape[-1]) as feedback:
        check(
            lib.ingot_encode,
            native,
            kind.id,
            ffi.from_buffer("float[]", rows),
            rows.size // max(rows.shape[-1], 1),
            rows.shape[-1],
            weights,
            feedback,
            ffi.from_buffer(out, require_writable=True),
        )
    return bytes(out)


@contextmanager
def _feedback(native: Any, moments: npt.ArrayLike | None, width: int) -> Iterator[Any]:
    if moments is None:
        yield ffi.NULL
        return
    products = np.ascontiguousarray(moments, np.float32)
    if products.shape != (width, lib.INGOT_WINDOW):
        raise errors.ArgumentError(
            f"moments have shape {products.shape}, expected {(width, lib.INGOT_WINDOW)}"
        )
    out = ffi.new("ingot_feedback **")
    check(lib.ingot_feedback_new, native, ffi.from_buffer("float[]", products), width, out)
    try:
        yield out[0]
    finally:
        lib.ingot_feedback_free(native, out[0])


def decode(
    data: Encoded,
    type: str,  # noqa: A002
    shape: Sequence[int],
) -> npt.NDArray[np.float32]:
    """Decodes rows of ``type`` that lie one after the other to float32 of ``shape``, rows first.

    ``data`` is anything that holds bytes in one piece: bytes, a memory view, an array.
    """
    kind = type_by_name(type)
    dims = tuple(integer("a number in shape", n, 0, _DIM_LIMIT) for n in shape)
    try:
        memory = ffi.from_buffer(data)
    except (TypeError, ValueError, BufferError) as e:
        raise errors.ArgumentError(f"data holds no bytes in one piece: {e}") from None
    expected, found = kind.array_bytes(dims), len(memory)
    if found != expected:
        raise errors.ArgumentError(
            f"{kind.name} weights of shape {dims} take {expected} bytes, got {found}"
        )
    out = np.empty(dims, np.float32)
    with runtime() as native:
        check(
            lib.ingot_decode,
            native,
            kind.id,
            memory,
            out.size,
            ffi.from_buffer("float[]", out, require_writable=True),
        )
    return out
