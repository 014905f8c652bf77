"""Importance matrices: how much each column of a model's matrices matters; and their files.

The files are llama.cpp's.

GGUF: ``general.type`` is "imatrix"; of a tensor called NAME there are ``NAME.in_sum2`` (F32,
[experts or 1, columns]: squares of what its columns were multiplied with, summed over tokens) and
``NAME.counts`` (F32, [experts or 1, 1]: of how many tokens). ``imatrix.datasets`` are names of the
texts, ``imatrix.chunk_count`` and ``imatrix.chunk_size`` say how much of them was used. With our
own ``imatrix.ingot.model`` and ``imatrix.ingot.tokens``, hashes of what it was collected from, a
file can be continued; others may ignore them. The same holds for ``NAME.in_correlations`` (F16,
[experts or 1, columns, 256]: ``ingot.correlations``), which encoders with feedback of errors need;
``imatrix.ingot.input.NAME`` names the tensor that has those of NAME too.

"dat", the older form, little-endian: int32 n; n times int32 size, name, int32 calls, int32
values, float32 [values], which are means of squares times ``calls``, the number of chunks; then
int32 chunks, int32 size, name of the text.
"""

from __future__ import annotations

import math
import os
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot.correlations import WINDOW, Floats, from_moments, to_moments
from ingot.gguf.reader import Reader
from ingot.gguf.writer import Writer

Doubles = npt.NDArray[np.float64]

FORMATS = ("gguf", "dat")
_SUMS, _COUNTS, _CORRELATIONS = ".in_sum2", ".counts", ".in_correlations"
_INPUT = "imatrix.ingot.input."
_KEYS = ("imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size")
_OWN_KEYS = ("imatrix.ingot.model", "imatrix.ingot.tokens")
_NAME_LIMIT = 1 << 12


@dataclass(frozen=True)
class Origin:
    """Hashes of what it was collected from: the model, the chunks' tokens."""

    model: str
    tokens: str


def check_format(name: str) -> None:
    if name not in FORMATS:
        raise errors.ArgumentError(f"format is {name!r}; expected one of {', '.join(FORMATS)}")


@dataclass(eq=False, repr=False)
class Imatrix:
    """Sums of squares of what each tensor was multiplied with, [experts or 1, columns], and of how
    many tokens they are, [experts or 1]. ``moments``: sums of products of columns as
    ``ingot.correlations`` has them, where they were collected; tensors with the same input share an
    array. ``datasets``: names of the texts. ``origin``: what it was collected from, None of what
    was merged or made elsewhere."""

    sums: dict[str, Doubles] = field(default_factory=dict)
    counts: dict[str, Doubles] = field(default_factory=dict)
    chunks: int = 0
    chunk_size: int = 512
    datasets: list[str] = field(default_factory=list)
    origin: Origin | None = None
    moments: dict[str, Floats] = field(default_factory=dict)

    def __repr__(self) -> str:
        used = f"{self.chunks} chunks of {self.chunk_size} tokens"
        return f"<ingot.Imatrix: {len(self.sums)} tensors, {used}>"

    def save(self, path: str | os.PathLike[str], format: str = "gguf") -> None:  # noqa: A002
        """Writes a file that llama-quantize reads: "gguf", or "dat" for its older versions, which
        has no place for ``moments``."""
        check_format(format)
        if format == "gguf":
            _save_gguf(self, path)
            return
        part = Path(f"{os.fspath(path)}.part")
        try:
            part.write_bytes(_dat(self))
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str], chunk_size: int = 512) -> Imatrix:
        """Reads a file of either format. That of "dat" doesn't say its ``chunk_size``, nor which
        columns are of which expert: those of all of them are one row."""
        with Path(path).open("rb") as file:
            is_gguf = file.read(4) == b"GGUF"
        if is_gguf:
            with Reader(path) as reader:
                return _from_gguf(reader)
        return _Dat(path, chunk_size).imatrix()

    def mean(self) -> dict[str, npt.NDArray[np.float32]]:
        """The importance of each tensor's columns, [experts or 1, columns]: the mean square of what
        they are multiplied with; 1 for experts that no token chose."""
        found = {}
        for name, sums in self.sums.items():
            counts = self.counts[name][:, None]
            means = np.where(counts > 0, sums / np.where(counts > 0, counts, 1), 1)
            found[name] = means.astype(np.float32)
        return found

    def merge(self, other: Imatrix) -> Imatrix:
        """Both together, as if their texts had been one."""
        sums, counts = dict(self.sums), dict(self.counts)
        for name in other.sums:
            ours, theirs = _alike(name, self, other)
            sums[name] = ours[0] + theirs[0]
            counts[name] = ours[1] + theirs[1]
        more = [name for name in other.datasets if name not in self.datasets]
        chunks = self.chunks + other.chunks * other.chunk_size // self.chunk_size
        moments = added(self.moments, other.moments)
        for name in self.sums.keys() & other.sums.keys():
            if name not in self.moments or name not in other.moments:
                moments.pop(name, None)  # they would be of some of the tokens only
        return Imatrix(sums, counts, chunks, self.chunk_size, self.datasets + more, moments=moments)


