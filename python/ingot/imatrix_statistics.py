"""What an importance matrix says of a model: how strong and how uneven its tensors' inputs are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from ingot.imatrix_file import Doubles, Imatrix


@dataclass(frozen=True)
class Statistics:
    """Of a tensor's input, or of those of all its experts together.

    layer       None outside of layers
    columns     of the input
    total       sum over the columns of their mean squares: the mean squared length of the input
    peak        the largest column's mean square, over the mean of all
    evenness    entropy of the columns' shares in the total, over the greatest possible: 1 if all
                columns have the same
    top_share   share of the top 1 % of the columns, at least one, in the total
    alike       cosine of the angle to the mean squares of the same tensor in the layer before, None
                where there is none
    unused      share of the experts that no token chose
    """

    tensor: str
    layer: int | None
    columns: int
    total: float
    peak: float
    evenness: float
    top_share: float
    alike: float | None
    unused: float


def statistics(of: Imatrix) -> list[Statistics]:
    """By layer, in each the tensors with the greatest total first; what is in no layer last."""
    means = {name: _mean(sums, of.counts[name]) for name, sums in of.sums.items()}
    found = [_of_tensor(name, means, of.counts[name]) for name in means]
    return sorted(
        found, key=lambda s: (math.inf if s.layer is None else s.layer, -s.total, s.tensor)
    )


def _mean(sums: Doubles, counts: Doubles) -> Doubles:
    """Over the tokens of all experts."""
    mean: Doubles = sums.sum(axis=0) / max(counts.sum(), 1)
    return mean


def _of_tensor(name: str, means: dict[str, Doubles], counts: Doubles) -> Statistics:
    match = re.match(r"blk\.(\d+)\.(.*)", name)
    layer = int(match[1]) if match else None
    before = means.get(f"blk.{layer - 1}.{match[2]}") if match and layer else None
    mean = means[name]
    n, total = len(mean), float(mean.sum())
    shares = mean / total if total > 0 else np.full(n, 1 / n)
    used = shares[shares > 0]
    top = np.sort(shares)[-max(1, n // 100) :]
    return Statistics(
        tensor=name,
        layer=layer,
        columns=n,
        total=total,
        peak=float(shares.max()) * n,
        evenness=float(-(used * np.log(used)).sum() / math.log(n)) if n > 1 else 1.0,
        top_share=float(top.sum()),
        alike=_cosine(mean, before),
        unused=float((counts == 0).mean()),
    )


def _cosine(a: Doubles, b: Doubles | None) -> float | None:
    if b is None or len(a) != len(b):
        return None
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths > 0 else None
