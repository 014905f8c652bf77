"""Writes arch/<case>/: tiny random models of many architectures, and what HF transformers computes.

    python tests/golden/make_arch.py [CASE ...]

Needs torch, transformers and gguf. A case is a row of ARCHS, or of VARIANTS: the same with another
configuration. Weights are random, and rounded to F16 before HF computes with them in float32, so a
file holds the very numbers of its reference. Each folder gets

    model.gguf   matrices F16, the rest F32; no vocabulary; names and orders are llama.cpp's
    golden.npz   tokens int32 [40]; logits float32 [40, vocabulary], or of encoders (not normalised)
                 hidden [40, width], their mean [width] and the first of them, cls [width];
                 of classifiers scores [labels] too
    case.json    architecture, hf_class, config (as given to HF), seed, note, n_ctx where it matters

It prints which weights matter least: the NMSE of the result when all of one name are zero (norm
weights: one). A test can't see weights for which that is tiny: bert's biases of keys, for one.
"""

from __future__ import annotations

import json
import math
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch  # type: ignore[import-not-found, unused-ignore]
import transformers
from golden import HERE, nmse

N_TOKENS = 40

Array = npt.NDArray[Any]
Config = Any  # HF's configuration classes have no attributes in common
Value = str | bool | int | float
State = dict[str, Array]
Make = Callable[[Array, Config], Sequence[Array]]
Type = gguf.GGUFValueType
TYPES = {str: Type.STRING, bool: Type.BOOL, int: Type.UINT32, float: Type.FLOAT32}

# From HF's configuration to llama.cpp's metadata.


def rope(c: Config) -> dict[str, Any]:
    """The parameters of rope; where sliding layers have their own, those of the others."""
    parameters: dict[str, Any] = getattr(c, "rope_parameters", None) or {}
    return dict(parameters.get("full_attention", parameters))


def first(c: Config, names: str) -> Any:
    """The first attribute, or parameter of rope, that is there and isn't None."""
    values = (getattr(c, name, rope(c).get(name)) for name in names.split())
    return next((value for value in values if value is not None), None)


def n_kv(c: Config) -> int:
    return int(first(c, "num_key_value_heads num_kv_heads num_attention_heads"))


