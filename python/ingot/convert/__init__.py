"""From a Hugging Face checkpoint to a GGUF file.

>>> from ingot.convert import convert
>>> convert("Qwen3-0.6B", "qwen3-0.6b.gguf", type="q8_0")  # doctest: +SKIP

A tensor is read when it is written, so that the memory which is needed is that of the largest one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors, gguf, quant
from ingot._lib import Progress, advance
from ingot.convert import mxfp4, special
from ingot.convert.architectures import ROWS, Architecture
from ingot.convert.checkpoint import Checkpoint
from ingot.convert.config import Config
from ingot.convert.keys import metadata, pooling
from ingot.convert.rope import Rope
from ingot.convert.tensors import Output, check_complete, plan
from ingot.convert.vocabulary import Files
from ingot.convert.vocabulary import read as vocabulary_of

__all__ = ["TYPES", "convert"]

# Tensor types and their numbers in general.file_type.
TYPES = {"f32": 0, "f16": 1, "q8_0": 7, "bf16": 32}
_WITH_MXFP4 = 38  # where experts have that type
_QUANTIZATION_VERSION = 2  # of the blocks' layouts
# Text models that are parts of others, which have a class for the whole alone.
_PARTS = {"mistral": "MistralForCausalLM"}


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    type: str = "auto",  # noqa: A002
    vocab: bool = True,
    pre: str | None = None,
    name: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes the checkpoint in folder ``source`` to the GGUF file ``target``.

    ``type`` is that of matrices: "f32", "f16", "bf16", "q8_0", or "auto", which is the type that
    all of them have in the checkpoint, else "f16". Norms, biases and routers are float32, experts
    in MXFP4 stay so.
    ``vocab=False`` leaves the tokenizer out. ``pre`` names the pre-tokenizer instead of finding it
    by its regular expressions, ``name`` the model (default: the folder). ``target`` appears when it
    is complete.
    """
    if type != "auto" and type not in TYPES:
        raise errors.ArgumentError(f"type {type!r}: expected auto, {', '.join(TYPES)}")
    folder = Path(source)
    checkpoint = Checkpoint(folder)
    row = find_row(checkpoint.config)
    config = checkpoint.config.with_defaults(dict(row.defaults))
    outputs = plan(row, config, checkpoint.tensors)
    check_complete(row, config, outputs)
    chosen = _own_type(outputs) if type == "auto" else type
    with gguf.Writer(target) as writer:
        writer.add("general.architecture", row.name)
        writer.add("general.type", "model")
        writer.add("general.name", name or folder.resolve().name)
        packed = any(output.dtype == mxfp4.TYPE for output in outputs)
        writer.add("general.file_type", _WITH_MXFP4 if packed else TYPES[chosen])
        writer.add("general.quantization_version", _QUANTIZATION_VERSION)
        for key, value in {**pooling(folder), **metadata(row, config)}.items():
            writer.add(f"{row.name}.{key}", value)
        if vocab:
            _add_vocabulary(writer, folder, config, outputs, pre)
        if row.rotates:
            for factors, array in Rope(config).tensors().items():
                writer.add_tensor(factors, array)
        _add_tensors(writer, config, outputs, chosen, progress)


def _add_vocabulary(
    writer: gguf.Writer, folder: Path, config: Config, outputs: list[Output], pre: str | None
) -> None:
    n_rows = next(o.shape[0] for o in outputs if o.name == "token_embd.weight")
    try:
        files = Files.read(folder)
        has_bos = bool(files.text_of("bos_token")) or config.get("bos_token_id") is not None
        vocabulary = vocabulary_of(files, pre, has_bos)
        arrays = vocabulary.arrays(n_rows, files.where)
        names = special.keys(files, config, vocabulary)
    except errors.IngotError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as e:
        raise errors.FormatError(
            f"{folder}: the tokenizer's files aren't as they should be ({e!r}); fetch them "
            "again, or leave the tokenizer out (--no-vocab)"
        ) from e
    for key, value in arrays.items():
        writer.add(f"tokenizer.ggml.{key}", value, "string" if isinstance(value, list) else None)
    for key, value in names.items():
        writer.add(f"tokenizer.{key}", value)


def find_row(config: Config) -> Architecture:
    """The row of the table that config.json names."""
    names = config.get("architectures") or [None]
    name = _PARTS.get(config.get("text_model_type", ""), names[0])
    for row in ROWS:
        if name in row.classes.split():
            return row
    known = " ".join(row.classes for row in ROWS)
    raise errors.UnsupportedError(
        f"{config.path}: 'architectures' says {name}, which can't be converted; known are {known}"
    )


def _own_type(outputs: list[Output]) -> str:
    found = {output.dtype.lower() for output in outputs if output.is_matrix()}
    found.discard(mxfp4.TYPE.lower())
    own = found.pop() if len(found) == 1 else "f16"
    return own if own in TYPES else "f16"


def _type_of(output: Output, chosen: str) -> str:
    if not output.is_matrix():
        return "F32"
    if output.dtype == mxfp4.TYPE:
        return mxfp4.TYPE
    kind = quant.types()[chosen.upper()]
    return "F16" if output.shape[-1] % kind.block_size else kind.name


def _add_tensors(
    writer: gguf.Writer,
    config: Config,
    outputs: list[Output],
    chosen: str,
    progress: Progress | None,
) -> None:
    total = sum(int(np.prod(output.shape)) for output in outputs)
    done = 0

    def add(output: Output, kind: str) -> None:
        def make() -> Iterator[npt.NDArray[Any]]:
            nonlocal done
            for piece, n_weights in _pieces(output, config, kind):
                yield piece
                done += n_weights
                advance(progress, done / total)

        writer.add_stream(output.name, output.shape, kind, make)

    for output in outputs:
        add(output, _type_of(output, chosen))


def _pieces(output: Output, config: Config, kind: str) -> Iterator[tuple[npt.NDArray[Any], int]]:
    """The data, and how many weights each piece has; as it is stored where that is the type."""
    if output.dtype == kind and kind in ("F16", "BF16", mxfp4.TYPE) and output.offset == 0:
        for matrix, _ in output.arrays(config):
            rows = np.ascontiguousarray(matrix).view(np.uint8).reshape(len(matrix), -1)
            yield rows, len(rows) * output.shape[-1]
        return
    limit = np.finfo(np.float16).max
    for floats in output.floats(config):
        if kind == "F16" and (np.abs(floats) > limit).any():
            raise errors.ArgumentError(
                f"tensor '{output.source}' has numbers over {limit:.0f}, which f16 can't hold; "
                "use --type bf16"
            )
        yield floats, floats.size