def added(one: dict[str, Floats], other: dict[str, Floats]) -> dict[str, Floats]:
    """The sums of what both have, with arrays shared as they are shared there; what one has alone
    stays as it is."""
    made: dict[tuple[int, int], Floats] = {}
    found = one | other
    for name in one.keys() & other.keys():
        pair = id(one[name]), id(other[name])
        if pair not in made:
            made[pair] = one[name] + other[name]
        found[name] = made[pair]
    return found


def _alike(
    name: str, one: Imatrix, other: Imatrix
) -> tuple[tuple[Doubles, Doubles], tuple[Doubles, Doubles]]:
    """The sums and counts of a tensor in both, in one shape: a row of a file that doesn't know of
    experts may be those of all of them."""
    theirs = other.sums[name], other.counts[name]
    if name not in one.sums:
        return (np.zeros_like(theirs[0]), np.zeros_like(theirs[1])), theirs
    ours = one.sums[name], one.counts[name]
    rows = max(len(ours[0]), len(theirs[0]))
    if ours[0].size != theirs[0].size or min(len(ours[0]), len(theirs[0])) not in (1, rows):
        raise errors.ArgumentError(
            f"tensor {name} has importance of shape {ours[0].shape} in one and {theirs[0].shape} "
            "in the other: they are of different models"
        )
    shaped = [
        (sums.reshape(rows, -1), np.broadcast_to(counts, rows)) for sums, counts in (ours, theirs)
    ]
    return shaped[0], shaped[1]


# --------------------------------------------------------------------------------------------- GGUF


def _save_gguf(found: Imatrix, path: str | os.PathLike[str]) -> None:
    with Writer(path) as out:
        out.add("general.type", "imatrix")
        out.add("imatrix.datasets", found.datasets, "string")
        out.add("imatrix.chunk_count", found.chunks, "uint32")
        out.add("imatrix.chunk_size", found.chunk_size, "uint32")
        if found.origin is not None:
            values = (found.origin.model, found.origin.tokens)
            for key, value in zip(_OWN_KEYS, values, strict=True):
                out.add(key, value)
        inputs: dict[int, str] = {}
        for name in sorted(found.moments):
            first = inputs.setdefault(id(found.moments[name]), name)
            if first != name:
                out.add(_INPUT + name, first)
        for name in inputs.values():
            correlations = from_moments(found.sums[name], found.moments[name])
            out.add_tensor(name + _CORRELATIONS, _unless_single(correlations))
        for name in sorted(found.sums):
            sums, counts = found.sums[name], found.counts[name]
            out.add_tensor(name + _SUMS, _unless_single(sums).astype(np.float32))
            out.add_tensor(name + _COUNTS, _unless_single(counts[:, None]).astype(np.float32))


