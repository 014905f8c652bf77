"""The program ``quantize``: options, errors, interruption, and what it writes."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gguf as reference
import ingot
import numpy as np
import pytest
from ingot import gguf, quant
from ingot.quantizing import program
from scripts import ROOT

LAYERS = 4
WIDTH = 64


def run(*args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program()), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def run_well(*args: object, **options: Any) -> str:
    done = run(*args, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fail(*args: object, code: int = 1, **options: Any) -> str:
    """The message of a run that must fail."""
    done = run(*args, **options)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("quantize: ")
    return done.stderr


def tensors_of_a_model() -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    rng = np.random.default_rng(1)
    shapes = {
        "token_embd.weight": (96, WIDTH),
        "output.weight": (96, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    for i in range(LAYERS):
        shapes |= {
            f"blk.{i}.attn_norm.weight": (WIDTH,),
            f"blk.{i}.attn_v.weight": (WIDTH, WIDTH),
            f"blk.{i}.ffn_gate_inp.weight": (4, WIDTH),
            f"blk.{i}.ffn_down_exps.weight": (4, WIDTH, WIDTH),
        }
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def write_model(path: Path, **options: Any) -> Path:
    with gguf.Writer(path, **options) as writer:
        writer.add("general.architecture", "llama")
        writer.add("llama.block_count", LAYERS)
        writer.add("llama.attention.head_count", [4] * LAYERS)
        writer.add("llama.per_layer", list(range(LAYERS)))
        for name, values in tensors_of_a_model().items():
            writer.add_tensor(name, values, "F32" if values.ndim == 1 else "F16")
    return path


def write_imatrix(path: Path, *left_out: str, scale: float = 1.0) -> Path:
    with gguf.Writer(path) as writer:
        writer.add("general.type", "imatrix")
        writer.add("imatrix.datasets", ["words.txt"])
        writer.add("imatrix.chunk_count", 7)
        for name, values in tensors_of_a_model().items():
            if values.ndim > 1 and not any(part in name for part in left_out):
                matrices = values.shape[0] if values.ndim == 3 else 1
                sums = np.full((matrices, WIDTH), 2 * scale, np.float32)
                writer.add_tensor(f"{name}.in_sum2", sums)
                writer.add_tensor(f"{name}.counts", np.full((matrices, 1), 2, np.float32))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.gguf")


@pytest.fixture
def imatrix(tmp_path: Path) -> Path:
    return write_imatrix(tmp_path / "imatrix.gguf")


def types_in(path: Path) -> dict[str, str]:
    with gguf.open(path) as file:
        return {name: file.tensors[name].type for name in file.tensors}


def nothing_else(folder: Path, *names: str) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)


def test_help_stands_in_the_documentation() -> None:
    text = run_well("--help")
    assert text in (ROOT / "docs/quantize.md").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "ingot", "quantize", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == text
    assert shutil.which("quantize", path=str(program().parent))


def test_default_name(model: Path) -> None:
    assert "ggml-model-Q8_0.gguf" in run_well(model, "q8_0")
    out = model.with_name("ggml-model-Q8_0.gguf")
    kinds = types_in(out)
    assert kinds["blk.0.attn_v.weight"] == kinds["output.weight"] == "Q8_0"
    assert kinds["blk.0.ffn_gate_inp.weight"] == "F16"
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    run_well(model.name, "7", "2", cwd=model.parent)
    nothing_else(model.parent, "model.gguf", out.name)
    assert "ggml-model-Q4_K.gguf" in run_well("--dry-run", "--json", model, "Q4_K")


def test_values(model: Path, tmp_path: Path) -> None:
    """Pieces of one row or of many, one thread or two: the same bytes, and near the weights."""
    first, second = tmp_path / "a.gguf", tmp_path / "b.gguf"
    run_well(model, first, "Q8_0", 1)
    run_well("--max-memory", "1K", model, second, "Q8_0", 2)
    assert first.read_bytes() == second.read_bytes()
    with gguf.open(first) as file:
        for name, values in tensors_of_a_model().items():
            error = np.abs(file.tensors[name].dequantize() - values).max()
            assert error < 0.02, name


def test_options(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    wishes = tmp_path / "wishes.txt"
    wishes.write_text("blk\\.[01]\\.attn_v=bf16\nATTN_V=f32\n")
    run_well(
        *("--tensor-type-file", wishes, "--tensor-type", "exps=q4_0"),
        *("--output-tensor-type", "F16", "--token-embedding-type", "q4_0"),
        *("--override-kv", "general.name=str:new", "--override-kv", "a.count=int:3"),
        *("--override-kv", "a.factor=float:0.5", "--override-kv", "a.flag=bool:true"),
        *("--override-kv", "a.less=int:-3"),
        *(model, out, "Q8_0"),
    )
    kinds = types_in(out)
    assert [kinds[f"blk.{i}.attn_v.weight"] for i in range(LAYERS)] == ["BF16"] * 2 + ["F32"] * 2
    assert kinds["blk.0.ffn_down_exps.weight"] == kinds["token_embd.weight"] == "Q4_0"
    assert kinds["output.weight"] == "F16"
    with gguf.open(out) as file:
        metadata = dict(file.metadata)
    assert (metadata["general.file_type"], metadata["general.quantization_version"]) == (7, 2)
    assert (metadata["general.name"], metadata["a.count"]) == ("new", 3)
    assert (metadata["a.factor"], metadata["a.flag"], metadata["a.less"]) == (0.5, True, -3)

    assert "none.txt" in fail("--tensor-type-file", tmp_path / "none.txt", model, "Q8_0")
    run_well("--leave-output-tensor", "--pure", model, out, "Q4_0")
    kinds = types_in(out)
    assert (kinds["output.weight"], kinds["token_embd.weight"]) == ("F16", "Q4_0")


def test_imatrix(model: Path, imatrix: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    run_well("--imatrix", imatrix, "--exclude-weights", "blk.1", model, out, "Q8_0")
    with gguf.open(out) as file:
        metadata = dict(file.metadata)
    assert metadata["quantize.imatrix.file"] == str(imatrix)
    assert metadata["quantize.imatrix.dataset"] == "words.txt"
    assert metadata["quantize.imatrix.entries_count"] == 2 + 3 * (LAYERS - 1)
    assert metadata["quantize.imatrix.chunks_count"] == 7
    report = json.loads(
        run_well("--json", "--imatrix", imatrix, "--include-weights", "attn_v", model, out, "Q8_0")
    )
    used = [t["name"] for t in report["tensors"] if t["importance"]]
    assert used == [f"blk.{i}.attn_v.weight" for i in range(LAYERS)]


def test_importance_of_experts(model: Path, tmp_path: Path) -> None:
    """Each expert has its own columns: what doesn't matter in one may matter in the next."""
    imatrix = tmp_path / "experts.gguf"
    name = "blk.0.ffn_down_exps.weight"
    sums = np.ones((4, WIDTH), np.float32)
    sums[1, ::2] = 1000
    with gguf.Writer(imatrix) as writer:
        writer.add_tensor(f"{name}.in_sum2", sums)
        writer.add_tensor(f"{name}.counts", np.array([[1], [1], [1], [0]], np.float32))
    out = tmp_path / "out.gguf"
    kinds = ["Q4_0", *(k for k in ("Q5_1", "IQ4_NL") if quant.types()[k].can_encode)]
    for kind in kinds:
        run_well("--imatrix", imatrix, "--pure", model, out, kind)
        with gguf.open(out) as file:
            found = np.array(file.tensors[name].data).reshape(4, -1)
        weights = tensors_of_a_model()[name].astype(np.float16)
        for expert in range(4):
            rows = quant.encode(weights[expert], kind, importance=sums[expert])
            assert found[expert].tobytes() == rows, (kind, expert)


