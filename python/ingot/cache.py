"""How the keys and values of a model's context are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingot._lib import integer
from ingot.machine import devices
from ingot.quant import type_by_id

# Tensor types for keys and values; the last two need heads whose width is a multiple of 32.
KV_TYPES = ("f16", "bf16", "f32", "q8_0", "q4_0")


def types_of(kv_type: str) -> tuple[str, str]:
    """The types of keys and of values that "q8_0/q4_0" stands for, or "q8_0" for both."""
    k_type, _, v_type = kv_type.partition("/")
    return k_type, v_type or k_type


def budget(value: object) -> int:
    """Bytes for keys and values: a number of them, or a share of the memory that is free."""
    if isinstance(value, float) and 0.0 < value < 1.0:
        return max(1, int(value * devices()[0].memory_free))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return integer("kv_bytes", value, 1, 2**63)


@dataclass(frozen=True)
class Cache:
    """The context's keys and values: their tensor types, and whether keys are rotated; bytes of a
    token of context, of the whole context, and of what sequences hold now.
    """

    k_type: str
    v_type: str
    k_rotate: bool
    bytes_per_token: int
    bytes: int
    bytes_used: int


def cache_of(info: Any) -> Cache:
    """What an ``ingot_engine_info`` says of it."""
    return Cache(
        k_type=type_by_id(info.k_type).name.lower(),
        v_type=type_by_id(info.v_type).name.lower(),
        k_rotate=info.k_rotate,
        bytes_per_token=info.kv_token_bytes,
        bytes=info.kv_bytes,
        bytes_used=info.kv_bytes_used,
    )
