"""``ingot.quantize``: the program as a function."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ingot
import numpy as np
import pytest
from ingot import ArgumentError, CancelledError, FormatError, MissingFileError, gguf
from test_quantize import (
    LAYERS,
    large_model,
    nothing_else,
    run,
    run_well,
    tensors_of_a_model,
    types_in,
    write_imatrix,
    write_model,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.gguf")


def test_what_is_reported(model: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "out.gguf", list[float]()
    found = ingot.quantize(model, out, "q8_0", threads=1, progress=seen.append)
    report = json.loads(run_well("--json", model, tmp_path / "again.gguf", "Q8_0"))
    assert out.read_bytes() == (tmp_path / "again.gguf").read_bytes()
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert (found.input, found.output) == (str(model), str(out))
    assert (found.file_type, found.dry_run, found.warnings) == ("Q8_0", False, ())
    assert {t.name: t.type for t in found.tensors} == types_in(out)
    assert {t.name: t.shape for t in found.tensors} == {
        name: values.shape for name, values in tensors_of_a_model().items()
    }
    for name in ("weights", "bytes_before", "bytes", "bits_per_weight"):
        assert getattr(found, name) == report[name]
    assert found.bytes == sum(t.bytes for t in found.tensors) == sum(t.bytes for t in found.types)
    assert found.seconds is not None
    (q8,) = (t for t in found.types if t.type == "Q8_0")
    assert 0.001 < (q8.relative_error or 0) < 0.01
    assert next(t.relative_error for t in found.types if t.type == "F32") is None


def test_options(model: Path, tmp_path: Path) -> None:
    out, imatrix = tmp_path / "out.gguf", write_imatrix(tmp_path / "imatrix.gguf", "attn_v")
    found = ingot.quantize(
        model,
        out,
        "Q5_0",
        imatrix=imatrix,
        tensor_types={r"blk\.[01]\.attn_v": "bf16", "attn_v": "f32"},
        output_tensor_type="F16",
        token_embedding_type="q4_0",
        prune_layers=[3],
        metadata={"general.name": "new = old", "a.n": -3, "a.x": 0.5, "a.yes": True},
        threads=2,
    )
    kinds = types_in(out)
    assert [kinds[f"blk.{i}.attn_v.weight"] for i in range(3)] == ["BF16", "BF16", "F32"]
    assert (kinds["output.weight"], kinds["token_embd.weight"]) == ("F16", "Q4_0")
    assert kinds["blk.0.ffn_down_exps.weight"] == "Q5_0"
    assert "blk.3.attn_v.weight" not in kinds
    assert {t.name for t in found.tensors if t.importance} == {
        "token_embd.weight",
        *(f"blk.{i}.ffn_down_exps.weight" for i in range(3)),
    }
    with gguf.open(out) as file:
        metadata = dict(file.metadata)
    assert (metadata["general.name"], metadata["a.n"]) == ("new = old", -3)
    assert (metadata["a.x"], metadata["a.yes"]) == (0.5, True)
    assert metadata["llama.block_count"] == LAYERS - 1

    kept = ingot.quantize(model, out, "Q4_0", leave_output_tensor=True, pure=True)
    assert {t.type for t in kept.tensors} == {"F16", "F32", "Q4_0"}
    with pytest.raises(ArgumentError, match="allow-requantize"):
        ingot.quantize(out, tmp_path / "again.gguf", "Q8_0")
    ingot.quantize(out, tmp_path / "again.gguf", "Q8_0", allow_requantize=True)
    split = ingot.quantize(model, tmp_path / "parts", "Q8_0", keep_split=True)
    assert (tmp_path / "parts-00001-of-00001.gguf").exists()
    assert split.bytes < kept.bytes_before


def test_dry_run(model: Path, tmp_path: Path) -> None:
    """Says what would be written, and what would keep it from being written."""
    found = ingot.quantize(model, tmp_path / "out.gguf", "Q4_K_M", dry_run=True)
    assert (found.dry_run, found.seconds) == (True, None)
    (warning,) = found.warnings
    assert "rows that the wanted types' blocks don't divide" in warning
    assert found.problem is None
    assert {t.wanted for t in found.tensors if t.type == "Q5_0"} == {"Q4_K"}
    found = ingot.quantize(model, model, "Q8_0", dry_run=True)
    assert "would be written over" in (found.problem or "")
    assert found.warnings == ()
    nothing_else(tmp_path, "model.gguf")


def test_an_output_called_like_a_type(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ingot.quantize("model.gguf", "q4_0", "Q8_0")
    ingot.quantize(b"model.gguf".decode(), "-x", "Q8_0")
    nothing_else(tmp_path, "model.gguf", "q4_0", "-x")


def test_errors_are_exceptions(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    with pytest.raises(MissingFileError, match=r"none\.gguf") as missing:
        ingot.quantize(tmp_path / "none.gguf", out, "Q8_0")
    assert missing.value.filename == str(tmp_path / "none.gguf")
    with pytest.raises(MissingFileError, match=r"none\.imatrix"):
        ingot.quantize(model, out, "Q8_0", imatrix=tmp_path / "none.imatrix")
    with pytest.raises(ArgumentError, match="'Q9' is no file type"):
        ingot.quantize(model, out, "Q9")
    with pytest.raises(ArgumentError, match="'Q9' is no tensor type"):
        ingot.quantize(model, out, "Q8_0", tensor_types={"attn": "Q9"})
    with pytest.raises(ArgumentError, match="would be written over"):
        ingot.quantize(model, model, "Q8_0")
    with pytest.raises(ArgumentError, match="threads is 0"):
        ingot.quantize(model, out, "Q8_0", threads=0)
    with pytest.raises(ArgumentError, match="metadata a is None"):
        ingot.quantize(model, out, "Q8_0", metadata={"a": None})  # type: ignore[dict-item]
    with pytest.raises(ArgumentError, match="NUL"):
        ingot.quantize(model, out, "Q8\0")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.read_bytes()[:-1000])
    with pytest.raises(FormatError, match=r"cut\.gguf"):
        ingot.quantize(cut, out, "Q8_0")
    nothing_else(tmp_path, "model.gguf", "cut.gguf")


def test_lines_of_json(model: Path, tmp_path: Path) -> None:
    done = run("--json", model, tmp_path / "out.gguf", "Q4_K_M")
    assert json.loads(done.stdout)["file_type"] == "Q4_K_M"
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [list(line) for line in lines[:1]] == [["warning"]]
    assert lines[-1]["progress"] == 1
    count = len(tensors_of_a_model())
    assert (lines[-1]["number"], lines[-1]["of"]) == (count, count)
    assert lines[-1]["tensor"] in tensors_of_a_model()
    for args, status in ((["--pure=1"], "invalid"), ([tmp_path / 'a"\n', "Q8_0"], "io")):
        (line,) = map(json.loads, run("--json", *args).stderr.splitlines())
        assert line.keys() == {"error", "status"}
        assert line["status"] == status


@pytest.mark.parametrize("how", ["false", "raised"])
def test_a_callback_ends_the_work(tmp_path: Path, how: str) -> None:
    model, seen = large_model(tmp_path / "large.gguf"), list[float]()

    def progress(share: float) -> bool:
        seen.append(share)
        if how == "raised":
            raise ZeroDivisionError
        return False

    start = time.monotonic()
    with pytest.raises(CancelledError if how == "false" else ZeroDivisionError):
        ingot.quantize(model, tmp_path / "out.gguf", "Q8_0", threads=1, progress=progress)
    assert time.monotonic() - start < 5
    assert len(seen) == 1
    assert 0 < seen[0] < 1
    nothing_else(tmp_path, "large.gguf")


SCRIPT = """
import sys, ingot
ingot.quantize(sys.argv[1], sys.argv[2], "Q8_0", threads=1, progress=lambda _: print(flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interruption_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C reaches all processes of a terminal; a caller that is killed says no word at all."""
    model = large_model(tmp_path / "large.gguf")
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(model), str(tmp_path / "out.gguf")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        assert (tmp_path / "out.gguf.part").exists()
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    assert (b"KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    due = time.monotonic() + 20
    while (tmp_path / "out.gguf.part").exists() and time.monotonic() < due:
        time.sleep(0.05)
    nothing_else(tmp_path, "large.gguf")


def test_a_program_that_dies(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "fake"
    fake.write_text("#!/bin/sh\necho 'no such library' >&2\nkill -9 $$\n")
    fake.chmod(0o755)
    monkeypatch.setattr(ingot.quantizing, "program", lambda: fake)
    with pytest.raises(ingot.InternalError, match=r"status -9.*no such library"):
        ingot.quantize(model, tmp_path / "out.gguf", "Q8_0")


def test_values_are_encoded_as_quant_encodes(model: Path, tmp_path: Path) -> None:
    ingot.quantize(model, tmp_path / "out.gguf", "Q4_0", pure=True)
    weights = tensors_of_a_model()["output.weight"].astype(np.float16)
    with gguf.open(tmp_path / "out.gguf") as file:
        data = file.tensors["output.weight"].data
    assert data.tobytes() == ingot.quant.encode(weights, "Q4_0")
