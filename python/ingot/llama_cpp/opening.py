"""The arguments of ``Llama(...)``: what they are in Ingot, and what can't be honoured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingot.engine import Opening
from ingot.errors import ArgumentError, UnsupportedError
from ingot.honouring import refuse
from ingot.llama_cpp import constants
from ingot.model import Model

_KV_TYPES = {
    constants.GGML_TYPE_F32: "f32",
    constants.GGML_TYPE_F16: "f16",
    constants.GGML_TYPE_BF16: "bf16",
    constants.GGML_TYPE_Q8_0: "q8_0",
    constants.GGML_TYPE_Q4_0: "q4_0",
}
_MAX_BATCH = 4096

# Where and how fast it computes, what it prints, and names of older versions.
_HARMLESS = {
    "n_gpu_layers",
    "split_mode",
    "main_gpu",
    "tensor_split",
    "n_ubatch",
    "n_threads_batch",
    "embedding",
    "offload_kqv",
    "flash_attn",
    "op_offload",
    "swa_full",
    "no_perf",
    "numa",
    "draft_model",
    "verbose",
    "f16_kv",
    "low_vram",
    "mul_mat_q",
    "n_parts",
    "rpc_servers",
}

# What they mean when they ask for nothing: the model file decides.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "attention_type": (-1,),
    "rope_scaling_type": (-1,),
    "rope_freq_base": (0, 0.0),
    "rope_freq_scale": (0, 0.0),
    "yarn_ext_factor": (-1, -1.0),
    "yarn_attn_factor": (1, 1.0),
    "yarn_beta_fast": (32, 32.0),
    "yarn_beta_slow": (1, 1.0),
    "yarn_orig_ctx": (0,),
    "lora_scale": (1, 1.0),
    "kv_overrides": ({},),
}

CHAT_FORMATS = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "llama-3": (
        "{{ bos_token }}{% for m in messages %}"
        "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' }}"
        "{{ m.content + '<|eot_id|>' }}"
        "{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
    ),
    "gemma": (
        "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + "
        "('model' if m.role == 'assistant' else m.role) + '\\n' + m.content + '<end_of_turn>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
    ),
}


def model_options(given: dict[str, Any], others: Mapping[str, Any]) -> Opening:
    """What to open the model with; ``others`` are arguments that it has no place for."""
    refuse("Llama", others, _HARMLESS, _NEUTRAL)
    kinds = {name: given[name] for name in ("type_k", "type_v") if given[name] is not None}
    if not set(kinds.values()) <= _KV_TYPES.keys():
        known = ", ".join(f"{number} ({name})" for number, name in _KV_TYPES.items())
        asked = " with ".join(f"{name}={number}" for name, number in kinds.items())
        raise UnsupportedError(f"Llama can't honour {asked}: known are {known}")
    return {
        "n_ctx": given["n_ctx"] or None,
        "n_batch": min(given["n_batch"], _MAX_BATCH),
        "threads": given["n_threads"] or None,
        "k_type": _KV_TYPES[kinds.get("type_k", constants.GGML_TYPE_F16)],
        "v_type": _KV_TYPES[kinds.get("type_v", constants.GGML_TYPE_F16)],
        "vocab_only": given["vocab_only"],
        "mmap": given["use_mmap"],
        "mlock": given["use_mlock"],
    }


def chosen_template(name: str | None) -> str | None:
    """The template of a ``chat_format``; None: the model's own."""
    if name is None or name.startswith("chat_template."):
        variant = "" if name is None else name.removeprefix("chat_template.")
        return None if variant in ("", "default") else variant
    if "{" in name:
        return name
    if name not in CHAT_FORMATS:
        raise UnsupportedError(
            f"Llama can't honour chat_format={name!r}: known are {', '.join(CHAT_FORMATS)}, and a "
            "Jinja template's text; without it the model's own template is used"
        )
    return CHAT_FORMATS[name]


def pooling_of(model: Model, number: int) -> str:
    """Where neither the caller nor the file says how, a decoder's vectors are left alone."""
    names = {
        constants.LLAMA_POOLING_TYPE_NONE: "none",
        constants.LLAMA_POOLING_TYPE_MEAN: "mean",
        constants.LLAMA_POOLING_TYPE_CLS: "cls",
        constants.LLAMA_POOLING_TYPE_LAST: "last",
        constants.LLAMA_POOLING_TYPE_RANK: "rank",
    }
    if number != constants.LLAMA_POOLING_TYPE_UNSPECIFIED:
        if number not in names:
            raise ArgumentError(f"pooling_type is {number}; expected -1 to 4")
        return names[number]
    said = f"{model.info.architecture}.pooling_type" in model.metadata
    return model.info.pooling if said or not model.info.generates else "none"
