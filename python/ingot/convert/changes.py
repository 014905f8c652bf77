"""What tensors go through on their way from a checkpoint's layout to a GGUF file's.

A change makes one or more arrays of one, and says their shapes before it has seen any data. It
moves numbers and never looks at them, so that they may have any encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot.convert.config import Config

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


def _same(shape: Shape, config: Config) -> Sequence[Shape]:
    return [shape]


@dataclass(frozen=True)
class Change:
    make: Callable[[Array, Config], Sequence[Array]]
    shapes: Callable[[Shape, Config], Sequence[Shape]] = _same
    n_dims: int = 1  # a tensor of fewer, a bias, stays as it is


@dataclass(frozen=True)
class Rule:
    """What a checkpoint's tensor becomes.

    ``targets`` are names without ".weight" or ".bias", which are those of the checkpoint's tensor,
    or with it where that has none.
    """

    targets: tuple[str, ...]
    change: Change


def neighbours(x: Array, n_head: int) -> Array:
    """Rows of each head from the order of halves to that of pairs.

    Rotation turns the i-th number of a head's first half with the i-th of its second in HF's
    Llama, and neighbours in a GGUF file's.
    """
    heads = x.reshape(n_head, 2, -1, *x.shape[1:])
    turned: Array = heads.swapaxes(1, 2).reshape(x.shape)
    return turned


def _ungroup(x: Array, c: Config) -> Array:
    """A group's queries, its key and its value; the next group's: to all queries, keys, values."""
    n_group = c.n_head // c.n_head_kv
    groups = x.reshape(c.n_head_kv, n_group + 2, -1, *x.shape[1:])
    parts = groups[:, :-2], groups[:, -2:-1], groups[:, -1:]
    return np.concatenate([part.reshape(-1, *x.shape[1:]) for part in parts])


def _qkv_rows(c: Config) -> list[int]:
    return [c.n_head * c.head_dim, c.n_head_kv * c.head_dim, c.n_head_kv * c.head_dim]


def _split_groups(x: Array, c: Config) -> Sequence[Array]:
    n_q, n_k, _ = _qkv_rows(c)
    q, k, v = np.split(_ungroup(x, c), [n_q, n_q + n_k])
    return [neighbours(q, c.n_head), neighbours(k, c.n_head_kv), v]


def _halves(axis: int) -> Change:
    def shapes(shape: Shape, c: Config) -> Sequence[Shape]:
        half = (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])
        return [half, half]

    return Change(lambda x, c: np.split(x, 2, axis), shapes, axis + 1)


def _turned_halves(shape: Shape, c: Config) -> Sequence[Shape]:
    half = (*shape[:-2], shape[-1] // 2, shape[-2])
    return [half, half]


SAME = Change(lambda x, c: [x])
QUERIES = Change(lambda x, c: [neighbours(x, c.n_head)])
KEYS = Change(lambda x, c: [neighbours(x, c.n_head_kv)])
UNGROUP = Change(lambda x, c: [_ungroup(x, c)])
SPLIT_GROUPS = Change(_split_groups, lambda shape, c: [(rows, *shape[1:]) for rows in _qkv_rows(c)])
TURN = Change(lambda x, c: [x.swapaxes(-1, -2)], lambda s, c: [(*s[:-2], s[-1], s[-2])], 2)
# Gate and up projection in one tensor: of a matrix, of each expert, or of experts whose matrices
# are turned; one after the other, or row by row.
GATE_UP = _halves(0)
GATE_UP_EXPERTS = _halves(1)
GATE_UP_TURNED = Change(lambda x, c: np.split(x.swapaxes(1, 2), 2, 1), _turned_halves, 3)
GATE_UP_MIXED = Change(
    lambda x, c: [x[:, :, i::2].swapaxes(1, 2) for i in (0, 1)], _turned_halves, 3
)
GATE_UP_MIXED_ROWS = Change(
    lambda x, c: [x[:, i::2] for i in (0, 1)], lambda s, c: [(s[0], s[1] // 2, s[2])] * 2, 3
)
GATE_UP_MIXED_BIAS = Change(
    lambda x, c: [x[:, i::2] for i in (0, 1)], lambda s, c: [(s[0], s[1] // 2)] * 2, 2
)