def write_correlations(path: Path, name: str, n: int) -> dict[str, Any]:
    """An importance matrix of `n` experts whose columns go together; what its numbers are."""
    rng = np.random.default_rng(5)
    inputs = rng.standard_normal((n, 300, WIDTH)) @ (rng.standard_normal((WIDTH, WIDTH)) + 2)
    counts = np.arange(1, n + 1) * 1000.0
    sums = np.einsum("eti,eti->ei", inputs, inputs) / 300 * counts[:, None]
    moments = np.zeros((n, WIDTH, 256))
    moments[:, :, :WIDTH] = np.einsum("eti,etj->eij", inputs, inputs) / 300 * counts[:, None, None]
    products = {name: moments.astype(np.float32)}
    tokens = counts.astype(np.float64)
    found = ingot.Imatrix({name: sums.astype(np.float64)}, {name: tokens}, moments=products)
    found.save(path)
    stored = ingot.Imatrix.load(path)
    mean = stored.mean()[name]
    trust = (counts / (counts + 256))[:, None, None]
    windows = stored.moments[name] / counts[:, None, None] * trust
    windows[:, np.arange(WIDTH), np.arange(WIDTH)] = mean
    return {"mean": mean, "moments": windows}


@pytest.mark.parametrize("kind", ["Q4_0", "Q5_1"])
def test_high_effort(model: Path, tmp_path: Path, kind: str) -> None:
    name, path = "blk.0.ffn_down_exps.weight", tmp_path / "correlations.gguf"
    known = write_correlations(path, name, 4)
    out = tmp_path / "out.gguf"
    told = ["--imatrix", path, "--effort", "high", "--pure", model, out, kind]
    report = json.loads(run_well("--json", *told))
    assert {t["name"] for t in report["tensors"] if t["feedback"]} == {name}
    with gguf.open(out) as file:
        found = np.array(file.tensors[name].data).reshape(4, -1)
    rows = tensors_of_a_model()[name].astype(np.float16)
    differ = 0
    for expert in range(4):
        wanted = quant.encode(rows[expert], kind, known["mean"][expert], known["moments"][expert])
        plain = quant.encode(rows[expert], kind, known["mean"][expert])
        ours = found[expert].tobytes()
        near = np.mean([a == b for a, b in zip(ours, wanted, strict=True)])
        assert near > 0.99, (expert, near)  # the last bit of a moment may turn a code
        differ += ours != plain
    assert differ == 4
    with gguf.open(run_and_path(tmp_path, path, model, kind)) as file:
        normal = np.array(file.tensors[name].data).reshape(4, -1)
    assert normal[0].tobytes() == quant.encode(rows[0], kind, known["mean"][0])


