"""The machine and the library: instruction sets, devices, architectures."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot._lib import INT32_MAX, check, integer, runtime, text
from ingot._native import ffi, lib
from ingot.quant import type_by_name

__version__ = text(lib.ingot_version())


@dataclass(frozen=True)
class InstructionSet:
    """Kernels compiled into the library, and whether this machine can run them."""

    name: str
    usable: bool
    active: bool  # what models run on: the best usable one, or what INGOT_ISA says


@dataclass(frozen=True)
class Device:
    """Something that computes; memory in bytes, ``memory_free`` within what cgroups allow."""

    name: str
    description: str
    memory_total: int
    memory_free: int
    threads: int


def architectures() -> list[str]:
    """What key "general.architecture" of a GGUF file may be for a model to be run."""
    names = map(lib.ingot_arch_name, itertools.count())
    return [text(name) for name in itertools.takewhile(lambda name: name != ffi.NULL, names)]


def instruction_sets() -> list[InstructionSet]:
    """Worst first."""
    with runtime() as native:
        active = text(lib.ingot_runtime_isa(native))
    found = []
    for i in itertools.count():
        name = lib.ingot_isa_name(i)
        if name == ffi.NULL:
            break
        found.append(InstructionSet(text(name), lib.ingot_isa_usable(i), text(name) == active))
    return found


def devices() -> list[Device]:
    found = []
    with runtime() as native:
        threads = lib.ingot_runtime_threads(native)
        for i in range(lib.ingot_device_count(native)):
            out = ffi.new("ingot_device *")
            check(lib.ingot_device_get, native, i, out)
            found.append(
                Device(
                    text(out.name),
                    text(out.description),
                    out.memory_total,
                    out.memory_free,
                    threads,
                )
            )
    return found


def measure_int8(threads: int | None = None) -> float:
    """Operations on int8 that so many threads (None: as many as pay) together do in a second.

    A product and its addition are two.
    """
    out = ffi.new("double *")
    with runtime(threads) as native:
        check(lib.ingot_measure_int8, native, out)
    return float(out[0])


def measure_read(threads: int | None = None, n_bytes: int = 1 << 28) -> float:
    """Bytes of memory that so many threads (None: as many as pay) together read in a second.

    Takes a fraction of one, and ``n_bytes`` of memory, which should be more than the caches hold.
    """
    out = ffi.new("double *")
    with runtime(threads) as native:
        check(lib.ingot_measure_read, native, integer("n_bytes", n_bytes, 0, 2**63), out)
    return float(out[0])


def measure_product(rows: npt.NDArray[np.uint8], type: str, columns: int) -> float:  # noqa: A002
    """Weights that one thread multiplies in a second with so many columns of activations.

    ``rows`` are weights of a tensor type as they lie in a file, uint8 [a multiple of 16, row
    bytes], few enough to stay in a cache. 1, 2 or 4 columns are multiplied straight from that
    layout, 8 or 12 from panels; 0: the making of panels. NotFoundError where the instruction set
    has no product for the type or for rows of this width.
    """
    kind = type_by_name(type)
    rows = np.asarray(rows, order="C")
    if rows.dtype != np.uint8 or rows.ndim != 2:
        raise errors.ArgumentError(
            f"expected an array of uint8 [rows, row bytes], got {rows.dtype} {rows.shape}"
        )
    sample = ffi.new("ingot_product_sample *")
    sample.type, sample.rows = kind.id, ffi.from_buffer(rows)
    sample.n_rows, sample.width = len(rows), kind.row_width(rows.shape[1])
    sample.columns = integer("columns", columns, 0, INT32_MAX)
    out = ffi.new("double *")
    with runtime() as native:
        check(lib.ingot_measure_product, native, sample, out)
    return float(out[0])
