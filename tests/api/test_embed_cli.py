"""The command ``ingot embed``, as a program."""

from __future__ import annotations

import json
import pty
import re
import signal
import subprocess
from pathlib import Path

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from test_cli import INGOT, in_terminal, run, run_well

TEXTS = ["Once upon a time", "there was a cat.", "The end"]


def vectors(printed: str) -> npt.NDArray[np.float32]:
    return np.array([line.split(" ") for line in printed.splitlines()], np.float32)


@pytest.fixture(scope="module")
def expected(model: ingot.Model) -> npt.NDArray[np.float32]:
    return model.embed(TEXTS)


def test_a_line_per_text(expected: npt.NDArray[np.float32], bundled: Path) -> None:
    """The numbers are those of Python to the last bit."""
    done = run("embed", *TEXTS)
    assert (done.returncode, done.stderr) == (0, "")
    found = vectors(done.stdout)
    assert found.shape == expected.shape == (3, ingot.Model(bundled).info.n_embd)
    np.testing.assert_array_equal(found, expected)
    assert run_well("embed", "-m", bundled, TEXTS[1]) == done.stdout.splitlines()[1] + "\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_lines_of_a_file_and_of_standard_input(end: str, tmp_path: Path) -> None:
    texts = [*TEXTS, "a\u2028b\x0cc"]
    path = tmp_path / "texts.txt"
    path.write_bytes(((end or "\n").join(texts) + end).encode())
    printed = run_well("embed", *texts)
    assert run_well("embed", "-f", path) == printed
    assert run_well("embed", stdin=path.read_bytes().decode()) == printed
    assert run_well("embed", "--file", "-", stdin=path.read_bytes().decode()) == printed


def test_json(expected: npt.NDArray[np.float32], bundled: Path) -> None:
    report = json.loads(run_well("embed", "--json", *TEXTS))
    assert report.keys() == {"model", "dimensions", "embeddings"}
    assert report["model"] == str(bundled)
    assert report["dimensions"] == expected.shape[1]
    np.testing.assert_array_equal(np.array(report["embeddings"], np.float32), expected)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_pooling_and_length(pooling: str, model: ingot.Model) -> None:
    raw = vectors(run_well("embed", "--pooling", pooling, "--no-normalize", *TEXTS))
    np.testing.assert_array_equal(raw, model.embed(TEXTS, pooling=pooling, normalize=False))
    units = vectors(run_well("embed", "--pooling", pooling, *TEXTS))
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(units, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-5)


def test_all_tokens_of_a_text(model: ingot.Model) -> None:
    found = vectors(run_well("embed", "--pooling", "none", TEXTS[0]))
    assert len(found) == len(model.tokenize(TEXTS[0], add_special=True))
    np.testing.assert_array_equal(found, model.embed(TEXTS[0], pooling="none"))
    done = run("embed", "--pooling", "none", *TEXTS)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ingot: error: ")


def test_fewer_dimensions(model: ingot.Model) -> None:
    report = json.loads(run_well("embed", "--dimensions", "8", "--json", *TEXTS))
    assert report["dimensions"] == 8
    found = np.array(report["embeddings"], np.float32)
    np.testing.assert_array_equal(found, model.embed(TEXTS, dimensions=8))
    done = run("embed", "--dimensions", "1000000", "x")
    assert done.returncode == 2
    assert "dimensions is 1000000" in done.stderr


def test_similarity(expected: npt.NDArray[np.float32]) -> None:
    rows = [line.split("\t") for line in run_well("embed", "--similarity", *TEXTS).splitlines()]
    assert [row[0] for row in rows] == TEXTS
    found = np.array([row[1:] for row in rows], float)
    np.testing.assert_allclose(found, expected @ expected.T, atol=6e-5)
    assert [rows[i][i + 1] for i in range(3)] == ["1.0000"] * 3
    loose = run_well("embed", "--similarity", "--no-normalize", *TEXTS)
    assert loose == "".join("\t".join(row) + "\n" for row in rows)
    report = json.loads(run_well("embed", "--similarity", "--json", *TEXTS))
    assert len(report["embeddings"]) == 3
    np.testing.assert_allclose(report["similarity"], expected @ expected.T, atol=1e-6)


@pytest.mark.parametrize("pooling", ["none", "rank"])
def test_similarity_of_what_is_no_vector(pooling: str) -> None:
    done = run("embed", "--similarity", "--pooling", pooling, "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"ingot: error: --similarity compares vectors; pooling is {pooling}\n"


def test_similarity_in_a_terminal() -> None:
    shown = in_terminal("embed", "--similarity", "a cat", "a \x1b[31mdog", "word " * 30)
    for part in ("cosines", "a cat", "a ␛[31mdog", "word word", "...", "1.0000"):
        assert part in shown
    assert "\x1b[31mdog" not in shown


def test_an_encoder(shared: Path) -> None:
    path = shared / "golden/arch/bert/model.gguf"
    with ingot.Model(path) as model:
        expected = model.embed(["", *TEXTS])
    printed = run_well("embed", "-m", path, stdin="\n" + "\n".join(TEXTS))
    np.testing.assert_array_equal(vectors(printed), expected)


def test_options_of_the_engine(expected: npt.NDArray[np.float32]) -> None:
    options = ["--threads", "1", "--batch-size", "7", "--no-mmap", "--ctx-size", "64"]
    np.testing.assert_array_equal(vectors(run_well("embed", *options, *TEXTS)), expected)
    done = run("embed", "--ctx-size", "8", "word " * 100)
    assert done.returncode == 1
    assert "--ctx-size" in done.stderr


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ([], "the input is empty"),
        (["x", "-f", "y"], "not both"),
        (["x", "--pooling", "max"], "invalid choice: 'max'"),
        (["x", "--dimensions", "0"], "'0' is no integer from 1"),
    ],
)
def test_wrong_usage_of_embed(args: list[str], problem: str) -> None:
    done = run("embed", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: ingot embed" in done.stderr
    assert problem in done.stderr.splitlines()[-1]


def test_nothing_to_embed_in_a_terminal() -> None:
    stdin = pty.openpty()[1]
    done = subprocess.run([*INGOT, "embed"], stdin=stdin, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"no text" in done.stderr


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for args in (["-f", tmp_path / "none"], ["x", "-m", tmp_path / "none"]):
        done = run("embed", *args)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("ingot: error: ")
        assert str(tmp_path / "none") in line


def test_a_file_where_a_text_is_expected(bundled: Path) -> None:
    done = run("embed", bundled)
    assert done.returncode == 0
    assert f"{bundled} is a file, and taken for a text: give -m MODEL" in done.stderr


def test_ctrl_c_ends_the_reading_of_texts(tmp_path: Path) -> None:
    """Once progress is shown, which is after a second of work."""
    path = tmp_path / "texts.txt"
    path.write_text(("Once upon a time " * 50 + "\n") * 10_000, encoding="utf-8")
    process = subprocess.Popen(
        [*INGOT, "embed", "-f", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    assert re.fullmatch(rb"reading the texts: \d%\n", process.stderr.readline())
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (130, b"", b"")


def test_what_is_no_utf8() -> None:
    done = subprocess.run([*INGOT, "embed"], input=b"a\xff\n", capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 1
