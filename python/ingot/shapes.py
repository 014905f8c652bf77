"""Models of real shapes with random weights: measuring them costs no download."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot.gguf.writer import Writer
from ingot.quant import TensorType, decode, encode, type_by_name
from ingot.quantizing import quantize

_MAKER = 2  # grows when other bytes are made; part of a kept file's name
_DEVIATION = 0.02  # of the weights: activations neither vanish nor explode
_CONTEXT = 131072

# At most so many random blocks are made and then repeated. A prime: no two rows begin alike.
_CHUNK = 1_000_003

Bytes: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Shape:
    """The numbers of a model. ``head_norm``: the width of the norms of queries and keys, or 0."""

    arch: str
    n_layer: int
    n_embd: int
    n_ff: int  # of an expert, where there are some
    n_head: int
    n_head_kv: int
    head_dim: int
    n_vocab: int
    tied: bool  # the embedding is the head too
    rope_base: float = 500000.0
    norm_eps: float = 1e-5
    n_expert: int = 0
    n_expert_used: int = 0
    head_norm: int = 0


SHAPES = {
    "tiny": Shape("llama", 2, 256, 512, 4, 2, 64, 1024, True),
    "llama-1b": Shape("llama", 16, 2048, 8192, 32, 8, 64, 128256, True),
    "llama-8b": Shape("llama", 32, 4096, 14336, 32, 8, 128, 128256, False),
    "qwen3-0.6b": Shape(
        "qwen3", 28, 1024, 3072, 16, 8, 128, 151936, True, 1e6, 1e-6, head_norm=128
    ),
    "olmoe": Shape(
        "olmoe", 16, 2048, 1024, 16, 16, 128, 50304, False, 1e4, 1e-5, 64, 8, head_norm=2048
    ),
}


@dataclass(frozen=True)
class Weights:
    """A tensor of a shape: rows first."""

    name: str
    shape: tuple[int, ...]
    type: str


def tensors(shape: Shape, mix: str) -> list[Weights]:
    """The tensors of a model that was quantised to the file type ``mix``, or whose matrices are all
    of a tensor type that no file type is called after."""
    dims = dict(_dims(shape))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.gguf")
        with Writer(model) as file:  # types follow from names and widths: few rows are enough
            for key, value in _metadata(shape, "").items():
                file.add(key, value)
            for name, whole in dims.items():
                kind = np.float32 if len(whole) == 1 or "ffn_gate_inp" in name else np.float16
                file.add_tensor(name, np.zeros((2,) * (len(whole) - 1) + whole[-1:], kind))
        plan = partial(quantize, model, Path(folder, "out.gguf"), dry_run=True)
        try:
            done = plan(mix)
        except errors.ArgumentError:
            done = plan("F16", tensor_types={".": mix})
    types = {tensor.name: tensor.type for tensor in done.tensors}
    return [Weights(name, whole, types[name]) for name, whole in dims.items()]


def _dims(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "token_embd.weight", (shape.n_vocab, shape.n_embd)
    if not shape.tied:
        yield "output.weight", (shape.n_vocab, shape.n_embd)
    yield "output_norm.weight", (shape.n_embd,)
    for layer in range(shape.n_layer):
        for part, dims in _parts(shape):
            yield f"blk.{layer}.{part}.weight", dims


def _parts(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, ff = shape.n_embd, shape.n_ff
    queries, keys = (heads * shape.head_dim for heads in (shape.n_head, shape.n_head_kv))
    yield "attn_norm", (width,)
    yield "attn_q", (queries, width)
    yield "attn_k", (keys, width)
    yield "attn_v", (keys, width)
    yield "attn_output", (width, queries)
    if shape.head_norm:
        yield "attn_q_norm", (shape.head_norm,)
        yield "attn_k_norm", (shape.head_norm,)
    yield "ffn_norm", (width,)
    experts, suffix = ((shape.n_expert,), "_exps") if shape.n_expert else ((), "")
    if shape.n_expert:
        yield "ffn_gate_inp", (shape.n_expert, width)
    yield f"ffn_gate{suffix}", (*experts, ff, width)
    yield f"ffn_up{suffix}", (*experts, ff, width)
    yield f"ffn_down{suffix}", (*experts, width, ff)


# ------------------------------------------------------------------------------------------ weights

# Where the half scales of a block lie, and what each is worth in units of the first, so that the
# mean weight is zero. All other bytes of these types may have any value.
_SCALES: dict[str, list[tuple[int, float]]] = {
    "Q4_0": [(0, 1)],
    "Q4_1": [(0, 1), (2, -7.5)],
    "Q5_0": [(0, 1)],
    "Q5_1": [(0, 1), (2, -15.5)],
    "Q2_K": [(80, 1), (82, 1.5)],
    "Q3_K": [(108, 1)],
    "Q4_K": [(0, 1), (2, 7.5)],
    "Q5_K": [(0, 1), (2, 15.5)],
    "Q6_K": [(208, 1)],
    "IQ1_S": [(0, 1)],
    "IQ2_XXS": [(0, 1)],
    "IQ2_XS": [(0, 1)],
    "IQ2_S": [(0, 1)],
    "IQ3_XXS": [(0, 1)],
    "IQ3_S": [(0, 1)],
    "IQ4_NL": [(0, 1)],
    "IQ4_XS": [(0, 1)],
    "TQ1_0": [(52, 1)],
    "TQ2_0": [(64, 1)],
    "Q1_0": [(0, 1)],
    "Q2_0": [(0, 1)],
    "IQ1_M": [(48, 1)],
}
# Types that begin with scales of a byte: how many, and values that make the deviation right.
_SCALE_BYTES = {"MXFP4": (1, (119, 120, 120)), "NVFP4": (4, (3, 4))}
_SAMPLE = 1024  # blocks whose deviation is measured


def random_blocks(kind: TensorType, n: int, random: np.random.Generator) -> Bytes:
    """``n`` blocks, [n, block bytes], of weights with mean 0 and deviation 0.02."""
    scales = _SCALES.get(kind.name)
    if scales is None and kind.can_encode:
        weights = random.standard_normal((n, kind.block_size), np.float32) * np.float32(_DEVIATION)
        blocks = np.frombuffer(encode(weights, kind.name), np.uint8)
        return blocks.reshape(n, kind.block_bytes)
    if scales is None and kind.name not in _SCALE_BYTES:
        known = sorted({*_SCALES, *_SCALE_BYTES, "F32", "F16", "BF16", "Q8_0"})
        raise errors.UnsupportedError(
            f"random weights of type {kind.name} can't be made; of {', '.join(known)} they can"
        )
    blocks = np.frombuffer(bytearray(random.bytes(n * kind.block_bytes)), np.uint8)
    blocks = blocks.reshape(n, kind.block_bytes)
    if scales is None:
        n_scales, values = _SCALE_BYTES[kind.name]
        blocks[:, :n_scales] = random.choice(np.array(values, np.uint8), (n, n_scales))
        return blocks
    put = _set_quarters if kind.name == "IQ1_M" else _set_scales
    sample = blocks[:_SAMPLE].copy()
    put(sample, scales, np.ones(len(sample)))
    unit = _DEVIATION / float(_decoded(sample, kind).std(dtype=np.float64))
    # Codes are seldom symmetric around zero: signs make them so where no minimum does.
    signs = random.choice([-1.0, 1.0], n) if len(scales) == 1 else np.ones(n)
    put(blocks, scales, unit * signs)
    return blocks


def _decoded(blocks: Bytes, kind: TensorType) -> npt.NDArray[np.float32]:
    return decode(blocks, kind.name, (len(blocks), kind.block_size))


def _set_scales(blocks: Bytes, scales: list[tuple[int, float]], values: npt.ArrayLike) -> None:
    for offset, worth in scales:
        halves = (np.asarray(values) * worth).astype("<f2")
        blocks[:, offset : offset + 2] = halves.view(np.uint8).reshape(-1, 2)


def _set_quarters(blocks: Bytes, scales: list[tuple[int, float]], values: npt.ArrayLike) -> None:
    """A half scale in quarters: the top four bits of each of four words."""
    ((offset, worth),) = scales
    halves = (np.asarray(values) * worth).astype("<f2").view("<u2")
    for i in range(4):
        high = blocks[:, offset + 2 * i + 1]
        high[:] = high & 15 | (halves >> 4 * i & 15).astype(np.uint8) << 4


class _Pools:
    """Random blocks by type; a tensor is a piece of them, each another one."""

    def __init__(self, wanted: list[Weights], random: np.random.Generator) -> None:
        self._random, self._made = random, dict[str, Bytes]()
        self._largest: dict[str, int] = {}
        for tensor in wanted:
            n = math.prod(tensor.shape) // type_by_name(tensor.type).block_size
            self._largest[tensor.type] = max(n, self._largest.get(tensor.type, 0))

    def piece(self, tensor: Weights) -> Bytes:
        kind = type_by_name(tensor.type)
        n = math.prod(tensor.shape[:-1]) * kind.row_bytes(tensor.shape[-1]) // kind.block_bytes
        if tensor.type not in self._made:
            largest = self._largest[tensor.type]
            total = largest + min(largest, _CHUNK)
            chunk = random_blocks(kind, min(total, _CHUNK), self._random)
            self._made[tensor.type] = np.resize(chunk, (total, kind.block_bytes))
        pool = self._made[tensor.type]
        begin = int(self._random.integers(len(pool) - n + 1))
        return pool[begin : begin + n]


# -------------------------------------------------------------------------------------------- files


def write(path: str | os.PathLike[str], shape: Shape, mix: str, name: str = "random") -> None:
    """Writes the model; the same arguments make the same bytes."""
    wanted = tensors(shape, mix)
    pools = _Pools([t for t in wanted if len(t.shape) > 1], np.random.default_rng(_MAKER))
    with Writer(path) as file:
        for key, value in _metadata(shape, f"{name} {mix}").items():
            file.add(key, value)
        for tensor in wanted:
            if len(tensor.shape) == 1:
                file.add_tensor(tensor.name, np.ones(tensor.shape, np.float32))
            else:
                data = pools.piece(tensor)
                file.add_tensor(tensor.name, data, tensor.type, shape=tensor.shape)


def _metadata(shape: Shape, name: str) -> dict[str, object]:
    own: dict[str, object] = {
        "vocab_size": shape.n_vocab,
        "context_length": _CONTEXT,
        "block_count": shape.n_layer,
        "embedding_length": shape.n_embd,
        "feed_forward_length": shape.n_ff,
        "attention.head_count": shape.n_head,
        "attention.head_count_kv": shape.n_head_kv,
        "attention.key_length": shape.head_dim,
        "attention.value_length": shape.head_dim,
        "attention.layer_norm_rms_epsilon": shape.norm_eps,
        "rope.dimension_count": shape.head_dim,
        "rope.freq_base": shape.rope_base,
    }
    if shape.n_expert:
        own |= {"expert_count": shape.n_expert, "expert_used_count": shape.n_expert_used}
    return {
        "general.architecture": shape.arch,
        "general.name": name,
        **{f"{shape.arch}.{key}": value for key, value in own.items()},
        "tokenizer.ggml.model": "none",
    }


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "ingot", "bench")


def kept(name: str, mix: str) -> Path:
    """The model of a shape's ``name``, made when it isn't there yet."""
    if name not in SHAPES:
        raise errors.ArgumentError(f"there is no shape {name!r}; shapes: {', '.join(SHAPES)}")
    mix = mix.upper()
    path = cache_folder() / f"{name}-{mix}-v{_MAKER}.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, SHAPES[name], mix, name)
    return path
