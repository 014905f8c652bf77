"""Writing GGUF files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import Handle, check, integer, path_bytes, runtime, utf8
from ingot._native import ffi, lib
from ingot.gguf.values import NativeValue
from ingot.quant import TensorType, encode, type_by_name

_PIECE_WEIGHTS = 1 << 20  # written at a time
_OWN_TYPES = {"float32": "F32", "float16": "F16", "float64": "F64"} | {
    f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)
}


class Writer:
    """A GGUF file being written; it appears under its name when ``close`` succeeded.

    Metadata is written at once; tensors are kept by reference until ``close``, or made then
    (``add_stream``). As a context manager an exception inside the block leaves no file.
    ``max_split_bytes`` starts a new file of a split before tensor data exceeds it; ``path`` is then
    the stem of NAME-00001-of-0000N.gguf.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        alignment: int | None = None,
        max_split_bytes: int | None = None,
    ) -> None:
        params = ffi.new("ingot_gguf_writer_params *")
        for name, value in (("alignment", alignment), ("max_split_bytes", max_split_bytes)):
            if value is not None:
                setattr(params, name, integer(name, value, 1, 2**64 - 1))
        self._pieces: list[Callable[[], Iterator[npt.NDArray[Any]]]] = []
        shared = runtime()
        out = ffi.new("ingot_gguf_writer **")
        self._writer = Handle(out, lib.ingot_gguf_writer_abort, "GGUF writer", shared)
        with self._writer, shared as native:
            check(lib.ingot_gguf_writer_new, native, path_bytes(path), params, out)

    def add(self, key: str, value: object, type: str | None = None) -> None:  # noqa: A002
        """Adds a metadata entry: a number, bool, str or bytes, an array of those, or of arrays.

        Without ``type`` ints become uint32 (int32, uint64 or int64 where they don't fit), floats
        float32; numpy values keep their type. ``type`` is that of the value, or of an array's
        items: "uint8" to "int64", "float32", "float64", "bool" or "string".
        """
        native = NativeValue(key, value, type)
        with self._writer as writer:
            check(lib.ingot_gguf_writer_kv, writer, _name(key), native.pointer)

    def add_tensor(
        self,
        name: str,
        array: npt.ArrayLike,
        type: str | None = None,  # noqa: A002
        *,
        shape: Sequence[int] | None = None,
    ) -> None:
        """Adds a tensor.

        Without ``type`` the array's own is written: float32, float16, float64, int8 to int64. With
        one, an array of floats is encoded to it when the file is written. A uint8 array is taken
        for data that is already encoded: rows of bytes, or, with the weights' ``shape`` (rows
        first), any layout of them.
        """
        data = np.asarray(array).view()
        if data.ndim == 0:
            raise errors.ArgumentError(f"tensor {name}: a scalar is no tensor")
        own = _OWN_TYPES.get(data.dtype.name)
        if type is None and own is None:
            raise errors.ArgumentError(f"tensor {name}: an array of {data.dtype} needs type=")
        kind = type_by_name(type or own or "")
        if data.dtype == np.uint8:
            dims = _encoded_shape(name, data, kind, shape)
        elif shape is not None:
            raise errors.ArgumentError(f"tensor {name}: shape= goes with encoded data (uint8)")
        elif kind.name != own and not (data.dtype.kind == "f" and kind.can_encode):
            raise errors.ArgumentError(
                f"tensor {name}: {data.dtype} can't be encoded to {kind.name}"
            )
        else:
            dims = data.shape
            kind.row_bytes(dims[-1])
        self._declare(name, kind, dims)
        self._pieces.append(lambda: _pieces(name, data, kind))

    def add_stream(
        self,
        name: str,
        shape: Sequence[int],
        type: str,  # noqa: A002
        make: Callable[[], Iterable[npt.NDArray[Any]]],
    ) -> None:
        """Adds a tensor of ``shape`` (rows first) whose data is made when the file is written.

        The arrays that ``make`` yields are its rows in order, any number of them at a time: floats,
        which are encoded to ``type``, or uint8, which are taken for rows that already are.
        """
        kind = type_by_name(type)
        kind.row_bytes(shape[-1])
        self._declare(name, kind, shape)
        self._pieces.append(lambda: (p for data in make() for p in _pieces(name, data, kind)))

    def _declare(self, name: str, kind: TensorType, shape: Sequence[int]) -> None:
        native = ffi.new("uint64_t[]", list(reversed(shape)))
        with self._writer as writer:
            check(lib.ingot_gguf_writer_tensor, writer, _name(name), kind.id, len(shape), native)

    def close(self) -> None:
        """Writes the tensors and puts the file in its place; closing again does nothing."""
        if self._writer.closed:
            return
        try:
            with self._writer as writer:
                for make in self._pieces:
                    for piece in make():
                        memory = ffi.from_buffer(piece)
                        check(lib.ingot_gguf_writer_data, writer, memory, piece.nbytes)
        except BaseException:
            self.abort()
            raise
        self._pieces.clear()
        self._writer.close(lambda writer: check(lib.ingot_gguf_writer_finish, writer))

    def abort(self) -> None:
        """Drops the unfinished file."""
        self._pieces.clear()
        self._writer.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _encoded_shape(
    name: str, data: npt.NDArray[Any], kind: TensorType, shape: Sequence[int] | None
) -> tuple[int, ...]:
    """The shape in weights of encoded data."""
    if shape is None:
        return (*data.shape[:-1], kind.row_width(data.shape[-1]))
    expected = kind.array_bytes(shape)
    if data.nbytes != expected:
        raise errors.ArgumentError(
            f"tensor {name}: {kind.name} weights of shape {tuple(shape)} take {expected} bytes, "
            f"got {data.nbytes}"
        )
    return tuple(shape)


def _pieces(name: str, data: npt.NDArray[Any], kind: TensorType) -> Iterator[npt.NDArray[Any]]:
    """The bytes to write, some rows at a time."""
    plain = data.dtype == np.uint8 or _OWN_TYPES.get(data.dtype.name) == kind.name
    rows = data.reshape(-1, data.shape[-1])
    step = max(1, _PIECE_WEIGHTS // max(1, data.shape[-1]))
    for begin in range(0, len(rows), step):
        piece = rows[begin : begin + step]
        piece = np.ascontiguousarray(piece, piece.dtype.newbyteorder("<"))
        try:
            yield piece if plain else np.frombuffer(encode(piece, kind.name), np.uint8)
        except errors.ArgumentError as e:
            raise errors.ArgumentError(f"tensor {name}: {e}") from None


def _name(name: str) -> bytes:
    if "\0" in name:
        raise errors.ArgumentError(f"the name {name!r} holds a NUL byte")
    return utf8(name)
