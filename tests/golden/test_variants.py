"""What files say in other ways than the cases of `arch/` do, and what they may not say.

Variants are made of those cases: metadata or tensors added, changed or left out (None).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from golden import HERE, Floats, nmse

LIMIT = 1e-9  # as in test_arch.py
WIDTH = 32  # of the cases' embeddings

Changes = Mapping[str, Any]


def write(folder: Path, case: str, changes: Changes) -> Path:
    """The case's model with changed metadata (names without the architecture) and tensors."""
    source, path = ingot.gguf.Reader(HERE / "arch" / case / "model.gguf"), folder / "model.gguf"
    prefix = str(source.metadata["general.architecture"]) + "."
    tensors: dict[str, Any] = {name: t.data for name, t in source.tensors.items()}
    metadata = dict(source.metadata)
    for name, value in changes.items():
        tensor = name.endswith((".weight", ".bias"))
        (tensors if tensor else metadata)[name if tensor else prefix + name] = value
    with ingot.gguf.Writer(path) as writer:
        for name, value in metadata.items():
            if value is not None:
                writer.add(name, value)
        for name, value in tensors.items():
            if value is not None:
                writer.add_tensor(name, value)
    return path


def tensors_of(case: str) -> dict[str, npt.NDArray[Any]]:
    reader = ingot.gguf.Reader(HERE / "arch" / case / "model.gguf")
    return {name: tensor.data for name, tensor in reader.tensors.items()}


def compute(path: Path, tokens: npt.NDArray[np.int32]) -> Floats:
    """A row for each token: logits, or vectors of a model that doesn't generate."""
    with ingot.Model(path, kv_type="f32", n_ctx=len(tokens)) as model:
        if model.info.generates:
            return model.logits(tokens)
        return model.embed(tokens, pooling="none", normalize=False)


def golden(case: str) -> tuple[npt.NDArray[np.int32], Floats]:
    with np.load(HERE / "arch" / case / "golden.npz") as data:
        reference: Floats = data["logits" if "logits" in data else "hidden"]
        return data["tokens"], reference


def normal(*shape: int) -> Floats:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def halves(case: str, n_dims: int) -> Changes:
    """Queries and keys with rotated pairs in halves instead of side by side."""
    order = [*range(0, n_dims, 2), *range(1, n_dims, 2)]

    def turn(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        heads = x.reshape(-1, 8, *x.shape[1:]).copy()
        heads[:, :n_dims] = heads[:, order]
        turned: npt.NDArray[Any] = heads.reshape(x.shape)
        return turned

    parts = ("attn_q.", "attn_k.")
    return {k: turn(x) for k, x in tensors_of(case).items() if any(p in k for p in parts)}


def predictor(case: str, n_layer: int) -> Changes:
    """A layer behind the last one that predicts a token after the next."""
    layer = {k: x for k, x in tensors_of(case).items() if k.startswith("blk.0.")}
    return {
        "block_count": n_layer + 1,
        "nextn_predict_layers": 1,
        **{k.replace("blk.0.", f"blk.{n_layer}."): x for k, x in layer.items()},
        f"blk.{n_layer}.nextn.eh_proj.weight": normal(WIDTH, 2 * WIDTH),
    }


YARN = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 16,
}

# case, changes; the golden result stays the same
SAME: dict[str, tuple[str, Changes]] = {
    "stablelm, whose converter says parallel": ("stablelm", {"use_parallel_residual": True}),
    "a factor without a type": ("llama_linear", {"rope.scaling.type": None}),
    "a factor that isn't applied": (
        "internlm2",
        {"rope.scaling.type": "none", "rope.scaling.factor": 4.0},
    ),
    "an extrapolation factor that isn't given": (
        "mistral3",
        {"rope.scaling.yarn_ext_factor": -1.0},
    ),
    "yarn, but all layers have a window": (
        "olmo2",
        {**YARN, "attention.sliding_window": 40, "attention.sliding_window_pattern": [True] * 2},
    ),
    "windows are what every fourth layer does without": (
        "olmo2_windows",
        {"attention.sliding_window_pattern": [True, True, True, False, True]},
    ),
    "M-RoPE": ("glm4", {"rope.dimension_sections": [1, 1, 0, 0], **halves("glm4", 4)}),
    "a layer that predicts further": ("glm4", predictor("glm4", 2)),
    "a layer that predicts further, lists of the others": (
        "olmo2_windows",
        {
            "attention.sliding_window_pattern": [True, True, True, False, True],
            "attention.head_count": [4] * 6,
            **predictor("olmo2_windows", 5),
        },
    ),
    "a window as long as the text": ("phi3", {"attention.sliding_window": 40}),
    "a window without end": ("gpt2", {"attention.sliding_window": 2**31 - 1}),
    "a classifier": ("bert", {"cls.output.weight": normal(3, WIDTH), "pooling_type": 4}),
}


@pytest.mark.parametrize("name", SAME)
def test_same_result(name: str, tmp_path: Path) -> None:
    case, changes = SAME[name]
    tokens, reference = golden(case)
    assert nmse(compute(write(tmp_path, case, changes), tokens), reference) <= LIMIT


