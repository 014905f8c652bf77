"""``ingot quality``: types of quantisation beside each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import pytest
from ingot import errors, gguf, quality_plot
from ingot.comparing import Quality
from test_cli import run, run_well

TEXT = Path(__file__).resolve().parents[2].joinpath("LICENSE").read_bytes()
TYPES = ["Q8_0", "Q4_0", "Q2_K"]
N_CTX = 64


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, bundled: Path) -> Path:
    """The bundled model in F16."""
    path = tmp_path_factory.mktemp("source") / "model-f16.gguf"
    ingot.quantize(bundled, path, "F16", allow_requantize=True)
    return path


@pytest.fixture(scope="module")
def found(source: Path) -> Quality:
    return ingot.quality(source, TYPES, TEXT, n_ctx=N_CTX, threads=1)


def test_numbers_are_those_of_each_by_itself(found: Quality, source: Path, tmp_path: Path) -> None:
    base = ingot.perplexity(source, TEXT, n_ctx=N_CTX, save_logits=tmp_path / "base")
    with gguf.open(source) as file:
        assert found.bytes == sum(tensor.nbytes for tensor in file.tensors.values())
    assert 15 < found.bits_per_weight <= 16.1
    assert (found.model, found.n_ctx) == (str(source), N_CTX)
    assert found.base == base
    np.testing.assert_array_equal(found.base.nll, base.nll)
    assert [row.file_type for row in found.types] == TYPES
    small = tmp_path / "small.gguf"
    for row in found.types:
        done = ingot.quantize(source, small, row.file_type)
        assert (row.bytes, row.bits_per_weight) == (done.bytes, done.bits_per_weight)
        assert row.divergence == ingot.divergence(small, TEXT, tmp_path / "base")
        assert row.divergence.n_scored == len(row.divergence.token_kl) == base.n_scored


def test_fewer_bits_lose_more(found: Quality) -> None:
    assert [row.bytes for row in found.types] == sorted(
        (r.bytes for r in found.types), reverse=True
    )
    lost = [row.divergence.kl.value for row in found.types]
    assert 0 < 5 * lost[0] < lost[1] < lost[2]
    assert found.types[0].divergence.same_top.value > found.types[2].divergence.same_top.value


def test_importance_is_used(source: Path, tmp_path: Path, found: Quality) -> None:
    imatrix, base = tmp_path / "imatrix.gguf", tmp_path / "base"
    ingot.imatrix(source, TEXT, n_ctx=N_CTX, output=imatrix)
    ingot.perplexity(source, TEXT, n_ctx=N_CTX, save_logits=base)
    ingot.quantize(source, tmp_path / "small.gguf", "Q2_K", imatrix=imatrix)
    expected = ingot.divergence(tmp_path / "small.gguf", TEXT, base)
    (row,) = ingot.quality(source, ["Q2_K"], TEXT, n_ctx=N_CTX, imatrix=imatrix).types
    assert row.divergence == expected
    assert row.divergence.kl.value < found.types[2].divergence.kl.value  # measured on its own text


def test_high_effort_loses_less(source: Path, tmp_path: Path) -> None:
    """On a text that wasn't used for calibration, nor is of its kind."""
    docs = sorted((Path(__file__).resolve().parents[2] / "docs").glob("*.md"))
    other = b"\n".join(path.read_bytes() for path in docs)
    imatrix = tmp_path / "imatrix.gguf"
    ingot.imatrix(source, other, n_ctx=256, n_chunks=60, moments=True, output=imatrix)
    given: dict[str, Any] = {"imatrix": imatrix, "n_ctx": N_CTX}
    types = ["Q4_K_M", "Q2_K", "Q4_0"]
    normal = ingot.quality(source, types, TEXT, **given)
    high = ingot.quality(source, types, TEXT, effort="high", **given)
    for before, after in zip(normal.types, high.types, strict=True):
        assert after.bytes == before.bytes
        assert after.divergence.kl.value < 0.8 * before.divergence.kl.value, before.file_type


