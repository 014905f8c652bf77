"""Which tensors a GGUF file has, and how each is made of the checkpoint's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ingot import errors
from ingot.convert import safetensors
from ingot.convert.architectures import Architecture
from ingot.convert.changes import SAME, Array, Change, Rule, Shape
from ingot.convert.config import Config
from ingot.convert.safetensors import Stored

# What wraps a model, whose names don't matter.
_WRAPPERS = ("model.", "language_model.", "transformer.", "bert.", "gpt_neox.")
# Parts of models that read more than text.
_OTHER_PARTS = ("vision_", "visual.", "multi_modal_projector.", "audio_", "embed_vision.")
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
_SUFFIXES = (".weight", ".bias")
_PIECE_WEIGHTS = 1 << 22  # widened at a time


@dataclass(frozen=True)
class Part:
    """A checkpoint's tensor as one of a file's, or of a stack."""

    stored: Stored
    change: Change
    index: int  # of the arrays that the change makes
    shape: Shape


@dataclass
class Output:
    """A tensor of the file to write."""

    name: str
    parts: dict[int, Part] = field(default_factory=dict)  # by their place in the stack
    stacked: bool = False
    offset: int = 0  # is added to its numbers

    @property
    def shape(self) -> Shape:
        first = next(iter(self.parts.values())).shape
        return (len(self.parts), *first) if self.stacked else first

    @property
    def dtype(self) -> str:
        return next(iter(self.parts.values())).stored.dtype

    @property
    def source(self) -> str:
        return next(iter(self.parts.values())).stored.name

    def is_matrix(self) -> bool:
        """Whether it gets the type that was asked for; others stay float32."""
        small = r"norm|\.bias$|ffn_gate_inp|position_embd|token_types|sinks|cls"
        return len(self.shape) > 1 and re.search(small, self.name) is None

    def arrays(self, config: Config) -> Iterator[tuple[Array, str]]:
        """The data as stored, a matrix at a time, with its type."""
        for _, part in sorted(self.parts.items()):
            try:
                array = part.change.make(part.stored.map(), config)[part.index]
            except ValueError as e:
                raise _impossible(part.stored, (self.name,), config) from e
            for matrix in array if array.ndim > 2 else [array]:
                yield matrix, part.stored.dtype

    def floats(self, config: Config) -> Iterator[npt.NDArray[np.float32]]:
        """The data as float32, some rows at a time."""
        for array, dtype in self.arrays(config):
            rows = array.reshape(-1, array.shape[-1])
            step = max(1, _PIECE_WEIGHTS // max(1, array.shape[-1]))
            for begin in range(0, len(rows), step):
                yield safetensors.widen(rows[begin : begin + step], dtype) + np.float32(self.offset)


def plan(row: Architecture, config: Config, tensors: Mapping[str, Stored]) -> list[Output]:
    """The file's tensors, in the checkpoint's order."""
    outputs: dict[str, Output] = {}
    unknown = []
    for stored in tensors.values():
        name = _unwrapped(stored.name)
        if name is None or _ignored(row, name):
            continue
        found = _rule(row, name)
        if found is None:
            unknown.append(stored.name)
            continue
        layer, place, suffix, rule = found
        change = rule.change if len(stored.shape) >= rule.change.n_dims else SAME
        shapes = change.shapes(stored.shape, config)
        if len(shapes) != len(rule.targets):
            raise _impossible(stored, rule.targets, config)
        for i, (target, shape) in enumerate(zip(rule.targets, shapes, strict=True)):
            full = f"blk.{layer}.{target}" if layer is not None else target
            full += "" if target.endswith(_SUFFIXES) else suffix
            output = outputs.setdefault(full, Output(full, stacked=place is not None))
            if output.parts:
                _check_stack(output, place, stored, shape)
            output.parts[place or 0] = Part(stored, change, i, shape)
            output.offset = row.norm_offset if full.endswith("norm.weight") else 0
    if unknown:
        raise errors.UnsupportedError(
            f"{config.path}: the checkpoint has tensor '{unknown[0]}'"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
            + f" which architecture '{row.name}' has no name for: the engine can't compute it"
        )
    _drop_tied(row, config, outputs)
    _drop_unused(outputs)
    return list(outputs.values())


def _unwrapped(name: str) -> str | None:
    """The name without what wraps the model; None for a part that doesn't read text."""
    while True:
        if name.startswith(_OTHER_PARTS):
            return None
        prefix = next((p for p in _WRAPPERS if name.startswith(p)), None)
        if prefix is None:
            return name
        name = name.removeprefix(prefix)


def rule_for(row: Architecture, name: str) -> tuple[int | None, int | None, str, Rule] | None:
    """``_rule``, for a name with what wraps the model."""
    plain = _unwrapped(name)
    return None if plain is None else _rule(row, plain)


def _ignored(row: Architecture, name: str) -> bool:
    plain = _NUMBER.sub("#", name)
    return plain.startswith(row.ignores) or plain.endswith("rotary_emb.inv_freq")


