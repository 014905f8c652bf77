// From a row of archs.def, metadata and tensors to a plan. The architecture's name ends here.
#include "model/binder.h"

#include <math.h>
#include <string.h>

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
    TRY(binder_same_u32(b, "feed_forward_length", false, 1, 1u << 24, &p->n_ff));
    int32_t n_unused = 0;
    b->n_block = p->n_layer; // lists of numbers per layer hold the unused ones too
    TRY(binder_u32(b, "nextn_predict_layers", false, 0, (uint32_t)p->n_layer - 1, &n_unused));
    p->n_layer -= n_unused;
    b->norm_eps = 1e-5f;
    return binder_positive(
        b, b->row->norm == NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
        true, &b->norm_eps);
}

// Some files name the activation, where others of the architecture were trained with another one.
static ingot_status bind_activation(binder *b) {
    static const struct {
        const char *name;
        activation kind;
    } known[] = {
        {"gelu", ACTIVATION_GELU_ERF},
        {"gelu_pytorch_tanh", ACTIVATION_GELU},
        {"silu", ACTIVATION_SILU},
        {"swish", ACTIVATION_SILU},
    };
    char key[BINDER_NAME];
    ingot_str name = {0};
    b->plan->activation = b->row->activation;
    TRY(gguf_get_str(b->gguf, binder_key(b, "hidden_activation", key), false, &name, b->err));
    if (!name.data)
        return INGOT_OK;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (name.size == strlen(known[i].name) && memcmp(name.data, known[i].name, name.size) == 0) {
            b->plan->activation = known[i].kind;
            return INGOT_OK;
        }
    return fail(b->err, INGOT_ERR_UNSUPPORTED,
                "%s: key '%s' is '%.*s', expected gelu, gelu_pytorch_tanh, silu or swish", gguf_name(b->gguf),
                key, (int)(name.size < 40 ? name.size : 40), name.data);
}

// Stable LM's files say so of models that aren't parallel: those have a second norm.
static ingot_status bind_parallel(binder *b) {
    const arch *row = b->row;
    bool parallel = row->parallel, one_norm = row->norms == NORMS_BEFORE && !binder_has(b, 0, "ffn_norm");
    TRY(binder_bool(b, "use_parallel_residual", &parallel));
    b->plan->parallel = parallel && (row->parallel || one_norm);
    return INGOT_OK;
}

// The numbers that activations, scores and logits are multiplied with or bounded by.
static ingot_status bind_scales(binder *b) {
    plan *p = b->plan;
    const arch *row = b->row;
    p->causal = !row->encoder;
    p->embedding_scale = row->scaled_embedding ? sqrtf((float)p->n_embd) : 1.0f;
    p->residual_scale = p->logit_scale = 1.0f;
    p->logit_cap = row->logit_cap;
    TRY(binder_bool(b, "attention.causal", &p->causal));
    TRY(binder_positive(b, "embedding_scale", false, &p->embedding_scale));
    TRY(binder_positive(b, "residual_scale", false, &p->residual_scale));
    TRY(binder_option(b, "attention.clamp_kqv", &p->qkv_limit));
    TRY(binder_option(b, "final_logit_softcapping", &p->logit_cap));
    if (row->logit_scale == LOGITS_AS_THEY_ARE)
        return INGOT_OK;
    TRY(binder_positive(b, "logit_scale", true, &p->logit_scale));
    if (row->logit_scale == LOGITS_OVER)
        p->logit_scale = 1.0f / p->logit_scale;
    return INGOT_OK;
}

// What is the same for attention in all layers.
static ingot_status bind_attend(binder *b, attend_args *out) {
    const plan *p = b->plan;
    float divided =
        p->n_layer == b->row->wide_scale_layers ? (float)p->n_embd / (float)p->n_head : (float)p->k_dim;
    *out = (attend_args){.n_head = p->n_head,
                         .n_head_kv = p->n_head_kv,
                         .scale = 1.0f / sqrtf(divided),
                         .soft_cap = b->row->score_cap,
                         .causal = p->causal,
                         .alibi = b->row->alibi};
    TRY(binder_positive(b, "attention.scale", false, &out->scale));
    TRY(binder_option(b, "attn_logit_softcapping", &out->soft_cap));
    return binder_option(b, "attention.max_alibi_bias", &out->alibi);
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
    p->weigh_input = p->router == ROUTER_SIGMOID;
    bool normalise = p->router == ROUTER_SOFTMAX_TOP;
    TRY(gguf_get_bool(b->gguf, binder_key(b, "expert_weights_norm", key), false, &normalise, b->err));
    if (p->router != ROUTER_SIGMOID)
        p->router = normalise ? ROUTER_SOFTMAX_TOP : ROUTER_SOFTMAX;
    p->router_scale = 1.0f;
    return binder_positive(b, "expert_weights_scale", false, &p->router_scale);
}

