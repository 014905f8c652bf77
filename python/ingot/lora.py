"""Adapters of low rank as files: from PEFT's folders, and merged into models.

>>> from ingot import lora
>>> lora.convert("my-adapter", "my-adapter.gguf", base="model.gguf")  # doctest: +SKIP
>>> lora.merge("model.gguf", "my-adapter.gguf", "merged.gguf")  # doctest: +SKIP
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors, gguf, quant
from ingot._lib import Progress, advance, check, raw
from ingot._native import ffi, lib
from ingot.convert.architectures import ROWS
from ingot.convert.peft import convert
from ingot.gguf.reader import Tensor
from ingot.model import Model

__all__ = ["convert", "merge"]

Floats = npt.NDArray[np.float32]

_PIECE_WEIGHTS = 1 << 20  # merged at a time
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


def merge(
    model: str | os.PathLike[str],
    adapter: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    scale: float = 1.0,
    type: str | None = None,  # noqa: A002
    progress: Progress | None = None,
) -> None:
    """Writes ``model`` with ``adapter`` merged into it, both GGUF files, to ``target``.

    The adapter's change is multiplied with ``scale``. Changed tensors are encoded to ``type``, by
    default the one that they have (which costs precision a second time); the others are copied. A
    model that uses its embedding as output matrix gets a matrix of its own if the two would differ.
    """
    if not math.isfinite(scale):
        raise errors.ArgumentError(f"scale is {scale}; expected a finite number")
    with Model(model) as opened:  # checks the one against the other
        opened.load_adapter(adapter)
    with (
        gguf.Reader(model) as base,
        gguf.Reader(adapter) as change,
        gguf.Writer(target) as writer,
    ):
        _copy_metadata(base, writer)
        merged = _Merged(base, change, scale, type, progress)
        for name, tensor in merged.sources():
            kind = merged.type_of(name, tensor)
            writer.add_stream(name, tensor.shape, kind, merged.maker(name, tensor))


def _copy_metadata(base: gguf.Reader, writer: gguf.Writer) -> None:
    with base._file as file, writer._writer as native:
        for i in range(lib.ingot_gguf_kv_count(file)):
            entry = lib.ingot_gguf_kv_at(file, i)
            key = raw(entry.key)
            if not key.startswith(b"split."):  # the writer's own
                check(lib.ingot_gguf_writer_kv, native, key, ffi.addressof(entry.value))


def _decoded(rows: npt.NDArray[Any], kind: str, width: int) -> Floats:
    if rows.dtype == np.uint8:
        return quant.decode(np.ascontiguousarray(rows), kind, (len(rows), width))
    return rows.astype(np.float32)


class _Merged:
    """The tensors of a merged model."""

    def __init__(
        self,
        base: gguf.Reader,
        change: gguf.Reader,
        scale: float,
        type: str | None,  # noqa: A002
        progress: Progress | None,
    ) -> None:
        self._base, self._change, self._type = base, change, type
        self._alpha = float(np.asarray(change.metadata.get("adapter.lora.alpha", 0.0)).item())
        self._scale, self._progress = scale, progress
        self._done = 0
        self._total = sum(math.prod(tensor.shape) for _, tensor in self.sources())

    def sources(self) -> Iterator[tuple[str, Tensor]]:
        """Names, and the tensors that they are made of."""
        tensors = self._base.tensors
        yield from tensors.items()
        name = self._base.metadata["general.architecture"]
        encoder = any(row.encoder for row in ROWS if row.name == name)
        apart = self._changes(_EMBEDDING) or self._changes(_HEAD)
        if _HEAD not in tensors and apart and not encoder:
            yield _HEAD, tensors[_EMBEDDING]

    def _changes(self, name: str) -> bool:
        return f"{name}.lora_a" in self._change.tensors

    def type_of(self, name: str, tensor: Tensor) -> str:
        if not self._changes(name):
            return tensor.type
        kind = quant.type_by_name(self._type or tensor.type)
        if not kind.can_encode:
            raise errors.UnsupportedError(
                f"{self._base.path}: tensor '{name}' is {kind.name}, which can't be encoded; "
                "choose another type for the merged tensors, such as --type q8_0"
            )
        if tensor.shape[-1] % kind.block_size:
            raise errors.ArgumentError(
                f"{self._base.path}: tensor '{name}' has rows of {tensor.shape[-1]}, which "
                f"{kind.name} can't encode (blocks of {kind.block_size}); choose another type"
            )
        return kind.name

    def maker(self, name: str, tensor: Tensor) -> Callable[[], Iterator[npt.NDArray[Any]]]:
        return lambda: self._rows(name, tensor)

    def _rows(self, name: str, tensor: Tensor) -> Iterator[npt.NDArray[Any]]:
        """The data, some rows at a time: weights, or bytes that are copied."""
        rows = tensor.data.reshape(-1, tensor.data.shape[-1])
        width = tensor.shape[-1]
        step = max(1, _PIECE_WEIGHTS // width)
        add = self._adder(name) if self._changes(name) else None
        for begin in range(0, len(rows), step):
            piece = rows[begin : begin + step]
            if add is None:
                yield piece
            else:
                floats = _decoded(piece, tensor.type, width)
                yield floats + add(begin, begin + len(piece))
            self._done += len(piece) * width
            advance(self._progress, self._done / self._total)

    def _adder(self, name: str) -> Callable[[int, int], Floats]:
        """What is added to rows [begin, end)."""
        a = self._change.tensors[f"{name}.lora_a"].dequantize()
        b = self._change.tensors[f"{name}.lora_b"].dequantize()
        rank = b.shape[-1]
        factor = np.float32(self._scale * (self._alpha / rank if self._alpha else 1.0))
        # An embedding's A has a row for each token.
        left, right = (a, b.T) if name == _EMBEDDING else (b, a)
        right = right * factor
        return lambda begin, end: left[begin:end] @ right
