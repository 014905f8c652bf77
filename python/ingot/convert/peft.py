"""From an adapter as PEFT saves it to a GGUF file.

The folder holds adapter_config.json and adapter_model.safetensors (Mangrulkar et al. 2022, "PEFT").
Rows of B go the way of the base model's rows, as ``ingot convert`` turns them; A stays as it is.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ingot import errors, gguf, quant
from ingot._lib import Progress, advance
from ingot.convert import TYPES, changes, find_row, safetensors
from ingot.convert.architectures import ROWS, Architecture
from ingot.convert.config import Config, read_object
from ingot.convert.safetensors import Stored
from ingot.convert.tensors import rule_for

Floats = npt.NDArray[np.float32]

_SETTINGS, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
# The endings of A and of B, of linear maps and of embeddings; some versions leave ".weight" out.
_ENDINGS = (
    (".lora_A.weight", ".lora_B.weight"),
    (".lora_A", ".lora_B"),
    (".lora_embedding_A", ".lora_embedding_B"),
)
# What changes the mathematics, and which values of it are those of plain LoRA.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "use_dora": (False, None),
    "use_qalora": (False, None),
    "lora_bias": (False, None),
    "modules_to_save": (None, []),
    "trainable_token_indices": (None, [], {}),
    "alora_invocation_tokens": (None, []),
}


@dataclass(frozen=True)
class Pair:
    """A and B of a module."""

    module: str  # without what wraps the model
    a: Stored
    b: Stored

    @property
    def embedding(self) -> bool:
        return self.a.name.endswith("embedding_A")

    @property
    def rank(self) -> int:
        return self.a.shape[0]


@dataclass(frozen=True)
class Base:
    """The model that the adapter is for: a row of the table, settings, and tensors if known."""

    row: Architecture
    config: Config
    shapes: Mapping[str, tuple[int, ...]] | None


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    type: str = "auto",  # noqa: A002
    name: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes the PEFT adapter in folder ``source`` to the GGUF file ``target``.

    ``base`` is the model: a GGUF file, or the folder of a Hugging Face checkpoint, of which
    config.json is enough; None: the folder that the adapter names, if it is there. ``type`` is that
    of the tensors: "f32", "f16", "bf16", "q8_0" (f16 where a row is no multiple of 32), or "auto",
    the one that they have.
    """
    if type != "auto" and type not in TYPES:
        raise errors.ArgumentError(f"type {type!r}: expected auto, {', '.join(TYPES)}")
    folder = Path(source)
    settings = _settings(folder)
    model = _base(folder, settings, base)
    pairs = _pairs(folder)
    scales = [_scale(settings, pair, folder) for pair in pairs]
    alpha = scales[0] * pairs[0].rank
    with gguf.Writer(target) as writer:
        writer.add("general.type", "adapter")
        writer.add("general.architecture", model.row.name)
        writer.add("general.name", name or folder.resolve().name)
        writer.add("adapter.type", "lora")
        writer.add("adapter.lora.alpha", float(alpha))
        for i, (pair, scale) in enumerate(zip(pairs, scales, strict=True)):
            # A file has one alpha: what it gives too much or too little, B makes up for.
            factor = np.float32(scale * pair.rank / alpha) if alpha else np.float32(1)
            for tensor, array in _converted(model, pair, factor):
                writer.add_tensor(tensor, array, _type_of(type, pair.a, array))
            advance(progress, (i + 1) / (len(pairs) + 1))


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / _SETTINGS
    settings = read_object(path)
    if not settings:
        raise errors.MissingFileError(f"{path} is missing; give the folder of a PEFT adapter")
    for key, values in _PLAIN.items():
        if key in settings and settings[key] not in values:
            raise errors.UnsupportedError(
                f"{path}: '{key}' is {settings[key]!r}, expected {values[0]!r}: only plain LoRA "
                "can be converted; merge the adapter into its model with PEFT instead"
            )
    for key in ("r", "lora_alpha"):
        if not isinstance(settings.get(key), (int, float)) or isinstance(settings[key], bool):
            raise errors.FormatError(f"{path}: '{key}' is {settings.get(key)!r}, expected a number")
    return settings