static ingot_status bind_embedding(binder *b, int32_t n_vocab, bool learned_positions) {
    plan *p = b->plan;
    int64_t rows = binder_rows(b, NO_LAYER, "token_embd");
    if (rows > 0 && (rows > (1 << 24) || rows < n_vocab))
        return fail(b->err, INGOT_ERR_FORMAT, "%s: tensor 'token_embd.weight' has %lld rows for %d tokens",
                    gguf_name(b->gguf), (long long)rows, n_vocab);
    p->n_vocab = (int32_t)rows;
    TRY(binder_matrix(b, NO_LAYER, "token_embd", true, p->n_embd, p->n_vocab, 1, &p->embedding));
    if (learned_positions)
        TRY(binder_matrix(b, NO_LAYER, "position_embd", true, p->n_embd, p->n_ctx_train, 1, &p->positions));
    rows = binder_rows(b, NO_LAYER, "token_types");
    TRY(binder_matrix(b, NO_LAYER, "token_types", false, p->n_embd, rows, 1, &p->token_types));
    return b->row->embedding_norm
               ? binder_norm(b, NO_LAYER, "token_embd_norm", true, p->n_embd, 1, &p->embedding_norm)
               : INGOT_OK;
}

// The key's numbers are those of ingot_pooling.
static ingot_status bind_pooling(binder *b) {
    plan *p = b->plan;
    int32_t kind = p->causal ? INGOT_POOLING_LAST : INGOT_POOLING_MEAN;
    TRY(binder_u32(b, "pooling_type", false, INGOT_POOLING_NONE, INGOT_POOLING_RANK, &kind));
    p->pooling = (ingot_pooling)kind;
    if (b->row->mean_classifier)
        return INGOT_OK;
    TRY(binder_linear(b, NO_LAYER, "cls", false, p->n_embd, p->n_embd, 1, &p->classifier));
    int64_t n_label = binder_rows(b, NO_LAYER, "cls.output");
    TRY(binder_linear(b, NO_LAYER, "cls.output", false, p->n_embd, n_label, 1, &p->scores));
    p->n_label = p->scores.weight ? (int32_t)n_label : 0;
    return INGOT_OK;
}

static ingot_status bind_output(binder *b) {
    plan *p = b->plan;
    if (b->row->norms != NORMS_SUM)
        TRY(binder_norm(b, NO_LAYER, "output_norm", true, p->n_embd, 1, &p->out_norm));
    TRY(bind_pooling(b));
    if (b->row->encoder)
        return INGOT_OK;
    TRY(binder_linear(b, NO_LAYER, "output", false, p->n_embd, p->n_vocab, 1, &p->head));
    if (!p->head.weight)
        p->head.weight = p->embedding;
    return INGOT_OK;
}

static ingot_status bind_all(binder *b, int32_t n_vocab, bool ignore_extra) {
    plan *p = b->plan;
    ingot_str name;
    TRY(gguf_get_str(b->gguf, "general.architecture", true, &name, b->err));
    ingot_status status = arch_find(name, &b->row, b->err);
    if (status != INGOT_OK)
        return fail_prefix(b->err, status, "%s", gguf_name(b->gguf));
    attend_args attend;
    TRY(bind_shapes(b));
    TRY(bind_activation(b));
    TRY(bind_parallel(b));
    TRY(bind_scales(b));
    TRY(bind_expert_shapes(b));
    TRY(binder_rope(b));
    TRY(bind_attend(b, &attend));
    TRY(bind_embedding(b, n_vocab, p->rope_kind == ROPE_NONE && attend.alibi == 0.0f));
    TRY(bind_output(b));

    p->layers = mem_alloc(b->mem, (size_t)p->n_layer, sizeof *p->layers);
    if (!p->layers)
        return fail_memory(b->err, (uint64_t)p->n_layer * sizeof *p->layers, "the layers");
    for (int32_t i = 0; i < p->n_layer; i++) {
        p->layers[i].attend = attend;
        p->layers[i].attend.layer = i;
        TRY(binder_layer(b, i, &p->layers[i]));
    }
    TRY(binder_windows(b));
    if (p->head.weight == p->embedding)
        p->head.number = p->n_weights;
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
    mem_free(mem, p->sources);
    mem_free(mem, p->layers);
    for (int32_t i = 0; i < PLAN_ROPES; i++) {
        mem_free(mem, p->ropes[i].freqs);
        mem_free(mem, p->ropes[i].freqs_long);
    }
    *p = (plan){0};
}
