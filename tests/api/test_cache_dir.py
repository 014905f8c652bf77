"""The prefix cache in a folder, and sessions in files: what was computed once is there the next
time, and nothing else depends on it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import ingot
import pytest
from test_cli import run, run_well

STORY = "Once upon a time there was a king. He lived in a castle by the sea with his horse. " * 8


def ask(model: ingot.Model, prompt: str | list[int]) -> ingot.Completion:
    return model.generate(prompt, temperature=0, max_tokens=6, ignore_eos=True)


def test_the_next_process_finds_it(tmp_path: Path) -> None:
    with ingot.Model(n_ctx=512, cache_dir=tmp_path / "deep" / "cache") as model:
        first = ask(model, STORY)
        stats = model.stats()
        assert (first.n_cached, stats.n_spilled_pages, stats.n_restored_pages) == (0, 0, 0)
    with ingot.Engine(n_ctx=512, cache_dir=tmp_path / "deep" / "cache") as engine:
        again = engine.generate(STORY, temperature=0, max_tokens=6, ignore_eos=True).result()
        assert again.tokens == first.tokens
        assert again.n_cached >= first.n_prompt - 32
        assert engine.stats().n_restored_pages == again.n_cached // 32
    with ingot.Model(n_ctx=512, cache_dir=tmp_path / "deep" / "cache", kv_type="q8_0") as other:
        assert ask(other, STORY).n_cached == 0  # other settings, other keys and values
    files = list((tmp_path / "deep" / "cache").glob("*/*"))
    assert {path.parent.stat().st_mode & 0o777 for path in files} == {0o700}
    assert {path.suffix for path in files} == {".kv"}


def test_the_folder_is_bounded(tmp_path: Path) -> None:
    most = 300_000
    with ingot.Model(n_ctx=512, cache_dir=tmp_path, cache_dir_bytes=most) as model:
        for i in range(6):
            ask(model, f"{i}{STORY}")
    sizes = [path.stat().st_size for path in tmp_path.glob("*/*")]
    assert most / 2 < sum(sizes) <= most


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        ingot.Model(n_ctx=64, cache_dir=tmp_path / "file") as model,
        pytest.raises(ingot.FileError, match=r"cannot make the folder .*file"),
    ):
        ask(model, "Once")
    with pytest.raises(ingot.ArgumentError, match="NUL"):
        ingot.Model(cache_dir="a\0b")
    with pytest.raises(ingot.ArgumentError, match="cache_dir_bytes"):
        ingot.Model(cache_dir=tmp_path, cache_dir_bytes=0)


# Computes texts in so little memory that their pages go to disk and come back all the time.
BUSY = """
import random, sys
import ingot
folder, seed, share = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = ingot.Model(n_ctx=320, n_seqs=2, kv_bytes=share, cache_dir=folder)
rng = random.Random(seed)
print("begun", flush=True)
while True:
    text = f"{rng.randrange(12)}" + STORY[: rng.randrange(200, len(STORY))]
    model.generate(text, temperature=0, max_tokens=2, ignore_eos=True)
""".replace("STORY", repr(STORY))


def test_kill(tmp_path: Path) -> None:
    """A process that is killed while it writes loses nothing but what it hadn't written."""
    with ingot.Model(n_ctx=320) as model:
        share = 400 * model.cache.bytes_per_token
        alone = [ask(model, f"{i}{STORY}") for i in range(12)]
    rng = random.Random(7)
    for seed in range(5):
        command = [sys.executable, "-c", BUSY, str(tmp_path), str(seed), str(share)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(rng.uniform(0.05, 0.8))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert list(tmp_path.glob("*/*.kv"))
    with ingot.Model(n_ctx=320, kv_bytes=share, cache_dir=tmp_path) as model:
        for i, expected in enumerate(alone):
            assert ask(model, f"{i}{STORY}").tokens == expected.tokens
        assert model.stats().n_restored_pages > 0
        assert not list(tmp_path.glob("*/*.part"))


# ------------------------------------------------------------------------------------ sessions


def test_a_session(tmp_path: Path) -> None:
    path = tmp_path / "talk.session"
    with ingot.Model(n_ctx=512) as model:
        first = ask(model, STORY)
        tokens = [*model.tokenize(STORY, add_special=True), *first.tokens]
        n = model.save_session(path, tokens)
        assert n == (len(tokens) - 1) // 32 * 32  # the last token isn't computed
    with ingot.Model(n_ctx=512) as model:
        loaded = model.load_session(path)
        assert (loaded.tokens, loaded.n_known) == (tokens, n)
        assert ask(model, STORY).tokens == first.tokens
        assert ask(model, loaded.tokens).n_cached >= n
    path.write_bytes(path.read_bytes()[:-1])
    with ingot.Model(n_ctx=512) as model:
        with pytest.raises(ingot.FormatError, match=r"talk\.session.*cut off"):
            model.load_session(path)
        path.write_bytes(b"x" * 100)
        with pytest.raises(ingot.FormatError, match="INGOTKV1"):
            model.load_session(path)
        with pytest.raises(ingot.FileError, match="nothing"):
            model.load_session(tmp_path / "nothing")
        with pytest.raises(ingot.ArgumentError, match="token 1"):
            model.save_session(path, [1, 10**6])


def test_a_session_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "talk.session"
    with ingot.Model(n_ctx=512) as model:
        ask(model, STORY)
        model.save_session(path, STORY)
    with (
        ingot.Model(n_ctx=512, k_type="q8_0") as other,
        pytest.raises(ingot.ArgumentError, match="another model, other settings"),
    ):
        other.load_session(path)


# -------------------------------------------------------------------------------- command line


def test_command_line(tmp_path: Path) -> None:
    args = ["run", "-p", STORY, "-n", "4", "--temperature", "0", "--json", "-c", "512"]
    args += ["--cache-dir", str(tmp_path / "cache")]
    cached = [json.loads(run_well(*args))["n_cached"] for _ in range(2)]
    assert cached[0] == 0
    assert cached[1] > 100
    done = run("run", "-p", "Once", "--cache-dir", __file__)
    assert done.returncode == 1
    assert "cannot make the folder" in done.stderr


def test_a_share_of_memory() -> None:
    free = ingot.devices()[0].memory_free
    with ingot.Model(n_seqs=256, kv_bytes=1e-3) as model:
        assert 0.4e-3 * free < model.cache.bytes < 2e-3 * free
    for wrong in (0, -1, 0.0, 1.5, "1"):
        with pytest.raises(ingot.ArgumentError, match="kv_bytes"):
            ingot.Model(kv_bytes=wrong)  # type: ignore[arg-type]