def head_dim(c: Config) -> int:
    return int(first(c, "head_dim") or c.hidden_size // c.num_attention_heads)


def longrope_factor(c: Config) -> float | None:
    if rope(c).get("rope_type") != "longrope":
        return None
    original = c.original_max_position_embeddings
    return math.sqrt(1 + math.log(c.max_position_embeddings / original) / math.log(original))


LAYER_EPSILONS = "layer_norm_eps layer_norm_epsilon norm_epsilon norm_eps"
SCALED = {"linear": "linear", "yarn": "yarn"}
EPSILON = 1e-3  # large enough to matter

# What keys say: attributes, of which the first that exists counts (or that of the key's own name),
# or a function.
KEYS: dict[str, str | Callable[[Config], Value | None]] = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings max_seq_len seq_length",
    "embedding_length": "hidden_size",
    "feed_forward_length": "ffn_hidden_size n_inner intermediate_size_mlp intermediate_size",
    "logit_scale": "logits_scaling logit_scale",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "expert_count": "num_local_experts num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_weights_norm": lambda c: c.norm_topk_prob or None,
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads num_kv_heads",
    "attention.key_length": head_dim,
    "attention.value_length": head_dim,
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": LAYER_EPSILONS,
    "attention.scale": "attention_multiplier",
    "attention.sliding_window": lambda c: first(c, "local_attention sliding_window") or 0,
    "attention.sliding_window_pattern": "global_attn_every_n_layers",
    "attention.temperature_scale": "llama_4_scaling_beta",
    "attention.max_alibi_bias": lambda c: float(c.attn_config.alibi_bias_max),
    "rope.freq_base": "rope_theta",
    "rope.freq_base_swa": lambda c: c.rope_parameters["sliding_attention"]["rope_theta"],
    "rope.dimension_count": lambda c: int(head_dim(c) * rope(c).get("partial_rotary_factor", 1)),
    "rope.scaling.type": lambda c: SCALED.get(rope(c).get("rope_type", "default")),
    "rope.scaling.factor": "factor",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
    "rope.scaling.attn_factor": longrope_factor,
    "rope.scaling.yarn_beta_fast": "beta_fast",
    "rope.scaling.yarn_beta_slow": "beta_slow",
    "rope.scaling.yarn_log_multiplier": "mscale_all_dim",
}
COMMON = (
    "block_count context_length embedding_length feed_forward_length attention.head_count "
    "attention.head_count_kv attention.layer_norm_rms_epsilon attention.layer_norm_epsilon "
    "rope.scaling.type rope.scaling.factor "
)
LENGTHS = "attention.key_length attention.value_length "
THETA = "rope.freq_base "
DIMS = "rope.dimension_count "
LLAMA = THETA + DIMS + "vocab_size "
WINDOW = "attention.sliding_window "
LOCAL = WINDOW + THETA + "rope.freq_base_swa "
MOE = "expert_count expert_used_count "
EXPERT = "expert_feed_forward_length "
SHARED = EXPERT + "expert_shared_feed_forward_length "
GRANITE = "embedding_scale residual_scale logit_scale "
ORIGINAL = "rope.scaling.original_context_length "
YARN = ORIGINAL + "rope.scaling.yarn_beta_fast rope.scaling.yarn_beta_slow "
UNSCALED: dict[str, Value] = {"rope.scaling.type": "none"}
RMS_TOO: dict[str, Value] = {"attention.layer_norm_rms_epsilon": EPSILON}
CLS: dict[str, Value] = {"attention.causal": False, "pooling_type": 2}
MEAN: dict[str, Value] = {"attention.causal": False, "pooling_type": 1}
RANK: dict[str, Value] = {"attention.causal": False, "pooling_type": 4}

# From HF's tensors to llama.cpp's.


@dataclass(frozen=True)
class Rule:
    """The end of a name that is replaced. Tensors that get the same name become one."""

    pattern: str
    make: Make = lambda x, c: [x]
    targets: tuple[str, ...] = (r"\g<0>",)


def neighbours(x: Array, n_head: int) -> list[Array]:
    """Rope turns pairs of neighbours in llama.cpp's models, and pairs of halves in HF's."""
    heads = x.reshape(n_head, 2, -1, *x.shape[1:])
    return [heads.swapaxes(1, 2).reshape(x.shape)]


