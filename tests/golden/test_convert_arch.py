"""Converted checkpoints compute what HF transformers computes with them.

Each architecture's model is made with random weights, saved as HF does it and converted: the cases
of make_arch.py, and such of the large set. Needs torch and transformers.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ingot
import numpy as np
import pytest
from golden import HERE, Floats, nmse
from ingot.convert import convert
from ingot.convert.architectures import ROWS

pytestmark = pytest.mark.filterwarnings("ignore")  # those of torch and transformers

torch = pytest.importorskip("torch", reason="needs torch")
transformers = pytest.importorskip("transformers", reason="needs transformers")
make_arch = pytest.importorskip("make_arch", reason="needs gguf")

LIMIT = 1e-9
# Those whose classes HF transformers hasn't got: their weights are another class's, renamed.
RENAMED = ("internlm2", "minicpm")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def random_model(arch: Any, seed: int = 1) -> Any:
    kind = getattr(transformers, arch.hf)
    names = (make_arch.LAYER_EPSILONS + " rms_norm_eps").split()
    usual = kind.config_class()
    epsilons = {n: make_arch.EPSILON for n in names if n in arch.config or hasattr(usual, n)}
    config = kind.config_class(**{**arch.config, **epsilons})
    config.architectures = None  # that of the class
    plain = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = kind._from_config(config, dtype=torch.float32, **plain).eval()
    make_arch.fill(model, arch, seed)
    return model


def check(path: Path, model: Any, arch: Any, n_ctx: int, n_vocab: int, name: str) -> None:
    tokens = np.random.default_rng(2).integers(0, n_vocab, 40, dtype=np.int32)
    golden = make_arch.compute(model, arch, tokens)
    with ingot.Model(path, kv_type="f32", n_ctx=n_ctx) as opened:
        found: dict[str, Floats] = {}
        if opened.info.generates:
            found["logits"] = opened.logits(tokens)
        else:
            found["hidden"] = opened.embed(tokens, pooling="none", normalize=False)
            if opened.info.n_label > 0:
                found["scores"] = opened.embed(tokens, normalize=False)  # the file's own pooling
    for key, result in found.items():
        error = nmse(result.reshape(golden[key].shape), golden[key])
        print(f"{name}, {key}: NMSE {error:.1e}")
        assert error <= LIMIT


@pytest.mark.parametrize("case", [name for name in make_arch.CASES if name not in RENAMED])
def test_case(case: str, tmp_path: Path) -> None:
    architecture, arch = make_arch.CASES[case]
    model = random_model(arch)
    convert(save(model, tmp_path), tmp_path / "model.gguf", type="f32", vocab=False)
    with ingot.gguf.open(tmp_path / "model.gguf") as file:
        assert file.metadata["general.architecture"] == architecture
    n_ctx = model.config.max_position_embeddings if "longrope" in case else 40
    check(tmp_path / "model.gguf", model, arch, n_ctx, 64, case)


# -------------------------------------------------------------------------------- renamed classes


def load(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file  # type: ignore[import-not-found,unused-ignore]

    tensors: dict[str, Any] = load_file(folder / "model.safetensors")
    return tensors


def rewrite(folder: Path, tensors: dict[str, Any], **changes: Any) -> None:
    from safetensors.torch import save_file

    save_file({n: x.contiguous() for n, x in tensors.items()}, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_internlm2(tmp_path: Path) -> None:
    """Llama's weights under InternLM2's names; queries, keys and values of a group together."""
    _, arch = make_arch.CASES["internlm2"]
    model = random_model(arch)
    tensors = load(save(model, tmp_path))
    names = {
        "embed_tokens": "tok_embeddings",
        "lm_head": "output",
        "self_attn.o_proj": "attention.wo",
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "feed_forward.w1",
        "mlp.up_proj": "feed_forward.w3",
        "mlp.down_proj": "feed_forward.w2",
    }
    renamed: dict[str, Any] = {}
    for i in range(2):
        q, k, v = (tensors.pop(f"model.layers.{i}.self_attn.{n}_proj.weight") for n in "qkv")
        groups = [x.reshape(2, -1, 8, 32) for x in (q, k, v)]  # 2 of keys, heads of 8
        fused = torch.cat(groups, 1).reshape(-1, 32)
        renamed[f"model.layers.{i}.attention.wqkv.weight"] = fused
    for name, x in tensors.items():
        stem = re.sub("|".join(map(re.escape, names)), lambda m: names[m[0]], name)
        renamed[stem] = x
    rewrite(tmp_path, renamed, architectures=["InternLM2ForCausalLM"])
    convert(tmp_path, tmp_path / "model.gguf", type="f32", vocab=False)
    check(tmp_path / "model.gguf", model, arch, 40, 64, "internlm2")


def test_minicpm(tmp_path: Path) -> None:
    """Granite's weights with MiniCPM's settings for the same scales."""
    _, arch = make_arch.CASES["minicpm"]
    model = random_model(arch)
    settings = {"scale_emb": 3.0, "scale_depth": 1.4, "dim_model_base": 8}
    tensors = load(save(model, tmp_path))
    rewrite(tmp_path, tensors, architectures=["MiniCPMForCausalLM"], **settings)
    convert(tmp_path, tmp_path / "model.gguf", type="f32", vocab=False)
    check(tmp_path / "model.gguf", model, arch, 40, 64, "minicpm")


# ------------------------------------------------------------------- configurations of older files


def older(config: dict[str, Any]) -> dict[str, Any]:
    """As transformers 4 wrote them: rotation's settings apart."""
    parameters = config.pop("rope_parameters", None) or {}
    local = parameters.get("sliding_attention", {})
    parameters = parameters.get("full_attention", parameters)
    config["rope_theta"] = parameters.pop("rope_theta", 10000.0)
    if local:
        config["rope_local_base_freq"] = local["rope_theta"]
    part = parameters.pop("partial_rotary_factor", None)
    if part is not None:
        config["partial_rotary_factor"] = part
    if parameters.get("rope_type", "default") != "default":
        config["rope_scaling"] = {**parameters, "type": parameters.pop("rope_type")}
    config.pop("layer_types", None)
    return config


