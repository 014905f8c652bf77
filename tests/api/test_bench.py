"""Measuring speed: what is run, and what is reported; no test asks how fast."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import pytest
from ingot import bench, bench_kernels, bench_profile, bench_samplers, errors, quant, shapes
from ingot.bench import Own, Peer, Row, Settings, Work
from ingot.bench_peer import PeerProcess
from ingot.generation import Stream
from ingot.machine import measure_product, measure_read
from ingot.model import Stage
from ingot.shapes import Shape
from test_cli import in_terminal, run, run_well

# As much of llama_cpp as is called: notes what it is told, at most one cache of tokens.
FAKE = """
import ctypes
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
llama_memory_seq_rm = lambda memory, seq, begin, end: print("keep", begin, seq, file=notes)
llama_synchronize = lambda context: None
llama_batch_free = lambda batch: None
llama_sampler_chain_default_params = lambda: None
llama_sampler_chain_init = lambda params: []
llama_sampler_chain_add = list.append
llama_sampler_accept = lambda chain, token: print("accept", token, file=notes)


class llama_token_data(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int), ("logit", ctypes.c_float), ("p", ctypes.c_float)]


class llama_token_data_array(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(llama_token_data)), ("size", ctypes.c_size_t),
                ("selected", ctypes.c_int64), ("sorted", ctypes.c_bool)]


def __getattr__(name):
    kind = name.removeprefix("llama_sampler_init_")
    if kind == name:
        raise AttributeError(name)
    return lambda *args: f"{kind} {args[:-2] if kind == 'dry' else args}"


def llama_sampler_apply(chain, reference):
    left = reference._obj
    tokens = left.data[: left.size]
    print(*chain, *((t.id, t.logit, t.p) for t in tokens), left.sorted, file=notes)
    for token in tokens:  # which must be made anew
        token.id, token.logit, token.p = 9, 9, 9
    left.size, left.selected, left.sorted = 1, 0, True


def llama_init_from_model(model, params):
    print(params.n_ctx, params.n_threads, params.type_k, params.type_v, file=notes)
    print(params.n_seq_max, params.kv_unified, file=notes)
    return model


def llama_batch_init(n, embd, seqs):
    rows = lambda: [None] * n
    return Space(token=rows(), pos=rows(), n_seq_id=rows(), seq_id=[[None] for _ in range(n)],
                 logits=rows())


def llama_decode(context, batch):
    seqs = sorted({seq for seq, in batch.seq_id})
    print(batch.pos[0], batch.n_tokens, sum(batch.logits), batch.logits[-1], *seqs, file=notes)
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


class Noting(ingot.Model):
    """Notes its streams."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(n_ctx=settings.n_ctx, n_seqs=settings.n_seqs)
        self.streams: list[Stream] = []

    def generate(self, *args: Any, **options: Any) -> Any:
        self.streams.append(super().generate(*args, **options))
        return self.streams[-1]


@pytest.mark.parametrize("depth", [0, 1, 40])
def test_rounds_compute_what_they_measure(depth: int) -> None:
    """All tokens of a prompt, none of those before; a forward pass for each generated one."""
    settings = Settings(prompt=24, tokens=6, depths=(depth,))
    model = Noting(settings)
    with model:
        own = Own(model, settings)
        for _ in range(3):
            rates = own.round(depth)
            assert set(rates) == {"prefill", "decode"}
            prefill, decode = (stream.completion for stream in model.streams[-2:])
            assert (prefill.n_prompt, prefill.n_cached) == (depth + 24, depth)
            assert (decode.n_prompt, decode.n_generated) == (max(depth, 1), 7)
            assert rates["prefill"] == pytest.approx(24 / prefill.timings.prompt_seconds)
            assert rates["decode"] == pytest.approx(6 / decode.timings.decode_seconds)


@pytest.mark.parametrize("depth", [0, 1, 40])
def test_sequences_together(depth: int) -> None:
    """Of each the prompt's last token is computed and no other, and they have all of n_ctx."""
    settings = Settings(prompt=24, tokens=6, depths=(depth,), batches=(1, 5))
    model = Noting(settings)
    with model:
        own = Own(model, settings)
        for batch in (1, 5, 5, 1, 5):
            rates = own.round(depth, batch)
            together = [stream.completion for stream in model.streams[-batch:]]
            assert set(rates) == ({"prefill", "decode"} if batch == 1 else {"decode"})
            assert [done.n_generated for done in together] == [7] * batch
            assert [done.n_prompt - done.n_cached for done in together] == [1] * batch
            assert [done.n_prompt for done in together] == [max(depth, 1)] * batch
            slowest = max(done.timings.decode_seconds for done in together)
            assert rates["decode"] == pytest.approx(batch * 6 / slowest)


