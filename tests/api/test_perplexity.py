"""Perplexity and divergence, against plain formulas over whole matrices of logits."""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from ingot import errors, logits_file, measures, shapes
from ingot.logits_file import MAGIC, Header, Reader
from test_cli import run, run_well

TEXT = Path(__file__).resolve().parents[2].joinpath("LICENSE").read_bytes()
N_CTX = 64

Doubles = npt.NDArray[np.float64]


def logprobs_of(model: ingot.Model, ids: npt.NDArray[np.int32]) -> Doubles:
    logits = model.logits(ids).astype(np.float64)
    result: Doubles = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return result


def whole_windows(model: ingot.Model, n_ctx: int) -> npt.NDArray[np.int32]:
    """As llama-perplexity takes a text apart, in other words than the code under test."""
    tokens = model.tokenize(TEXT, add_special=True)
    rows = [tokens[i : i + n_ctx] for i in range(0, len(tokens) - n_ctx + 1, n_ctx)]
    if model.specials.add_bos:
        for row in rows:
            row[0] = 0  # the bundled model's BOS
    return np.array(rows, np.int32)


def nll_of(model: ingot.Model, n_ctx: int) -> Doubles:
    found = []
    for row in whole_windows(model, n_ctx):
        logprobs = logprobs_of(model, row)
        found += [-logprobs[i, row[i + 1]] for i in range(n_ctx // 2, n_ctx - 1)]
    return np.array(found)


def copied(
    source: Path, path: Path, change: Callable[[str, npt.NDArray[Any]], npt.NDArray[Any]]
) -> Path:
    """The bundled model, wanting BOS in front of texts, with some tensors changed."""
    with ingot.gguf.open(source) as file, ingot.gguf.Writer(path) as out:
        for key, value in file.metadata.items():
            if key != "tokenizer.ggml.add_bos_token":
                out.add(key, value)
        out.add("tokenizer.ggml.add_bos_token", True)
        for name, tensor in file.tensors.items():
            weights = tensor.dequantize()
            out.add_tensor(name, change(name, weights), "F32" if weights.ndim == 1 else "F16")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, bundled: Path) -> Iterator[ingot.Model]:
    path = copied(bundled, tmp_path_factory.mktemp("model") / "a.gguf", lambda _, data: data)
    with ingot.Model(path, n_ctx=512) as opened:
        assert opened.specials.add_bos
        yield opened


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, bundled: Path) -> Path:
    """The model with a little noise in its embedding."""
    random = np.random.default_rng(5)

    def noisy(name: str, weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if name != "token_embd.weight":
            return weights
        noise = random.standard_normal(weights.shape, np.float32)
        changed: npt.NDArray[Any] = weights + noise * weights.std() / 20
        return changed

    return copied(bundled, tmp_path_factory.mktemp("other") / "b.gguf", noisy)


@pytest.mark.parametrize("n_ctx", [64, 33, 3])
def test_perplexity(n_ctx: int, model: ingot.Model, tmp_path: Path) -> None:
    nll = nll_of(model, n_ctx)
    seen: list[tuple[int, int, float]] = []

    def running(done: int, of: int, so_far: measures.Estimate) -> None:
        seen.append((done, of, so_far.value))

    found = measures.perplexity(model, TEXT, n_ctx=n_ctx, running=running)
    n = len(whole_windows(model, n_ctx))
    assert (found.n_chunks, found.n_scored) == (n, len(nll))
    expected = math.exp(nll.mean())
    assert found.perplexity.value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(found.nll, nll, rtol=1e-4, atol=1e-5)
    error = expected * nll.std() / math.sqrt(len(nll) - 1)
    assert found.perplexity.error == pytest.approx(error, rel=1e-5)
    assert [row[:2] for row in seen] == [(i, n) for i in range(1, n + 1)]
    assert seen[0][2] == pytest.approx(math.exp(nll[: len(nll) // n].mean()), rel=1e-6)
    assert seen[-1][2] == found.perplexity.value
    saving = measures.perplexity(model, TEXT, n_ctx=n_ctx, save_logits=tmp_path / "base")
    assert saving.perplexity.value == pytest.approx(expected, rel=1e-9)


def test_files_and_texts(model: ingot.Model, tmp_path: Path) -> None:
    """A model may be a file, a text a str, and the file of logits knows n_ctx."""
    shares: list[float] = []
    base = ingot.perplexity(
        model.path,
        TEXT.decode(),
        n_ctx=N_CTX,
        n_chunks=2,
        save_logits=tmp_path / "base",
        progress=shares.append,
    )
    assert shares == [0.5, 1]
    assert base.n_chunks == 2
    assert ingot.divergence(model.path, TEXT, tmp_path / "base").perplexity == base.perplexity
    with pytest.raises(errors.CancelledError):
        ingot.divergence(model, TEXT, tmp_path / "base", progress=lambda _: False)
    with pytest.raises(errors.CancelledError):
        ingot.perplexity(model, TEXT, save_logits=tmp_path / "more", progress=lambda _: False)
    assert not (tmp_path / "more").exists()


def test_a_model_that_wants_no_bos(bundled: Path) -> None:
    with ingot.Model(bundled, n_ctx=N_CTX) as model:
        assert not model.specials.add_bos
        expected = math.exp(nll_of(model, N_CTX).mean())
        found = measures.perplexity(model, TEXT, n_ctx=N_CTX)
    assert found.perplexity.value == pytest.approx(expected, rel=1e-6)


def test_the_first_windows(model: ingot.Model) -> None:
    nll = nll_of(model, N_CTX)[: 2 * 31]
    found = measures.perplexity(model, TEXT, n_ctx=N_CTX, n_chunks=2)
    assert (found.n_chunks, found.n_scored) == (2, 62)
    assert found.perplexity.value == pytest.approx(math.exp(nll.mean()), rel=1e-6)


def test_a_model_beside_itself(model: ingot.Model, tmp_path: Path) -> None:
    """What is left is the rounding of the file: steps of less than a thousandth."""
    base = measures.perplexity(model, TEXT, n_ctx=N_CTX, save_logits=tmp_path / "base")
    found = measures.divergence(model, TEXT, tmp_path / "base", n_ctx=N_CTX)
    assert found.perplexity == base.perplexity
    assert found.base_perplexity.value == pytest.approx(base.perplexity.value, rel=1e-5)
    assert 0 <= found.kl.value < 1e-7
    assert 0 <= found.kl_quantiles["maximum"] < 1e-6
    assert abs(found.difference.value) < 1e-5
    assert found.difference_rms.value < 1e-4
    assert found.same_top.value > 0.999
    assert abs(found.log_ratio.value) < 1e-5


def test_divergence(model: ingot.Model, other: Path, tmp_path: Path) -> None:
    measures.perplexity(model, TEXT, n_ctx=N_CTX, save_logits=tmp_path / "base")
    rows = whole_windows(model, N_CTX)
    kl, difference, same, log_ratio = [], [], [], []
    with ingot.Model(other, n_ctx=N_CTX) as noisy:
        found = measures.divergence(noisy, TEXT, tmp_path / "base", n_ctx=N_CTX)
        for row in rows:
            ours, base = logprobs_of(noisy, row), logprobs_of(model, row)
            for i in range(N_CTX // 2, N_CTX - 1):
                right = row[i + 1]
                kl.append((np.exp(base[i]) * (base[i] - ours[i])).sum())
                difference.append(np.exp(ours[i, right]) - np.exp(base[i, right]))
                same.append(ours[i].argmax() == base[i].argmax())
                log_ratio.append(base[i, right] - ours[i, right])
        again = measures.divergence(noisy, TEXT, tmp_path / "base", n_ctx=N_CTX, n_chunks=1)
    n = len(kl)
    assert n == found.n_scored == 31 * len(rows)
    assert np.mean(kl) > 1e-4  # there is something to be found
    expected = {
        "kl": np.mean(kl),
        "difference": np.mean(difference),
        "difference_rms": np.sqrt(np.mean(np.square(difference))),
        "same_top": np.mean(same),
        "log_ratio": np.mean(log_ratio),
    }
    for name, value in expected.items():
        assert getattr(found, name).value == pytest.approx(value, rel=1e-3, abs=2e-6), name
    assert found.kl.error == pytest.approx(np.std(kl) / math.sqrt(n - 1), rel=1e-3)
    np.testing.assert_allclose(found.token_kl, kl, rtol=0.05, atol=1e-6)
    # The file's steps are some 0.0004 here, and round by half of that.
    np.testing.assert_allclose(found.base_nll - found.nll, np.multiply(log_ratio, -1), atol=3e-4)
    p = np.mean(same)
    assert found.same_top.error == pytest.approx(math.sqrt(p * (1 - p) / (n - 1)), abs=1e-4)
    quantiles = dict(
        zip(measures.QUANTILES, np.quantile(kl, [0.5, 0.9, 0.99, 0.999, 1]), strict=True)
    )
    assert found.kl_quantiles == pytest.approx(quantiles, rel=1e-3, abs=1e-7)
    assert again.kl.value == pytest.approx(np.mean(kl[:31]), rel=1e-3)


def test_known_divergences(tmp_path: Path) -> None:
    """Rows whose divergence is known by hand go through a file."""
    base = np.log(np.array([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [0.98, 0.01, 0.01]]))
    ours = np.log(np.array([[0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.98, 0.01, 0.01]]))
    with logits_file.writing(tmp_path / "base", Header("m", 3, 7, 1, "", "")) as rows:
        rows.add(base)
    with Reader(tmp_path / "base") as file:
        read = np.concatenate(list(file.window()))
    np.testing.assert_allclose(read, base, atol=1e-4)
    np.testing.assert_allclose(np.exp(read).sum(axis=1), 1, rtol=1e-12)
    columns = measures._compared(ours, read, np.array([0, 1, 2], np.int32))
    np.testing.assert_allclose(columns[0], -ours[[0, 1, 2], [0, 1, 2]])
    np.testing.assert_allclose(columns[2], [0.25 * math.log(2), 0, 0], atol=2e-5)
    np.testing.assert_allclose(columns[3], [-0.25, 0, 0], atol=2e-5)
    assert columns[4].tolist() == [0, 1, 1]


# -------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(TEXT)
    return path


def test_command(text_file: Path, model: ingot.Model, other: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.logits"
    given = ["perplexity", "-f", text_file, "-c", N_CTX, "--json"]
    report = json.loads(run_well(*given, model.path, "--save-logits", base))
    assert report.keys() == {"model", "n_ctx", "n_chunks", "n_scored", "perplexity"}
    assert (report["model"], report["n_ctx"]) == (model.path, N_CTX)
    expected = measures.perplexity(model, TEXT, n_ctx=N_CTX).perplexity
    assert report["perplexity"]["value"] == pytest.approx(expected.value, rel=1e-6)
    assert report["perplexity"]["error"] == pytest.approx(expected.error, rel=1e-5)
    # Its windows are the file's, without -c.
    compared = ["perplexity", "-f", "-", other, "--kl-divergence", base]
    found = json.loads(run_well(*compared, "--json", stdin=TEXT.decode()))
    assert found["n_ctx"] == N_CTX
    assert found["kl"].keys() == {"value", "error"}
    assert found["base_perplexity"]["value"] == pytest.approx(report["perplexity"]["value"], 1e-4)
    lines = run_well(*compared, stdin=TEXT.decode()).splitlines()
    cells = dict(line.split("\t")[:2] for line in lines)
    assert cells["KL divergence, mean"] == f"{found['kl']['value']:.7f}"
    assert cells["KL divergence, 99.9 %"] == f"{found['kl_quantiles']['99.9 %']:.7f}"
    assert cells["same top token"] == f"{found['same_top']['value']:.3%}".replace("%", " %")
    assert run_well("perplexity", "-f", text_file, "--chunks", 1, "-c", 32).startswith(
        "perplexity\t"
    )


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ("", 2, "the following arguments are required: -f"),
        ("-f {text} -c 2", 2, "--ctx-size is 2; a window needs at least 3 tokens"),
        ("-f {text} --chunks 9999", 2, "9999 chunks of 512 (--ctx-size) need 5119488"),
        ("-f {text} --save-logits a --kl-divergence b", 2, "not allowed with argument"),
        ("-f {text} --kl-divergence {text}", 1, "no file of logits: it must be made with"),
        ("-f {text} --save-logits /nowhere/base", 1, "/nowhere/base.part"),
        ("-f /nowhere/text", 1, "/nowhere/text"),
    ],
)
def test_wrong_usage(options: str, status: int, message: str, text_file: Path) -> None:
    done = run("perplexity", *options.format(text=text_file).split())
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr


# ------------------------------------------------------------------------------- files of logits


@pytest.fixture(scope="module")
def saved(model: ingot.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "base"
    measures.perplexity(model, TEXT, n_ctx=N_CTX, n_chunks=2, save_logits=path)
    return path


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (TEXT, {"n_ctx": 128}, "n_ctx is 64 there and 128 here; it was made with .*gguf"),
        (TEXT, {"n_chunks": 3}, "2 chunks are in it; 3 can't be compared"),
        (b"x" + TEXT, {}, "the text is another one than that of .*gguf, saved in it"),
        (b"x", {}, "the text is another one"),
    ],
)
def test_other_texts_and_windows(
    text: bytes, options: dict[str, Any], message: str, model: ingot.Model, saved: Path
) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        measures.divergence(model, text, saved, **{"n_ctx": N_CTX, **options})


def test_text_behind_the_windows_may_differ(model: ingot.Model, saved: Path) -> None:
    assert measures.divergence(model, TEXT + b"more", saved, n_ctx=N_CTX).n_chunks == 2


def test_other_vocabularies(saved: Path, bundled: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    shapes.write(path, shapes.SHAPES["tiny"], "Q8_0")
    with ingot.Model(path, n_ctx=N_CTX) as model:
        message = rf"n_vocab is {ingot.Model(bundled).info.n_vocab} there and 1024 here"
        with pytest.raises(errors.ArgumentError, match=message):
            measures.divergence(model, TEXT, saved, n_ctx=N_CTX)


def test_other_tokens(model: ingot.Model, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenize = model.tokenize
    monkeypatch.setattr(model, "tokenize", lambda *a, **k: tokenize(*a, **k)[::-1])
    with pytest.raises(errors.ArgumentError, match="makes other tokens of the text"):
        measures.divergence(model, TEXT, saved, n_ctx=N_CTX)


def header(**changes: object) -> bytes:
    fields: dict[str, object] = {"model": "m", "n_vocab": 3, "n_ctx": 4, "n_chunks": 1}
    text = json.dumps(fields | {"tokens": "", "text": ""} | changes).encode()
    return MAGIC + struct.pack("<I", len(text)) + text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no file of logits"),
        (b"GGUF" * 10, "no file of logits"),
        (MAGIC, "its header is no JSON"),
        (MAGIC + b"\xff\xff\xff\xff", "its header has 4294967295 bytes; expected 1048576"),
        (MAGIC + struct.pack("<I", 2) + b"[]", "its header has no object with model, n_vocab"),
        (MAGIC + struct.pack("<I", 200000) + b"[" * 200000, "its header is no JSON"),
        (header(extra=1), "its header has no object with"),
        (header(n_vocab=0), "field n_vocab of its header is no integer from 1 to"),
        (header(n_vocab=2**40), "field n_vocab of its header is no integer from 1 to"),
        (header(n_chunks="1"), "field n_chunks of its header is no integer"),
        (header(n_ctx=True), "field n_ctx of its header is no integer"),
        (header(model=None), "field model of its header is no text"),
        (header() + bytes(13), r"1 rows make \d+ bytes, and it has \d+: save it again"),
        (header() + bytes(15), r"1 rows make \d+ bytes"),
    ],
    ids=itertools.count(),
)
def test_wrong_files(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "base"
    path.write_bytes(data)
    with pytest.raises(errors.FormatError, match=message):
        Reader(path)
    path.write_bytes(header() + bytes(14))
    assert logits_file.read_header(path) == Header("m", 3, 4, 1, "", "")


def test_numbers_that_are_none(tmp_path: Path) -> None:
    """NaN in a file is an error, not a result."""
    path = tmp_path / "base"
    path.write_bytes(header() + struct.pack("<ff3H", math.nan, 1.0, 1, 2, 3))
    with Reader(path) as file, pytest.raises(errors.FormatError, match="that aren't finite"):
        list(file.window())


def test_a_file_appears_when_it_is_whole(model: ingot.Model, tmp_path: Path) -> None:
    def interrupted(*_: object) -> None:
        assert [path.name for path in tmp_path.iterdir()] == ["base.part"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measures.perplexity(
            model, TEXT, n_ctx=N_CTX, save_logits=tmp_path / "base", running=interrupted
        )
    assert list(tmp_path.iterdir()) == []


def test_models_that_give_no_numbers(bundled: Path, tmp_path: Path) -> None:
    def spoilt(name: str, weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return weights * math.nan if name == "output_norm.weight" else weights

    path = copied(bundled, tmp_path / "nan.gguf", spoilt)
    with ingot.Model(path, n_ctx=N_CTX) as model:
        for base in (None, tmp_path / "base"):
            with pytest.raises(errors.FormatError, match="logits that are no finite numbers"):
                measures.perplexity(model, TEXT, n_ctx=N_CTX, n_chunks=1, save_logits=base)
    assert not (tmp_path / "base").exists()


@pytest.mark.long
def test_a_trained_model(shared: Path, tmp_path: Path) -> None:
    """What llama-perplexity finds on this text. Its KL includes the rounding of activations."""
    folder = shared / "models"
    text = (folder / "valid.txt").read_bytes()
    with ingot.Model(folder / "prose-7m-f16.gguf", n_ctx=512) as model:
        found = measures.perplexity(model, text, save_logits=tmp_path / "base")
    assert found.perplexity.value == pytest.approx(91.84, abs=0.02)
    for name, kl, same in (("Q8_0", 0.00014, 0.9887), ("Q4_K_M", 0.0025, 0.951)):
        with ingot.Model(folder / f"prose-7m-{name}.gguf", n_ctx=512) as model:
            compared = measures.divergence(model, text, tmp_path / "base")
        assert 0.2 * kl < compared.kl.value < 1.1 * kl
        assert compared.same_top.value == pytest.approx(same, abs=0.01)
