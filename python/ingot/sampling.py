"""The samplers' parameters, as the library's table declares them."""

from __future__ import annotations

import difflib
import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from ingot import errors
from ingot._lib import text
from ingot._native import ffi, lib


@dataclass(frozen=True)
class SamplerParam:
    """A keyword that ``Model.generate`` and ``Model.chat`` take."""

    name: str
    default: float
    min: float
    max: float
    integer: bool
    doc: str


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
