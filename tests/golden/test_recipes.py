"""``quantize`` against llama-quantize: which tensor gets which type, metadata, and whole files."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ingot import gguf, quant
from ingot.quantizing import program
from make_recipes import SHAPES

# Output that has the bytes of llama-quantize's.
SAME_BYTES = ["F16", "BF16", "Q8_0", "MXFP4_MOE"]


def quantize(*args: object) -> dict[str, Any]:
    command = [str(program()), "--json", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def dry_run(model: Path, mix: str, imatrix: Path) -> dict[str, str]:
    """The type of each tensor."""
    name, _, with_imatrix = mix.partition("+")
    options = ["--imatrix", imatrix] if with_imatrix else []
    report = quantize("--dry-run", *options, model, name)
    return {tensor["name"]: tensor["to"] for tensor in report["tensors"]}


def write_sparse(
    path: Path, metadata: dict[str, str | int], tensors: Iterable[tuple[str, str, list[int]]]
) -> None:
    """A GGUF file whose data is a hole: a model of 70 billion weights takes no room."""

    def text(string: str) -> bytes:
        return struct.pack("<Q", len(string.encode())) + string.encode()

    directory, offset, count = b"", 0, 0
    for name, kind, shape in tensors:
        row = quant.types()[kind]
        size = row.row_bytes(shape[0]) * int(np.prod(shape[1:], dtype=np.int64))
        directory += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        directory += struct.pack("<IQ", row.id, offset)
        offset += (size + 31) // 32 * 32
        count += 1
    head = struct.pack("<4sIQQ", b"GGUF", 3, count, len(metadata))
    for key, value in metadata.items():
        coded = struct.pack("<II", 4, value) if isinstance(value, int) else b""
        head += text(key) + (coded or struct.pack("<I", 8) + text(str(value)))
    head += directory
    with path.open("wb") as f:
        f.write(head)
        f.truncate((len(head) + 31) // 32 * 32 + offset)


@pytest.fixture
def imatrix(tmp_path: Path) -> Path:
    """Importance of a tensor that no model has: what counts for types is that there is some."""
    path = tmp_path / "some.imatrix"
    with gguf.Writer(path) as writer:
        writer.add("general.type", "imatrix")
        writer.add_tensor("none.weight.in_sum2", np.ones((1, 4), np.float32))
        writer.add_tensor("none.weight.counts", np.ones((1, 1), np.float32))
    return path


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(shared: Path, tmp_path: Path, imatrix: Path, name: str) -> None:
    table = json.loads((shared / f"golden/quantmodel/types_{name}.json").read_text())
    arch, heads, kv_heads, experts = SHAPES[name]
    layers = 1 + max(int(n.split(".")[1]) for n in table["names"] if n.startswith("blk."))
    model = tmp_path / "model.gguf"
    metadata: dict[str, str | int] = {
        "general.architecture": arch,
        f"{arch}.block_count": layers,
        f"{arch}.attention.head_count": heads,
        f"{arch}.attention.head_count_kv": kv_heads,
        f"{arch}.expert_count": experts,
    }
    write_sparse(
        model,
        metadata,
        zip(table["names"], table["source_types"], table["shapes"], strict=True),
    )
    assert len(table["maps"]) >= 59
    for mix, indices in table["maps"].items():
        expected = {
            tensor: table["types"][i] for tensor, i in zip(table["names"], indices, strict=True)
        }
        assert dry_run(model, mix, imatrix) == expected, mix
    for mix in table["errors"]:
        command = [str(program()), "--dry-run", str(model), mix]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "--tensor-type" in done.stderr


def test_architectures(shared: Path, imatrix: Path) -> None:
    """Every architecture's never quantised tensors, and widths that blocks don't divide."""
    golden = shared / "golden"
    tables = json.loads((golden / "quantmodel/types_arch_models.json").read_text())
    assert len(tables) >= 47
    for name, mixes in tables.items():
        folders = (golden / folder / name / "model.gguf" for folder in ("arch", "arch-next"))
        model = next(path for path in folders if path.exists())
        for mix, expected in mixes.items():
            found: dict[str, set[str]] = {}
            for tensor, kind in dry_run(model, mix, imatrix).items():
                pattern = re.sub(r"\d+", "N", tensor)
                found.setdefault(kind, set()).add(pattern)
            assert found == {kind: set(names) for kind, names in expected.items()}, (name, mix)


def test_files(shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden"
    model = golden / "quantmodel/model-F16.gguf"
    imatrix = golden / "imatrix/imatrix.gguf"
    tables = json.loads((golden / "quantmodel/types_quantmodel.json").read_text())
    for mix, table in tables.items():
        name, _, with_imatrix = mix.partition("+")
        out = tmp_path / f"{mix}.gguf"
        if "error" in table:
            command = [str(program()), str(model), str(out), name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 1
            assert "--imatrix" in done.stderr
            assert not out.exists()
            continue
        options = ["--imatrix", imatrix] if with_imatrix else []
        quantize(*options, model, out, name)
        with gguf.open(out) as file:
            assert file.metadata["general.file_type"] == table["file_type"]
            assert file.metadata["general.quantization_version"] == 2
            assert {t: file.tensors[t].type for t in file.tensors} == table["tensors"], mix
        if not with_imatrix:  # the name of which is part of the file
            assert out.stat().st_size == table["size"]
        if mix in SAME_BYTES:
            assert hashlib.sha256(out.read_bytes()).hexdigest() == table["sha256"], mix


def test_imatrix_forms(shared: Path, tmp_path: Path) -> None:
    """Both forms of the same matrix give the same file, apart from the name of their own."""
    golden = shared / "golden"
    model = golden / "quantmodel/model-F16.gguf"
    files = []
    for form in ("imatrix.gguf", "imatrix.dat"):
        out = tmp_path / form
        options = ["--imatrix", golden / "imatrix" / form, "--pure"]
        report = quantize(*options, model, out, "Q4_0")
        used = {t["name"] for t in report["tensors"] if t["importance"]}
        assert len(used) == 21
        with gguf.open(out) as file:
            assert str(file.metadata["quantize.imatrix.file"]).endswith(form)
            assert file.metadata["quantize.imatrix.entries_count"] == 21
            assert file.metadata["quantize.imatrix.chunks_count"] == 12
            assert "calibration.txt" in str(file.metadata["quantize.imatrix.dataset"])
            files.append({t: np.asarray(file.tensors[t].data).tobytes() for t in file.tensors})
    assert files[0] == files[1]
    assert len(files[0]) > 21
