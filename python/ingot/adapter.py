"""Adapters of low rank: loaded for a model, and given to requests."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ingot import errors
from ingot._lib import Handle, Progress, check_opening, path_bytes, watched
from ingot._native import ffi, lib
from ingot.closing import Closing

if TYPE_CHECKING:
    from ingot.model import Model


class Adapter(Closing):
    """A low-rank change of a model's matrices (LoRA), as ``Model.load_adapter`` gives it.

    Closing it unloads it; requests that have it go on with it until they end.
    """

    def __init__(
        self, model: Handle, path: str | os.PathLike[str], name: str, progress: Progress | None
    ) -> None:
        self.path, self.name = os.fspath(path), name
        self._handle = Handle(
            ffi.new("ingot_adapter **"), lib.ingot_adapter_free, f"adapter {name!r}", model
        )
        file = path_bytes(path)
        info = ffi.new("ingot_adapter_info *")
        with self._handle, model as native, watched(progress) as (function, user):
            out = self._handle.out
            check_opening(file, lib.ingot_adapter_load, native, file, function, user, out)
            lib.ingot_adapter_get_info(out[0], info)
        self.rank, self.n_params = int(info.rank), int(info.n_params)
        self.weight_bytes = int(info.weight_bytes)

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def close(self) -> None:
        self._handle.close()

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<ingot.Adapter {self.name!r}: rank {self.rank}{state}>"


# An adapter or its name; several, each alone (scale 1) or with its scale.
Named: TypeAlias = "Adapter | str"
Scaled: TypeAlias = "Mapping[Adapter, float] | Mapping[str, float] | Mapping[Named, float]"
Adapters: TypeAlias = "Named | Scaled | Sequence[Named | tuple[Named, float]]"


def name_for(taken: Mapping[str, Adapter], path: str | os.PathLike[str], name: str | None) -> str:
    """The name of a new adapter, by default the file's."""
    wanted = Path(os.fspath(path)).stem if name is None else name
    if not isinstance(wanted, str) or not wanted:
        raise errors.ArgumentError(f"the adapter's name is {wanted!r}; expected a text")
    if wanted in taken:
        raise errors.ArgumentError(
            f"there is an adapter {wanted!r} already; give another name, or close that one"
        )
    return wanted


@contextmanager
def lent(given: Adapters | None, model: Model | None) -> Iterator[tuple[Any, int]]:
    """Adapters as a request takes them, which nobody can unload meanwhile."""
    pairs = _pairs(given)
    with ExitStack() as uses:
        native = ffi.new("ingot_adapter_scale[]", max(1, len(pairs)))
        for place, (one, scale) in zip(native, pairs, strict=False):
            place.adapter = uses.enter_context(_find(one, model)._handle)
            place.scale = scale
        yield native, len(pairs)


def _pairs(given: Adapters | None) -> list[tuple[Named, float]]:
    if given is None:
        return []
    if isinstance(given, (Adapter, str)):
        return [(given, 1.0)]
    if isinstance(given, Mapping):
        return [(one, _scale(scale)) for one, scale in given.items()]
    if isinstance(given, bytes) or not isinstance(given, Sequence):
        raise errors.ArgumentError(
            f"adapters is {given!r}; expected an adapter or its name, or several with scales"
        )
    return [_pair(item) for item in given]


def _pair(item: Named | tuple[Named, float]) -> tuple[Named, float]:
    if isinstance(item, (Adapter, str)):
        return item, 1.0
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise errors.ArgumentError(
            f"one of adapters is {item!r}; expected an adapter, its name, or a pair of one of "
            "these and a scale"
        )
    return item[0], _scale(item[1])


def _scale(scale: object) -> float:
    if isinstance(scale, bool) or not isinstance(scale, Real) or not math.isfinite(scale):
        raise errors.ArgumentError(f"an adapter's scale is {scale!r}; expected a finite number")
    return float(scale)


def _find(one: object, model: Model | None) -> Adapter:
    if isinstance(one, Adapter):
        return one
    known = {} if model is None else model.adapters
    if not isinstance(one, str) or one not in known:
        names = ", ".join(sorted(known)) or "none"
        raise errors.ArgumentError(f"there is no adapter {one!r}; loaded are: {names}")
    return known[one]