def run_and_path(folder: Path, imatrix: Path, model: Path, kind: str) -> Path:
    run_well("--imatrix", imatrix, "--effort=normal", "--pure", model, folder / "normal.gguf", kind)
    return folder / "normal.gguf"


def random_signs(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).choice([-1.0, 1.0], shape).astype(np.float16)


def test_effort_that_cant_be_made(model: Path, imatrix: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    assert "ingot imatrix --moments" in fail("--effort", "high", model, out, "Q4_0", code=2)
    assert "normal or high" in fail("--effort", "most", model, out, "Q4_0", code=2)
    said = fail("--imatrix", imatrix, "--effort", "high", model, out, "Q4_0")
    assert f"{imatrix} has no correlations, which --effort high needs" in said
    name, path = "blk.0.ffn_down_exps.weight", tmp_path / "wrong.gguf"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"data": np.full((4, WIDTH, 256), 1.5, np.float16)}, "is 1.5, expected -1 to 1"),
        ({"data": np.full((4, WIDTH, 256), np.nan, np.float16)}, "is nan, expected -1 to 1"),
        ({"data": np.zeros((4, WIDTH, 128), np.float16)}, "isn't of type F16 and shape 256 x"),
        ({"data": np.zeros((3, WIDTH, 256), np.float16)}, "isn't of type F16 and shape 256 x"),
        ({"data": np.zeros((4, WIDTH, 256), np.float32)}, "isn't of type F16 and shape 256 x"),
        ({"data": np.ones((4, WIDTH, 256), np.float16), "count": np.inf}, "a count of"),
        ({"data": random_signs((4, WIDTH, 256))}, "go together more than columns can"),
        ({"input": "gone"}, "names 'gone', of which there is no"),
        ({"data": np.ones((4 * WIDTH, 256), np.float16), "flat": True}, f"of {4 * WIDTH} columns"),
    ]
    for change, message in cases:
        with gguf.Writer(path) as writer:
            if "input" in change:
                writer.add(f"imatrix.ingot.input.{name}", change["input"])
            shape = (1, 4 * WIDTH) if "flat" in change else (4, WIDTH)
            counts = np.full((shape[0], 1), change.get("count", 1e6), np.float32)
            writer.add_tensor(f"{name}.in_sum2", np.full(shape, 1e6, np.float32))
            writer.add_tensor(f"{name}.counts", counts)
            if "data" in change:
                writer.add_tensor(f"{name}.in_correlations", change["data"])
        said = fail("--imatrix", path, "--effort", "high", "--pure", model, out, "Q4_0")
        assert message in said
        assert str(path) in said


