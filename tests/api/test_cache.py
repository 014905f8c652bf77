"""How keys and values are kept: types of each, the rotation of keys, and what a token takes."""

from __future__ import annotations

import json
from typing import Any

import ingot
import numpy as np
import pytest
from test_cli import run, run_well

TEXT = "Once upon a time there was a king. He lived in a castle by the sea."


def token_bytes(model: ingot.Model, k_bits: float, v_bits: float) -> int:
    """Of so many bits for a number of keys, of values."""
    halves = model.info.kv_bytes_per_token_f16
    return round(halves * (k_bits + v_bits) / 32)


@pytest.mark.parametrize(
    ("keywords", "kept"),
    [
        ({}, ("f16", "f16")),
        ({"kv_type": "q8_0"}, ("q8_0", "q8_0")),
        ({"k_type": "Q8_0"}, ("q8_0", "f16")),
        ({"v_type": "q4_0"}, ("f16", "q4_0")),
        ({"kv_type": "q4_0", "k_type": "bf16"}, ("bf16", "q4_0")),
        ({"kv_type": "q4_0", "k_type": "q8_0", "v_type": "f32"}, ("q8_0", "f32")),
    ],
)
def test_types(keywords: dict[str, Any], kept: tuple[str, str]) -> None:
    bits = {"f32": 32, "f16": 16, "bf16": 16, "q8_0": 8.5, "q4_0": 4.5}
    with ingot.Model(n_ctx=64, n_seqs=1, **keywords) as model:
        cache = model.cache
        assert (cache.k_type, cache.v_type, cache.k_rotate) == (*kept, False)
        assert cache.bytes_per_token == token_bytes(model, bits[kept[0]], bits[kept[1]])
        assert cache.bytes == 64 * cache.bytes_per_token
        assert cache.bytes_used == 0
        model.logits(model.tokenize(TEXT))
        assert 0 < model.cache.bytes_used <= cache.bytes


def test_types_that_do_not_exist() -> None:
    for keywords in ({"k_type": "q9"}, {"v_type": "q9"}):
        with pytest.raises(ingot.IngotError, match="q9"):
            ingot.Model(**keywords)  # type: ignore[arg-type]
    with (
        ingot.Model(n_ctx=64, v_type="Q6_K") as model,
        pytest.raises(ingot.ArgumentError, match=r"v_type is 14 \(Q6_K\), expected 1 \(F16\)"),
    ):
        model.logits([1])


def test_rotated_keys() -> None:
    """They change nothing but what types of blocks lose."""

    def logits(**keywords: Any) -> Any:
        with ingot.Model(n_ctx=64, n_seqs=1, **keywords) as model:
            return model.logits(model.tokenize(TEXT)), model.cache.k_rotate

    exact, _ = logits(kv_type="f32")
    for kind, limit in {"q8_0": 1e-4, "q4_0": 2e-2}.items():
        plain, rotated = logits(k_type=kind), logits(k_type=kind, k_rotate=True)
        assert (plain[1], rotated[1]) == (False, True)
        assert not np.array_equal(plain[0], rotated[0])
        for found, _ in (plain, rotated):
            assert ((found - exact) ** 2).sum() <= limit * (exact**2).sum()
    plain, rotated = logits(v_type="q8_0"), logits(v_type="q8_0", k_rotate=True)
    assert rotated[1] is False
    assert np.array_equal(plain[0], rotated[0])


def test_command_line() -> None:
    options = ["-p", "Once upon a time", "-n", "5", "--temperature", "0", "--ignore-eos"]
    text = run_well("run", *options)
    for kept in (
        ["-ctk", "f32", "-ctv", "bf16"],
        ["--kv-type", "q8_0", "--cache-type-k", "f16", "--cache-type-v", "f32"],
        ["-ctk", "q8_0", "--k-rotate"],
    ):
        assert run_well("run", *options, *kept) == text
    wrong = run("run", "-p", "x", "-ctk", "q5_1")
    assert wrong.returncode == 2
    assert "--cache-type-k" in wrong.stderr


def test_bench_tells_pairs_apart() -> None:
    options = ["-p", "4", "-n", "2", "-r", "1", "-t", "1", "--json"]
    report = json.loads(run_well("bench", *options, "--kv-type", "f16,q8_0/q4_0"))
    assert {row["kv_type"] for row in report["rows"]} == {"f16", "q8_0/q4_0"}
    found = report["per_token"]["kv_bytes_per_position"]
    assert found["q8_0/q4_0"] * 32 == found["f16"] * 13