# Two ways of saying the same, where no golden result has it.
EQUAL: dict[str, tuple[str, Changes, Changes]] = {
    "the first files of Gemma 2 have no caps": (
        "gemma2",
        {"attn_logit_softcapping": None, "final_logit_softcapping": None},
        {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    ),
    "a shared expert behind a gate that is shut": (
        "qwen2moe",
        {f"blk.{i}.ffn_gate_inp_shexp.bias": np.full(1, -1e3, np.float32) for i in range(2)},
        {f"blk.{i}.ffn_down_shexp.weight": np.zeros((WIDTH, 16), np.float16) for i in range(2)},
    ),
    "a chunk is a row's own": (
        "llama4",
        {"attention.sliding_window": 8},
        {"attention.sliding_window": None},
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_results(name: str, tmp_path: Path) -> None:
    case, one, other = EQUAL[name]
    tokens, _ = golden(case)
    first = compute(write(tmp_path, case, one), tokens)
    assert np.array_equal(first, compute(write(tmp_path, case, other), tokens))


def test_a_decoder_that_sees_the_whole_text(tmp_path: Path) -> None:
    """The last token sees the same either way, in the first layer; others see more."""
    one_layer = {k: None for k in tensors_of("internlm2") if k.startswith("blk.1.")}
    tokens, _ = golden("internlm2")
    found = []
    for causal in (True, False):
        changes = {"block_count": 1, "attention.causal": causal, **one_layer}
        with ingot.Model(write(tmp_path, "internlm2", changes), n_ctx=len(tokens)) as model:
            assert model.info.generates == causal
            found.append(model.embed(tokens, pooling="none"))
            if not causal:
                assert model.info.pooling == "mean"
                with pytest.raises(ingot.UnsupportedError, match="encoder"):
                    model.generate(tokens, max_tokens=1)
                with pytest.raises(ingot.UnsupportedError, match="encoder"):
                    model.logits(tokens)
    assert np.array_equal(found[0][-1], found[1][-1])
    assert not np.any(np.all(found[0][:-1] == found[1][:-1], axis=1))


# case, changes, what the message says
REFUSED: dict[str, tuple[str, Changes, str]] = {
    "pattern too short": (
        "gemma2",
        {"attention.sliding_window_pattern": [True]},
        "sliding_window_pattern' has 1 items for 2 layers",
    ),
    "pattern of numbers": (
        "gemma2",
        {"attention.sliding_window_pattern": [1, 0]},
        "sliding_window_pattern' is an array of 2 items of type uint32|expected .*bool",
    ),
    "window past int32": ("gemma2", {"attention.sliding_window": 2**31}, "2147483648"),
    "fewer positions than the context": ("gpt2", {"context_length": 49}, "position_embd.weight"),
    "wide types": ("bert", {"token_types.weight": normal(2, WIDTH + 1)}, "token_types.weight"),
    "narrow classifier": ("bert", {"cls.output.weight": normal(WIDTH, 1)}, "cls.output.weight"),
    "bias of the classifier": (
        "bert",
        {"cls.output.weight": normal(3, WIDTH), "cls.output.bias": normal(4)},
        "cls.output.bias",
    ),
    "classifier of a mean": (
        "modern-bert",
        {"cls.output.weight": normal(1, WIDTH)},
        "'cls.output.weight' isn't used",
    ),
    "encoder with logits": ("bert", {"output.weight": normal(64, WIDTH)}, "'output.weight' isn't"),
    "unknown activation": ("modern-bert", {"hidden_activation": "mish"}, "is 'mish', expected"),
    "norms turned": (
        "stablelm_qk_norm",
        {"blk.0.attn_q_norm.weight": normal(8, 4)},
        "attn_q_norm.weight",
    ),
    "half of the norms": (
        "stablelm_qk_norm",
        {"blk.0.attn_q_norm.weight": normal(2, 8)},
        "attn_q_norm.weight",
    ),
    "one norm": ("stablelm_qk_norm", {"blk.1.attn_k_norm.weight": None}, "attn_k_norm.weight"),
    "bias of one expert": (
        "gpt-oss",
        {"blk.0.ffn_down_exps.bias": normal(WIDTH)},
        "ffn_down_exps.bias",
    ),
    "biases turned": ("gpt-oss", {"blk.0.ffn_gate_exps.bias": normal(8, 6)}, "ffn_gate_exps.bias"),
    "biases of weighed inputs": (
        "llama4",
        {"blk.1.ffn_up_exps.bias": normal(4, 8)},
        "'blk.1.ffn_up_exps.bias'",
    ),
    "a bias of embeddings": ("llama_bias", {"token_embd.bias": normal(64)}, "'token_embd.bias'"),
    "a bias of positions": ("gpt2", {"position_embd.bias": normal(48)}, "'position_embd.bias'"),
    "sinks": ("gpt-oss", {"blk.1.attn_sinks.weight": normal(5)}, "attn_sinks.weight"),
    "logits times 0": ("command-r", {"logit_scale": 0.0}, "logit_scale' is 0"),
    "logits times infinity": ("granite", {"logit_scale": float("inf")}, "logit_scale' is inf"),
    "scores below 0": ("granite", {"attention.scale": -1.0}, "attention.scale' is -1"),
    "temperature": ("mistral3", {"attention.temperature_length": 0}, "temperature_length' is 0"),
    "further tokens without a word of it": (
        "glm4",
        {"blk.1.nextn.eh_proj.weight": normal(WIDTH, 2 * WIDTH)},
        "nextn.eh_proj.weight",
    ),
    "further tokens alone": ("glm4", {"nextn_predict_layers": 2}, "nextn_predict_layers' is 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    case, changes, message = REFUSED[name]
    with pytest.raises((ingot.FormatError, ingot.UnsupportedError), match=message):
        ingot.Model(write(tmp_path, case, changes))


@pytest.mark.parametrize("heads", [1, 2, 8, 16])
def test_any_number_of_heads_has_slopes(heads: int, tmp_path: Path) -> None:
    """ALiBi's are defined for numbers that are no power of two as well."""
    changes = {"attention.head_count": heads, "attention.head_count_kv": heads}
    tokens, _ = golden("bloom")
    assert np.isfinite(compute(write(tmp_path, "bloom", changes), tokens)).all()
