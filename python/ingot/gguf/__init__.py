"""GGUF files: read, written, and the tensor types in them.

>>> from ingot import gguf
>>> with gguf.open("model.gguf") as file:  # doctest: +SKIP
...     print(file.metadata["general.architecture"], file.tensors["token_embd.weight"].shape)
"""

from ingot.gguf.reader import Reader, Tensor
from ingot.gguf.types import TensorType, dequantize, quantize, types
from ingot.gguf.writer import Writer

open = Reader  # noqa: A001

__all__ = ["Reader", "Tensor", "TensorType", "Writer", "dequantize", "open", "quantize", "types"]
