"""What a model said of a text, kept in a file for other models to be compared with.

The file begins with the 8 bytes ``MAGIC``, the size of a header (uint32) and the header, a JSON
object with the fields of ``Header``. Then there are rows, one for each scored token, those of a
window after each other, in the order of the text:

    float32 low, float32 step, uint16 code [n_vocab]

The logarithm of the probability of token i is ``low + step * code[i]``, but for rounding: the
reader makes the probabilities of a row sum to 1 again. All numbers are little-endian.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot.closing import Closing

MAGIC = b"INGOTLP1"
_LIMITS = {"n_vocab": 1 << 24, "n_ctx": 1 << 30, "n_chunks": 1 << 30}
_HEADER_LIMIT = 1 << 20

Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Header:
    """What the rows are of. ``tokens`` is the SHA-256 of the windows' tokens as int32, ``text``
    that of the text's bytes."""

    model: str
    n_vocab: int
    n_ctx: int
    n_chunks: int
    tokens: str
    text: str

    @property
    def rows(self) -> int:
        """Of a window."""
        return scored(self.n_ctx)


def scored(n_ctx: int) -> int:
    """How many tokens of a window are scored: those of its second half but the first."""
    return n_ctx - 1 - n_ctx // 2


def hash_of(data: bytes | Ids) -> str:
    plain = data if isinstance(data, bytes) else np.ascontiguousarray(data, "<i4").tobytes()
    return hashlib.sha256(plain).hexdigest()


def _row_type(n_vocab: int) -> np.dtype[Any]:
    return np.dtype([("low", "<f4"), ("step", "<f4"), ("codes", "<u2", (n_vocab,))])


class Rows:
    """Takes rows of logarithms of probabilities, [n, n_vocab], as they come."""

    def __init__(self, file: BinaryIO, n_vocab: int) -> None:
        self._file, self._type = file, _row_type(n_vocab)

    def add(self, logprobs: Doubles) -> None:
        rows = np.empty(len(logprobs), self._type)
        low = rows["low"] = logprobs.min(axis=1)
        step = rows["step"] = (logprobs.max(axis=1) - low) / 65535
        # By the numbers that are stored. A row of equal logits has no step.
        wide = (logprobs - low[:, None]) / np.where(step > 0, step, 1)[:, None]
        rows["codes"] = np.clip(np.rint(wide), 0, 65535)
        self._file.write(rows.tobytes())


@contextmanager
def writing(path: str | os.PathLike[str], header: Header) -> Iterator[Rows]:
    """A new file, which appears under its name when the block ends well."""
    part = Path(f"{os.fspath(path)}.part")
    text = json.dumps(dataclasses.asdict(header)).encode()
    try:
        with part.open("wb") as file:
            file.write(MAGIC + len(text).to_bytes(4, "little") + text)
            yield Rows(file, header.n_vocab)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


class Reader(Closing):
    """A file of rows, read in order."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._file = Path(path).open("rb")  # noqa: SIM115
        try:
            self.header = self._header()
            self._type = _row_type(self.header.n_vocab)
            n = self.header.n_chunks * self.header.rows
            expected = self._file.tell() + n * self._type.itemsize
            found = os.fstat(self._file.fileno()).st_size
            if found != expected:
                self._fail(f"{n} rows make {expected} bytes, and it has {found}: save it again")
        except BaseException:
            self.close()
            raise

    def _fail(self, problem: str) -> None:
        raise errors.FormatError(f"{self.path}: {problem}")

    def _header(self) -> Header:
        if self._file.read(len(MAGIC)) != MAGIC:
            self._fail("no file of logits: it must be made with --save-logits")
        size = int.from_bytes(self._file.read(4), "little")
        if size > _HEADER_LIMIT:
            self._fail(f"its header has {size} bytes; expected {_HEADER_LIMIT} at most")
        try:
            found = json.loads(self._file.read(size))
        except (ValueError, RecursionError) as e:
            raise errors.FormatError(f"{self.path}: its header is no JSON: {e}") from None
        names = [field.name for field in dataclasses.fields(Header)]
        if not isinstance(found, dict) or sorted(found) != sorted(names):
            self._fail(f"its header has no object with {', '.join(names)}")
        for name, value in found.items():
            if name not in _LIMITS:
                if not isinstance(value, str):
                    self._fail(f"field {name} of its header is no text")
            elif type(value) is not int or not 1 <= value <= _LIMITS[name]:
                self._fail(f"field {name} of its header is no integer from 1 to {_LIMITS[name]}")
        return Header(**found)

    def window(self) -> Iterator[Doubles]:
        """The logarithms of probabilities of the next window, some rows at a time."""
        left = self.header.rows
        step = tile(self.header.n_vocab)
        while left:
            n = min(step, left)
            data = self._file.read(n * self._type.itemsize)
            if len(data) != n * self._type.itemsize:
                self._fail("it ended early: it was cut off while it was read")
            rows = np.frombuffer(data, self._type)
            low, width = (rows[name].astype(np.float64)[:, None] for name in ("low", "step"))
            if not (np.isfinite(low).all() and np.isfinite(width).all()):
                self._fail("it holds numbers that aren't finite: save it again")
            yield normalized(low + width * rows["codes"])
            left -= n

    def close(self) -> None:
        self._file.close()


def read_header(path: str | os.PathLike[str]) -> Header:
    with Reader(path) as file:
        return file.header


def tile(n_vocab: int) -> int:
    """Rows whose numbers are at work at a time."""
    return max(1, (1 << 21) // n_vocab)


def normalized(logits: Doubles) -> Doubles:
    """The logarithms of probabilities for rows of logits."""
    top = logits.max(axis=1, keepdims=True)
    shifted = logits - top
    result: Doubles = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