@pytest.mark.parametrize(
    "case",
    [
        *("gemma3", "gemma2", "phi3_longrope_long", "mistral3", "cohere2", "olmo2", "stablelm"),
        *("gpt-oss", "llama_linear", "glm4", "modern-bert", "qwen2moe"),
    ],
)
def test_older_configuration(case: str, tmp_path: Path) -> None:
    _, arch = make_arch.CASES[case]
    model = random_model(arch)
    save(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(older(config)))
    convert(tmp_path, tmp_path / "model.gguf", type="f32", vocab=False)
    n_ctx = model.config.max_position_embeddings if "longrope" in case else 40
    check(tmp_path / "model.gguf", model, arch, n_ctx, 64, case)


# --------------------------------------------------------------------------------- llama.cpp's keys

SHARED = Path(os.environ.get("INGOT_SHARED", HERE.parents[2] / "shared")) / "golden"
# Written here always, as it does no harm where it says what would be taken for granted.
MORE = {
    *("vocab_size", "rope.dimension_count", "rope.freq_base", "attention.head_count_kv"),
    *("attention.key_length", "attention.value_length"),
}
# What llama.cpp writes and doesn't read, and what these checkpoints don't say.
LESS = {
    *("tensor_data_layout", "rope.scaling.type", "pooling_type", "classifier.pooling_type"),
    "attention.layer_norm_rms_epsilon",
}


def large() -> Iterator[Path]:
    known = {row.name for row in ROWS} - set(RENAMED)
    for folder in sorted([*SHARED.glob("arch/*"), *SHARED.glob("arch-next/*")]):
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta["gguf_kv"]["general.architecture"] in known:
            yield folder


@pytest.mark.parametrize("folder", list(large()) or [None], ids=lambda f: f.name if f else "none")
def test_as_llama_cpp_converts_it(shared: Path, folder: Path | None, tmp_path: Path) -> None:
    """The same keys, and tensors of the same names, shapes and types; and HF's logits."""
    assert folder is not None
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    row = next(r for r in ROWS if r.name == meta["gguf_kv"]["general.architecture"])
    constants = make_arch.MEAN if row.encoder else {}
    config = meta["config"]
    arch = make_arch.Arch(
        meta["hf_class"], config, constants=constants, norm_offset=row.norm_offset
    )
    model = random_model(arch)
    convert(save(model, tmp_path), tmp_path / "model.gguf", type="f32", vocab=False)
    with ingot.gguf.open(tmp_path / "model.gguf") as file:
        keys = {k.removeprefix(f"{row.name}."): file.metadata[k] for k in file.metadata}
        tensors = {n: [list(t.shape[::-1]), t.type] for n, t in file.tensors.items()}
    assert tensors == meta["gguf_tensors"]
    theirs = {k.removeprefix(f"{row.name}."): v for k, v in meta["gguf_kv"].items()}
    for key, value in theirs.items():
        if key.startswith(("general.", "tokenizer.")) or "epsilon" in key:  # larger here
            continue
        assert keys.get(key, value if key in LESS else None) == value, key
    own = {key for key in keys if not key.startswith("general.")}
    assert own - theirs.keys() <= MORE
    n_ctx = 256 if "longrope" in folder.name else 64
    check(tmp_path / "model.gguf", model, arch, n_ctx, 512, folder.name)
