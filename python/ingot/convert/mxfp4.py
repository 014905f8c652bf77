"""Experts in MXFP4, as gpt-oss has them: two tensors each, of codes and of scales.

A block is 32 weights of 4 bits and a scale, an exponent in 8 bits. The checkpoint has neighbours in
a byte, a GGUF file the i-th and the (i + 16)-th weight, behind the block's scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot.convert.safetensors import Stored

TYPE = "MXFP4"
_BLOCK = 32
_CODES, _SCALES = "_blocks", "_scales"


@dataclass(frozen=True)
class Packed(Stored):
    """Both as one tensor; its ``shape`` is that of the weights."""

    scales: Stored

    def map(self) -> npt.NDArray[Any]:
        """Rows of a GGUF file's blocks, as bytes."""
        codes = Stored(self.name, "U8", (*self.scales.shape, 16), self.path, self.offset).map()
        even, odd = codes & 15, codes >> 4
        weights = np.stack([even, odd], -1).reshape(*codes.shape[:-1], 2, 16)
        blocks = np.empty((*codes.shape[:-1], 17), np.uint8)
        blocks[..., 0] = self.scales.map()
        blocks[..., 1:] = weights[..., 0, :] | weights[..., 1, :] << 4
        return blocks.reshape(*codes.shape[:-2], -1)


def join(tensors: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tensors with codes and scales joined, under names that end in _packed."""
    joined = dict(tensors)
    for name, codes in tensors.items():
        stem = name.removesuffix(_CODES)
        scales = tensors.get(stem + _SCALES)
        if stem == name or scales is None:
            continue
        if {codes.dtype, scales.dtype} != {"U8"} or codes.shape != (*scales.shape, 16):
            raise errors.FormatError(
                f"{codes.path}: tensor '{name}' is {codes.dtype} {list(codes.shape)} with scales "
                f"{scales.dtype} {list(scales.shape)}, expected U8, 16 bytes for each scale"
            )
        shape = (*scales.shape[:-1], scales.shape[-1] * _BLOCK)
        place = (codes.path, codes.offset)
        joined[f"{stem}_packed"] = Packed(f"{stem}_packed", TYPE, shape, *place, scales)
        del joined[name], joined[stem + _SCALES]
    return joined
