"""What ``quantize`` writes, in llama.cpp, and what llama.cpp writes, here: the same logits.

Needs llama-cpp-python, in this Python or in the one that INGOT_BENCH_PEER names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf as reference
import ingot
import numpy as np
import pytest
from golden import Floats, nmse
from ingot import gguf, quant, shapes
from ingot.model import bundled_model
from ingot.shapes import Shape

HERE = Path(__file__).resolve().parent
PEER = os.environ.get("INGOT_BENCH_PEER", sys.executable)
N_VOCAB = 320
TOKENS = np.random.default_rng(1).integers(0, N_VOCAB, 40).tolist()

# Rows are multiples of 256, so that every type gets what it is meant for.
MODELS = {
    "dense": Shape("llama", 2, 256, 512, 4, 2, 64, N_VOCAB, False),
    "experts": Shape("olmoe", 2, 256, 256, 4, 4, 64, N_VOCAB, False, 1e4, 1e-5, 4, 2, 256),
}
FILE_TYPES = [
    *("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S"),
    *("Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "MXFP4_MOE", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M"),
    *("IQ3_S", "IQ3_XS", "IQ3_XXS", "Q2_K", "Q2_K_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS"),
    *("TQ2_0", "TQ1_0", "Q2_0", "IQ1_M", "IQ1_S", "Q1_0"),
]
TENSOR_TYPES = [name for name, kind in quant.types().items() if kind.can_encode]

# Of quantised types both engines multiply integers, activations rounded to 8 bits with one scale
# for 32 or 256 of them, which differs: each product is off by 1e-5 to 1e-4 then, and a choice of
# experts may fall otherwise. Seen are 1e-4 to 5e-4; a tensor that is read wrongly makes about 1.
ROUNDED_ACTIVATIONS = 2e-3
# Both may multiply BF16 weights with activations that are rounded to BF16: seen is 1e-5.
TOLERANCES = {"F32": 1e-5, "F16": 1e-5, "BF16": 1e-4}


class Peer:
    """llama.cpp in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._to = folder / "peer"
        self._process = subprocess.Popen(
            [PEER, str(HERE / "peer_llama_cpp.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **wanted: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(wanted), file=self._process.stdin, flush=True)
        answer: dict[str, str] = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        return answer["description"]

    def logits(self, model: Path, tokens: list[int]) -> tuple[str, Floats]:
        """How llama.cpp calls the model, and float32 [tokens, vocabulary]."""
        description = self.ask(logits=str(model), tokens=tokens, to=str(self._to))
        return description, np.fromfile(self._to, "<f4").reshape(len(tokens), -1)

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    probe = [PEER, "-c", "import llama_cpp"]
    try:
        found = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        found = False
    if not found:
        pytest.skip(
            f"llama_cpp can't be imported by {PEER}: pip install llama-cpp-python, or name a "
            "Python that has it with INGOT_BENCH_PEER"
        )
    opened = Peer(tmp_path_factory.mktemp("peer"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of NAME.gguf, in F16, and NAME.imatrix."""
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(3)
    for name, shape in MODELS.items():
        shapes.write(folder / f"{name}.gguf", shape, "F16")
        with gguf.open(folder / f"{name}.gguf") as file:
            matrices = [t for t in file.tensors.values() if len(t.shape) > 1]
        with gguf.Writer(folder / f"{name}.imatrix") as writer:
            writer.add("general.type", "imatrix")
            for t in matrices:
                n = t.shape[0] if len(t.shape) == 3 else 1
                sums = random.gamma(1, 1, (n, t.shape[-1])) + 0.01
                writer.add_tensor(f"{t.name}.in_sum2", sums.astype(np.float32))
                writer.add_tensor(f"{t.name}.counts", np.ones((n, 1), np.float32))
    return folder


def compare(peer: Peer, model: Path, tolerance: float, tokens: list[int] = TOKENS) -> str:
    """Compares the logits; returns what llama.cpp calls the model."""
    description, theirs = peer.logits(model, tokens)
    with ingot.Model(model, n_ctx=256, kv_type="f32") as opened:
        ours = opened.logits(tokens)
    assert theirs.std() > 0.05
    assert nmse(ours, theirs) < tolerance, description
    return description


@pytest.mark.parametrize("name", FILE_TYPES)
@pytest.mark.parametrize("model", MODELS)
def test_file_types(model: str, name: str, peer: Peer, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    imatrix = models / f"{model}.imatrix"
    done = ingot.quantize(models / f"{model}.gguf", out, name, imatrix=imatrix)
    assert done.file_type == name
    assert all(t.type == t.wanted for t in done.tensors)
    if (model, name) == ("experts", "MXFP4_MOE"):
        assert "MXFP4" in {t.type for t in done.tensors}
    description = compare(peer, out, TOLERANCES.get(name, ROUNDED_ACTIVATIONS))
    # What llama.cpp calls the file begins with the base type, and it had not to guess.
    assert name.split("_")[0].removesuffix("F32") in description
    assert "guessed" not in description


@pytest.mark.parametrize("name", TENSOR_TYPES)
def test_tensor_types(name: str, peer: Peer, models: Path, tmp_path: Path) -> None:
    """All matrices of one type, the embedding and the head too."""
    out = tmp_path / "out.gguf"
    imatrix = models / "dense.imatrix"
    wish = {".": name}
    done = ingot.quantize(models / "dense.gguf", out, "F16", tensor_types=wish, imatrix=imatrix)
    assert {t.type for t in done.tensors if len(t.shape) > 1} == {name}
    compare(peer, out, TOLERANCES.get(name, ROUNDED_ACTIVATIONS))


def importance_of(path: Path) -> dict[str, list[float]]:
    """An importance matrix as llama-quantize's loader reads it: sums over counts."""
    found: dict[str, dict[str, Any]] = {}
    for tensor in reference.GGUFReader(path).tensors:
        name, _, part = tensor.name.rpartition(".")
        found.setdefault(name, {})[part] = tensor.data
    return {
        name: (parts["in_sum2"] / parts["counts"].reshape(-1, 1)).ravel().tolist()
        for name, parts in found.items()
    }


@pytest.mark.parametrize(("name", "ftype"), [("Q4_K_M", 15), ("IQ2_XS", 20)])
def test_llama_cpp_quantises_with_our_importance(
    name: str, ftype: int, peer: Peer, tmp_path: Path
) -> None:
    """The numbers of our file are taken (without them IQ2_XS is refused), the types are those that
    we choose, and what comes out is read here and quantised again."""
    source, imatrix, theirs = (tmp_path / n for n in ("f16.gguf", "imatrix.gguf", "theirs.gguf"))
    ingot.quantize(bundled_model(), source, "F16", allow_requantize=True)
    text = HERE.parents[1].joinpath("LICENSE").read_bytes()
    ingot.imatrix(source, text, n_ctx=64, output=imatrix)
    importance = importance_of(imatrix)
    assert len(importance) > 8
    peer.ask(quantize=str(source), to=str(theirs), ftype=ftype, importance=importance)
    ours = ingot.quantize(source, tmp_path / "ours.gguf", name, imatrix=imatrix)
    with gguf.open(theirs) as file:
        types = {t.name: t.type for t in file.tensors.values()}
    assert types == {t.name: t.type for t in ours.tensors}
    tokens = np.random.default_rng(2).integers(0, 1000, 40).tolist()
    for path in (theirs, tmp_path / "ours.gguf"):
        compare(peer, path, ROUNDED_ACTIVATIONS, tokens)
    again = ingot.quantize(theirs, tmp_path / "again.gguf", "Q8_0", allow_requantize=True)
    assert {t.source for t in again.tensors} == set(types.values())
    compare(peer, tmp_path / "again.gguf", ROUNDED_ACTIVATIONS, tokens)


@pytest.mark.parametrize("name", ["Q4_K_M", "Q2_K", "Q5_0", "IQ4_XS"])
def test_high_effort(name: str, peer: Peer, tmp_path: Path) -> None:
    """A file whose errors make up for each other is like any other."""
    source, imatrix, out = (tmp_path / n for n in ("f16.gguf", "imatrix.gguf", "out.gguf"))
    ingot.quantize(bundled_model(), source, "F16", allow_requantize=True)
    text = HERE.parents[1].joinpath("LICENSE").read_bytes()
    ingot.imatrix(source, text, n_ctx=64, output=imatrix, moments=True)
    done = ingot.quantize(source, out, name, imatrix=imatrix, effort="high")
    assert sum(t.feedback for t in done.tensors) > 20
    tokens = np.random.default_rng(2).integers(0, 1000, 40).tolist()
    compare(peer, out, ROUNDED_ACTIVATIONS, tokens)


def test_importance_of_llama_imatrix(shared: Path, peer: Peer, tmp_path: Path) -> None:
    """A file that llama-imatrix made weighs here as it does in llama.cpp."""
    folder = shared / "models"
    source, imatrix = folder / "prose-7m-f16.gguf", folder / "prose-7m-imatrix.gguf"
    importance = importance_of(imatrix)
    theirs, ours, flat = (tmp_path / f"{name}.gguf" for name in ("theirs", "ours", "flat"))
    peer.ask(quantize=str(source), to=str(theirs), ftype=20, importance=importance)
    done = ingot.quantize(source, ours, "IQ2_XS", imatrix=imatrix)
    names = {t.name for t in done.tensors}
    assert {t.name for t in done.tensors if t.importance} == importance.keys() & names
    with gguf.Writer(tmp_path / "flat.imatrix") as writer:
        for name, columns in importance.items():
            writer.add_tensor(f"{name}.in_sum2", np.ones((1, len(columns)), np.float32))
            writer.add_tensor(f"{name}.counts", np.ones((1, 1), np.float32))
    ingot.quantize(source, flat, "IQ2_XS", imatrix=tmp_path / "flat.imatrix")

    def error_of(path: Path) -> float:
        error = 0.0
        with gguf.open(path) as file, gguf.open(source) as original:
            assert {t.name: t.type for t in done.tensors} == {
                t.name: t.type for t in file.tensors.values()
            }
            for name, columns in importance.items():
                weights = original.tensors[name].dequantize()
                difference = file.tensors[name].dequantize() - weights
                error += float((difference.astype(np.float64) ** 2 * columns).sum())
        return error

    # Importance counts to the power of 7/8 here, so this sum isn't quite what is made least.
    assert error_of(ours) < 1.02 * error_of(theirs)
    assert error_of(flat) > 1.05 * error_of(theirs)
