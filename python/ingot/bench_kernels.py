"""Measuring the products of each tensor type by themselves: what a model's speed is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingot import errors
from ingot._lib import Progress, advance
from ingot.machine import __version__, devices, instruction_sets, measure_int8, measure_product
from ingot.quant import TensorType, types
from ingot.shapes import random_blocks

_ROWS, _WIDTH = 64, 2048  # of weights, which a second cache holds in every type
FEW = (1, 2, 4)  # columns that are multiplied straight from a file's layout
MANY = 12  # columns of a tile


@dataclass(frozen=True)
class Product:
    """A type's products on one thread, in weights per second: by the number of columns, with
    ``MANY`` from panels, and the making of panels."""

    type: str
    block_size: int
    block_bytes: int
    few: Mapping[int, float]
    many: float
    pack: float

    @property
    def file_bytes(self) -> float:
        """Per second of one column: what memory would have to deliver."""
        return self.few[1] / self.block_size * self.block_bytes

    @property
    def ops(self) -> float:
        """Per second, from panels."""
        return 2 * MANY * self.many


@dataclass(frozen=True)
class Kernels:
    """The products of all types that have some, and the rate at which a thread multiplies int8."""

    machine: str
    isa: str
    peak: float
    products: list[Product]

    def share(self, product: Product) -> float | None:
        """Of the peak; products of float weights aren't made of int8."""
        return product.ops / self.peak if product.block_size > 1 else None

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "isa": self.isa,
            "threads": 1,
            "ingot": __version__,
            "int8_peak": {"unit": "ops_per_second", "value": self.peak},
            "kernels": [
                {
                    "type": p.type,
                    "weights_per_second": {str(n): rate for n, rate in p.few.items()},
                    "file_bytes_per_second": p.file_bytes,
                    "pack_weights_per_second": p.pack,
                    "panel_ops_per_second": p.ops,
                    "share_of_int8_peak": self.share(p),
                }
                for p in self.products
            ],
        }


def measure(only: str | None = None, progress: Progress | None = None) -> Kernels:
    """The products of every tensor type, or of ``only`` one."""
    wanted = [kind for name, kind in types().items() if only is None or name == only.upper()]
    if not wanted:
        raise errors.NotFoundError(f"there is no tensor type {only!r}; types: {', '.join(types())}")
    products = []
    for i, kind in enumerate(wanted):
        try:
            products.append(_product(kind))
        except errors.NotFoundError:  # such weights are decoded first
            if only is not None:
                raise
        advance(progress, (i + 1) / len(wanted))
    isa = next(isa.name for isa in instruction_sets() if isa.active)
    return Kernels(devices()[0].description, isa, measure_int8(1), products)


def _product(kind: TensorType) -> Product:
    n = _ROWS * _WIDTH // kind.block_size
    try:
        rows = random_blocks(kind, n, np.random.default_rng(1)).reshape(_ROWS, -1)
    except errors.UnsupportedError as e:  # a type for something else than weights
        raise errors.NotFoundError(str(e)) from None
    few = {columns: measure_product(rows, kind.name, columns) for columns in FEW}
    many, pack = (measure_product(rows, kind.name, columns) for columns in (MANY, 0))
    return Product(kind.name, kind.block_size, kind.block_bytes, few, many, pack)