def test_json_and_dry_run(model: Path) -> None:
    report = json.loads(run_well("--json", model, model.with_name("out.gguf"), "Q8_0"))
    assert report["file_type"] == "Q8_0"
    assert report["file_type_id"] == 7
    assert report["bytes"] == sum(t["bytes"] for t in report["tensors"])
    (error,) = (t["relative_error"] for t in report["types"] if t["type"] == "Q8_0")
    assert 0.001 < error < 0.01

    dry = run("--dry-run", model, model.with_name("dry.gguf"), "Q4_K_M")
    assert dry.returncode == 0
    assert not model.with_name("dry.gguf").exists()
    (line,) = (text for text in dry.stdout.splitlines() if text.startswith("blk.0.attn_v"))
    assert line.split()[:6] == ["blk.0.attn_v.weight", "64", "x", "64", "F16", "Q5_0"]
    assert "rows" in dry.stderr


def test_split_input(tmp_path: Path) -> None:
    write_model(tmp_path / "in", max_split_bytes=40_000)
    first = next(tmp_path.glob("in-00001-of-*.gguf"))
    count = len(list(tmp_path.glob("in-*.gguf")))
    assert count > 2
    whole, parts = tmp_path / "whole.gguf", tmp_path / "parts"
    run_well(first, whole, "Q8_0")
    run_well("--keep-split", first, f"{parts}.gguf", "Q8_0")
    assert len(list(tmp_path.glob("parts-*.gguf"))) == count
    with gguf.open(whole) as a, gguf.open(tmp_path / f"parts-00001-of-{count:05}.gguf") as b:
        assert b.n_files == count
        assert not any(key.startswith("split.") for key in a.metadata)
        assert set(a.tensors) == set(b.tensors)
        for name in a.tensors:
            assert np.array_equal(a.tensors[name].data, b.tensors[name].data)
    assert "would be written over" in fail("--keep-split", first, tmp_path / "in", "Q8_0")
    second = next(tmp_path.glob("in-00002-of-*.gguf"))
    assert first.name in fail(second, "Q8_0")
    second.unlink()
    assert second.name in fail(first, "Q8_0")


def test_split_whose_first_file_has_no_tensors(tmp_path: Path) -> None:
    whole = write_model(tmp_path / "model.gguf")
    writer = reference.GGUFWriter(
        tmp_path / "in.gguf", "llama", split_max_size=40_000, small_first_shard=True
    )
    writer.add_block_count(LAYERS)
    with gguf.open(whole) as file:
        for tensor in file.tensors.values():
            writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    first = next(tmp_path.glob("in-00001-of-*.gguf"))
    count = len(list(tmp_path.glob("in-*.gguf")))
    assert count > 2

    def splits(out: str, *options: str) -> list[int]:
        run_well("--keep-split", *options, first, tmp_path / out, "Q8_0")
        assert len(list(tmp_path.glob(f"{out}-*.gguf"))) == count
        with gguf.open(tmp_path / f"{out}-00001-of-{count:05}.gguf") as file:
            assert file.n_files == count
            return [tensor.split for tensor in file.tensors.values()]

    with gguf.open(first) as file:
        places = {tensor.name: tensor.split for tensor in file.tensors.values()}
    assert splits("out") == list(places.values())
    assert min(places.values()) == 1
    # Also where no layer is left of a file.
    last = [name for name, split in places.items() if split == count - 1]
    assert all(name.startswith("blk.") for name in last)
    layers = {name.split(".")[1] for name in last}
    assert max(splits("pruned", "--prune-layers", ",".join(layers))) < count - 1


