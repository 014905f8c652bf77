// The binding of one layer. What the row and the metadata leave open, the tensors say: biases, fused
// projections, gates, norms of heads, experts.
#include "model/binder.h"

static ingot_status bind_norms(binder *b, int32_t i, bool attention, block_norms *out) {
    const norm_places places = b->row->norms;
    const int64_t n = b->plan->n_embd;
    if (places == NORMS_SUM)
        return binder_norm(b, i, attention ? "attn_output_norm" : "layer_output_norm", true, n, 1, &out->sum);
    if (places != NORMS_BEFORE)
        TRY(binder_norm(b, i, attention ? "post_attention_norm" : "post_ffw_norm", true, n, 1, &out->after));
    if (places == NORMS_AFTER)
        return INGOT_OK;
    if (attention) {
        bool normed = i == 0 && b->row->embedding_norm;
        return binder_norm(b, i, "attn_norm", !normed, n, 1, &out->before);
    }
    if (b->plan->parallel) // a missing one: the block reads what attention reads
        return binder_norm(b, i, "ffn_norm", false, n, 1, &out->before);
    bool named_after =
        places == NORMS_BEFORE && !binder_has(b, i, "ffn_norm") && binder_has(b, i, "post_attention_norm");
    return binder_norm(b, i, named_after ? "post_attention_norm" : "ffn_norm", true, n, 1, &out->before);
}

// Falcon's second norm is attention's, the first one then belongs to the feed-forward block.
static ingot_status bind_second_norm(binder *b, int32_t i, plan_layer *layer) {
    if (!b->plan->parallel || !binder_has(b, i, "attn_norm_2"))
        return INGOT_OK;
    layer->ffn_norms.before = layer->attn_norms.before;
    return binder_norm(b, i, "attn_norm_2", true, b->plan->n_embd, 1, &layer->attn_norms.before);
}

static ingot_status bind_qkv(binder *b, int32_t i, plan_layer *layer) {
    const plan *p = b->plan;
    const int64_t q = (int64_t)p->n_head * p->k_dim, k = (int64_t)p->n_head_kv * p->k_dim;
    const int64_t v = (int64_t)p->n_head_kv * p->v_dim, all = q + k + v;
    if (binder_has(b, i, "attn_qkv")) {
        TRY(binder_linear_rows(b, i, "attn_qkv", p->n_embd, all, 0, q, &layer->q));
        TRY(binder_linear_rows(b, i, "attn_qkv", p->n_embd, all, q, k, &layer->k));
        return binder_linear_rows(b, i, "attn_qkv", p->n_embd, all, q + k, v, &layer->v);
    }
    TRY(binder_linear(b, i, "attn_q", true, p->n_embd, q, 1, &layer->q));
    TRY(binder_linear(b, i, "attn_k", true, p->n_embd, k, 1, &layer->k));
    return binder_linear(b, i, "attn_v", true, p->n_embd, v, 1, &layer->v);
}

static ingot_status bind_attention(binder *b, int32_t i, plan_layer *layer) {
    const plan *p = b->plan;
    TRY(bind_norms(b, i, true, &layer->attn_norms));
    TRY(bind_qkv(b, i, layer));
    TRY(binder_linear(b, i, "attn_output", true, (int64_t)p->n_head * p->v_dim, p->n_embd, 1, &layer->o));
    bool norms = binder_has(b, i, "attn_q_norm") || binder_has(b, i, "attn_k_norm");
    TRY(binder_norm(b, i, "attn_q_norm", norms, p->k_dim, p->n_head, &layer->q_norm));
    TRY(binder_norm(b, i, "attn_k_norm", norms, p->k_dim, p->n_head_kv, &layer->k_norm));
    backend_weight *sinks;
    TRY(binder_vector(b, i, "attn_sinks", false, p->n_head, &sinks));
    layer->attend.sinks = sinks;
    return INGOT_OK;
}

// A dense block whose tensors have `suffix`. Gate and up projection may be one matrix, the gate first. Unless
// `required`, it may be missing altogether.
static ingot_status bind_dense(binder *b, int32_t i, const char *const names[3], bool required, int64_t n_ff,
                               ffn_weights *out) {
    const int64_t n_embd = b->plan->n_embd;
    for (int k = 0; k < 3; k++)
        required = required || binder_has(b, i, names[k]);
    if (!required)
        return INGOT_OK;
    if (b->row->ungated) {
        TRY(binder_linear(b, i, names[1], true, n_embd, n_ff, 1, &out->up));
    } else if (!binder_has(b, i, names[0]) && binder_rows(b, i, names[1]) == 2 * n_ff) {
        TRY(binder_linear_rows(b, i, names[1], n_embd, 2 * n_ff, 0, n_ff, &out->gate));
        TRY(binder_linear_rows(b, i, names[1], n_embd, 2 * n_ff, n_ff, n_ff, &out->up));
    } else {
        TRY(binder_linear(b, i, names[0], true, n_embd, n_ff, 1, &out->gate));
        TRY(binder_linear(b, i, names[1], true, n_embd, n_ff, 1, &out->up));
    }
    return binder_linear(b, i, names[2], true, n_ff, n_embd, 1, &out->down);
}

static ingot_status bind_experts(binder *b, int32_t i, experts_weights *out) {
    static const char *const shared[3] = {"ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"};
    const plan *p = b->plan;
    const int64_t n_embd = p->n_embd, n_ff = p->n_ff_expert, n = p->n_expert;
    TRY(binder_linear(b, i, "ffn_gate_inp", true, n_embd, n, 1, &out->router));
    TRY(binder_linear(b, i, "ffn_gate_exps", true, n_embd, n_ff, n, &out->gate));
    TRY(binder_linear(b, i, "ffn_up_exps", true, n_embd, n_ff, n, &out->up));
    TRY(binder_linear(b, i, "ffn_down_exps", true, n_ff, n_embd, n, &out->down));
    if (p->weigh_input && (out->gate.bias || out->up.bias))
        return fail(b->err, INGOT_ERR_UNSUPPORTED,
                    "%s: tensors 'blk.%d.ffn_gate_exps.bias' and 'blk.%d.ffn_up_exps.bias': experts of "
                    "architecture '%s' can't have biases there",
                    gguf_name(b->gguf), i, i, b->row->name);
    TRY(bind_dense(b, i, shared, false, p->n_ff_shared, &out->shared));
    return out->shared.up.weight
               ? binder_linear(b, i, "ffn_gate_inp_shexp", false, n_embd, 1, 1, &out->shared_gate)
               : INGOT_OK;
}

ingot_status binder_layer(binder *b, int32_t i, plan_layer *layer) {
    static const char *const dense[3] = {"ffn_gate", "ffn_up", "ffn_down"};
    const plan *p = b->plan;
    TRY(bind_attention(b, i, layer));
    TRY(bind_norms(b, i, false, &layer->ffn_norms));
    TRY(bind_second_norm(b, i, layer));
    // Some of a model's layers may be dense although it has experts.
    layer->ffn = p->n_expert > 0 && !binder_has(b, i, "ffn_up") ? FFN_EXPERTS : FFN_DENSE;
    if (layer->ffn == FFN_EXPERTS)
        return bind_experts(b, i, &layer->experts);
    if (p->n_ff == 0) {
        char key[BINDER_NAME];
        return fail(b->err, INGOT_ERR_FORMAT, "%s: key '%s' is missing", gguf_name(b->gguf),
                    binder_key(b, "feed_forward_length", key));
    }
    return bind_dense(b, i, dense, true, p->n_ff, &layer->dense);
}
