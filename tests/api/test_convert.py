"""Checkpoints of Hugging Face become GGUF files; nothing but numpy made them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import numpy.typing as npt
import pytest
from checkpoints import N_ROWS, WIDTH, checkpoint, llama_tensors, safetensors
from ingot import gguf
from ingot.convert import convert
from ingot.convert.architectures import ROWS


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def metadata(path: Path) -> dict[str, Any]:
    with gguf.open(path) as file:
        return {key: file.metadata[key] for key in file.metadata}


def types(path: Path) -> dict[str, str]:
    with gguf.open(path) as file:
        return {name: tensor.type for name, tensor in file.tensors.items()}


def weights(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    with gguf.open(path) as file:
        return {name: tensor.dequantize() for name, tensor in file.tensors.items()}


def test_keys_and_tensors(tmp_path: Path, target: Path) -> None:
    convert(checkpoint(tmp_path / "Tiny"), target, vocab=False)
    found = metadata(target)
    expected = {
        "general.architecture": "llama",
        "general.name": "Tiny",
        "general.file_type": 0,
        "llama.block_count": 2,
        "llama.context_length": 64,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": 64,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 8,
        "llama.rope.freq_base": 5e4,
        "llama.rope.dimension_count": 8,
        "llama.vocab_size": N_ROWS,
    }
    assert found.items() >= expected.items()
    names = {re.sub(r"blk\.\d+\.", "", name) for name in types(target)}
    assert names == {
        f"{name}.weight"
        for name in (
            *("token_embd", "output_norm", "output", "attn_norm", "ffn_norm", "ffn_gate"),
            *("ffn_up", "ffn_down", "attn_q", "attn_k", "attn_v", "attn_output"),
        )
    }
    with ingot.Model(target) as model:
        assert model.logits([1, 2, 3]).shape == (3, N_ROWS)


@pytest.mark.parametrize(
    ("stored", "asked", "kind", "number"),
    [
        ("float32", "auto", "F32", 0),
        ("float16", "auto", "F16", 1),
        ("bfloat16", "auto", "BF16", 32),
        ("bfloat16", "f16", "F16", 1),
        ("bfloat16", "f32", "F32", 0),
        ("float32", "bf16", "BF16", 32),
        ("float64", "auto", "F16", 1),
        ("float16", "q8_0", "Q8_0", 7),
    ],
)
def test_types(
    stored: str, asked: str, kind: str, number: int, tmp_path: Path, target: Path
) -> None:
    convert(checkpoint(tmp_path / "m", llama_tensors(stored)), target, type=asked, vocab=False)
    for name, found in types(target).items():
        assert found == ("F32" if "norm" in name else kind), name
    assert metadata(target)["general.file_type"] == number
    exact, found_weights = llama_tensors(), weights(target)
    for name, own in (("mlp.up_proj", "ffn_up"), ("post_attention_layernorm", "ffn_norm")):
        difference = exact[f"model.layers.1.{name}.weight"] - found_weights[f"blk.1.{own}.weight"]
        assert np.abs(difference).max() < 4e-2


def test_bfloat16_is_exact(tmp_path: Path, target: Path) -> None:
    tensors = llama_tensors("bfloat16")
    convert(checkpoint(tmp_path / "m", tensors), target, vocab=False)
    wide = (tensors["lm_head.weight"].astype(np.uint32) << 16).view(np.float32)
    assert np.array_equal(weights(target)["output.weight"], wide)


def test_rows_that_blocks_do_not_fit(tmp_path: Path, target: Path) -> None:
    """As llama.cpp does: what Q8_0 can't hold is F16."""
    changes: dict[str, Any] = {"intermediate_size": 48}
    folder = checkpoint(tmp_path / "m", llama_tensors(**changes), **changes)
    convert(folder, target, type="q8_0", vocab=False)
    found = types(target)
    assert found["blk.0.ffn_down.weight"] == "F16"
    assert found["blk.0.ffn_up.weight"] == "Q8_0"


def test_rotation_turns_neighbours(tmp_path: Path, target: Path) -> None:
    tensors = llama_tensors()
    convert(checkpoint(tmp_path / "m", tensors), target, vocab=False)
    rows = tensors["model.layers.0.self_attn.q_proj.weight"]
    found = weights(target)["blk.0.attn_q.weight"]
    order = [head + half + i for head in range(0, 32, 8) for i in range(4) for half in (0, 4)]
    assert np.array_equal(found, rows[order])


