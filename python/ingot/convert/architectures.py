"""The table of architectures: from Hugging Face's classes and names to those of GGUF files.

A row is data. Names of tensors stand without ".weight" and ".bias" and without what wraps the model
("model.", "transformer.", ...); # is the number of a layer, @ that of an expert or head, whose
tensors are stacked. Names on the right get "blk.N." in front where those on the left have a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingot.convert import changes
from ingot.convert.changes import Change, Rule
from ingot.convert.config import Config

Tensors = dict[str, str | Rule]
Source = str | Callable[[Config], Any]  # names of settings, or what makes a value of them


@dataclass(frozen=True)
class Architecture:
    name: str  # general.architecture
    classes: str
    tensors: Tensors
    keys: Mapping[str, Source] = field(default_factory=dict)  # besides those that all have
    norm: str = "rms"  # or "layer"
    norm_offset: int = 0  # what the model adds to the weights of its norms
    activation: str = "silu"  # what the engine computes if the file doesn't say; "": not looked at
    rotates: bool = True
    # What the engine takes for granted: the last of every `period` layers has no window, or the
    # first; 0: all have one. `window`: the key is expected even where there is none.
    period: int = 0
    global_first: bool = False
    window: bool = False
    explicit: bool = False  # files say their period and activation in any case
    chunks: bool = False  # as Llama 4 has them
    local_base: bool = False  # layers with a window may have a base of rotation of their own
    yarn_log: bool = False  # YaRN's magnitude may be said by its multiplier
    bare_first: bool = False  # the first layer does without its norm
    normed_experts: bool = True  # the chosen experts' shares sum to one
    encoder: bool = False
    dense_scores: int = 0  # models of so many layers divide scores by the root of n_embd / n_head
    expects: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # what settings may be
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of settings that files leave out
    ignores: tuple[str, ...] = ()  # beginnings of names that aren't needed


def to(*targets: str, by: Change = changes.SAME) -> Rule:
    return Rule(targets, by)


def layered(prefix: str, names: Tensors) -> Tensors:
    return {f"{prefix}.#.{name}": target for name, target in names.items()}


# Groups of names that recur.

ATTENTION: Tensors = {
    **{f"self_attn.{n}_proj": f"attn_{n}" for n in "qkv"},
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
PAIRED: Tensors = {  # rotation turns neighbours
    "self_attn.q_proj": to("attn_q", by=changes.QUERIES),
    "self_attn.k_proj": to("attn_k", by=changes.KEYS),
}
GATED: Tensors = {f"mlp.{n}_proj": f"ffn_{n}" for n in ("gate", "up", "down")}
NORMS: Tensors = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
NORMS_AROUND: Tensors = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
GPT_NAMES: Tensors = {
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
    "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
}
EXPERTS: Tensors = {  # one by one, or as HF transformers holds them
    **{f"mlp.experts.@.{n}_proj": f"ffn_{n}_exps" for n in ("gate", "up", "down")},
    "mlp.experts.gate_up_proj": to("ffn_gate_exps", "ffn_up_exps", by=changes.GATE_UP_EXPERTS),
    "mlp.experts.down_proj": "ffn_down_exps",
    "mlp.gate": "ffn_gate_inp",
    **{f"mlp.shared_expert.{n}_proj": f"ffn_{n}_shexp" for n in ("gate", "up", "down")},
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
}
MIXTRAL: Tensors = {
    "block_sparse_moe.gate": "ffn_gate_inp",
    "block_sparse_moe.experts.@.w1": "ffn_gate_exps",
    "block_sparse_moe.experts.@.w3": "ffn_up_exps",
    "block_sparse_moe.experts.@.w2": "ffn_down_exps",
}
GRANITE_MOE: Tensors = {
    "block_sparse_moe.router.layer": "ffn_gate_inp",
    "block_sparse_moe.input_linear": to("ffn_gate_exps", "ffn_up_exps", by=changes.GATE_UP_EXPERTS),
    "block_sparse_moe.output_linear": "ffn_down_exps",
    "shared_mlp.input_linear": to("ffn_gate_shexp", "ffn_up_shexp", by=changes.GATE_UP),
    "shared_mlp.output_linear": "ffn_down_shexp",
}
GPT_OSS: Tensors = {
    "mlp.router": "ffn_gate_inp",
    "mlp.experts.gate_up_proj": to("ffn_gate_exps", "ffn_up_exps", by=changes.GATE_UP_MIXED),
    "mlp.experts.gate_up_proj_bias": to(
        "ffn_gate_exps.bias", "ffn_up_exps.bias", by=changes.GATE_UP_MIXED_BIAS
    ),
    "mlp.experts.down_proj": to("ffn_down_exps", by=changes.TURN),
    "mlp.experts.down_proj_bias": "ffn_down_exps.bias",
    "mlp.experts.gate_up_proj_packed": to(
        "ffn_gate_exps", "ffn_up_exps", by=changes.GATE_UP_MIXED_ROWS
    ),
    "mlp.experts.down_proj_packed": "ffn_down_exps",
    "self_attn.sinks": "attn_sinks",
}
LLAMA4: Tensors = {
    **{f"feed_forward.{n}_proj": f"ffn_{n}" for n in ("gate", "up", "down")},
    **{f"feed_forward.shared_expert.{n}_proj": f"ffn_{n}_shexp" for n in ("gate", "up", "down")},
    "feed_forward.router": "ffn_gate_inp",
    "feed_forward.experts.gate_up_proj": to(
        "ffn_gate_exps", "ffn_up_exps", by=changes.GATE_UP_TURNED
    ),
    "feed_forward.experts.down_proj": to("ffn_down_exps", by=changes.TURN),
}
ENDS: Tensors = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}


def llama(*groups: Tensors) -> Tensors:
    """Names as in HF's Llama, with the groups' in their place."""
    names = {**ATTENTION, **NORMS, **GATED}
    for group in groups:
        names |= group
    return {**ENDS, **layered("layers", names)}


NEOX_QKV = to("attn_qkv", by=changes.UNGROUP)
BLOOM_LAYER: Tensors = {
    **GPT_NAMES,
    "self_attention.query_key_value": NEOX_QKV,
    "self_attention.dense": "attn_output",
}
BERT_ENDS: Tensors = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.LayerNorm": "token_embd_norm",
}

# Keys that some have.

EXPERT_WIDTH: dict[str, Source] = {"expert_feed_forward_length": "moe_intermediate_size"}
SHARED_WIDTH: dict[str, Source] = {
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size"
}
GRANITE: dict[str, Source] = {
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "attention.scale": "attention_multiplier",
    "logit_scale": "logits_scaling",
}
MINICPM: dict[str, Source] = {
    "embedding_scale": "scale_emb",
    "residual_scale": lambda c: c.need("scale_depth") / c.n_layer**0.5,
    "logit_scale": lambda c: c.n_embd / c.need("dim_model_base"),
}
SOFT_CAPS: dict[str, Source] = {
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}
PARALLEL: dict[str, Source] = {"use_parallel_residual": "use_parallel_residual"}
LOGIT_SCALE: dict[str, Source] = {"logit_scale": "logit_scale"}

# fmt: off
ROWS = (
    Architecture("llama", "LlamaForCausalLM MistralForCausalLM MixtralForCausalLM",
        llama(PAIRED, EXPERTS, MIXTRAL),
        {"attention.clamp_kqv": "clip_qkv"}),
    Architecture("qwen2", "Qwen2ForCausalLM", llama()),
    Architecture("qwen2moe", "Qwen2MoeForCausalLM", llama(EXPERTS), EXPERT_WIDTH | SHARED_WIDTH,
        normed_experts=False),
    Architecture("qwen3", "Qwen3ForCausalLM", llama()),
    Architecture("qwen3moe", "Qwen3MoeForCausalLM", llama(EXPERTS), EXPERT_WIDTH),
    Architecture("gemma", "GemmaForCausalLM", llama(), norm_offset=1, activation=""),
    Architecture("gemma2", "Gemma2ForCausalLM", llama(NORMS_AROUND), SOFT_CAPS, norm_offset=1,
        activation="gelu_tanh", period=2, window=True, dense_scores=46),
    Architecture("gemma3", "Gemma3ForCausalLM Gemma3ForConditionalGeneration",
        llama(NORMS_AROUND), SOFT_CAPS, norm_offset=1, activation="gelu_tanh", period=6,
        local_base=True, dense_scores=62, expects={"use_bidirectional_attention": (False, None)},
        defaults={"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "rope_local_base_freq": 1e4, "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256}),
    Architecture("phi2", "PhiForCausalLM", {**llama(
        {"self_attn.dense": "attn_output", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down"}),
        "final_layernorm": "output_norm"}, norm="layer", activation="gelu_tanh",
        expects={"qk_layernorm": (False, None)}),
    Architecture("phi3", "Phi3ForCausalLM", llama(
        {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}), window=True),
    Architecture("gpt2", "GPT2LMHeadModel", {
        "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "lm_head": "output",
        **layered("h", {"ln_1": "attn_norm", "ln_2": "ffn_norm",
        "attn.c_attn": to("attn_qkv", by=changes.TURN),
        "attn.c_proj": to("attn_output", by=changes.TURN),
        "mlp.c_fc": to("ffn_up", by=changes.TURN),
        "mlp.c_proj": to("ffn_down", by=changes.TURN)})}, norm="layer", activation="gelu_tanh",
        rotates=False, expects={"scale_attn_weights": (True, None),
        "scale_attn_by_inverse_layer_idx": (False, None)},
        ignores=("h.#.attn.bias", "h.#.attn.masked_bias")),
    Architecture("starcoder2", "Starcoder2ForCausalLM", llama(
        {"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}), norm="layer", activation="gelu_tanh"),
    Architecture("falcon", "FalconForCausalLM RWForCausalLM", {
        "word_embeddings": "token_embd", "ln_f": "output_norm", "lm_head": "output",
        **layered("h", {**BLOOM_LAYER, "ln_attn": "attn_norm_2", "ln_mlp": "attn_norm"})},
        norm="layer", activation="gelu",
        expects={"alibi": (False, None), "parallel_attn": (True, None)}, defaults={"n_ctx": 2048}),
    Architecture("gptneox", "GPTNeoXForCausalLM", {
        "embed_in": "token_embd", "final_layer_norm": "output_norm", "embed_out": "output",
        **layered("layers", {**GPT_NAMES, "attention.query_key_value": NEOX_QKV,
        "attention.dense": "attn_output"})}, PARALLEL, norm="layer", activation="gelu",
        ignores=("layers.#.attention.bias", "layers.#.attention.masked_bias")),
    Architecture("stablelm", "StableLmForCausalLM StableLMEpochForCausalLM", llama(
        {f"self_attn.{n}_layernorm.norms.@": f"attn_{n}_norm" for n in "qk"}), PARALLEL,
        norm="layer"),
    Architecture("olmo2", "Olmo2ForCausalLM Olmo3ForCausalLM", llama(NORMS_AROUND), period=4),
    Architecture("olmoe", "OlmoeForCausalLM", llama(EXPERTS),
        {"attention.clamp_kqv": "clip_qkv"}, normed_experts=False),
    Architecture("command-r", "CohereForCausalLM", llama(), LOGIT_SCALE, norm="layer"),
    Architecture("granite", "GraniteForCausalLM", llama(PAIRED), GRANITE),
    Architecture("granitemoe", "GraniteMoeForCausalLM GraniteMoeSharedForCausalLM",
        llama(PAIRED, GRANITE_MOE),
        GRANITE | {"expert_shared_feed_forward_length": "shared_intermediate_size"}),
    Architecture("smollm3", "SmolLM3ForCausalLM", llama(PAIRED)),
    Architecture("internlm2", "InternLM2ForCausalLM", {
        "tok_embeddings": "token_embd", "norm": "output_norm", "output": "output",
        **layered("layers", {
        "attention.wqkv": to("attn_q", "attn_k", "attn_v", by=changes.SPLIT_GROUPS),
        "attention.wo": "attn_output", "attention_norm": "attn_norm", "ffn_norm": "ffn_norm",
        "feed_forward.w1": "ffn_gate", "feed_forward.w3": "ffn_up",
        "feed_forward.w2": "ffn_down"})}),
    Architecture("glm4", "Glm4ForCausalLM", llama({"mlp.gate_up_proj": "ffn_up",
        "post_self_attn_layernorm": "post_attention_norm",
        "post_mlp_layernorm": "post_ffw_norm"})),
    Architecture("bert", "BertModel BertForMaskedLM BertForSequenceClassification", {
        **BERT_ENDS, "pooler.dense": "cls", "classifier": "cls.output",
        **layered("encoder.layer", {
        "attention.self.query": "attn_q", "attention.self.key": "attn_k",
        "attention.self.value": "attn_v", "attention.output.dense": "attn_output",
        "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up",
        "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"})},
        norm="layer", activation="gelu", rotates=False, encoder=True,
        expects={"position_embedding_type": ("absolute", None), "is_decoder": (False, None)},
        ignores=("cls.", "embeddings.position_ids")),
    Architecture("nomic-bert", "NomicBertModel", {
        **BERT_ENDS, "emb_ln": "token_embd_norm", **layered("encoder.layers", {
        "attn.Wqkv": "attn_qkv", "attn.out_proj": "attn_output", "norm1": "attn_output_norm",
        "norm2": "layer_output_norm", "mlp.fc11": "ffn_up", "mlp.fc12": "ffn_gate",
        "mlp.fc2": "ffn_down"})}, norm="layer", encoder=True,
        expects={"prenorm": (False, None), "moe_every_n_layers": (0, None)},
        ignores=("cls.", "pooler.")),
    Architecture("seed_oss", "SeedOssForCausalLM", llama(
        {"post_attention_layernorm": "post_attention_norm"})),
    Architecture("mistral3", "Ministral3ForCausalLM Mistral3ForConditionalGeneration",
        llama(PAIRED), {"attention.temperature_scale": lambda c:
        (c.get("rope_parameters rope_scaling") or {}).get("llama_4_scaling_beta")}, yarn_log=True),
    Architecture("minicpm", "MiniCPMForCausalLM", llama(PAIRED), MINICPM),
    Architecture("exaone4", "Exaone4ForCausalLM", llama(NORMS_AROUND), period=4),
    Architecture("nemotron", "NemotronForCausalLM", llama(), norm="layer", norm_offset=1,
        activation="relu2"),
    Architecture("cohere2", "Cohere2ForCausalLM", llama(), LOGIT_SCALE, norm="layer", period=4),
    Architecture("gpt-oss", "GptOssForCausalLM", llama(GPT_OSS,
        {"post_attention_layernorm": "post_attention_norm"}),
        {"expert_feed_forward_length": "intermediate_size"}, period=2,
        expects={"swiglu_limit": (7.0, None), "swiglu_alpha": (1.702, None)}),
    Architecture("modern-bert", "ModernBertModel ModernBertForMaskedLM", {
        "embeddings.tok_embeddings": "token_embd", "embeddings.norm": "token_embd_norm",
        "final_norm": "output_norm", **layered("layers", {"attn.Wqkv": "attn_qkv",
        "attn.Wo": "attn_output", "attn_norm": "attn_norm", "mlp_norm": "ffn_norm",
        "mlp.Wi": "ffn_up", "mlp.Wo": "ffn_down"})}, norm="layer", activation="gelu", period=3,
        global_first=True, explicit=True, local_base=True, bare_first=True, encoder=True,
        ignores=("head.", "decoder.", "classifier.")),
    Architecture("bloom", "BloomForCausalLM", {
        "word_embeddings": "token_embd", "word_embeddings_layernorm": "token_embd_norm",
        "ln_f": "output_norm", "lm_head": "output", **layered("h", BLOOM_LAYER)}, norm="layer",
        activation="", rotates=False,
        expects={"apply_residual_connection_post_layernorm": (False, None)},
        defaults={"n_ctx": 2048}),
    Architecture("mpt", "MptForCausalLM MPTForCausalLM", {
        "wte": "token_embd", "norm_f": "output_norm", "lm_head": "output",
        **layered("blocks", {"norm_1": "attn_norm", "norm_2": "ffn_norm",
        "attn.Wqkv": "attn_qkv", "attn.out_proj": "attn_output", "ffn.up_proj": "ffn_up",
        "ffn.down_proj": "ffn_down"})},
        {"attention.clamp_kqv": lambda c: (c.get("attn_config") or {}).get("clip_qkv"),
        "attention.max_alibi_bias":
        lambda c: float((c.get("attn_config") or {}).get("alibi_bias_max", 8))},
        norm="layer", activation="", rotates=False),
    Architecture("llama4", "Llama4ForCausalLM Llama4ForConditionalGeneration", llama(LLAMA4),
        {"expert_feed_forward_length": "intermediate_size",
        "interleave_moe_layer_step": "interleave_moe_layer_step"}, window=True, chunks=True,
        expects={"attention_chunk_size": (8192, None), "floor_scale": (8192, None),
        "attn_scale": (0.1, None)}),
)
# fmt: on
