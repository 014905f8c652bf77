"""``ingot inspect``: what is in a GGUF file, and what memory it takes."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ingot import errors, gguf
from ingot.cli import options, terminal
from ingot.model import Model, bundled_model

_EPILOG = """\
examples:
  ingot inspect model.gguf
  ingot inspect model.gguf --tensors
  ingot inspect model.gguf --json | jq '.metadata["general.architecture"]'
"""

_SHOWN_ITEMS = 6  # of an array
_SHOWN_CHARACTERS = 100


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    options.add_model(parser)
    parser.add_argument("--tensors", action="store_true", help="list the tensors")
    options.add_ctx_size(parser, "reckon KV memory for N tokens")
    options.add_json(parser)


def execute(args: argparse.Namespace) -> int:
    path = bundled_model() if args.model is None else args.model
    with gguf.open(path, data=False) as file:
        report = _report(file, args.ctx_size, args.tensors or args.json)
        if args.json:
            print(json.dumps(_plain(report)))
        else:
            _show(report)
    return 0


def _report(file: gguf.Reader, n_ctx: int | None, with_tensors: bool) -> dict[str, Any]:
    tensors = [file.tensors[name] for name in file.tensors]
    report: dict[str, Any] = {
        "path": file.path,
        "version": file.version,
        "files": file.n_files,
        "alignment": file.alignment,
        "metadata": dict(file.metadata),
        "types": _by_type(tensors),
        "tensor_count": len(tensors),
        "tensor_bytes": sum(tensor.nbytes for tensor in tensors),
        "memory": _memory(file.path, n_ctx),
    }
    if with_tensors:
        report["tensors"] = [
            {"name": t.name, "type": t.type, "shape": t.shape, "bytes": t.nbytes} for t in tensors
        ]
    return report


def _by_type(tensors: list[gguf.Tensor]) -> list[dict[str, Any]]:
    """What each tensor type takes, most bytes first."""
    sums: dict[str, list[int]] = {}
    for tensor in tensors:
        row = sums.setdefault(tensor.type, [0, 0, 0])
        for i, amount in enumerate((1, math.prod(tensor.shape), tensor.nbytes)):
            row[i] += amount
    rows = [
        {"type": name, "tensors": n, "weights": weights, "bytes": size}
        for name, (n, weights, size) in sums.items()
    ]
    return sorted(rows, key=lambda row: row["bytes"], reverse=True)


def _memory(path: str, n_ctx: int | None) -> dict[str, Any]:
    """Weights and KV pages in bytes, or why a model can't be made of the file."""
    try:
        with Model(path) as model:
            info = model.info
    except errors.IngotError as e:
        return {"error": str(e)}
    positions = n_ctx or info.n_ctx_train
    kv = positions * info.kv_bytes_per_token_f16
    return {
        **dataclasses.asdict(info),
        "n_ctx": positions,
        "kv_bytes_f16": kv,
        "total_bytes": info.weight_bytes + kv,
    }


def _show(report: dict[str, Any]) -> None:
    terminal.table("file", ["what", "value"], list(_summary(report)))
    metadata = report["metadata"]
    terminal.table("metadata", ["key", "value"], [(key, _brief(metadata[key])) for key in metadata])
    types = report["types"]
    terminal.table(
        "types",
        ["type", "tensors", "weights", "size", "bits per weight"],
        [
            (t["type"], t["tensors"], t["weights"], terminal.size(t["bytes"]), _bits(t))
            for t in types
        ],
    )
    if "tensors" in report:
        terminal.table(
            "tensors",
            ["name", "type", "shape", "size"],
            [
                (t["name"], t["type"], list(t["shape"]), terminal.size(t["bytes"]))
                for t in report["tensors"]
            ],
        )


def _summary(report: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "path", report["path"]
    yield "format", f"GGUF v{report['version']}, alignment {report['alignment']}"
    if report["files"] > 1:
        yield "files", report["files"]
    yield "tensors", f"{report['tensor_count']}, {terminal.size(report['tensor_bytes'])}"
    memory = report["memory"]
    if "error" in memory:
        yield "not usable as a model", memory["error"]
        return
    yield "architecture", memory["architecture"]
    yield "weights", f"{memory['n_params']:,}"
    shape = (
        "{n_layer} layers of {n_embd}, {n_head} heads over {n_head_kv} KV heads, {n_vocab} tokens"
    )
    yield "shape", shape.format(**memory)
    yield "context", f"{memory['n_ctx_train']} tokens"
    weights, kv, total = (
        terminal.size(memory[key]) for key in ("weight_bytes", "kv_bytes_f16", "total_bytes")
    )
    yield "memory", f"{weights} weights + {kv} KV for {memory['n_ctx']} tokens (F16) = {total}"


def _bits(row: dict[str, Any]) -> str:
    return f"{8 * row['bytes'] / row['weights']:.2f}" if row["weights"] else "-"


def _brief(value: object) -> str:
    """A metadata value on one short line."""
    if isinstance(value, (list, np.ndarray)):
        items = ", ".join(_brief(item) for item in value[:_SHOWN_ITEMS])
        more = ", ..." if len(value) > _SHOWN_ITEMS else ""
        return f"{len(value)} of [{items}{more}]"
    if isinstance(value, np.generic):
        value = value.item()
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _plain(value: Any) -> Any:
    """What JSON can hold: arrays as lists, numbers that are none as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