def _rule(row: Architecture, name: str) -> tuple[int | None, int | None, str, Rule] | None:
    """Layer, place in a stack, ending, and what becomes of the tensor."""
    suffix = next((s for s in _SUFFIXES if name.endswith(s)), "")
    stem = name.removesuffix(suffix)
    numbers = [int(n) for n in _NUMBER.findall(stem)]
    marks = iter("#@")
    target = row.tensors.get(_NUMBER.sub(lambda _: next(marks, "?"), stem))
    if target is None:
        return None
    rule = Rule((target,), SAME) if isinstance(target, str) else target
    layer = numbers[0] if numbers else None
    place = numbers[1] if len(numbers) > 1 else None
    return layer, place, suffix or ".weight", rule


def _impossible(stored: Stored, targets: tuple[str, ...], config: Config) -> errors.FormatError:
    return errors.FormatError(
        f"{stored.path}: tensor '{stored.name}' of shape {list(stored.shape)} can't become "
        f"{' and '.join(targets)}; perhaps {config.path} belongs to another model"
    )


def _check_stack(output: Output, place: int | None, stored: Stored, shape: Shape) -> None:
    first = next(iter(output.parts.values()))
    if place is None or place in output.parts:
        other = output.parts.get(place or 0, first).stored.name
        raise errors.FormatError(
            f"tensors '{other}' and '{stored.name}' are both '{output.name}'; perhaps the folder "
            "holds two checkpoints: keep one"
        )
    if first.shape != shape:
        raise errors.FormatError(
            f"{stored.path}: tensor '{stored.name}' has shape {list(shape)}, expected "
            f"{list(first.shape)} as '{first.stored.name}'"
        )


def _drop_tied(row: Architecture, config: Config, outputs: dict[str, Output]) -> None:
    """Models without an output matrix of their own may have a copy of the embedding in the file."""
    head, embedding = outputs.get("output.weight"), outputs.get("token_embd.weight")
    tied = config.get("tie_word_embeddings")
    if head is None:
        if tied is False and not row.encoder:
            raise errors.FormatError(
                f"{config.path}: 'tie_word_embeddings' is false, but the checkpoint has no tensor "
                "'lm_head.weight'; fetch all of its files"
            )
    elif tied or (tied is None and embedding is not None and _equal(head, embedding, config)):
        outputs.pop("output.weight")
        outputs.pop("output.bias", None)


def _equal(a: Output, b: Output, config: Config) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    pairs = zip(a.floats(config), b.floats(config), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def _drop_unused(outputs: dict[str, Output]) -> None:
    """A pooler is of use to a classifier alone."""
    if "cls.output.weight" not in outputs:
        for name in ("cls.weight", "cls.bias"):
            outputs.pop(name, None)


# What a layer can't be without; of several, one.
_NEEDED = (
    ("attn_q", "attn_qkv"),
    ("attn_output",),
    ("ffn_up", "ffn_up_exps"),
    ("ffn_down", "ffn_down_exps"),
)


def check_complete(row: Architecture, config: Config, outputs: list[Output]) -> None:
    """Every layer has its tensors, every stack its parts."""
    by_layer: list[set[str]] = [set() for _ in range(config.n_layer)]
    n_expert = int(config.get("num_local_experts num_experts", 0))
    names = {output.name for output in outputs}
    if "token_embd.weight" not in names:
        raise _missing(row, config, "token_embd", None)
    for output in outputs:
        if "_exps." in output.name and output.shape[0] != n_expert:
            raise errors.FormatError(
                f"{config.path} says {n_expert} experts, but '{output.name}' has "
                f"{output.shape[0]} ('{output.source}', ...); fetch all of the checkpoint's files"
            )
        match = re.fullmatch(r"blk\.(\d+)\.(.+)\.weight", output.name)
        if match and int(match[1]) < config.n_layer:
            by_layer[int(match[1])].add(match[2])
    shared = set().union(*by_layer)
    for i, stems in enumerate(by_layer):
        for choice in _NEEDED:
            if not stems & set(choice):
                raise _missing(row, config, next((c for c in choice if c in shared), choice[0]), i)
        for stem in sorted(shared - stems):
            if stem.startswith(("attn", "post")) and not (i == 0 and row.bare_first):
                raise _missing(row, config, stem, i)


def _missing(row: Architecture, config: Config, stem: str, layer: int | None) -> errors.FormatError:
    def makes(target: str | Rule) -> bool:
        return stem in ((target,) if isinstance(target, str) else target.targets)

    name = next((name for name, target in row.tensors.items() if makes(target)), stem)
    where = name if layer is None else name.replace("#", str(layer))
    return errors.FormatError(
        f"{config.path.parent}: the checkpoint has no tensor '{where}.weight' (which may stand "
        f"behind 'model.' or the like); fetch all of its files"
    )