def test_copy_joins_and_prunes(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    run_well("--prune-layers", "1,0", model, out, "COPY")
    with gguf.open(model) as a, gguf.open(out) as b:
        assert b.metadata["llama.block_count"] == 2
        assert np.array_equal(np.asarray(b.metadata["llama.per_layer"]), [2, 3])
        assert b.metadata["general.file_type"] == 1
        assert len(b.tensors) == 3 + 4 * 2
        for i in range(2):
            old, new = (f"blk.{n}.attn_v.weight" for n in (i + 2, i))
            assert np.array_equal(a.tensors[old].data, b.tensors[new].data)
    assert "no layer 4" in fail("--prune-layers", "4", model, out, "COPY")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "expected IN.gguf"),
        (["IN"], "no file type after"),
        (["IN", "out.gguf"], "no file type after"),
        (["IN", "out.gguf", "Q9"], "'Q9' is no file type"),
        (["IN", "Q8_0", "many"], "'many' is no number of threads"),
        (["IN", "Q8_0", "2", "3"], "'3' is one argument too many"),
        (["--nothing", "IN", "Q8_0"], "no option --nothing"),
        (["IN", "Q8_0", "--imatrix"], "--imatrix needs a value"),
        (["--pure=1", "IN", "Q8_0"], "--pure takes no value"),
        (["--output-tensor-type", "Q9", "IN", "Q8_0"], "'Q9' is no tensor type"),
        (["--token-embedding-type", "I32", "IN", "Q8_0"], "'I32' is no tensor type"),
        (["--tensor-type", "attn_v", "IN", "Q8_0"], "expected PATTERN=TYPE"),
        (["--tensor-type", "a=Q9", "IN", "Q8_0"], "'Q9' is no tensor type"),
        (["--tensor-type", "a(=Q8_0", "IN", "Q8_0"], "no regular expression"),
        (["--tensor-type", "a(?!b)=Q8_0", "IN", "Q8_0"], "must be (?:...)"),
        (["--override-kv", "a=real:1", "IN", "Q8_0"], "expected KEY=TYPE:VALUE"),
        (["--override-kv", "a=int:x", "IN", "Q8_0"], "expected KEY=TYPE:VALUE"),
        (["--prune-layers", "1,", "IN", "Q8_0"], "expected numbers of layers"),
        (["--max-memory", "much", "IN", "Q8_0"], "'much' is no size"),
        (["--include-weights", "a", "IN", "Q8_0"], "--imatrix, which is missing"),
        (
            ["--imatrix", "a", "--include-weights", "a", "--exclude-weights", "b", "IN", "Q8_0"],
            "exclude each other",
        ),
    ],
)
def test_wrong_usage(model: Path, args: list[str], message: str) -> None:
    text = fail(*(model if arg == "IN" else arg for arg in args), code=2)
    assert message in text
    assert "usage: quantize" in text
    nothing_else(model.parent, "model.gguf")


