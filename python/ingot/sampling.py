"""The samplers and their parameters, as the library's table declares them; choosing with them."""

from __future__ import annotations

import difflib
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import INT32_MAX, Handle, check, integer, runtime, text, utf8
from ingot._native import ffi, lib
from ingot.closing import Closing

if TYPE_CHECKING:
    from ingot.model import Model


@dataclass(frozen=True)
class SamplerParam:
    """A keyword that ``Model.generate`` and ``Model.chat`` take."""

    name: str
    default: float
    min: float
    max: float
    integer: bool
    doc: str


@dataclass(frozen=True)
class SamplerStage:
    """A sampler; ``usual``: it is applied unless others are asked for."""

    name: str
    usual: bool
    doc: str


@functools.cache
def samplers() -> tuple[SamplerStage, ...]:
    """All samplers, in their usual order."""
    found = []
    for i in itertools.count():
        row = lib.ingot_sampler_stage_at(i)
        if row == ffi.NULL:
            break
        found.append(SamplerStage(text(row.name), row.usual, text(row.doc)))
    return tuple(found)


@functools.cache
def sampler_params() -> tuple[SamplerParam, ...]:
    """All parameters, in the library's order."""
    found = []
    for i in itertools.count():
        row = lib.ingot_sampler_param_at(i)
        if row == ffi.NULL:
            break
        name, doc = text(row.name), text(row.doc)
        found.append(SamplerParam(name, row.default_value, row.min, row.max, row.integer, doc))
    return tuple(found)


def sampling_of(
    values: Mapping[str, object],
    seed: int,
    sample: int = 0,
    samplers: Sequence[str] | None = None,
    dry_sequence_breakers: Sequence[str] | None = None,
) -> tuple[Any, object]:
    """An ``ingot_sampling``, and the memory that it borrows."""
    native = ffi.new("ingot_sampling *")
    native.seed, native.sample = seed, sample
    numbers = ffi.new("double[]", sampling_values(values))
    native.values, native.n_values = numbers, len(numbers)
    order = breakers = texts = None
    if samplers is not None:
        order = ffi.new("int32_t[]", [_stage(name) for name in _list("samplers", samplers)])
        native.order, native.n_order = order, len(order)
    if dry_sequence_breakers is not None:
        given = _list("dry_sequence_breakers", dry_sequence_breakers)
        breakers = [ffi.from_buffer(utf8(breaker)) for breaker in given]
        texts = ffi.new("ingot_str[]", [(breaker, len(breaker)) for breaker in breakers] or 1)
        native.dry_breakers, native.n_dry_breakers = texts, len(breakers)
    return native, (numbers, order, breakers, texts)


def _list(name: str, given: Sequence[str]) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(one, str) for one in texts):
        raise errors.ArgumentError(f"{name} is {given!r}; expected a list of texts")
    return texts


def _stage(name: str) -> int:
    names = [stage.name for stage in samplers()]
    plain = name.replace("-", "_")
    if plain not in names:
        close = difflib.get_close_matches(plain, names, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise errors.ArgumentError(f"no sampler {name!r}: {hint}known are {', '.join(names)}")
    return names.index(plain)


class Sampler(Closing):
    """Chooses tokens from logits that you have, such as ``Model.logits`` gives.

    ``vocabulary`` is a model, or how many logits there are; DRY reads its breakers in the texts of
    a model's tokens, and ``infill`` needs a model. The other keywords are those of
    ``Model.generate``. The n-th choice of a seed, and of one ``sample`` of it, is always the same.
    """

    def __init__(
        self,
        vocabulary: Model | int,
        *,
        seed: int = 0,
        sample: int = 0,
        samplers: Sequence[str] | None = None,
        dry_sequence_breakers: Sequence[str] | None = None,
        **values: float,
    ) -> None:
        native, memory = sampling_of(
            values,
            integer("seed", seed, 0, 2**64 - 1),
            integer("sample", sample, 0, 2**32 - 1),
            samplers,
            dry_sequence_breakers,
        )
        if isinstance(vocabulary, int):
            self._n_vocab = integer("vocabulary", vocabulary, 1, INT32_MAX)
            parent = None
        else:
            self._n_vocab = vocabulary.info.n_vocab
            parent = vocabulary._model
        shared = runtime()
        self._handle = Handle(
            ffi.new("ingot_sampler **"), lib.ingot_sampler_free, "sampler", parent or shared
        )
        with self._handle, shared as native_runtime, parent or shared as used:
            model = ffi.NULL if parent is None else used
            args = (native_runtime, model, self._n_vocab, native, self._handle.out)
            check(lib.ingot_sampler_new, *args)
        del memory

    def choose(self, logits: npt.ArrayLike, recent: Sequence[int] = ()) -> int:
        """The next token. ``logits``: [n_vocab], -inf bans; ``recent``: the tokens before it."""
        token = ffi.new("int32_t *")
        self._call(lib.ingot_sampler_choose, logits, recent, token)
        return int(token[0])

    def probabilities(
        self, logits: npt.ArrayLike, recent: Sequence[int] = ()
    ) -> npt.NDArray[np.float32]:
        """By which ``choose`` would choose now: float32 [n_vocab], 0 for what was dropped."""
        found = np.empty(self._n_vocab, np.float32)
        to = ffi.from_buffer("float[]", found, require_writable=True)
        self._call(lib.ingot_sampler_probabilities, logits, recent, to)
        return found

    def _call(self, function: Any, logits: npt.ArrayLike, recent: Sequence[int], to: Any) -> None:
        row = np.ascontiguousarray(logits, np.float32)
        tokens = np.ascontiguousarray(recent, np.int32)
        if row.shape != (self._n_vocab,):
            raise errors.ArgumentError(
                f"logits have the shape {row.shape}; expected ({self._n_vocab},)"
            )
        given = (ffi.from_buffer("float[]", row), ffi.from_buffer("int32_t[]", tokens), len(tokens))
        with self._handle as native:
            check(function, native, *given, to)

    def close(self) -> None:
        self._handle.close()


def sampling_values(given: Mapping[str, object]) -> list[float]:
    """A value for each parameter, in order: what was given, else the default."""
    table = {param.name: param for param in sampler_params()}
    for name in given:
        if name not in table:
            close = difflib.get_close_matches(name, table, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise errors.ArgumentError(
                f"no sampling parameter {name!r}: {hint}known are {', '.join(table)}"
            )
    return [_checked(param, given.get(param.name, param.default)) for param in table.values()]


def _checked(param: SamplerParam, value: object) -> float:
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        number = math.inf
    if param.min <= number <= param.max and (number.is_integer() or not param.integer):
        return number
    kind = "an integer" if param.integer else "a number"
    low, high = (f"{end:.9g}" for end in (param.min, param.max))
    raise errors.ArgumentError(f"{param.name} is {value!r}; expected {kind} from {low} to {high}")