def test_positions_for_all_sequences() -> None:
    """Each sequence has pages of its own, of 32 tokens."""
    assert Settings(512, 64, (0, 4096)).n_ctx == 4096 + 512 + 2
    together = Settings(512, 64, (0, 4096), batches=(16, 1))
    assert (together.n_seqs, together.n_ctx) == (16, 16 * (4096 + 96))
    assert Settings(0, 31, batches=(2,)).n_ctx == 64


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
    with ingot.Model(path, n_ctx=64, kv_type="f32") as model:
        found = bench.work_of(model)
    router = 3 * 8 * 256
    assert found.ops == 2 * (3 * layer + router)
    assert found.weight_bytes == 2 * (3 * layer + 300 * 256) + 4 * router
    assert found.kv_bytes == 3 * 2 * 256 * 4
    assert found.step_bytes(1, 10) == found.weight_bytes + 10 * found.kv_bytes
    # Of 8 experts a token chooses 2, two tokens 3.5: (1 - (6/8)^2) * 8.
    more = 2 * 3 * 1.5 * 3 * 512 * 256
    assert found.step_bytes(2, 10) == found.weight_bytes + more + 20 * found.kv_bytes
    shapes.write(path, shapes.SHAPES["tiny"], "F16")
    with ingot.Model(path, n_ctx=64) as model:
        found = bench.work_of(model)
    layer = 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512
    assert found == Work(2 * (2 * layer + 1024 * 256), 2 * 2 * 128 * 2, 2 * 2 * layer)
    assert found.step_bytes(3, 10) == found.weight_bytes + 30 * found.kv_bytes
    with ingot.Model(path, n_ctx=64, k_type="q8_0", v_type="q4_0") as model:
        assert bench.work_of(model).kv_bytes == 2 * 128 * (34 + 18) // 32


def test_report() -> None:
    speeds, peer, shares = [10.0, 30.0, 20.0], [5.0, 10.0, 20.0], [0.5, 0.25, 0.75]
    row = Row("decode", 64, 9, 4, "q8_0", speeds, peer, shares)
    settings = Settings(rounds=3)
    work = {"q8_0": Work(7, 8, 9), "f16": Work(7, 16, 9)}
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
    assert found["per_token"]["kv_bytes_per_position"] == {"q8_0": 8, "f16": 16}
    (cells,) = found["rows"]
    assert (cells["batch"], cells["kv_type"]) == (4, "q8_0")
    assert (cells["median"], cells["quartiles"], cells["share_of_read"]) == (20, [15, 25], 0.5)
    assert cells["llama_cpp"]["median"] == 10
    assert cells["llama_cpp"]["ratio"] == 2  # of 2, 3 and 1, round by round