# ------------------------------------------------------------------------------------------- model


def _base(folder: Path, settings: Mapping[str, Any], given: str | os.PathLike[str] | None) -> Base:
    named = settings.get("base_model_name_or_path")
    path = Path(given) if given is not None else Path(str(named)) if named else None
    if path is not None and (path.is_file() or given is not None):
        return _checkpoint(path) if path.is_dir() else _file(path)
    if path is not None and (path / "config.json").is_file():
        return _checkpoint(path)
    raise errors.ArgumentError(
        f"{folder / _SETTINGS} names the model {named!r}, which isn't here; give it with --base: a "
        "GGUF file, or a folder with its config.json"
    )


def _checkpoint(folder: Path) -> Base:
    config = Config.read(folder)
    row = find_row(config)
    return Base(row, config.with_defaults(dict(row.defaults)), None)


def _file(path: Path) -> Base:
    """What a GGUF file says, as config.json would."""
    with gguf.Reader(path, data=False) as file:
        found = file.metadata
        name = str(found.get("general.architecture"))
        row = next((row for row in ROWS if row.name == name), None)
        if row is None:
            raise errors.UnsupportedError(
                f"{path}: 'general.architecture' is {name!r}, whose adapters can't be converted"
            )
        keys = {
            "num_hidden_layers": "block_count",
            "hidden_size": "embedding_length",
            "num_attention_heads": "attention.head_count",
            "num_key_value_heads": "attention.head_count_kv",
            "head_dim": "attention.key_length",
        }
        values = {ours: found.get(f"{name}.{key}") for ours, key in keys.items()}
        shapes = {tensor: one.shape for tensor, one in file.tensors.items()}
    for key, value in values.items():
        if isinstance(value, (list, np.ndarray)):  # of each layer
            if len({*map(int, value)}) != 1:
                raise errors.UnsupportedError(
                    f"{path}: '{name}.{keys[key]}' differs from layer to layer"
                )
            values[key] = int(value[0])
    return Base(row, Config(path, values), shapes)


# ----------------------------------------------------------------------------------------- tensors


def _pairs(folder: Path) -> list[Pair]:
    path = folder / _WEIGHTS
    pickled = folder / "adapter_model.bin"
    if not path.is_file() and pickled.is_file():
        raise errors.UnsupportedError(
            f"{pickled} is a pickle, which may run any code when it is read, so it isn't; load the "
            "adapter with PEFT and save it again (save_pretrained), as safetensors"
        )
    found = {stored.name: stored for stored in safetensors.read(path)}
    pairs, used = [], set()
    for a_end, b_end in _ENDINGS:
        for name, a in found.items():
            b = found.get(name.removesuffix(a_end) + b_end)
            if not name.endswith(a_end) or b is None:
                continue
            used |= {name, b.name}
            module = name.removesuffix(a_end).removeprefix(_PREFIX)
            pairs.append(_checked(Pair(module, a, b)))
    unknown = [name for name in found if name not in used]
    if unknown:
        raise errors.UnsupportedError(
            f"{path}: tensor '{unknown[0]}' isn't one of a pair of LoRA's; nothing else can be "
            "converted"
        )
    if not pairs:
        raise errors.FormatError(f"{path} has no tensors")
    return pairs


def _checked(pair: Pair) -> Pair:
    a, b = pair.a, pair.b
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1] or not a.shape[0]:
        raise errors.FormatError(
            f"{a.path}: tensors '{a.name}' and '{b.name}' have shapes {list(a.shape)} and "
            f"{list(b.shape)}, expected [rank, inputs] and [outputs, rank]"
        )
    return pair