def test_progress_and_cancellation(source: Path, tmp_path: Path) -> None:
    seen: list[float] = []

    def until(share: float) -> object:
        seen.append(share)
        assert len(list(tmp_path.iterdir())) == 1
        return share < 0.5

    with pytest.raises(errors.CancelledError):
        ingot.quality(source, TYPES, TEXT, n_ctx=N_CTX, folder=tmp_path, progress=until)
    assert seen == sorted(seen)
    assert 0.5 <= seen[-1] < 0.7
    assert list(tmp_path.iterdir()) == []


def test_what_fails_fails_at_once(source: Path, bundled: Path) -> None:
    def never(_: float) -> object:
        raise AssertionError("the work began")

    for model, types, message in (
        (source, ["Q8_0", "Q9"], "'Q9' is no file type"),
        (source, ["Q8_0", "IQ1_S"], "IQ1_S: tensor .* useless without an importance matrix"),
        (bundled, ["Q4_0"], "Q4_0: tensor .* is quantised already"),
        (source, [], "expected a list of one file type or more"),
        (source, "Q8_0", "expected a list of one file type or more"),
    ):
        with pytest.raises(errors.ArgumentError, match=message):
            ingot.quality(model, types, TEXT, n_ctx=N_CTX, progress=never)


# -------------------------------------------------------------------------------------- the command


def test_command(source: Path, found: Quality, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(TEXT)
    given = ["quality", source, "-f", text, "-c", N_CTX, "-t", 1, "--types", ",".join(TYPES)]
    picture = tmp_path / "out.svg"
    report = json.loads(run_well(*given, "--json", "--plot", picture))
    assert report["base"]["perplexity"]["value"] == found.base.perplexity.value
    assert [row["file_type"] for row in report["types"]] == TYPES
    for row, expected in zip(report["types"], found.types, strict=True):
        assert row["bytes"] == expected.bytes
        assert row["kl"]["value"] == expected.divergence.kl.value
        assert row["kl_quantiles"] == expected.divergence.kl_quantiles
        assert "nll" not in row
    drawn = picture.read_text()
    assert all(f"<!-- {name} -->" in drawn for name in TYPES)

    lines = run_well(*given, "--chunks", 1).splitlines()
    assert [line.split("\t")[0] for line in lines] == ["as it is", *TYPES]
    assert lines[1].split("\t")[1] == f"{found.types[0].bytes / 1e6:.2f} MB"


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ("", 2, "required: -f"),
        ("-f {text} --types Q9 -c 32", 2, "'Q9' is no file type"),
        ("-f {text} --types Q4_0 -c 32", 2, "say --allow-requantize"),
        ("-f {text} --types , -c 32", 2, "expected a list of one file type"),
        ("-f {text} --plot a.doc", 2, "a.doc: doc is no kind of picture; expected one of"),
        ("-f {text} --plot /nowhere/a.png", 1, "/nowhere/a.png: there is no such folder"),
        ("-f /nowhere/text", 1, "/nowhere/text"),
    ],
)
def test_wrong_usage(options: str, status: int, message: str) -> None:
    text = Path(__file__).resolve().parents[2] / "LICENSE"
    done = run("quality", *options.format(text=text).split())
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr


def test_a_plot_needs_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(errors.UnsupportedError, match=r"pip install 'ingot\[plot\]'"):
        quality_plot.check("out.png")


def test_kinds_of_pictures(found: Quality, tmp_path: Path) -> None:
    for suffix, magic in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        quality_plot.plot(found, tmp_path / f"out.{suffix}")
        assert (tmp_path / f"out.{suffix}").read_bytes().startswith(magic)


@pytest.mark.long
def test_a_trained_model(shared: Path) -> None:
    """The order of the table in docs/quantize.md, on a few chunks of its text."""
    folder = shared / "models"
    found = ingot.quality(
        folder / "prose-7m-f16.gguf",
        ["Q6_K", "Q4_K_M", "Q3_K_M", "IQ2_XXS"],
        (folder / "valid.txt").read_bytes(),
        imatrix=folder / "prose-7m-imatrix.gguf",
        n_chunks=16,
    )
    for row, kl in zip(found.types, (0.0007, 0.0024, 0.0073, 0.065), strict=True):
        assert row.divergence.kl.value == pytest.approx(kl, rel=0.25)
