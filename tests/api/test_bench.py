"""Measuring speed: what is run, and what is reported; no test asks how fast."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import ingot
import pytest
from ingot import bench, errors, shapes
from ingot.bench import Own, Peer, Row, Settings, Work
from ingot.generation import Completion
from ingot.machine import measure_read
from ingot.shapes import Shape
from test_cli import in_terminal, run, run_well

# As much of llama_cpp as is called: notes what it is told, at most one cache of tokens.
FAKE = """
import os
from types import SimpleNamespace as Space

__version__ = "9.9"
notes = open(os.environ["NOTES"], "a", buffering=1)
llama_log_callback = lambda function: function
llama_log_set = lambda function, user: None
llama_backend_init = lambda: print("a line that isn't for the parent")
llama_model_default_params = llama_context_default_params = Space
llama_model_load_from_file = lambda path, params: path if os.path.exists(path) else None
llama_model_get_vocab = llama_get_memory = lambda of: of
llama_vocab_n_tokens = lambda vocab: 100
llama_memory_clear = lambda memory, data: print("clear", file=notes)
llama_memory_seq_rm = lambda memory, seq, begin, end: print("keep", begin, file=notes)
llama_synchronize = lambda context: None
llama_batch_free = lambda batch: None


def llama_init_from_model(model, params):
    print(params.n_ctx, params.n_threads, params.type_k, params.type_v, file=notes)
    return model


def llama_batch_init(n, embd, seqs):
    rows = lambda: [None] * n
    return Space(token=rows(), pos=rows(), n_seq_id=rows(), seq_id=[[None] for _ in range(n)],
                 logits=rows())


def llama_decode(context, batch):
    print(batch.pos[0], batch.n_tokens, sum(batch.logits), batch.logits[-1], file=notes)
    return 1 if batch.pos[0] == 77 else 0
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes llama_cpp a module that notes what is asked of it, in the file returned."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "llama_cpp.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    monkeypatch.setenv("INGOT_BENCH_PEER", sys.executable)
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def command(options: str) -> list[str]:
    return ["bench", *options.split()]


