"""From a configuration to a GGUF file's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingot.convert.architectures import Architecture
from ingot.convert.config import Config, read_object
from ingot.convert.rope import Rope

_CONTEXTS = "max_position_embeddings n_positions max_seq_len max_trained_positions seq_length n_ctx"
_EPSILONS = "layer_norm_eps layer_norm_epsilon norm_epsilon norm_eps"
_WIDTHS = "intermediate_size_mlp n_inner ffn_hidden_size intermediate_size"
_EXPERTS = "num_local_experts num_experts"
_ACTIVATIONS = "hidden_activation hidden_act activation_function activation"
_WINDOWS = "sliding_window local_attention"
# HF's names of activations, and of those what a file may ask for where it isn't the usual one.
_KINDS = {
    **dict.fromkeys(("silu", "swish", "swiglu"), "silu"),
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), "gelu_tanh"),
    "gelu": "gelu",
    "relu2": "relu2",
}
_POOLINGS = {
    "pooling_mode_mean_tokens": 1,
    "pooling_mode_cls_token": 2,
    "pooling_mode_lasttoken": 3,
}
_RANK = 4  # of pooling types: what a classifier makes of the first token's vector
_SPELLINGS = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}


def metadata(row: Architecture, config: Config) -> dict[str, Any]:
    """The keys, without the architecture's name in front."""
    _check(row, config)
    keys = {
        "block_count": config.n_layer,
        "context_length": int(config.need(_CONTEXTS)),
        "embedding_length": config.n_embd,
        "feed_forward_length": _width(config),
        "vocab_size": int(config.get("vocab_size", 0)) or None,
        "attention.head_count": config.n_head,
        "attention.head_count_kv": config.n_head_kv,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        **_epsilon(row, config),
        **_experts(row, config),
        **_activation(row, config),
        **_windows(row, config),
        **_scale(row, config),
    }
    if row.rotates:
        keys |= Rope(config).keys(row.local_base, row.yarn_log)
    if row.encoder:
        keys["attention.causal"] = False
    if _is_classifier(config):
        keys |= {"pooling_type": _RANK, "classifier.output_labels": _labels(config)}
    for key, source in row.keys.items():
        keys[key] = config.get(source) if isinstance(source, str) else source(config)
    return {key: value for key, value in keys.items() if value is not None}


def pooling(folder: Path) -> dict[str, Any]:
    """How a text's vector is made, as sentence-transformers' files say it."""
    settings = read_object(folder / "1_Pooling" / "config.json")
    for key, kind in _POOLINGS.items():
        if settings.get(key):
            return {"pooling_type": kind}
    return {}


def _is_classifier(config: Config) -> bool:
    return str((config.get("architectures") or [""])[0]).endswith("ForSequenceClassification")


def _labels(config: Config) -> list[str] | None:
    labels: dict[str, str] = config.get("id2label") or {}
    return [labels[key] for key in sorted(labels, key=int)] or None


def _check(row: Architecture, config: Config) -> None:
    for key, values in row.expects.items():
        if config.get(key) not in values:
            raise config.wrong(key, " or ".join(map(str, values)))


def _width(config: Config) -> int:
    width = config.get(_WIDTHS)
    return int(width or config.get("expansion_ratio", 4) * config.n_embd)


def _epsilon(row: Architecture, config: Config) -> dict[str, Any]:
    if row.norm == "rms":
        return {"attention.layer_norm_rms_epsilon": float(config.need("rms_norm_eps"))}
    return {"attention.layer_norm_epsilon": float(config.get(_EPSILONS, 1e-5))}


def _experts(row: Architecture, config: Config) -> dict[str, Any]:
    count = config.get(_EXPERTS)
    if not count:
        return {}
    keys: dict[str, Any] = {
        "expert_count": int(count),
        "expert_used_count": int(config.need("num_experts_per_tok")),
    }
    normed = config.get("norm_topk_prob", row.normed_experts)
    if normed != row.normed_experts:
        keys["expert_weights_norm"] = bool(normed)
    return keys


def _activation(row: Architecture, config: Config) -> dict[str, Any]:
    given = config.get(_ACTIVATIONS)
    if not row.activation or given is None:
        return {}
    kind = _KINDS.get(given)
    if kind == row.activation and not row.explicit:
        return {}
    if kind not in _SPELLINGS or row.activation == "relu2":
        key = next(key for key in _ACTIVATIONS.split() if config.get(key) is not None)
        raise config.wrong(key, ", ".join({row.activation, *_SPELLINGS}))
    return {"hidden_activation": _SPELLINGS[kind]}


def _scale(row: Architecture, config: Config) -> dict[str, Any]:
    """Of scores, where it isn't what the engine takes for granted."""
    wanted = config.get("query_pre_attn_scalar")
    wide = config.n_layer == row.dense_scores
    usual = config.n_embd / config.n_head if wide else config.head_dim
    return {} if wanted is None or wanted == usual else {"attention.scale": wanted**-0.5}


def _windows(row: Architecture, config: Config) -> dict[str, Any]:
    if row.chunks:
        return _chunks(config)
    window = config.get(_WINDOWS)
    local = _local_layers(row, config)
    if config.get("use_sliding_window") is False or not window or not any(local):
        return {"attention.sliding_window": 0} if row.window else {}
    keys: dict[str, Any] = {"attention.sliding_window": int(window)}
    if row.explicit:
        keys["attention.sliding_window_pattern"] = row.period
    if local != _by_period(row, config.n_layer, row.period):
        keys["attention.sliding_window_pattern"] = local
    return keys


def _by_period(row: Architecture, n_layer: int, period: int) -> list[bool]:
    if period == 0:
        return [True] * n_layer
    return [i % period != (0 if row.global_first else period - 1) for i in range(n_layer)]


def _local_layers(row: Architecture, config: Config) -> list[bool]:
    """Which layers have a window, if the model has one."""
    n_layer = config.n_layer
    kinds = config.get("layer_types")
    if kinds:
        return [kind == "sliding_attention" for kind in kinds]
    if config.get("use_sliding_window") and config.get("max_window_layers") is not None:
        return [i >= config.get("max_window_layers") for i in range(n_layer)]
    pattern = config.get("sliding_window_pattern global_attn_every_n_layers")
    if isinstance(pattern, str) and pattern:  # "LLLG"; the last layer sees all
        return [pattern[i % len(pattern)] == "L" and i + 1 < n_layer for i in range(n_layer)]
    return _by_period(row, n_layer, pattern or row.period)


def _chunks(config: Config) -> dict[str, Any]:
    """Llama 4 has all of it or nothing: chunks, layers that don't rotate, sharpened scores."""
    n_layer = config.n_layer
    nope = [int((i + 1) % 4 != 0) for i in range(n_layer)]
    rotating = config.get("no_rope_layers") or nope
    chunked = config.get("attn_temperature_tuning", True)
    if list(rotating) != (nope if chunked else [1] * n_layer):
        raise config.wrong("no_rope_layers", "a 0 for every fourth layer")
    return {} if chunked else {"attention.sliding_window": 0}
