// From a row of archs.def, metadata and tensors to a plan. The architecture's name ends here.
#include "model/binder.h"

#include <math.h>

// Several times what any model has: what a file may ask for is work for every token.
enum { MAX_EXPERTS = 2048, MAX_EXPERTS_USED = 64 };

static ingot_status bind_shapes(binder *b) {
    plan *p = b->plan;
    TRY(binder_u32(b, "block_count", true, 1, 512, &p->n_layer));
    TRY(binder_u32(b, "context_length", true, 1, 1u << 30, &p->n_ctx_train));
    TRY(binder_u32(b, "embedding_length", true, 1, 1u << 20, &p->n_embd));
    TRY(binder_same_u32(b, "attention.head_count", true, 1, 1u << 14, &p->n_head));
    p->n_head_kv = p->n_head;
    TRY(binder_same_u32(b, "attention.head_count_kv", false, 1, (uint32_t)p->n_head, &p->n_head_kv));
    if (p->n_head % p->n_head_kv != 0)
        return fail(b->err, INGOT_ERR_FORMAT, "%s: %d heads can't share %d key/value heads evenly",
                    gguf_name(b->gguf), p->n_head, p->n_head_kv);
    p->k_dim = p->v_dim = p->n_embd / p->n_head;
    TRY(binder_u32(b, "attention.key_length", false, 1, 1u << 14, &p->k_dim));
    TRY(binder_u32(b, "attention.value_length", false, 1, 1u << 14, &p->v_dim));
    if (p->k_dim == 0 || p->v_dim == 0)
        return fail(b->err, INGOT_ERR_FORMAT, "%s: %d heads are more than the embedding's width, %d",
                    gguf_name(b->gguf), p->n_head, p->n_embd);
    p->norm_eps = 1e-5f;
    TRY(binder_positive(b, "attention.layer_norm_rms_epsilon", true, &p->norm_eps));
    p->attn_scale = 1.0f / sqrtf((float)p->k_dim);
    TRY(binder_positive(b, "attention.scale", false, &p->attn_scale));
    TRY(binder_same_u32(b, "feed_forward_length", false, 1, 1u << 24, &p->n_ff));
    return INGOT_OK;
}

static ingot_status bind_expert_shapes(binder *b) {
    plan *p = b->plan;
    char key[BINDER_NAME];
    TRY(binder_u32(b, "expert_count", false, 0, MAX_EXPERTS, &p->n_expert));
    if (p->n_expert == 0)
        return INGOT_OK;
    p->n_ff_expert = p->n_ff;
    TRY(binder_u32(b, "expert_used_count", true, 1,
                   p->n_expert < MAX_EXPERTS_USED ? (uint32_t)p->n_expert : MAX_EXPERTS_USED,
                   &p->n_expert_used));
    TRY(binder_u32(b, "expert_feed_forward_length", p->n_ff == 0, 1, 1u << 24, &p->n_ff_expert));
    p->n_ff_shared = p->n_ff_expert;
    TRY(binder_u32(b, "expert_shared_feed_forward_length", false, 1, 1u << 24, &p->n_ff_shared));
    p->router = b->row->router;
    if (p->router == ROUTER_NONE)
        return fail(b->err, INGOT_ERR_UNSUPPORTED, "%s: key '%s' is %d, but architecture '%s' has no experts",
                    gguf_name(b->gguf), binder_key(b, "expert_count", key), p->n_expert, b->row->name);
    bool normalise = p->router == ROUTER_SOFTMAX_TOP;
    TRY(gguf_get_bool(b->gguf, binder_key(b, "expert_weights_norm", key), false, &normalise, b->err));
    p->router = normalise ? ROUTER_SOFTMAX_TOP : ROUTER_SOFTMAX;
    p->router_scale = 1.0f;
    return binder_positive(b, "expert_weights_scale", false, &p->router_scale);
}

static ingot_status bind_attention(binder *b, int32_t i, plan_layer *layer) {
    const plan *p = b->plan;
    int64_t q_width = (int64_t)p->n_head * p->k_dim, k_width = (int64_t)p->n_head_kv * p->k_dim;
    int64_t v_width = (int64_t)p->n_head_kv * p->v_dim, o_width = (int64_t)p->n_head * p->v_dim;
    TRY(binder_layer_vector(b, i, "attn_norm", true, p->n_embd, &layer->attn_norm));
    TRY(binder_linear(b, i, "attn_q", true, p->n_embd, q_width, &layer->q));
    TRY(binder_linear(b, i, "attn_k", true, p->n_embd, k_width, &layer->k));
    TRY(binder_linear(b, i, "attn_v", true, p->n_embd, v_width, &layer->v));
    TRY(binder_linear(b, i, "attn_output", true, o_width, p->n_embd, &layer->o));
    bool norms = binder_has_layer(b, i, "attn_q_norm") || binder_has_layer(b, i, "attn_k_norm");
    TRY(binder_layer_vector(b, i, "attn_q_norm", norms, p->k_dim, &layer->q_norm));
    return binder_layer_vector(b, i, "attn_k_norm", norms, p->k_dim, &layer->k_norm);
}

// All three weights, or, unless `required`, none.
static ingot_status bind_swiglu(binder *b, int32_t i, const char *const names[3], bool required, int64_t n_ff,
                                swiglu_weights *out) {
    int64_t n_embd = b->plan->n_embd;
    for (int k = 0; k < 3; k++)
        required = required || binder_has_layer(b, i, names[k]);
    TRY(binder_linear(b, i, names[0], required, n_embd, n_ff, &out->gate));
    TRY(binder_linear(b, i, names[1], required, n_embd, n_ff, &out->up));
    return binder_linear(b, i, names[2], required, n_ff, n_embd, &out->down);
}