def test_json_of_the_command(bundled: Path) -> None:
    options = "-p 8 -n 2 -d 0,16 -r 2 -t 1 --kv-type f32,q8_0 --batch 3,1 --json"
    printed = run_well(*command(options), "-m", bundled)
    report = json.loads(printed)
    assert report.keys() == {
        *("model", "machine", "isa", "threads", "rounds", "ingot", "llama_cpp_python"),
        *("per_token", "ceilings", "rows"),
    }
    assert (report["model"], report["threads"], report["rounds"]) == (str(bundled), 1, 2)
    assert report["machine"] == ingot.devices()[0].description
    assert len(report["ceilings"]["int8_peak"]["values"]) == 16
    assert len(report["ceilings"]["read"]["values"]) == 16
    keys = ("kv_type", "depth", "test", "tokens", "batch")
    tests = [("prefill", 8, 1), ("decode", 2, 1), ("decode", 2, 3)]
    assert [tuple(row[key] for key in keys) for row in report["rows"]] == [
        (kind, depth, *test) for kind in ("f32", "q8_0") for depth in (0, 16) for test in tests
    ]
    for row in report["rows"]:
        low, high = row["quartiles"]
        assert 0 < low <= row["median"] <= high
        assert len(row["values"]) == 2
        assert (row["share_of_read"] is None) == (row["test"] == "prefill")
        assert (row["share_of_int8_peak"] is None) == (row["test"] == "decode")
        assert row["llama_cpp"] is None


