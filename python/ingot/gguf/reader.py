"""Reading GGUF files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import (
    Handle,
    Progress,
    check,
    check_opening,
    path_bytes,
    raw,
    runtime,
    utf8,
    watched,
)
from ingot._native import ffi, lib
from ingot.closing import Closing
from ingot.gguf.values import Metadata, view
from ingot.quant import decode, type_by_id, type_by_name

_PLAIN = {
    "F32": "<f4",
    "F16": "<f2",
    "F64": "<f8",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
}


class Tensor:
    """A tensor of an open file. ``shape`` is numpy's: rows first, row length last."""

    def __init__(self, owner: Handle, native: Any) -> None:
        self._owner, self._native = owner, native
        self.name = raw(native.name).decode("utf-8", "surrogateescape")
        self.type = type_by_id(native.type).name
        self.shape: tuple[int, ...] = tuple(native.shape[i] for i in reversed(range(native.n_dims)))
        self.nbytes = int(native.bytes)
        self.split = int(native.split)
        self.offset = int(native.offset)

    @property
    def data(self) -> npt.NDArray[Any]:
        """The data, read-only, without a copy.

        F32, F16, F64 and integers: an array of ``shape``. Other types: uint8, whose last axis is
        the bytes of a row. The array stays valid after the file was closed. If the file is cut off
        while it is mapped, the array's missing part reads as 0: ``Reader.check`` tells.
        """
        kind = type_by_name(self.type)
        dtype = np.dtype(_PLAIN.get(kind.name, "u1"))
        shape = self.shape
        if kind.name not in _PLAIN:
            shape = (*shape[:-1], kind.row_bytes(shape[-1]))
        with self._owner as file:
            check(lib.ingot_gguf_check, file)
            if self._native.data == ffi.NULL:
                if self.nbytes:
                    raise errors.StateError(
                        f"tensor {self.name}: the file was opened with data=False"
                    )
                return np.empty(shape, dtype)
            count = self.nbytes // dtype.itemsize
            return view(self._owner, self._native.data, dtype, count).reshape(shape)

    def dequantize(self) -> npt.NDArray[np.float32]:
        """The weights as float32, an array of ``shape`` of its own."""
        data = self.data
        plain = self.type in _PLAIN
        weights = data.astype(np.float32) if plain else decode(data, self.type, self.shape)
        with self._owner as file:
            check(lib.ingot_gguf_check, file)  # again: it may have been cut off meanwhile
        return weights

    def __repr__(self) -> str:
        return f"Tensor({self.name!r}, {self.type}, shape={self.shape})"


class Tensors(Mapping[str, Tensor]):
    """The tensors of an open file by name, in the file's order."""

    def __init__(self, owner: Handle) -> None:
        self._owner = owner

    def __getitem__(self, name: str) -> Tensor:
        key = utf8(name)
        with self._owner as file:
            found = ffi.NULL if b"\0" in key else lib.ingot_gguf_find_tensor(file, key)
            if found == ffi.NULL:
                raise KeyError(name)
            return Tensor(self._owner, found)

    def __len__(self) -> int:
        with self._owner as file:
            return int(lib.ingot_gguf_tensor_count(file))

    def __iter__(self) -> Iterator[str]:
        with self._owner as file:
            names = [
                raw(lib.ingot_gguf_tensor_at(file, i).name).decode("utf-8", "surrogateescape")
                for i in range(lib.ingot_gguf_tensor_count(file))
            ]
        return iter(names)


class Reader(Closing):
    """A GGUF file (the first of a split: all its files) opened for reading.

    ``metadata`` and ``tensors`` are mappings. Arrays taken from them keep the file's memory alive,
    so they outlive ``close``. ``mmap=False`` reads the tensors' data into memory, ``data=False``
    reads none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mmap: bool = True,
        data: bool = True,
        progress: Progress | None = None,
    ) -> None:
        self.path = os.fspath(path)
        params = ffi.new("ingot_gguf_params *", {"no_map": not mmap, "no_data": not data})
        self._file = _open(path_bytes(path), params, progress)
        self.metadata = Metadata(self._file, lambda file: file)
        self.tensors = Tensors(self._file)

    @property
    def version(self) -> int:
        with self._file as file:
            return int(lib.ingot_gguf_version(file))

    @property
    def alignment(self) -> int:
        with self._file as file:
            return int(lib.ingot_gguf_alignment(file))

    @property
    def n_files(self) -> int:
        """How many files the split has; 1 if it is none."""
        with self._file as file:
            return int(lib.ingot_gguf_split_count(file))

    def check(self) -> None:
        """Raises FileError if the file was cut off since it was opened; the rest reads as 0."""
        with self._file as file:
            check(lib.ingot_gguf_check, file)

    def close(self) -> None:
        self._file.close()


def _open(path: bytes, params: Any, report: Progress | None) -> Handle:
    shared = runtime()
    made = Handle(ffi.new("ingot_gguf **"), lib.ingot_gguf_close, "GGUF file", shared)
    with made, shared as native, watched(report) as (function, user):
        check_opening(path, lib.ingot_gguf_open, native, path, params, function, user, made.out)
    return made