def test_shards(tmp_path: Path, target: Path) -> None:
    tensors = llama_tensors()
    folder = checkpoint(tmp_path / "m", tensors)
    convert(folder, target, vocab=False)
    expected = target.read_bytes()
    (folder / "model.safetensors").unlink()
    names = list(tensors)
    files = {name: f"model-0000{i % 2 + 1}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        safetensors(folder / file, {n: x for n, x in tensors.items() if files[n] == file})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    convert(folder, target, vocab=False)
    assert len(target.read_bytes()) == len(expected)
    (folder / files[names[3]]).unlink()
    with pytest.raises(ingot.MissingFileError, match=r"-0000\d-of-00002.safetensors is missing"):
        convert(folder, target, vocab=False)
    rest = {n: x for n, x in tensors.items() if files[n] == files[names[3]] and n != names[3]}
    safetensors(folder / files[names[3]], rest)
    with pytest.raises(ingot.FormatError, match=f"'{names[3]}' is missing.*fetch that file"):
        convert(folder, target, vocab=False)


def test_tied_embeddings(tmp_path: Path, target: Path) -> None:
    """A copy of the embedding is no output matrix."""
    tensors = llama_tensors()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    for tied, kept in ((True, False), (None, False), (False, True)):
        convert(checkpoint(tmp_path / "m", tensors, tie_word_embeddings=tied), target, vocab=False)
        assert ("output.weight" in types(target)) == kept
    del tensors["lm_head.weight"]
    with pytest.raises(ingot.FormatError, match=r"no tensor 'lm_head.weight'"):
        convert(checkpoint(tmp_path / "m", tensors, tie_word_embeddings=False), target, vocab=False)


def test_parts_that_read_no_text_are_left_out(tmp_path: Path, target: Path) -> None:
    text = {f"language_model.{name}": x for name, x in llama_tensors().items()}
    tensors = {**text, "vision_tower.patch.weight": np.zeros((2, 2), np.float32)}
    folder = checkpoint(tmp_path / "m", tensors)
    config = json.loads((folder / "config.json").read_text())
    whole = {"architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3"}
    part = {k: v for k, v in config.items() if k != "architectures"} | {"model_type": "mistral"}
    (folder / "config.json").write_text(json.dumps({**whole, "text_config": part}))
    convert(folder, target, vocab=False)
    assert metadata(target)["general.architecture"] == "llama"
    with ingot.Model(target) as model:
        model.logits([1])


SCALINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"type": "linear", "factor": 4.0},
        {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
    ),
    (
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 16,
        },
    ),
    (
        {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.0},
        {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 64,
            "rope.scaling.attn_factor": pytest.approx(0.878249),
        },
    ),
    ({"rope_type": "dynamic", "factor": 2.0}, {}),
]


@pytest.mark.parametrize(("scaling", "expected"), SCALINGS)
def test_rope_scaling(scaling: dict[str, Any], expected: Any, tmp_path: Path, target: Path) -> None:
    convert(checkpoint(tmp_path / "m", rope_scaling=scaling), target, vocab=False)
    found = {k.removeprefix("llama."): v for k, v in metadata(target).items() if "scaling" in k}
    assert found == expected


def test_llama3_and_longrope_have_factors(tmp_path: Path, target: Path) -> None:
    llama3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 32}
    llama3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    convert(checkpoint(tmp_path / "m", rope_scaling=llama3), target, vocab=False)
    factors = weights(target)["rope_freqs.weight"]
    assert factors[0] == 1
    assert factors[-1] == 8
    longrope = {"type": "longrope", "short_factor": [1, 1, 1, 2], "long_factor": [1, 2, 3, 4]}
    folder = checkpoint(tmp_path / "m", rope_scaling=longrope, original_max_position_embeddings=32)
    convert(folder, target, vocab=False)
    assert weights(target)["rope_factors_long.weight"].tolist() == [1, 2, 3, 4]
    assert metadata(target)["llama.rope.scaling.attn_factor"] == pytest.approx(1.2**0.5)
    folder = checkpoint(tmp_path / "m", rope_scaling={**longrope, "long_factor": [1]})
    with pytest.raises(ingot.UnsupportedError, match=r"long_factor.*4 numbers"):
        convert(folder, target, vocab=False)