def test_table_of_the_command() -> None:
    done = run(*command("-p 8 -n 2 -r 1 --batch 1,4"))
    assert done.returncode == 0
    assert [line.split("\t")[:3] for line in done.stdout.splitlines()] == [
        ["prefill 8", "0", "f16"],
        ["decode 2", "0", "f16"],
        ["decode 2 x 4", "0", "f16"],
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
        ("--batch 1,257", "'257' is no integer from 1 to 256"),
        ("--batch 16 -b 8", "--batch-size 8: a forward pass has a token of each sequence, so"),
        ("--batch 2 -n 0", "-p 512 -n 0: nothing is left to be measured (prompts are read with"),
        ("--kv-type f16/q9", "'f16/q9' is no type of a KV cache"),
        ("--kv-type f16/f16/f16", "'f16/f16/f16' is no type of a KV cache"),
        ("--kv-type f16,q9", "'q9' is no type of a KV cache: expected some of f16, bf16, f32"),
        ("-p 0 -n 0", "nothing is left to be measured"),
        ("model.gguf --shape tiny", "expected MODEL or --shape, not both"),
        ("--type Q8_0", "--type goes with --shape or --kernels"),
        ("model.gguf --kernels", "--kernels measures no model: MODEL, --shape, --profile and"),
        ("--vocab 9", "--vocab goes with --samplers"),
        ("a.gguf --samplers --vocab 9", "expected MODEL, whose vocabulary is taken, or --vocab"),
        ("--samplers --kernels", "--samplers computes no model: --shape, --type, --profile and"),
        ("--profile --vs-llama-cpp", "only Ingot's operations can be measured"),
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
    assert (done.returncode, done.stdout) == (2, "")
    assert "'I32' is no tensor type for weights" in done.stderr
    assert list((tmp_path / "ingot" / "bench").iterdir()) == []


# ---------------------------------------------------------------------------------------- profiles


def test_stages_of_a_model() -> None:
    with ingot.Model(n_ctx=64, threads=1) as plain:
        with pytest.raises(errors.StateError, match="the model was opened without `profile`"):
            plain.stages()
        answer = plain.generate("Once", max_tokens=5, temperature=0, ignore_eos=True)
    with ingot.Model(n_ctx=64, threads=1, profile=True) as model:
        assert model.stages() == []
        again = model.generate("Once", max_tokens=5, temperature=0, ignore_eos=True)
        stages = {stage.name: stage for stage in model.stages()}
        n_layer = model.info.n_layer
    assert again.tokens == answer.tokens
    head = stages["multiply token_embd:Q8_0"]
    assert (head.calls, stages["attend"].calls) == (5, 5 * n_layer)
    assert all(stage.seconds > 0 and stage.barriers == 0 for stage in stages.values())
    assert head.weight_bytes * 32 == head.products * 34


def test_a_profile() -> None:
    """By hand: two rounds, of which the parts are the medians of a pass."""
    profile = bench_profile.Profile("decode", 3, 0, 2, "f16")
    for seconds in (4.0, 2.0):
        stages = [Stage("norm", 8, 4, seconds, 0, 0), Stage("multiply a:F16", 4, 8, 1.0, 64, 32)]
        profile.record(stages, 10.0, 4)
    found = profile.as_json()
    assert json.loads(json.dumps(found)) == found
    stages_found = found.pop("stages")
    assert found == {
        "test": "decode",
        "tokens": 3,
        "depth": 0,
        "batch": 2,
        "kv_type": "f16",
        "passes": 4,
        "seconds": 2.5,
        "barriers": 3,
    }
    nothing = {"bytes_per_second": None, "ops_per_second": None}
    assert stages_found == [
        {"stage": "rest", "seconds": 1.5, "calls": 0, "barriers": 0, **nothing},
        {"stage": "norm", "seconds": 0.75, "calls": 2, "barriers": 1, **nothing},
        {
            "stage": "multiply a:F16",
            "seconds": 0.25,
            "calls": 1,
            "barriers": 2,
            "bytes_per_second": 64,
            "ops_per_second": 64,
        },
    ]


def test_profiles_of_the_command(bundled: Path) -> None:
    options = "-p 8 -n 2 -d 0,16 -r 2 -t 2 --batch 1,3 -b 4 --profile --json"
    report = json.loads(run_well(*command(options), "-m", bundled))
    assert report.keys() == {"model", "machine", "isa", "threads", "ingot", "profiles"}
    keys = ("depth", "test", "tokens", "batch")
    tests = [("prefill", 8, 1), ("decode", 2, 1), ("decode", 2, 3)]
    profiles = report["profiles"]
    assert [tuple(profile[key] for key in keys) for profile in profiles] == [
        (depth, *test) for depth in (0, 16) for test in tests
    ]
    # Two parts of a prompt; a prompt's token and two more, of three sequences in step or not quite.
    passes = [profile["passes"] for profile in profiles]
    assert passes[0:2] == passes[3:5] == [2, 3]
    assert min(passes[2::3]) >= 3
    assert max(passes[2::3]) <= 9
    for profile in profiles:
        stages = {stage["stage"]: stage for stage in profile["stages"]}
        for key in ("seconds", "barriers"):
            total = sum(stage[key] for stage in stages.values())
            assert profile[key] == pytest.approx(total)
        assert {"embed", "norm", "rope", "attend", "kv_store", "activate", "rest"} < stages.keys()
        head = stages["multiply token_embd:Q8_0"]
        assert head["calls"] == (0.5 if profile["test"] == "prefill" else 1)
        assert head["barriers"] >= head["calls"]
        assert head["bytes_per_second"] > 0 < head["ops_per_second"]


def test_tables_of_profiles() -> None:
    done = run(*command("-p 8 -n 2 -r 1 --batch 1,2 --profile"))
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    titles = [line.split(", f16: a pass takes ")[0] for line in lines if line.startswith("#")]
    assert titles == [f"# {name}, depth 0" for name in ("prefill 8", "decode 2", "decode 2 x 2")]
    assert {len(line.split("\t")) for line in lines if not line.startswith("#")} == {7}
    shown = in_terminal(*command("-p 8 -n 0 -r 1 --profile"))
    assert "barriers" in shown


# ------------------------------------------------------------------------------------------ kernels


def test_a_product_is_measured() -> None:
    rows = np.zeros((16, 2 * 144), np.uint8)
    for columns in (0, 1, 2, 4, 8, 12):
        assert 1e5 < measure_product(rows, "Q4_K", columns) < 1e14
    for wrong, message in [
        (rows[:8], "n_rows is 8, expected a multiple of 16"),
        (rows[:, :-1], "a block of Q4_K takes 144 bytes: 287 is no multiple"),
        (rows[0], r"expected an array of uint8 \[rows, row bytes\], got uint8 \(288,\)"),
    ]:
        with pytest.raises(errors.ArgumentError, match=message):
            measure_product(wrong, "Q4_K", 1)
    with pytest.raises(errors.ArgumentError, match="columns is 3, expected 0, 1, 2"):
        measure_product(rows, "Q4_K", 3)
    with pytest.raises(errors.NotFoundError, match="no product for rows of 288 weights of type I8"):
        measure_product(rows, "I8", 1)


def test_kernels_of_all_types() -> None:
    """Each type that weights of a model may have; the rest of a row follows from its rates."""
    report = json.loads(run_well(*command("--kernels --json")))
    assert report.keys() == {"machine", "isa", "threads", "ingot", "int8_peak", "kernels"}
    found = {row["type"]: row for row in report["kernels"]}
    no_weights = {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"}
    assert found.keys() == quant.types().keys() - no_weights
    for row in found.values():
        assert row["weights_per_second"].keys() == {"1", "2", "4"}
        assert min(*row["weights_per_second"].values(), row["pack_weights_per_second"]) > 0
    row, peak = found["Q4_K"], report["int8_peak"]["value"]
    assert row["file_bytes_per_second"] == pytest.approx(row["weights_per_second"]["1"] * 144 / 256)
    assert row["share_of_int8_peak"] == pytest.approx(row["panel_ops_per_second"] / peak)
    assert found["BF16"]["share_of_int8_peak"] is None


def test_kernels_of_a_type() -> None:
    found = bench_kernels.Product("Q8_0", 32, 34, {1: 64e9, 2: 32e9}, 10e9, 5e9)
    assert (found.file_bytes, found.ops) == (68e9, 240e9)
    done = run(*command("--kernels --type q8_0"))
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    name, *rates, share = line.split("\t")
    assert (name, len(rates)) == ("Q8_0", 6)
    assert all(float(rate) > 0 for rate in rates)
    assert share.endswith("%")
    assert "1 thread; at most" in done.stderr
    for kind, message in [("I32", "random weights of type I32"), ("Q9", "no tensor type 'Q9'")]:
        failed = run(*command(f"--kernels --type {kind}"))
        assert (failed.returncode, failed.stdout) == (1, "")
        assert message in failed.stderr


# ----------------------------------------------------------------------------------------- samplers


def test_logits_like_a_model() -> None:
    """Rows of their own, which fall with the logarithm of the rank."""
    logits = bench_samplers.logits_like(20000)
    assert len(set(logits.argmax(axis=1))) > 10
    falling = -np.sort(-logits, axis=1)[:, 100:10000].mean(axis=0)
    slope, _ = np.polyfit(np.log(np.arange(101, 10001)), falling, 1)
    assert -2 < slope < -1.6


def test_samplers_of_a_model(bundled: Path) -> None:
    """Each sampler has a row; infill reads texts."""
    found = json.loads(run_well(*command("--samplers -r 2 --json"), "-m", bundled))
    assert found.keys() == {
        *("machine", "isa", "threads", "ingot", "llama_cpp_python", "model", "n_vocab", "logits"),
        *("recent", "rounds", "choices", "samplers"),
    }
    with ingot.Model(bundled, vocab_only=True) as model:
        assert found["n_vocab"] == model.info.n_vocab
    names = [row["sampler"] for row in found["samplers"]]
    assert set(names) >= {stage.name for stage in ingot.samplers()}
    for row in found["samplers"]:
        low, high = row["quartiles"]
        assert 0 < low <= row["median"] <= high < 1
        assert (row["unit"], len(row["values"])) == ("cpu_seconds_per_choice", 2)
        assert row["llama_cpp"] is None


def test_table_of_samplers() -> None:
    done = run(*command("--samplers --vocab 50 -r 1"))
    assert done.returncode == 0
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert {len(line) for line in lines} == {4}
    names = [line[0] for line in lines]
    assert names[:3] == ["input", "usual chain", "draw"]
    assert "infill" not in names
    assert lines[names.index("xtc")][1] == "xtc_probability=1 xtc_threshold=0.1"
    assert "choice among 50 tokens" in done.stderr


def test_samplers_of_llama_cpp(fake: Path, tmp_path: Path) -> None:
    """Each choice is from the whole array made anew, after the recent tokens alone; what adapts to
    its choices is told them. Samplers that were there go on."""
    logits = np.array([[0.5, 2, 1], [4, 3, 5]], np.float32)
    logits.tofile(tmp_path / "logits")
    settings = {
        "logits": str(tmp_path / "logits"),
        "n_vocab": 3,
        "recent": [2, 1],
        "model": None,
        "breakers": [],
    }
    rows = [
        " ".join(f"({i}, {logit}, 0.0)" for i, logit in enumerate(row)) + " False"
        for row in logits.tolist()
    ]
    with PeerProcess(settings, "samplers") as peer:
        assert peer.version == "9.9"
        for chain in ([["top_k", 2], ["dry", 0.5, 7]], [["adaptive_p", 0.5]]):
            for passes in (2, 1):
                assert peer.ask(chain=chain, n=3, passes=passes)["seconds"] > 0
        assert peer.ask(chain=[["greedy"]], n=1, passes=1)["seconds"] > 0
    told = ["accept 2", "accept 1"]
    both = [f"top_k (2,) dry (None, 0.5, 7) {row}" for row in rows]
    adapting = [line for row in rows for line in (f"adaptive_p (0.5,) {row}", "accept 9")]
    greedy = ["greedy () (0, 0.5, 0.0) False", "greedy () (0, 4.0, 0.0) False"]
    expected = [*told, *both * 5, *told, *adapting * 5, *told, *greedy * 2]
    assert fake.read_text().splitlines() == expected


def test_samplers_in_turns(fake: Path) -> None:
    found = json.loads(run_well(*command("--samplers --vocab 4 -r 3 --vs-llama-cpp --json")))
    assert found["llama_cpp_python"] == "9.9"
    for row in found["samplers"]:
        ours, theirs = row["values"], row["llama_cpp"]["values"]
        ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
        assert row["llama_cpp"]["ratio"] == pytest.approx(ratios[1])
    shown = run_well(*command("--samplers --vocab 4 -r 1 --vs-llama-cpp"))
    assert {len(line.split("\t")) for line in shown.splitlines()} == {7}


# ---------------------------------------------------------------------------------------- llama.cpp


def test_what_llama_cpp_is_asked_for(fake: Path, bundled: Path) -> None:
    settings = Settings(prompt=3000, tokens=2, depths=(0, 5))
    with Peer(str(bundled), settings, "f32", 3) as peer:
        assert peer.version == "9.9"
        for depth in (0, 5, 5):
            rates = peer.round(depth)
            assert rates.keys() == {"prefill", "decode"}
            assert min(rates.values()) > 0
    before = ["3007 3 0 0", "1 True"]
    at_0 = ["0 2048 1 True 0", "2048 952 1 True 0", "keep 0 -1", "0 1 1 True 0", "1 1 1 True 0"]
    at_5 = ["5 2048 1 True 0", "2053 952 1 True 0", "keep 5 -1", "5 1 1 True 0", "6 1 1 True 0"]
    expected = [*before, *at_0, "keep 0 -1", "clear", "0 5 1 True 0"]
    expected += [*at_5, "keep 5 -1", *at_5, "keep 5 -1"]
    assert fake.read_text().splitlines() == expected


def test_sequences_of_llama_cpp(fake: Path, bundled: Path) -> None:
    """They stay in the cache for larger batches, and not for smaller ones."""
    settings = Settings(prompt=0, tokens=1, depths=(5,), batches=(1, 2, 4))
    with Peer(str(bundled), settings, "q8_0", 1) as peer:
        for batch in (1, 2, 4, 4, 1):
            assert peer.round(5, batch).keys() == {"decode"}
    filled = [f"0 5 1 True {seq}" for seq in range(4)]
    one, two, four = "5 1 1 True 0", "5 2 2 True 0 1", "5 4 4 True 0 1 2 3"
    assert fake.read_text().splitlines() == [
        *("128 1 8 8", "4 True", "clear"),
        *(filled[0], one, "keep 5 -1", filled[1], two, "keep 5 -1", *filled[2:], four, "keep 5 -1"),
        *(four, "keep 5 -1", "clear", filled[0], one, "keep 5 -1"),
    ]


def test_both_in_turns(fake: Path) -> None:
    options = "-p 4 -n 3 -r 3 --batch 1,2 --kv-type f16,f16/q8_0 --vs-llama-cpp --json"
    report = json.loads(run_well(*command(options)))
    assert report["llama_cpp_python"] == "9.9"
    for row in report["rows"]:
        ours, theirs = row["values"], row["llama_cpp"]["values"]
        assert len(ours) == len(theirs) == 3
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        assert row["llama_cpp"]["ratio"] == pytest.approx(ratios[1])
    shown = run_well(*command("-p 4 -n 0 -r 1 --vs-llama-cpp"))
    assert len(shown.split("\t")) == 9


def test_llama_cpp_that_fails(fake: Path, bundled: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.UnsupportedError, match=r"llama.cpp can't load .*nothing.gguf"):
        Peer(str(tmp_path / "nothing.gguf"), Settings(), "f16", 1)
    with Peer(str(bundled), Settings(prompt=1), "f16", 1) as peer:
        for _ in range(2):  # it has ended when it is asked again
            with pytest.raises(errors.UnsupportedError, match="llama_decode returned 1"):
                peer.round(77)


def test_no_llama_cpp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INGOT_BENCH_PEER", str(tmp_path / "python"))
    with pytest.raises(errors.FileError, match=r"INGOT_BENCH_PEER: can't start .*python"):
        Peer("model.gguf", Settings(), "f16", 1)
    monkeypatch.delenv("INGOT_BENCH_PEER")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UnsupportedError, match="no module llama_cpp: pip install"):
        Peer("model.gguf", Settings(), "f16", 1)


with_llama_cpp = pytest.mark.skipif(
    not os.environ.get("INGOT_BENCH_PEER") and importlib.util.find_spec("llama_cpp") is None,
    reason="llama_cpp is not installed: pip install llama-cpp-python, or set INGOT_BENCH_PEER",
)


@with_llama_cpp
def test_llama_cpp_itself(tmp_path: Path) -> None:
    options = "-p 16 -n 3 -d 0,20 -r 1 --batch 1,3 --kv-type f16,q8_0/f16"
    arguments = command(f"--shape tiny {options} --vs-llama-cpp --json")
    report = json.loads(run_well(*arguments, XDG_CACHE_HOME=str(tmp_path)))
    assert len(report["rows"]) == 12
    assert all(row["llama_cpp"]["ratio"] > 0 for row in report["rows"])


@with_llama_cpp
@pytest.mark.parametrize("bundled_too", [False, True])
def test_samplers_of_llama_cpp_itself(bundled_too: bool, bundled: Path) -> None:
    of = ["-m", bundled] if bundled_too else ["--vocab", "300"]
    found = json.loads(run_well(*command("--samplers -r 1 --vs-llama-cpp --json"), *of))
    assert all(row["llama_cpp"]["ratio"] > 0 for row in found["samplers"])


def test_reading_is_measured() -> None:
    assert 1e8 < measure_read(1, 1 << 24) < 1e13
    with pytest.raises(errors.ArgumentError, match="bytes is 5; expected at least 4160000"):
        measure_read(1, 5)
