"""Reading safetensors files.

A file is the length of a header (8 bytes, little-endian), the header (JSON: for each tensor its
type, its shape and where its data begins and ends), and the data. The package of that name isn't
used: its numpy interface has no BF16, which most checkpoints are made of.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors

_MAX_HEADER = 100 << 20  # what the format's own reader takes
# BF16: the upper halves of float32.
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "u1",
}
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Stored:
    """A tensor of a checkpoint, in its file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int

    def map(self) -> npt.NDArray[Any]:
        """The numbers, mapped; BF16 as uint16."""
        if self.dtype not in _DTYPES:
            raise errors.UnsupportedError(
                f"{self.path}: tensor '{self.name}' is {self.dtype}, expected {', '.join(FLOATS)}; "
                "convert the checkpoint that was not quantised"
            )
        if math.prod(self.shape) == 0:
            return np.empty(self.shape, _DTYPES[self.dtype])
        return np.memmap(self.path, _DTYPES[self.dtype], "r", self.offset, self.shape)


def read(path: Path) -> list[Stored]:
    """The tensors of a file, in the header's order."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _MAX_HEADER):
                raise errors.FormatError(
                    f"{path}: {size} bytes can't hold a header of {length}: the file was cut off, "
                    "or is no safetensors file; fetch it again"
                )
            text = file.read(length)
    except FileNotFoundError as e:
        raise errors.MissingFileError.of(f"{path} is missing; fetch it", e) from None
    except OSError as e:
        raise errors.FileError.of(f"{path}: {e.strerror}", e) from None
    try:
        header = json.loads(text)
        rows = [(name, row) for name, row in header.items() if name != "__metadata__"]
    except (ValueError, AttributeError, RecursionError) as e:
        raise errors.FormatError(f"{path}: the header is no JSON object: {e}") from None
    return [_stored(path, name, row, 8 + length, size) for name, row in rows]


def _stored(path: Path, name: str, row: Any, start: int, size: int) -> Stored:
    where = f"{path}: tensor '{name}'"
    try:
        dtype, shape, (begin, end) = row["dtype"], tuple(row["shape"]), row["data_offsets"]
        sound = all(type(n) is int and n >= 0 for n in (*shape, begin, end)) and begin <= end
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound or not isinstance(dtype, str):
        raise errors.FormatError(f"{where}: expected dtype, shape and data_offsets, found {row}")
    if start + end > size:
        raise errors.FormatError(
            f"{where} ends at byte {start + end} of {size}: the file was cut off; fetch it again"
        )
    width = np.dtype(_DTYPES[dtype]).itemsize if dtype in _DTYPES else None
    if width is not None and math.prod(shape) * width != end - begin:
        raise errors.FormatError(
            f"{where}: {dtype} numbers of shape {list(shape)} take {math.prod(shape) * width} "
            f"bytes, found {end - begin}"
        )
    return Stored(name, dtype, shape, path, start + begin)


def widen(data: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    """Numbers of a checkpoint as float32."""
    if dtype != "BF16":
        return data.astype(np.float32)
    bits = data.astype(np.uint32) << 16
    floats: npt.NDArray[np.float32] = bits.view(np.float32)
    return floats