def _unless_single(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One matrix has no dimension for it."""
    return array[0] if len(array) == 1 else array


def _from_gguf(file: Reader) -> Imatrix:
    kind = file.metadata.get("general.type")
    if kind != "imatrix":
        raise errors.FormatError(
            f"{file.path}: key 'general.type' is {kind!r}; expected 'imatrix', as ingot imatrix or "
            "llama-imatrix write it"
        )
    datasets, chunks, chunk_size = (file.metadata.get(key) for key in _KEYS)
    if not isinstance(datasets, list) or not all(isinstance(name, str) for name in datasets):
        raise errors.FormatError(f"{file.path}: key '{_KEYS[0]}' is no array of strings")
    for key, value in zip(_KEYS[1:], (chunks, chunk_size), strict=True):
        if type(value) is not int or value < (key == _KEYS[2]):
            raise errors.FormatError(f"{file.path}: key '{key}' is {value!r}; expected a number")
    own = [file.metadata.get(key) for key in _OWN_KEYS]
    origin = Origin(str(own[0]), str(own[1])) if None not in own else None
    sums, counts = {}, {}
    for name in file.tensors:
        if name.endswith(_SUMS):
            tensor = name.removesuffix(_SUMS)
            sums[tensor], counts[tensor] = _pair(file, tensor)
        elif name.removesuffix(_COUNTS).removesuffix(_CORRELATIONS) + _SUMS not in file.tensors:
            raise errors.FormatError(
                f"{file.path}: tensor '{name}' is no part of an importance matrix: '{_SUMS}' and "
                f"'{_COUNTS}' of a name were expected"
            )
    _check_any(file.path, sums)
    return Imatrix(
        sums,
        counts,
        int(str(chunks)),
        int(str(chunk_size)),
        datasets,
        origin,
        _moments(file, sums),
    )


def _moments(file: Reader, sums: dict[str, Doubles]) -> dict[str, Floats]:
    made: dict[str, Floats] = {}
    found = {}
    for name in sums:
        first = str(file.metadata.get(_INPUT + name, name))
        tensor = file.tensors.get(first + _CORRELATIONS)
        if tensor is None:
            continue
        shape = (*sums[name].shape, WINDOW)
        fits = first in sums and sums[first].shape == sums[name].shape
        if not fits or tensor.type != "F16" or tensor.data.size != math.prod(shape):
            raise errors.FormatError(
                f"{file.path}: tensor '{tensor.name}' is {tensor.type} of shape {tensor.shape}; "
                f"expected F16 of {shape}, as '{name}{_SUMS}' has it"
            )
        if first not in made:
            made[first] = to_moments(sums[first], tensor.data.reshape(shape))
        found[name] = made[first]
    file.check()
    return found


def _pair(file: Reader, tensor: str) -> tuple[Doubles, Doubles]:
    """The sums, [experts or 1, columns], and counts of a tensor."""
    arrays = []
    for name in (tensor + _SUMS, tensor + _COUNTS):
        if name not in file.tensors:
            raise errors.FormatError(f"{file.path}: tensor '{name}' is missing")
        found = file.tensors[name]
        if found.type != "F32":
            raise errors.FormatError(f"{file.path}: tensor '{name}' is {found.type}; expected F32")
        arrays.append(_checked(file.path, name, found.data))
    sums, counts = arrays[0].reshape(-1, arrays[0].shape[-1]), arrays[1].reshape(-1)
    if len(counts) != len(sums):
        raise errors.FormatError(
            f"{file.path}: tensor '{tensor}{_COUNTS}' has {len(counts)} numbers for the "
            f"{len(sums)} rows of '{tensor}{_SUMS}'"
        )
    file.check()
    return sums, counts


def _checked(path: str, name: str, numbers: npt.NDArray[Any]) -> Doubles:
    found = numbers.astype(np.float64)
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise errors.FormatError(f"{path}: '{name}' holds numbers that are negative or not finite")
    return found


def _check_any(path: str, sums: dict[str, Doubles]) -> None:
    if not sums:
        raise errors.FormatError(f"{path}: there is no importance of any tensor in it")


# ---------------------------------------------------------------------------------------------- dat


def _dat(found: Imatrix) -> bytes:
    parts = [struct.pack("<i", len(found.sums))]
    for name in sorted(found.sums):
        sums, counts = found.sums[name], found.counts[name]
        calls = max(1, -(-int(counts.max()) // found.chunk_size))
        # Experts that nobody chose matter as much as any, as when there is no importance matrix.
        means = np.where(counts > 0, sums.T / np.where(counts > 0, counts, 1), 1).T
        text = name.encode("utf-8", "surrogateescape")
        parts.append(struct.pack("<i", len(text)) + text + struct.pack("<2i", calls, sums.size))
        parts.append((means * calls).astype("<f4").tobytes())
    text = (found.datasets or [""])[-1].encode("utf-8", "surrogateescape")
    parts.append(struct.pack("<2i", found.chunks, len(text)) + text)
    return b"".join(parts)


class _Dat:
    """A file of the older form, read from front to end."""

    def __init__(self, path: str | os.PathLike[str], chunk_size: int) -> None:
        self._path, self._chunk_size = os.fspath(path), chunk_size
        self._data, self._at = Path(path).read_bytes(), 0

    def _take(self, size: int, what: str) -> bytes:
        if size < 0 or size > len(self._data) - self._at:
            raise errors.FormatError(
                f"{self._path}: {what} at byte {self._at} has {size} bytes, and "
                f"{len(self._data) - self._at} are left: no importance matrix, or cut off"
            )
        self._at += size
        return self._data[self._at - size : self._at]

    def _int(self, what: str, low: int, high: int) -> int:
        value = int.from_bytes(self._take(4, what), "little", signed=True)
        if not low <= value <= high:
            raise errors.FormatError(
                f"{self._path}: {what} at byte {self._at - 4} is {value}; expected {low} to "
                f"{high}: no importance matrix"
            )
        return value

    def _name(self, what: str, low: int) -> str:
        size = self._int(f"the size of {what}", low, _NAME_LIMIT)
        return self._take(size, what).decode("utf-8", "surrogateescape")

    def imatrix(self) -> Imatrix:
        sums, counts = {}, {}
        chunks = 0
        for _ in range(self._int("the number of tensors", 1, len(self._data) // 12)):
            name = self._name("a tensor's name", 1)
            calls = self._int(f"the calls of '{name}'", 1, 1 << 30)
            n = self._int(f"the number of columns of '{name}'", 1, len(self._data) // 4)
            numbers = np.frombuffer(self._take(4 * n, f"'{name}'"), "<f4")
            sums[name] = _checked(self._path, name, numbers)[None, :] * self._chunk_size
            counts[name] = np.array([calls * self._chunk_size], np.float64)
            chunks = max(chunks, calls)
        datasets = []
        if self._at < len(self._data):  # the oldest ones end here
            chunks = self._int("the number of chunks", 0, 1 << 30)
            datasets = [self._name("the text's name", 0)]
        if self._at < len(self._data):
            raise errors.FormatError(
                f"{self._path}: {len(self._data) - self._at} bytes are left behind its end at byte "
                f"{self._at}: no importance matrix"
            )
        return Imatrix(sums, counts, chunks, self._chunk_size, datasets)