def ungroup(x: Array, c: Config) -> list[Array]:
    """Some queries, a key, a value; the next queries, ...: to all queries, all keys, all values."""
    groups = x.reshape(n_kv(c), c.num_attention_heads // n_kv(c) + 2, head_dim(c), *x.shape[1:])
    parts = groups[:, :-2], groups[:, -2:-1], groups[:, -1:]
    return [np.concatenate([part.reshape(-1, *x.shape[1:]) for part in parts])]


# fmt: off
BOTH = r"\.(weight|bias)"
LLAMA_ROPE = (Rule("q_proj" + BOTH, lambda x, c: neighbours(x, c.num_attention_heads)),
    Rule("k_proj" + BOTH, lambda x, c: neighbours(x, n_kv(c))))
UNGROUP = (Rule("query_key_value" + BOTH, ungroup),)
CONV1D = (Rule(r"(c_attn|c_proj|c_fc)\.weight", lambda x, c: [x.mT]),)
HEAD_NORMS = (Rule(r"_layernorm\.norms\.\d+\.weight", lambda x, c: [x[None]], ("_norm.weight",)),)
GATE_UP = ("mlp.experts.gate_proj.weight", "mlp.experts.up_proj.weight")
DOWN = ("mlp.experts.down_proj.weight",)
EXPERTS = (Rule(r"\w+\.experts\.gate_up_proj", lambda x, c: np.split(x, 2, 1), GATE_UP),
    Rule(r"\w+\.experts\.down_proj", targets=DOWN),
    Rule(r"block_sparse_moe\.router\.weight", targets=("mlp.gate.weight",)))
LLAMA4 = (Rule(r"\w+\.experts\.gate_up_proj", lambda x, c: np.split(x.mT, 2, 1), GATE_UP),
    Rule(r"\w+\.experts\.down_proj", lambda x, c: [x.mT], DOWN))
GPT_OSS = (  # gate and up alternate
    Rule(r"\w+\.experts\.gate_up_proj", lambda x, c: [x.mT[:, i::2] for i in (0, 1)], GATE_UP),
    Rule(r"\w+\.experts\.gate_up_proj_bias", lambda x, c: [x[:, i::2] for i in (0, 1)],
        ("mlp.experts.gate_proj.bias", "mlp.experts.up_proj.bias")),
    Rule(r"\w+\.experts\.down_proj", lambda x, c: [x.mT], DOWN),
    Rule(r"down_proj_bias", targets=("down_proj.bias",)),
    Rule("sinks", targets=("sinks.weight",)))
NOMIC = (  # to the names of the model's own code
    Rule(r"^(.*)self_attn\.[qkv]_proj\.weight", targets=(r"encoder.\1attn.Wqkv.weight",)),
    Rule(r"^(.*)self_attn\.o_proj\.weight", targets=(r"encoder.\1attn.out_proj.weight",)),
    Rule(r"^layers(.*)_proj\.weight", targets=(r"model.layers\1_proj.weight",)),
    Rule(r"^(.*)post_attention_layernorm" + BOTH, targets=(r"encoder.\1norm1.\2",)),
    Rule(r"^(.*)post_mlp_layernorm" + BOTH, targets=(r"encoder.\1norm2.\2",)))
CLASSIFIER = (  # the pooler and what follows, to RoBERTa's names
    Rule(r"^bert\.pooler\.dense" + BOTH, targets=(r"classifier.dense.\1",)),
    Rule(r"^classifier" + BOTH, targets=(r"classifier.out_proj.\1",)),
    Rule(r"^bert\.(.*)", targets=(r"\1",)))
# fmt: on

# The cases.


@dataclass(frozen=True)
class Arch:
    hf: str
    config: dict[str, Any]
    keys: str = ""
    constants: dict[str, Value] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    norm_offset: int = 0  # what HF adds to norm weights
    note: str = "as the architecture usually is"


def rotary(base: float, part: float = 1.0, **more: Any) -> dict[str, Any]:
    parts = {"partial_rotary_factor": part} if part < 1 else {}
    return {"rope_type": "default", "rope_theta": base, **parts, **more}


# fmt: off
def tiny(
    n_head_kv: int = 2, base: float = 0, part: float = 1, tied: bool = False, **more: Any
) -> dict[str, Any]:
    heads = {"num_key_value_heads": n_head_kv} if n_head_kv else {}
    rope_parameters = {"rope_parameters": rotary(base, part)} if base else {}
    return {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 36, "num_hidden_layers": 2,
        "num_attention_heads": 4, **heads, "max_position_embeddings": 128, **rope_parameters,
        "tie_word_embeddings": tied, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        **more}


SCALES: dict[str, Any] = {"embedding_multiplier": 3.0, "residual_multiplier": 0.7,
    "attention_multiplier": 0.25, "logits_scaling": 2.0, "tied": True}
CHOSEN: dict[str, Any] = {"num_experts_per_tok": 2, "intermediate_size": 8}
ROUTED: dict[str, Any] = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
YARN_4: dict[str, Any] = {"rope_type": "yarn", "factor": 4.0, "truncate": True,
    "original_max_position_embeddings": 16}

ARCHS = {
    "llama": Arch("LlamaForCausalLM", tiny(base=5e4), LLAMA + LENGTHS, rules=LLAMA_ROPE),
    "gemma": Arch("GemmaForCausalLM", tiny(1, tied=True, head_dim=16), LENGTHS, norm_offset=1,
        note="one key head"),
    "gemma2": Arch("Gemma2ForCausalLM", tiny(tied=True, head_dim=16, query_pre_attn_scalar=16,
        sliding_window=12, attn_logit_softcapping=3.0, final_logit_softcapping=4.0),
        LENGTHS + WINDOW + "attn_logit_softcapping final_logit_softcapping", norm_offset=1,
        note="a layer with a window, a layer without; both soft caps bite"),
    "gemma3": Arch("Gemma3ForCausalLM", tiny(1, tied=True, num_hidden_layers=7, head_dim=8,
        intermediate_size=12, query_pre_attn_scalar=8, sliding_window=12,
        rope_parameters={"full_attention": rotary(1e6, rope_type="linear", factor=8.0),
        "sliding_attention": rotary(1e4)}), LENGTHS + LOCAL, norm_offset=1,
        note="five layers with a window, one without and with scaled rope, one with"),
    "phi2": Arch("PhiForCausalLM", tiny(4, base=1e4, part=0.5), DIMS),
    "phi3": Arch("Phi3ForCausalLM", tiny(sliding_window=None, base=2e4,
        original_max_position_embeddings=128),
        THETA + DIMS + WINDOW + ORIGINAL + "rope.scaling.attn_factor",
        note="fused queries, keys and values; fused gate and up"),
    "gpt2": Arch("GPT2LMHeadModel", tiny(0, tied=True, n_inner=36, max_position_embeddings=48),
        rules=CONV1D),
    "starcoder2": Arch("Starcoder2ForCausalLM", tiny(tied=True, use_bias=True, base=1e5), THETA),
    "falcon": Arch("FalconForCausalLM", tiny(0, tied=True, ffn_hidden_size=64, num_kv_heads=2,
        new_decoder_architecture=True), constants={"tensor_data_layout": "jploski"}, rules=UNGROUP,
        note="the new decoder architecture: two norms side by side, grouped queries"),
    "gptneox": Arch("GPTNeoXForCausalLM", tiny(0, use_parallel_residual=True, base=1e4, part=0.5),
        DIMS + "use_parallel_residual", rules=UNGROUP),
    "stablelm": Arch("StableLmForCausalLM", tiny(use_qkv_bias=True, use_parallel_residual=False,
        base=1e4, part=0.5), DIMS + "use_parallel_residual", rules=HEAD_NORMS),
    "olmo2": Arch("Olmo2ForCausalLM", tiny(4, base=5e5), THETA,
        note="norms after the blocks alone, and of all queries together"),
    "olmoe": Arch("OlmoeForCausalLM", tiny(4, num_experts=5, **CHOSEN), THETA + MOE, rules=EXPERTS),
    "command-r": Arch("CohereForCausalLM", tiny(tied=True, logit_scale=0.5, base=3e4),
        THETA + "logit_scale", UNSCALED),
    "granite": Arch("GraniteForCausalLM", tiny(**SCALES), LLAMA + GRANITE + "attention.scale",
        rules=LLAMA_ROPE),
    "granitemoe": Arch("GraniteMoeForCausalLM", tiny(num_local_experts=6, **SCALES, **CHOSEN),
        LLAMA + GRANITE + MOE + "attention.scale", rules=LLAMA_ROPE + EXPERTS),
    "smollm3": Arch("SmolLM3ForCausalLM", tiny(tied=True, num_hidden_layers=4, intermediate_size=16,
        base=5e6), LLAMA, rules=LLAMA_ROPE, note="every fourth layer has no rope"),
    "internlm2": Arch("LlamaForCausalLM", tiny(base=1e6), THETA + LENGTHS, rules=LLAMA_ROPE,
        note="what llama computes, under its own name"),
    "glm4": Arch("Glm4ForCausalLM", tiny(head_dim=8, attention_bias=True, base=2e4, part=0.5),
        THETA + LENGTHS + DIMS),
    "bert": Arch("BertModel", tiny(0, max_position_embeddings=48, type_vocab_size=1),
        constants=CLS),
    "nomic-bert": Arch("NomicBertModel", tiny(0, head_dim=8, type_vocab_size=2, base=1e3),
        THETA + LENGTHS, MEAN, NOMIC),
    "qwen2": Arch("Qwen2ForCausalLM", tiny(tied=True, base=1e6), THETA),
    "qwen2moe": Arch("Qwen2MoeForCausalLM", tiny(**ROUTED, shared_expert_intermediate_size=16,
        norm_topk_prob=False), THETA + MOE + SHARED + "expert_weights_norm", rules=EXPERTS),
    "qwen3": Arch("Qwen3ForCausalLM", tiny(tied=True, head_dim=12, base=1e6), THETA + LENGTHS),
    "qwen3moe": Arch("Qwen3MoeForCausalLM", tiny(**ROUTED, head_dim=12, norm_topk_prob=True,
        base=1e6), THETA + LENGTHS + MOE + EXPERT, rules=EXPERTS),
    "seed_oss": Arch("SeedOssForCausalLM", tiny(head_dim=12, attention_bias=True,
        attention_out_bias=False, base=1e6), THETA + LENGTHS),
    "mistral3": Arch("Ministral3ForCausalLM", tiny(head_dim=16, max_position_embeddings=64,
        rope_parameters=rotary(100.0, **YARN_4, beta_fast=2.0, beta_slow=0.25, mscale=1.0,
        mscale_all_dim=1.0, llama_4_scaling_beta=0.1)),
        LLAMA + LENGTHS + YARN + "attention.temperature_scale rope.scaling.yarn_log_multiplier",
        rules=LLAMA_ROPE, note="yarn; queries grow with their position from the 16th on"),
    "minicpm": Arch("GraniteForCausalLM", tiny(tied=True, embedding_multiplier=3.0,
        residual_multiplier=1.4 / math.sqrt(2), attention_multiplier=1 / math.sqrt(8),
        logits_scaling=4.0), THETA + GRANITE, rules=LLAMA_ROPE,
        note="Granite with MiniCPM's scales: scale_depth 1.4, dim_model_base 8"),
    "exaone4": Arch("Exaone4ForCausalLM", tiny(sliding_window=None, base=1e6,
        layer_types=["full_attention"] * 2), THETA + "vocab_size",
        note="norms after the blocks, and of each head; no window"),
    "nemotron": Arch("NemotronForCausalLM", tiny(head_dim=8, base=2e4, part=0.5),
        THETA + LENGTHS + DIMS + "vocab_size", UNSCALED | RMS_TOO, norm_offset=1,
        note="relu squared; norms with one added to their weights"),
    "cohere2": Arch("Cohere2ForCausalLM", tiny(tied=True, num_hidden_layers=4, intermediate_size=16,
        logit_scale=0.5, sliding_window=12, base=5e4), LLAMA + LENGTHS + WINDOW + "logit_scale",
        UNSCALED, note="three layers with a window and rope, one with neither"),
    "gpt-oss": Arch("GptOssForCausalLM", tiny(head_dim=16, num_local_experts=6, **CHOSEN,
        max_position_embeddings=64, sliding_window=12, rope_parameters=rotary(100.0, **YARN_4,
        beta_fast=32.0, beta_slow=1.0)), THETA + LENGTHS + WINDOW + MOE + YARN + EXPERT,
        rules=GPT_OSS,
        note="a layer with a window, a layer without; sinks; experts with biases; yarn"),
    "llama4": Arch("Llama4ForCausalLM", tiny(num_hidden_layers=4, head_dim=8, num_local_experts=4,
        num_experts_per_tok=1, intermediate_size=8, intermediate_size_mlp=16,
        interleave_moe_layer_step=2, base=5e5),
        LLAMA + LENGTHS + MOE + EXPERT + "interleave_moe_layer_step", rules=LLAMA4,
        note="every second layer has experts; the last of four has no rope"),
    "modern-bert": Arch("ModernBertModel", tiny(0, num_hidden_layers=4, intermediate_size=16,
        global_attn_every_n_layers=3, local_attention=16, cls_token_id=1, sep_token_id=2),
        LOCAL + "attention.sliding_window_pattern vocab_size hidden_activation",
        MEAN | UNSCALED | RMS_TOO | {"classifier.pooling_type": 2},
        note="a layer without a window, two with one of 8 to each side, one without"),
    "bloom": Arch("BloomForCausalLM", tiny(4, tied=True, intermediate_size=128), rules=UNGROUP,
        note="ALiBi; embeddings have a norm"),
    "mpt": Arch("MptForCausalLM", tiny(0, tied=True, intermediate_size=128, max_seq_len=128),
        "attention.max_alibi_bias", note="ALiBi; norms without biases"),
}
# Changes of the configuration, a note, and changes of the row.
VARIANTS: dict[str, tuple[Any, ...]] = {
    "falcon_7b": ({"num_kv_heads": 1, "new_decoder_architecture": False},
        "one head of keys and values, one norm for both blocks"),
    "gptneox_serial": ({"use_parallel_residual": False}, "one block after the other"),
    "stablelm_parallel": ({"use_parallel_residual": True}, "one norm for both blocks"),
    "stablelm_qk_norm": ({"qk_layernorm": True}, "each head has its norm"),
    "command-r_qk_norm": ({"use_qk_norm": True}, "each head has its norm"),
    "phi3_longrope_long": ({"max_position_embeddings": 64, "original_max_position_embeddings": 16,
        "rope_parameters": rotary(1e4, rope_type="longrope", original_max_position_embeddings=16,
        short_factor=[1.0, 1.25, 1.5, 2.0], long_factor=[1.0, 2.0, 4.5, 9.0])},
        "more tokens than the original context: the long factors"),
    "llama_bias": ({"attention_bias": True, "mlp_bias": True}, "every projection has a bias"),
    "llama_tied_mqa": ({"tie_word_embeddings": True, "num_key_value_heads": 1, "head_dim": 12},
        "no output matrix; one head of keys and values; heads wider than the embedding"),
    "llama_linear": ({"rope_parameters": rotary(1e4, rope_type="linear", factor=4.0)},
        "positions divided by four"),
    "gemma2_more": ({"num_hidden_layers": 3, "head_dim": 8, "query_pre_attn_scalar": 8,
        "sliding_window": 7, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 6.0},
        "other sizes, window and soft caps"),
    "gemma3_plain": ({"num_hidden_layers": 8, "num_key_value_heads": 2,
        "rope_parameters": {"full_attention": rotary(1e6), "sliding_attention": rotary(1e4)}},
        "rope isn't scaled; two heads of keys and values"),
    "qwen3_wide_heads": ({"head_dim": 32, "num_key_value_heads": 1}, "each head as wide as all"),
    "granite_untied": ({"tie_word_embeddings": False}, "an output matrix"),
    "smollm3_6": ({"num_hidden_layers": 6}, "the fourth layer of six has no rope"),
    "olmo2_group": ({"num_key_value_heads": 2}, "grouped queries: the norms differ in width"),
    "starcoder2_untied_mha": ({"tie_word_embeddings": False, "num_key_value_heads": 4},
        "an output matrix; as many heads of keys as of queries"),
    "gpt2_4": ({"num_hidden_layers": 4}, "four layers"),
    "phi2_partial": ({"rope_parameters": rotary(1e4, 0.75)}, "rope turns three quarters of a head"),
    "qwen2moe_norm": ({"norm_topk_prob": True, "num_experts_per_tok": 4},
        "the chosen experts' weights sum to one"),
    "bert_2types": ({"num_attention_heads": 2, "type_vocab_size": 2},
        "two kinds of segments, of which texts have the first; two heads"),
    "bert_rank": ({"num_labels": 3}, "a classifier with three labels",
        {"hf": "BertForSequenceClassification", "constants": RANK, "rules": CLASSIFIER}),
    "olmo2_windows": ({"num_hidden_layers": 5, "intermediate_size": 12, "sliding_window": 12,
        "max_position_embeddings": 64, "rope_parameters": {"sliding_attention": rotary(100.0),
        "full_attention": rotary(100.0, **YARN_4, beta_fast=32.0, beta_slow=1.0)}},
        "OLMo 3: three layers of four have a window, and no yarn",
        {"hf": "Olmo3ForCausalLM", "keys": THETA + WINDOW + YARN}),
    "modern-bert_silu": ({"hidden_activation": "silu"}, "the file names another activation"),
    "llama4_plain": ({"no_rope_layers": [1] * 4, "layer_types": ["full_attention"] * 4,
        "attn_temperature_tuning": False}, "a window of 0: no chunks, and all layers rotate",
        {"constants": {"attention.sliding_window": 0}}),
}
# fmt: on
# arch/llama is from the large set.
CASES = {name: (name, row) for name, row in ARCHS.items() if name != "llama"}
for variant, (changed, text, *row_changes) in VARIANTS.items():
    base = variant.split("_")[0]
    config = ARCHS[base].config | changed
    CASES[variant] = base, replace(ARCHS[base], config=config, note=text, **dict(*row_changes))


# Making them.


def is_norm(name: str) -> bool:
    return re.search(r"([Nn]orm|ln_).*weight$", name) is not None


def fill(model: Any, arch: Arch, seed: int) -> None:
    """Weights at a scale where each of them matters."""
    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        x = rng.standard_normal(parameter.shape)
        if is_norm(name):
            x = 0.3 * x + 1 - arch.norm_offset
        elif re.search("embed|wte|wpe|bias$", name):
            x *= 0.4
        elif x.ndim > 1:
            x *= 1.4 / math.sqrt(x.shape[-1])
        parameter.data = torch.from_numpy(x.astype(np.float16).astype(np.float32))


def compute(model: Any, arch: Arch, tokens: npt.NDArray[np.int32]) -> dict[str, Array]:
    """What golden.npz has beside the tokens. All weights that a file holds matter for the first."""
    ids = torch.from_numpy(tokens).long()[None]
    with torch.no_grad():
        if "pooling_type" not in arch.constants:
            return {"logits": model(input_ids=ids).logits[0].numpy()}
        hidden = model.base_model(input_ids=ids).last_hidden_state[0].numpy()
        vectors = {"hidden": hidden, "mean": hidden.mean(axis=0), "cls": hidden[0]}
        if arch.constants["pooling_type"] != RANK["pooling_type"]:
            return vectors
        return {"scores": model(input_ids=ids).logits[0].numpy(), **vectors}


def influences(
    model: Any, arch: Arch, tokens: npt.NDArray[np.int32], golden: dict[str, Array]
) -> str:
    """The two weights that matter least, and the NMSE that they make when they are neutral."""
    found: dict[str, float] = {}
    result = next(iter(golden))
    parameters = {k: v for k, v in model.named_parameters() if not k.startswith("pooler.")}
    kinds = {name: re.sub(r"\.\d+\.", ".*.", name) for name in parameters}
    for kind in set(kinds.values()):
        kept = {name: parameters[name].data for name in kinds if kinds[name] == kind}
        for name, x in kept.items():
            neutral = 1.0 - arch.norm_offset if is_norm(name) else 0.0
            parameters[name].data = torch.full_like(x, neutral)
        found[kind] = nmse(compute(model, arch, tokens)[result], golden[result])
        for name, x in kept.items():
            parameters[name].data = x
    least = sorted(found, key=lambda kind: found[kind])[:2]
    return ", ".join(f"{kind} {found[kind]:.1e}" for kind in least)


def convert(architecture: str, arch: Arch, c: Config, state: State) -> State:
    """HF's tensors under llama.cpp's names and in its order."""
    kind = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == architecture)
    names = gguf.get_tensor_name_map(kind, c.num_hidden_layers)
    parts: dict[str, list[Array]] = {}
    for name, x in state.items():
        if name.startswith("pooler.") or (name == "lm_head.weight" and c.tie_word_embeddings):
            continue
        if is_norm(name):
            x = x + arch.norm_offset
        rule = next((r for r in arch.rules if re.search(f"(?:{r.pattern})$", name)), Rule(""))
        for target, part in zip(rule.targets, rule.make(x, c), strict=True):
            stem, suffix = re.sub(f"(?:{rule.pattern})$", target, name).rsplit(".", 1)
            found = names.get_name(stem) or names.get_name(stem.removeprefix("transformer."))
            if found is None:
                raise SystemExit(f"{architecture}: no GGUF name for {name}; add a rule")
            parts.setdefault(f"{found}.{suffix}", []).append(part)
    if rope(c).get("rope_type") == "longrope":  # a factor for each frequency
        for n in ("long", "short"):
            parts[f"rope_factors_{n}.weight"] = [np.array(rope(c)[f"{n}_factor"], np.float32)]
    return {name: np.concatenate(x) if len(x) > 1 else x[0] for name, x in parts.items()}