static ingot_status bind_experts(binder *b, int32_t i, experts_weights *out) {
    static const char *const shared[3] = {"ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"};
    const plan *p = b->plan;
    TRY(binder_experts(b, i, "ffn_gate_inp", p->n_embd, p->n_expert, 1, &out->router));
    TRY(binder_experts(b, i, "ffn_gate_exps", p->n_embd, p->n_ff_expert, p->n_expert, &out->gate));
    TRY(binder_experts(b, i, "ffn_up_exps", p->n_embd, p->n_ff_expert, p->n_expert, &out->up));
    TRY(binder_experts(b, i, "ffn_down_exps", p->n_ff_expert, p->n_embd, p->n_expert, &out->down));
    TRY(bind_swiglu(b, i, shared, false, p->n_ff_shared, &out->shared));
    if (!out->shared.up.weight || !binder_has_layer(b, i, "ffn_gate_inp_shexp"))
        return INGOT_OK;
    return binder_experts(b, i, "ffn_gate_inp_shexp", p->n_embd, 1, 1, &out->shared_gate);
}

static ingot_status bind_layer(binder *b, int32_t i, plan_layer *layer) {
    static const char *const dense[3] = {"ffn_gate", "ffn_up", "ffn_down"};
    TRY(bind_attention(b, i, layer));
    TRY(binder_layer_vector(b, i, "ffn_norm", true, b->plan->n_embd, &layer->ffn_norm));
    layer->ffn = b->plan->n_expert > 0 ? FFN_EXPERTS : FFN_SWIGLU;
    if (layer->ffn == FFN_EXPERTS)
        return bind_experts(b, i, &layer->experts);
    if (b->plan->n_ff == 0) {
        char key[BINDER_NAME];
        return fail(b->err, INGOT_ERR_FORMAT, "%s: key '%s' is missing", gguf_name(b->gguf),
                    binder_key(b, "feed_forward_length", key));
    }
    return bind_swiglu(b, i, dense, true, b->plan->n_ff, &layer->dense);
}

static ingot_status bind_all(binder *b, int32_t n_vocab, bool ignore_extra) {
    plan *p = b->plan;
    ingot_str name;
    TRY(gguf_get_str(b->gguf, "general.architecture", true, &name, b->err));
    ingot_status status = arch_find(name, &b->row, b->err);
    if (status != INGOT_OK)
        return fail_prefix(b->err, status, "%s", gguf_name(b->gguf));
    TRY(bind_shapes(b));
    TRY(bind_expert_shapes(b));
    TRY(binder_rope(b));

    const ingot_gguf_tensor *embedding = ingot_gguf_find_tensor(b->gguf, "token_embd.weight");
    uint64_t rows = embedding ? embedding->shape[1] : 0;
    if (embedding && (rows > (1u << 24) || rows < (uint64_t)n_vocab))
        return fail(b->err, INGOT_ERR_FORMAT, "%s: tensor 'token_embd.weight' has %llu rows for %d tokens",
                    gguf_name(b->gguf), (unsigned long long)rows, n_vocab);
    p->n_vocab = (int32_t)rows;
    TRY(binder_matrix(b, "token_embd.weight", true, p->n_embd, p->n_vocab, 1, &p->embedding));
    TRY(binder_vector(b, "output_norm.weight", true, p->n_embd, &p->out_norm));
    TRY(binder_matrix(b, "output.weight", false, p->n_embd, p->n_vocab, 1, &p->head.weight));
    TRY(binder_vector(b, "output.bias", false, p->n_vocab, &p->head.bias));
    if (!p->head.weight)
        p->head.weight = p->embedding;

    p->layers = mem_alloc(b->mem, (size_t)p->n_layer, sizeof *p->layers);
    if (!p->layers)
        return fail_memory(b->err, (uint64_t)p->n_layer * sizeof *p->layers, "the layers");
    for (int32_t i = 0; i < p->n_layer; i++)
        TRY(bind_layer(b, i, &p->layers[i]));
    return ignore_extra ? INGOT_OK : binder_all_claimed(b);
}

ingot_status plan_bind(const ingot_gguf *gguf, backend *device, const ingot_allocator *mem, int32_t n_vocab,
                       bool ignore_extra, plan *out, ingot_error *err) {
    *out = (plan){0};
    binder b = {.gguf = gguf, .device = device, .mem = mem, .plan = out, .err = err};
    b.claimed = mem_alloc(mem, (size_t)ingot_gguf_tensor_count(gguf), sizeof *b.claimed);
    if (!b.claimed)
        return fail_memory(err, ingot_gguf_tensor_count(gguf), "the list of claimed tensors");
    ingot_status status = bind_all(&b, n_vocab, ignore_extra);
    mem_free(mem, b.claimed);
    if (status != INGOT_OK)
        plan_free(out, device, mem);
    return status;
}

void plan_free(plan *p, backend *device, const ingot_allocator *mem) {
    for (int32_t i = 0; i < p->n_weights; i++)
        device->ops->weight_free(device, p->weights[i]);
    mem_free(mem, p->weights);
    mem_free(mem, p->layers);
    mem_free(mem, p->rope.freqs);
    mem_free(mem, p->rope.freqs_long);
    *p = (plan){0};
}