@pytest.mark.parametrize("depth", [0, 1, 40])
def test_rounds_compute_what_they_measure(
    depth: int, model: ingot.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tokens of a prompt, none of those before; a forward pass for each generated one."""
    done: list[Completion] = []
    generate = model.generate

    def noted(*args: Any, **options: Any) -> Completion:
        answer: Completion = generate(*args, **options)
        done.append(answer)
        return answer

    monkeypatch.setattr(model, "generate", noted)
    own = Own(model, Settings(prompt=24, tokens=6))
    for _ in range(3):
        rates = own.round(depth)
        assert set(rates) == {"prefill", "decode"}
        *_, prefill, decode = done
        assert (prefill.n_prompt, prefill.n_cached) == (depth + 24, depth)
        assert (decode.n_prompt, decode.n_generated) == (max(depth, 1), 7)
        assert rates["prefill"] == pytest.approx(24 / prefill.timings.prompt_seconds)
        assert rates["decode"] == pytest.approx(6 / decode.timings.decode_seconds)


def test_a_test_can_be_left_out(model: ingot.Model) -> None:
    assert set(Own(model, Settings(prompt=0, tokens=2)).round(3)) == {"decode"}
    assert set(Own(model, Settings(prompt=2, tokens=0)).round(3)) == {"prefill"}


def test_work_of_a_token(tmp_path: Path) -> None:
    """Counted by hand: experts in use, no table of which one row is read, no head of prompts."""
    path = tmp_path / "model.gguf"
    shapes.write(
        path, Shape("olmoe", 3, 256, 512, 4, 4, 64, 300, False, 1e4, 1e-5, 8, 2, 256), "F16"
    )
    layer = 4 * 256 * 256 + 2 * 3 * 512 * 256
    with ingot.Model(path, n_ctx=64) as model:
        found = bench.work_of(model, "f32")
    router = 3 * 8 * 256
    assert found.ops == 2 * (3 * layer + router)
    assert found.weight_bytes == 2 * (3 * layer + 300 * 256) + 4 * router
    assert found.kv_bytes == 3 * 2 * 256 * 4
    shapes.write(path, shapes.SHAPES["tiny"], "F16")
    with ingot.Model(path, n_ctx=64) as model:
        found = bench.work_of(model, "f16")
    layer = 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512
    assert found == Work(2 * (2 * layer + 1024 * 256), 2 * 2 * 128 * 2, 2 * 2 * layer)


def test_report() -> None:
    row = Row("decode", 64, 9, [10.0, 30.0, 20.0], [5.0, 10.0, 20.0], [0.5, 0.25, 0.75])
    settings = Settings(rounds=3)
    work = Work(7, 8, 9)
    report = bench.Report(
        "m", settings, "cpu", "avx2", 2, work, [row], [4e9, 2e9, 3e9], [5e9], "1.2"
    )
    found = report.as_json()
    assert json.loads(json.dumps(found)) == found
    assert found["ceilings"] == {
        "read": {
            "unit": "bytes_per_second",
            "median": 3e9,
            "quartiles": [2.5e9, 3.5e9],
            "values": [4e9, 2e9, 3e9],
        },
        "int8_peak": {
            "unit": "ops_per_second",
            "median": 5e9,
            "quartiles": [5e9, 5e9],
            "values": [5e9],
        },
    }
    (cells,) = found["rows"]
    assert (cells["median"], cells["quartiles"], cells["share_of_read"]) == (20, [15, 25], 0.5)
    assert cells["llama_cpp"]["median"] == 10
    assert cells["llama_cpp"]["ratio"] == 2  # of 2, 3 and 1, round by round


def test_json_of_the_command(bundled: Path) -> None:
    options = "-p 8 -n 2 -d 0,16 -r 2 -t 1 --kv-type f32 --batch 1 --json"
    printed = run_well(*command(options), "-m", bundled)
    report = json.loads(printed)
    assert report.keys() == {
        *("model", "machine", "isa", "threads", "kv_type", "rounds", "ingot", "llama_cpp_python"),
        *("per_token", "ceilings", "rows"),
    }
    assert (report["model"], report["threads"], report["rounds"]) == (str(bundled), 1, 2)
    assert report["kv_type"] == "f32"
    assert report["machine"] == ingot.devices()[0].description
    assert len(report["ceilings"]["int8_peak"]["values"]) == 4
    assert len(report["ceilings"]["read"]["values"]) == 4
    tests = [(row["test"], row["tokens"], row["depth"]) for row in report["rows"]]
    assert tests == [(test, n, d) for d in (0, 16) for test, n in (("prefill", 8), ("decode", 2))]
    for row in report["rows"]:
        low, high = row["quartiles"]
        assert 0 < low <= row["median"] <= high
        assert len(row["values"]) == 2
        assert (row["share_of_read"] is None) == (row["test"] == "prefill")
        assert (row["share_of_int8_peak"] is None) == (row["test"] == "decode")
        assert row["llama_cpp"] is None


def test_table_of_the_command() -> None:
    done = run(*command("-p 8 -n 2 -r 1"))
    assert done.returncode == 0
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [
        ["prefill 8", "0"],
        ["decode 2", "0"],
    ]
    assert "GB/s" in done.stderr
    shown = in_terminal(*command("-p 8 -n 0 -r 1"))
    assert "tokens/s" in shown
    assert "decode" not in shown


def test_a_shape(tmp_path: Path) -> None:
    arguments = command("--shape tiny --type q4_0 -p 4 -n 0 -r 1 --json")
    report = json.loads(run_well(*arguments, XDG_CACHE_HOME=str(tmp_path)))
    assert report["model"] == str(next((tmp_path / "ingot" / "bench").iterdir()))
    assert "tiny-Q4_0" in report["model"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--batch 2", "--batch 2: the engine serves one sequence at a time"),
        ("-p 0 -n 0", "nothing is left to be measured"),
        ("model.gguf --shape tiny", "expected MODEL or --shape, not both"),
        ("--type Q8_0", "--type goes with --shape"),
        ("--shape huge", "invalid choice: 'huge'"),
        ("-d 1,x", "'x' is no integer from 0"),
        ("-r 0", "'0' is no integer from 1"),
    ],
)
def test_wrong_usage(arguments: str, message: str) -> None:
    done = run(*command(arguments))
    assert done.returncode == 2
    assert message in done.stderr


def test_types_that_cannot_be_made(tmp_path: Path) -> None:
    done = run(*command("--shape tiny --type I32"), XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "random weights of type I32 can't be made" in done.stderr
    assert list((tmp_path / "ingot" / "bench").iterdir()) == []


# ---------------------------------------------------------------------------------------- llama.cpp


def test_what_llama_cpp_is_asked_for(fake: Path, bundled: Path) -> None:
    settings = Settings(prompt=3000, tokens=2, depths=(0, 5), kv_type="f32")
    with Peer(str(bundled), settings, 3) as peer:
        assert peer.version == "9.9"
        for depth in (0, 5, 5):
            rates = peer.round(depth)
            assert rates.keys() == {"prefill", "decode"}
            assert min(rates.values()) > 0
    before = ["3007 3 0 0"]
    at_0 = ["keep 0", "0 2048 1 True", "2048 952 1 True", "keep 0", "0 1 1 True", "1 1 1 True"]
    at_5 = ["keep 5", "5 2048 1 True", "2053 952 1 True", "keep 5", "5 1 1 True", "6 1 1 True"]
    expected = [*before, *at_0, "clear", "0 5 1 True", *at_5, *at_5]
    assert fake.read_text().splitlines() == expected


def test_both_in_turns(fake: Path) -> None:
    printed = run_well(*command("-p 4 -n 3 -r 3 --vs-llama-cpp --json"))
    report = json.loads(printed)
    assert report["llama_cpp_python"] == "9.9"
    for row in report["rows"]:
        ours, theirs = row["values"], row["llama_cpp"]["values"]
        assert len(ours) == len(theirs) == 3
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        assert row["llama_cpp"]["ratio"] == pytest.approx(ratios[1])
    shown = run_well(*command("-p 4 -n 0 -r 1 --vs-llama-cpp"))
    assert len(shown.split("\t")) == 8


def test_llama_cpp_that_fails(fake: Path, bundled: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.UnsupportedError, match=r"llama.cpp can't load .*nothing.gguf"):
        Peer(str(tmp_path / "nothing.gguf"), Settings(), 1)
    with Peer(str(bundled), Settings(prompt=1), 1) as peer:
        for _ in range(2):  # it has ended when it is asked again
            with pytest.raises(errors.UnsupportedError, match="llama_decode returned 1"):
                peer.round(77)


def test_no_llama_cpp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INGOT_BENCH_PEER", str(tmp_path / "python"))
    with pytest.raises(errors.FileError, match=r"INGOT_BENCH_PEER: can't start .*python"):
        Peer("model.gguf", Settings(), 1)
    monkeypatch.delenv("INGOT_BENCH_PEER")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UnsupportedError, match="no module llama_cpp: pip install"):
        Peer("model.gguf", Settings(), 1)


@pytest.mark.skipif(
    not os.environ.get("INGOT_BENCH_PEER") and importlib.util.find_spec("llama_cpp") is None,
    reason="llama_cpp is not installed: pip install llama-cpp-python, or set INGOT_BENCH_PEER",
)
def test_llama_cpp_itself(tmp_path: Path) -> None:
    arguments = command("--shape tiny -p 16 -n 3 -d 0,20 -r 1 --vs-llama-cpp --json")
    report = json.loads(run_well(*arguments, XDG_CACHE_HOME=str(tmp_path)))
    assert all(row["llama_cpp"]["ratio"] > 0 for row in report["rows"])


def test_reading_is_measured() -> None:
    assert 1e8 < measure_read(1, 1 << 24) < 1e13
    with pytest.raises(errors.ArgumentError, match="bytes is 5; expected at least 4160000"):
        measure_read(1, 5)
