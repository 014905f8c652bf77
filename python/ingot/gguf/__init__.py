"""GGUF files: read and written.

>>> from ingot import gguf
>>> with gguf.open("model.gguf") as file:  # doctest: +SKIP
...     print(file.metadata["general.architecture"], file.tensors["token_embd.weight"].shape)
"""

from ingot.gguf.reader import Reader, Tensor
from ingot.gguf.writer import Writer

open = Reader  # noqa: A001

__all__ = ["Reader", "Tensor", "Writer", "open"]