def test_inputs_that_fail(model: Path, imatrix: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    assert "nothing.gguf" in fail(tmp_path / "nothing.gguf", "Q8_0")
    assert str(model) in fail(model, model, "Q8_0")
    link = tmp_path / "link.gguf"
    link.hardlink_to(model)
    assert "would be written over" in fail(model, link, "Q8_0")
    part = tmp_path / "x.gguf.part"
    part.hardlink_to(model)
    assert "would be written over" in fail(model, tmp_path / "x.gguf", "Q8_0")
    assert "missing/out.gguf" in fail(model, tmp_path / "missing/out.gguf", "Q8_0")
    assert "Q4_0" in run_well("--pure", model, out, "Q4_0")
    assert "--allow-requantize" in fail(out, tmp_path / "again.gguf", "Q8_0")
    run_well("--allow-requantize", out, tmp_path / "again.gguf", "Q8_0")

    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.read_bytes()[:-1000])
    assert "cut.gguf" in fail(cut, "Q8_0")
    bad = bytearray(model.read_bytes())
    bad[-64:] = struct.pack("<32e", *[float("nan")] * 32)
    cut.write_bytes(bad)
    text = fail(cut, tmp_path / "bad.gguf", "Q8_0")
    assert "nan" in text
    assert "blk.3.ffn_down_exps.weight" in text
    assert not (tmp_path / "bad.gguf").exists()
    assert not (tmp_path / "bad.gguf.part").exists()
    assert imatrix.exists()

    with gguf.Writer(tmp_path / "loud.gguf") as writer:
        writer.add_tensor("blk.0.attn_v.weight", np.full((2, 32), 1e6, np.float32))
    assert "choose BF16" in fail(tmp_path / "loud.gguf", tmp_path / "bad.gguf", "F16")
    run_well(tmp_path / "loud.gguf", tmp_path / "bad.gguf", "BF16")


def wide_model(path: Path) -> Path:
    """Rows of whole blocks of every type."""
    with gguf.Writer(path) as writer:
        writer.add("general.architecture", "llama")
        writer.add("llama.block_count", 1)
        for name in ("token_embd", "output", "blk.0.attn_v", "blk.0.attn_q"):
            writer.add_tensor(f"{name}.weight", np.ones((4, 256), np.float32))
    return path


@pytest.mark.parametrize(
    "kind", ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "Q2_K_S"]
)
def test_importance_is_asked_for(tmp_path: Path, kind: str) -> None:
    model = wide_model(tmp_path / "wide.gguf")
    # Where this build lacks an encoder, the dry run says that first.
    done = run("--dry-run", model, kind)
    assert done.returncode == 0
    lacking = "can't encode" in done.stderr
    message = "can't encode" if lacking else "--imatrix"
    assert message in fail(model, kind)
    with gguf.Writer(tmp_path / "other.imatrix") as writer:
        writer.add_tensor("blk.9.attn_v.weight.in_sum2", np.ones((1, 256), np.float32))
        writer.add_tensor("blk.9.attn_v.weight.counts", np.ones((1, 1), np.float32))
    text = fail("--imatrix", tmp_path / "other.imatrix", model, kind)
    assert ("can't encode" if lacking else "has no entry for it") in text
    nothing_else(tmp_path, "wide.gguf", "other.imatrix")


def legacy(entries: list[tuple[bytes, int, list[float]]], tail: bytes = b"") -> bytes:
    image = struct.pack("<i", len(entries))
    for name, calls, values in entries:
        image += struct.pack("<i", len(name)) + name + struct.pack("<ii", calls, len(values))
        image += struct.pack(f"<{len(values)}f", *values)
    return image + tail


GOOD = (b"blk.0.attn_v.weight", 2, [1.0] * WIDTH)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "imatrix"),
        (b"\x05", "ends before"),
        (legacy([GOOD])[:-3], "can't be"),
        (legacy([GOOD, GOOD]), "twice"),
        (legacy([(b"a", 1, [float("nan")])]), "finite"),
        (legacy([(b"a", 1, [-1.0])]), "finite"),
        (struct.pack("<i", 2**30), "can't be"),
        (struct.pack("<ii", 1, -5) + bytes(40), "can't be"),
        (legacy([(b"blk.0.attn_v.weight", 1, [1.0] * 7)]), "another model"),
    ],
)
def test_importance_that_is_wrong(model: Path, tmp_path: Path, image: bytes, message: str) -> None:
    path = tmp_path / "bad.imatrix"
    path.write_bytes(image)
    text = fail("--imatrix", path, model, tmp_path / "out.gguf", "Q8_0")
    assert message in text
    assert "bad.imatrix" in text