def test_experts_in_mxfp4(tmp_path: Path, target: Path) -> None:
    """gpt-oss: codes and scales apart, gate and up row by row; no weight changes."""
    rng = np.random.default_rng(3)
    n_expert, n_ff = 4, 64
    kept = {n: x for n, x in llama_tensors("bfloat16").items() if ".mlp." not in n}
    codes: dict[str, npt.NDArray[Any]] = {}
    for i in range(2):
        layer = f"model.layers.{i}."
        for name, rows, width in (("gate_up_proj", 2 * n_ff, WIDTH), ("down_proj", WIDTH, n_ff)):
            shape = (n_expert, rows, width // 32)
            stem = f"{layer}mlp.experts.{name}"
            codes[f"{stem}_blocks"] = rng.integers(0, 256, (*shape, 16), np.uint8)
            codes[f"{stem}_scales"] = rng.integers(118, 124, shape, np.uint8)
            kept[f"{stem}_bias"] = np.zeros((n_expert, rows), np.uint16)
        kept[f"{layer}mlp.router.weight"] = np.zeros((n_expert, WIDTH), np.uint16)
        kept[f"{layer}mlp.router.bias"] = np.zeros(n_expert, np.uint16)
        kept[f"{layer}self_attn.sinks"] = np.zeros(4, np.uint16)
    settings: dict[str, Any] = {"architectures": ["GptOssForCausalLM"], "sliding_window": 8}
    settings |= {"num_local_experts": n_expert, "num_experts_per_tok": 2}
    settings |= {"quantization_config": {"quant_method": "mxfp4"}}
    folder = checkpoint(tmp_path / "m", kept | codes, **settings)
    convert(folder, target, vocab=False)

    def decoded(name: str) -> npt.NDArray[np.float32]:
        stem = f"model.layers.1.mlp.experts.{name}"
        blocks, scales = codes[f"{stem}_blocks"], codes[f"{stem}_scales"]
        magnitudes = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
        values = np.array([*magnitudes, *(-m for m in magnitudes)], np.float32)
        pairs = np.stack([values[blocks & 15], values[blocks >> 4]], -1)
        weights = pairs.reshape(*scales.shape, 32) * np.exp2(scales[..., None] - np.float32(127))
        return np.asarray(weights.reshape(*scales.shape[:2], -1), np.float32)

    found, kinds = weights(target), types(target)
    both = decoded("gate_up_proj")
    assert np.array_equal(found["blk.1.ffn_gate_exps.weight"], both[:, ::2])
    assert np.array_equal(found["blk.1.ffn_up_exps.weight"], both[:, 1::2])
    assert np.array_equal(found["blk.1.ffn_down_exps.weight"], decoded("down_proj"))
    assert kinds["blk.0.ffn_down_exps.weight"] == "MXFP4"
    assert kinds["blk.0.attn_q.weight"] == "BF16"
    assert metadata(target)["general.file_type"] == 38
    with ingot.Model(target) as model:
        assert np.isfinite(model.logits([1, 2])).all()


def test_windows(tmp_path: Path, target: Path) -> None:
    def keys(**config: Any) -> dict[str, Any]:
        convert(checkpoint(tmp_path / "m", **config), target, vocab=False)
        return {k.split(".", 2)[-1]: v for k, v in metadata(target).items() if "window" in k}

    assert keys(sliding_window=None) == {}
    assert keys(sliding_window=8) == {"sliding_window": 8}
    assert keys(sliding_window=8, use_sliding_window=False) == {}
    kinds = ["full_attention", "sliding_attention"]
    found = keys(sliding_window=8, layer_types=kinds)
    assert list(found["sliding_window_pattern"]) == [False, True]
    found = keys(sliding_window=8, use_sliding_window=True, max_window_layers=1)
    assert list(found["sliding_window_pattern"]) == [False, True]


def test_chat_templates(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="needs the tokenizers library")
    words = {"<s>": 0, "</s>": 1, "<|end|>": 2, "a": 3, "b": 4}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>", "</s>", "<|end|>"])
    settings = {"chat_template": "{{ old }}", "eos_token": {"content": "</s>"}}
    folder = checkpoint(tmp_path / "m", None, tokenizer, settings)
    (folder / "chat_template.jinja").write_text("{{ new }}<|end|>", encoding="utf-8")
    (folder / "generation_config.json").write_text('{"eos_token_id": [1, 2]}')
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    convert(folder, tmp_path / "m.gguf")
    found = metadata(tmp_path / "m.gguf")
    assert found["tokenizer.chat_template"] == "{{ new }}<|end|>"
    assert found["tokenizer.chat_templates"] == ["tools"]
    assert found["tokenizer.chat_template.tools"] == "{{ tools }}"
    assert found["tokenizer.ggml.eos_token_id"] == 1
    assert found["tokenizer.ggml.eot_token_id"] == 2
    assert len(found["tokenizer.ggml.tokens"]) == N_ROWS
    assert found["tokenizer.ggml.tokens"][5] == "[PAD5]"


# ------------------------------------------------------------------------------------------ refused


def refused(
    folder: Path, target: Path, kind: type[BaseException], words: str, **options: Any
) -> None:
    with pytest.raises(kind, match=words):
        convert(folder, target, **{"vocab": False, **options})
    assert not list(target.parent.glob("*.gguf*"))


def test_no_config(tmp_path: Path, target: Path) -> None:
    refused(tmp_path, target, ingot.MissingFileError, r"config\.json is missing; give the folder")
    words = r"is no folder; give that of a Hugging Face checkpoint"
    refused(tmp_path / "none", target, ingot.MissingFileError, words)


def test_broken_json(tmp_path: Path, target: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    refused(tmp_path, target, ingot.FormatError, r"config\.json is no JSON text")
    (tmp_path / "config.json").write_text("[]")
    refused(tmp_path, target, ingot.FormatError, r"expected a JSON object, found list")


def test_unknown_architecture(tmp_path: Path, target: Path) -> None:
    folder = checkpoint(tmp_path / "m", architectures=["FooForCausalLM"])
    words = "says FooForCausalLM, which can't be converted; known are LlamaForCausalLM .*Qwen3"
    refused(folder, target, ingot.UnsupportedError, words)


def test_settings_that_the_engine_lacks(tmp_path: Path, target: Path) -> None:
    folder = checkpoint(tmp_path / "m", hidden_act="relu")
    refused(folder, target, ingot.UnsupportedError, "'hidden_act' is \"relu\", expected .*silu")
    folder = checkpoint(tmp_path / "m", rope_scaling={"type": "spiral", "factor": 2})
    refused(folder, target, ingot.UnsupportedError, "'rope_scaling' is .*spiral")
    folder = checkpoint(tmp_path / "m", rms_norm_eps=None)
    refused(folder, target, ingot.FormatError, "'rms_norm_eps' is missing")


def test_other_activation_is_said(tmp_path: Path, target: Path) -> None:
    convert(checkpoint(tmp_path / "m", hidden_act="gelu_new"), target, vocab=False)
    assert metadata(target)["llama.hidden_activation"] == "gelu_pytorch_tanh"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.layers.1.self_attn.q_proj.weight", r"no tensor 'layers\.1\.self_attn\.q_proj"),
        ("model.layers.0.mlp.up_proj.weight", r"no tensor 'layers\.0\.mlp\.up_proj"),
        ("model.layers.1.input_layernorm.weight", r"no tensor 'layers\.1\.input_layernorm"),
        ("model.embed_tokens.weight", r"no tensor 'embed_tokens.weight"),
    ],
)
def test_missing_tensor(name: str, words: str, tmp_path: Path, target: Path) -> None:
    tensors = llama_tensors()
    del tensors[name]
    refused(checkpoint(tmp_path / "m", tensors), target, ingot.FormatError, words)