def metadata(arch: Arch, c: Config) -> dict[str, Value]:
    values: dict[str, Value] = dict(arch.constants)
    for key in (COMMON + arch.keys).split():
        source = KEYS.get(key, key)
        value = first(c, source) if isinstance(source, str) else source(c)
        if value is not None:
            values[key] = value
    return values


def write(path: Path, architecture: str, values: dict[str, Value], tensors: State) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for key, value in values.items():
        writer.add_key_value(f"{architecture}.{key}", value, TYPES[type(value)])
    for name, x in tensors.items():
        wide = x.ndim == 1 or re.search("norm|bias|ffn_gate_inp|position_embd|token_types", name)
        writer.add_tensor(name, np.ascontiguousarray(x, np.float32 if wide else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(name: str) -> None:
    architecture, arch = CASES[name]
    seed = zlib.crc32(name.encode())
    kind = getattr(transformers, arch.hf)
    names = (LAYER_EPSILONS + " rms_norm_eps").split()
    epsilons = {name: EPSILON for name in names if hasattr(kind.config_class(), name)}
    given = {**arch.config, **epsilons}
    config = kind.config_class(**given)
    plain = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = kind._from_config(config, dtype=torch.float32, **plain).eval()
    fill(model, arch, seed)
    tokens = np.random.default_rng(seed + 1).integers(0, 64, N_TOKENS, dtype=np.int32)
    golden: dict[str, Any] = compute(model, arch, tokens)
    folder = HERE / "arch" / name
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    tensors = convert(architecture, arch, config, state)
    write(folder / "model.gguf", architecture, metadata(arch, config), tensors)
    np.savez_compressed(folder / "golden.npz", tokens=tokens, **golden)
    about: dict[str, Any] = {"architecture": architecture, "hf_class": arch.hf, "config": given}
    about |= {"seed": seed, "note": arch.note}
    if rope(config).get("rope_type") == "longrope":  # a longer context takes other factors
        about["n_ctx"] = config.max_position_embeddings
    (folder / "case.json").write_text(json.dumps(about, indent=1) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    rms = float(np.sqrt((next(iter(golden.values())) ** 2).mean()))
    print(f"{name}: {size / 1000:.0f} KB, rms {rms:.2f}; least: ", end="")
    print(influences(model, arch, tokens, golden))


def main() -> None:
    for name in sys.argv[1:] or CASES:
        make(name)


if __name__ == "__main__":
    main()
