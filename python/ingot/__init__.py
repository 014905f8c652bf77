"""Ingot runs GGUF language models on ordinary machines.

>>> import ingot
>>> model = ingot.Model()  # the small model that comes with the package
>>> model.generate("Once upon a time", max_tokens=8).n_generated
8
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ingot.errors import (
    ArgumentError,
    BusyError,
    CancelledError,
    FileError,
    FormatError,
    IngotError,
    InternalError,
    LimitError,
    MissingFileError,
    NotFoundError,
    OutOfMemoryError,
    StateError,
    TemplateError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from ingot import gguf, lang, lora, quant, schema
    from ingot.adapter import Adapter
    from ingot.answers import Answer, Pending
    from ingot.batch import BatchError
    from ingot.cache import Cache
    from ingot.comparing import Quality, TypeQuality, quality
    from ingot.engine import Engine
    from ingot.generation import Chunk, Completion, Stream, Timings, TokenLogprob
    from ingot.grammar import Grammar, Matcher
    from ingot.imatrix_file import Imatrix
    from ingot.importance import imatrix
    from ingot.machine import (
        Device,
        InstructionSet,
        architectures,
        devices,
        instruction_sets,
    )
    from ingot.measures import Divergence, Estimate, Perplexity, divergence, perplexity
    from ingot.model import Model, ModelInfo
    from ingot.quantizing import Quantized, quantize
    from ingot.sampling import Sampler, SamplerParam, SamplerStage, sampler_params, samplers
    from ingot.several import Beam

    __version__: str

# Where the rest lives: `import ingot` is light, what it names is imported when asked for.
_HOMES = {
    "Adapter": "adapter",
    "Answer": "answers",
    "Pending": "answers",
    "BatchError": "batch",
    "Engine": "engine",
    "Beam": "several",
    "Cache": "cache",
    "Chunk": "generation",
    "Completion": "generation",
    "Stream": "generation",
    "Timings": "generation",
    "TokenLogprob": "generation",
    "Grammar": "grammar",
    "Matcher": "grammar",
    "Imatrix": "imatrix_file",
    "imatrix": "importance",
    "Divergence": "measures",
    "Estimate": "measures",
    "Perplexity": "measures",
    "divergence": "measures",
    "perplexity": "measures",
    "Quality": "comparing",
    "TypeQuality": "comparing",
    "quality": "comparing",
    "Quantized": "quantizing",
    "quantize": "quantizing",
    "Device": "machine",
    "InstructionSet": "machine",
    "architectures": "machine",
    "devices": "machine",
    "instruction_sets": "machine",
    "__version__": "machine",
    "Model": "model",
    "ModelInfo": "model",
    "Sampler": "sampling",
    "SamplerParam": "sampling",
    "SamplerStage": "sampling",
    "sampler_params": "sampling",
    "samplers": "sampling",
}

__all__ = [
    "Adapter",
    "Answer",
    "ArgumentError",
    "BatchError",
    "Beam",
    "BusyError",
    "Cache",
    "CancelledError",
    "Chunk",
    "Completion",
    "Device",
    "Divergence",
    "Engine",
    "Estimate",
    "FileError",
    "FormatError",
    "Grammar",
    "Imatrix",
    "IngotError",
    "InstructionSet",
    "InternalError",
    "LimitError",
    "Matcher",
    "MissingFileError",
    "Model",
    "ModelInfo",
    "NotFoundError",
    "OutOfMemoryError",
    "Pending",
    "Perplexity",
    "Quality",
    "Quantized",
    "Sampler",
    "SamplerParam",
    "SamplerStage",
    "StateError",
    "Stream",
    "TemplateError",
    "Timings",
    "TokenLogprob",
    "TypeQuality",
    "UnsupportedError",
    "architectures",
    "devices",
    "divergence",
    "gguf",
    "imatrix",
    "instruction_sets",
    "lang",
    "lora",
    "perplexity",
    "quality",
    "quant",
    "quantize",
    "sampler_params",
    "samplers",
    "schema",
]


if not TYPE_CHECKING:  # which would take any name for known

    def __getattr__(name: str) -> object:
        if name in ("gguf", "lang", "lora", "quant", "schema"):
            return importlib.import_module(f"ingot.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'ingot' has no attribute {name!r}")
        value = getattr(importlib.import_module(f"ingot.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