def test_unknown_tensor(tmp_path: Path, target: Path) -> None:
    tensors = llama_tensors() | {"model.layers.0.gizmo.weight": np.zeros((2, 2), np.float32)}
    words = r"tensor 'model\.layers\.0\.gizmo\.weight' which architecture 'llama' has no name for"
    refused(checkpoint(tmp_path / "m", tensors), target, ingot.UnsupportedError, words)


def test_shape_of_another_model(tmp_path: Path, target: Path) -> None:
    folder = checkpoint(tmp_path / "m", num_attention_heads=5, head_dim=8)
    refused(folder, target, ingot.FormatError, r"q_proj\.weight' of shape \[32, 32\] can't become")


def test_truncated_file(tmp_path: Path, target: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for size in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(folder, target, ingot.FormatError, r"cut off.*fetch it again")
    path.write_bytes((2).to_bytes(8, "little") + b"{]")
    refused(folder, target, ingot.FormatError, "no JSON object")
    header = json.dumps({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    refused(folder, target, ingot.FormatError, r"shape \[3\] take 12 bytes, found 8")
    header = json.dumps({"a": {"dtype": "F32", "shape": [-3]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    refused(folder, target, ingot.FormatError, "expected dtype, shape and data_offsets")


def test_quantised_checkpoint(tmp_path: Path, target: Path) -> None:
    folder = checkpoint(tmp_path / "m", quantization_config={"quant_method": "gptq", "bits": 4})
    refused(folder, target, ingot.UnsupportedError, r"quantised .*method gptq.*--type q8_0")


def test_other_files_than_safetensors(tmp_path: Path, target: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, target, ingot.UnsupportedError, r"pytorch_model\.bin is a pickle")
    (folder / "pytorch_model.bin").unlink()
    refused(folder, target, ingot.MissingFileError, r"has no \*\.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    refused(folder, target, ingot.UnsupportedError, "an adapter and no model; convert it")


def test_numbers_that_are_too_large(tmp_path: Path, target: Path) -> None:
    tensors = llama_tensors()
    tensors["lm_head.weight"][3, 3] = 1e5
    folder = checkpoint(tmp_path / "m", tensors)
    words = "'lm_head.weight' has numbers over 65504.*--type bf16"
    refused(folder, target, ingot.ArgumentError, words, type="f16")


def test_no_tokenizer(tmp_path: Path, target: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    words = r"has no tokenizer\.json and no tokenizer\.model.*--no-vocab"
    refused(folder, target, ingot.MissingFileError, words, vocab=True)
    (folder / "tokenizer.model").write_bytes(b"\xff\xff")
    words = r"tokenizer\.model is no SentencePiece model"
    refused(folder, target, ingot.FormatError, words, vocab=True)


def test_broken_tokenizer(tmp_path: Path, target: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    for broken in ({"model": {"merges": 3, "vocab": {}}}, {"model": {}, "added_tokens": [1]}):
        (folder / "tokenizer.json").write_text(json.dumps(broken))
        with pytest.raises(ingot.IngotError):
            convert(folder, target)
    words = r"the tokenizer's files aren't as they should be .*--no-vocab"
    refused(folder, target, ingot.FormatError, words, vocab=True)


def test_pooling(tmp_path: Path, target: Path) -> None:
    folder = checkpoint(tmp_path / "m")
    (folder / "1_Pooling").mkdir()
    settings = {"pooling_mode_cls_token": False, "pooling_mode_lasttoken": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    convert(folder, target, vocab=False)
    assert metadata(target)["llama.pooling_type"] == 3


def test_the_same_tensor_twice(tmp_path: Path, target: Path) -> None:
    tensors = llama_tensors()
    tensors["layers.0.mlp.up_proj.weight"] = tensors["model.layers.0.mlp.up_proj.weight"]
    words = r"'model\.layers\.0\.mlp\.up_proj\.weight' and .* are both 'blk\.0\.ffn_up\.weight'"
    refused(checkpoint(tmp_path / "m", tensors), target, ingot.FormatError, words)


def test_interrupted(tmp_path: Path, target: Path) -> None:
    """Whoever stops it half-way finds no half file."""

    def stop(done: float) -> None:
        if done > 0.4:
            assert list(tmp_path.glob("*.gguf.part"))
            raise KeyboardInterrupt("stop")

    refused(checkpoint(tmp_path / "m"), target, KeyboardInterrupt, "stop", progress=stop)


def test_progress(tmp_path: Path, target: Path) -> None:
    seen: list[float] = []
    convert(checkpoint(tmp_path / "m"), target, vocab=False, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_every_architecture_has_a_row() -> None:
    assert sorted(row.name for row in ROWS) == sorted(ingot.architectures())
    classes = [name for row in ROWS for name in row.classes.split()]
    assert len(classes) == len(set(classes))


def test_rows_say_what_the_engines_do(root: Path) -> None:
    """What a file leaves out because the engine takes it for granted."""
    table = (root / "native/model/archs.def").read_text(encoding="utf-8")
    entries = dict(re.findall(r'^ARCH\("([^"]+)"(.*?)\)(?= //|\n|$)', table, re.M | re.S))
    activations = {"GELU": "gelu_tanh", "GELU_ERF": "gelu", "RELU_SQUARED": "relu2"}
    for row in ROWS:
        fields = dict(re.findall(r"\.(\w+) = (\w+)", entries[row.name]))
        assert row.period == int(fields.get("period", 0)) or "chunk" in fields, row.name
        assert row.global_first == ("global_first" in fields)
        assert row.encoder == ("encoder" in fields)
        assert row.rotates == ("rope" in fields)
        assert row.norm == ("layer" if fields.get("norm") == "NORM_LAYER" else "rms")
        assert row.dense_scores == int(fields.get("wide_scale_layers", 0))
        kind = fields.get("activation", "").removeprefix("ACTIVATION_")
        if row.activation and row.name != "gpt-oss":
            assert row.activation == activations.get(kind, "silu"), row.name
        router = fields.get("router")
        assert row.normed_experts == (router != "ROUTER_SOFTMAX"), row.name


def test_command(tmp_path: Path) -> None:
    checkpoint(tmp_path / "Tiny")
    command = [sys.executable, "-m", "ingot", "convert", "Tiny", "--type", "q8_0"]
    done = subprocess.run(
        [*command, "--no-vocab"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Tiny.gguf: ")
    with gguf.open(tmp_path / "Tiny.gguf") as file:
        assert file.tensors["output.weight"].type == "Q8_0"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--no-vocab" in done.stderr
