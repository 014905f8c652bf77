"""Adapters with random weights, to be measured with."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ingot import gguf
from ingot.adapter import Adapter
from ingot.model import Model

RANK = 16
_CHANGED = re.compile(r"blk\.\d+\.(?!.*(norm|_exps|gate_inp)).*\.weight")


@contextmanager
def loaded(model: Model, n: int) -> Iterator[list[Adapter]]:
    """``n`` adapters of all linear maps of layers, but experts; each has memory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for i in range(n):
            path = Path(folder, f"bench-{i}.gguf")
            write(path, model.path, np.random.default_rng(i))
            made.append(model.load_adapter(path))
        yield made
        for adapter in made:
            adapter.close()


def write(
    path: str | os.PathLike[str], model: str | os.PathLike[str], random: np.random.Generator
) -> None:
    """Writes an adapter in F16 for a model's file. Its change is small, as a trained one's is."""
    with gguf.Reader(model, data=False) as base, gguf.Writer(path) as writer:
        writer.add("general.type", "adapter")
        writer.add("general.architecture", base.metadata["general.architecture"])
        writer.add("adapter.type", "lora")
        writer.add("adapter.lora.alpha", float(RANK))
        for name, tensor in base.tensors.items():
            if not _CHANGED.fullmatch(name) or len(tensor.shape) != 2:
                continue
            rows, width = tensor.shape
            for ending, shape in (("lora_a", (RANK, width)), ("lora_b", (rows, RANK))):
                numbers = random.standard_normal(shape, np.float32) * np.float32(0.01)
                writer.add_tensor(f"{name}.{ending}", numbers.astype(np.float16))