def test_legacy_importance(model: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "old.imatrix", tmp_path / "out.gguf"
    for tail in (b"", struct.pack("<i", 5), struct.pack("<ii", 5, 3) + b"abc"):
        path.write_bytes(legacy([GOOD], tail))
        run_well("--imatrix", path, model, out, "Q8_0")
        with gguf.open(out) as file:
            assert file.metadata.get("quantize.imatrix.chunks_count") == (5 if tail else None)
            assert file.metadata.get("quantize.imatrix.dataset") == (
                "abc" if len(tail) > 4 else None
            )
    text = fail("--imatrix", path, "--include-weights", "ffn", model, out, "Q8_0")
    assert "leaves no entry" in text
    text = fail("--imatrix", model, model, out, "Q8_0")
    assert "is no importance matrix" in text


def large_model(path: Path, rows: int = 1 << 22) -> Path:
    """Enough work to be interrupted: a hole, of 2 GB unless it has fewer rows."""
    with gguf.Writer(path) as writer:
        writer.add("general.architecture", "llama")
        for i in range(4):
            writer.add_tensor(f"blk.{i}.attn_v.weight", np.zeros((1, 32), np.float32))
    image = bytearray(path.read_bytes()[: -4 * 128])
    size = rows * 32 * 4
    for i in range(4):
        name = f"blk.{i}.attn_v.weight".encode()
        at = image.index(name) + len(name) + 4
        struct.pack_into("<QQIQ", image, at, 32, rows, 0, i * size)
    path.write_bytes(image)
    os.truncate(path, len(image) + 4 * size)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    model = large_model(tmp_path / "large.gguf")
    command = [str(program()), str(model), str(tmp_path / "out.gguf"), "Q8_0", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "out.gguf.part").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        sent = time.monotonic()
        _, errors = process.communicate(timeout=60)
    assert time.monotonic() - sent < 2
    assert process.returncode == 130
    assert "interrupted" in errors
    nothing_else(tmp_path, "large.gguf")


def test_memory_stays_small(tmp_path: Path) -> None:
    """Half a gigabyte of weights: rows are taken a few at a time, and nothing is mapped."""
    model = large_model(tmp_path / "large.gguf", rows=1 << 20)
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = [sys.executable, "-c", script, str(program())]
    done = subprocess.run(
        [*command, "--tensor-type", "blk.[23]=F32", str(model), str(tmp_path / "o.gguf"), "Q8_0"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 100 * 1024


def test_full_disk(model: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    text = fail(model, tmp_path / "out.gguf", "Q8_0", preexec_fn=limit)
    assert "out.gguf.part" in text
    nothing_else(tmp_path, "model.gguf")


def test_a_reader_that_is_gone(model: Path, tmp_path: Path) -> None:
    """As with ``| head``: the file is complete, and nobody is bothered."""
    for args in ([model, tmp_path / "out.gguf", "Q8_0"], ["--help"]):
        end, pipe = os.pipe()
        os.close(end)
        done = subprocess.run(
            [str(program()), *map(str, args)], stdout=pipe, stderr=subprocess.PIPE, check=False
        )
        os.close(pipe)
        assert (done.returncode, done.stderr) == (1, b"")
    assert types_in(tmp_path / "out.gguf")["output.weight"] == "Q8_0"


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    model = large_model(tmp_path / "large.gguf")
    parent, child = pty.openpty()
    command = [str(program()), str(model), str(tmp_path / "out.gguf"), "Q8_0"]
    process = subprocess.Popen(command, stdout=child, stderr=child)
    os.close(child)
    shown = b""
    while b"left" not in shown and select.select([parent], [], [], 60)[0]:
        shown += os.read(parent, 4096)
    process.terminate()
    process.wait()
    os.close(parent)
    assert b"F32 -> Q8_0" in shown
    assert b"/s" in shown