def _scale(settings: Mapping[str, Any], pair: Pair, folder: Path) -> float:
    """What B A is multiplied with (Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for
    Fine-Tuning with LoRA", divides by the root)."""
    alpha = float(_of_module(settings, "alpha_pattern", pair.module, settings["lora_alpha"]))
    rank = _of_module(settings, "rank_pattern", pair.module, settings["r"])
    if rank != pair.rank:
        raise errors.FormatError(
            f"{pair.a.path}: tensor '{pair.a.name}' has {pair.rank} rows, but {folder / _SETTINGS} "
            f"says a rank of {rank}"
        )
    if not math.isfinite(alpha):
        raise errors.FormatError(f"{folder / _SETTINGS}: 'lora_alpha' is {alpha}")
    return alpha / (math.sqrt(pair.rank) if settings.get("use_rslora") else pair.rank)


def _of_module(settings: Mapping[str, Any], pattern: str, module: str, usual: Any) -> Any:
    """PEFT's patterns are expressions for the ends of modules' names."""
    for key, value in (settings.get(pattern) or {}).items():
        try:
            found = re.match(rf"(.*\.)?({key})$", module)
        except re.error as e:
            raise errors.FormatError(f"{_SETTINGS}: '{pattern}' has the key {key!r}: {e}") from None
        if found:
            return value
    return usual


def _converted(base: Base, pair: Pair, factor: np.float32) -> Iterator[tuple[str, Floats]]:
    """The file's tensors of a module."""
    found = rule_for(base.row, f"{pair.module}.weight")
    if found is None:
        raise errors.UnsupportedError(
            f"{pair.a.path}: tensor '{pair.a.name}' changes '{pair.module}', for which "
            f"architecture '{base.row.name}' has no name"
        )
    layer, place, _, rule = found
    a = safetensors.widen(pair.a.map(), pair.a.dtype)
    b = safetensors.widen(pair.b.map(), pair.b.dtype) * factor
    if place is not None or any("_exps" in target for target in rule.targets):
        raise errors.UnsupportedError(
            f"{pair.a.path}: tensor '{pair.a.name}' changes an expert, and adapters of experts "
            "aren't supported; merge the adapter into its model with PEFT instead"
        )
    # The matrix of a turned one is stored the other way round, but its A and B aren't.
    change = changes.SAME if rule.change is changes.TURN else rule.change
    try:
        parts = change.make(b, base.config)
    except ValueError as e:
        raise errors.FormatError(
            f"{pair.b.path}: tensor '{pair.b.name}' of shape {list(pair.b.shape)} doesn't fit "
            f"{base.config.path}; perhaps the adapter is for another model ({e})"
        ) from e
    for target, part in zip(rule.targets, parts, strict=True):
        name = f"{target}.weight" if layer is None else f"blk.{layer}.{target}.weight"
        _check_fits(base, pair, name, (part.shape[0], a.shape[1]))
        yield f"{name}.lora_a", np.ascontiguousarray(a.T if pair.embedding else a)
        yield f"{name}.lora_b", np.ascontiguousarray(part)


def _check_fits(base: Base, pair: Pair, name: str, shape: tuple[int, int]) -> None:
    if base.shapes is None:
        return
    known = base.shapes.get(name)
    if known is None and name == "output.weight":  # tied to the embedding
        known = base.shapes.get("token_embd.weight")
    wanted = tuple(reversed(shape)) if pair.embedding else shape
    if known != wanted:
        raise errors.FormatError(
            f"{pair.a.path}: '{pair.module}' is changed by a matrix of shape {list(wanted)}, but "
            f"'{name}' of {base.config.path} "
            + (f"has {list(known)}" if known else "is missing")
            + "; is the adapter for another model?"
        )


def _type_of(chosen: str, stored: Stored, array: Floats) -> str:
    if chosen == "auto":
        return stored.dtype if stored.dtype in ("F16", "BF16") else "F32"
    kind = quant.type_by_name(chosen)
    return "F16" if array.shape[-1] % kind.block_size else kind.name
