#include "model/blocks.h"

// The layers together: which kinds of feed-forward blocks there are.
typedef struct kinds {
    bool dense, experts, shared;
} kinds;

static kinds kinds_of(const plan *p) {
    kinds all = {0};
    for (int32_t i = 0; i < p->n_layer; i++) {
        all.dense = all.dense || p->layers[i].ffn == FFN_DENSE;
        all.experts = all.experts || p->layers[i].ffn == FFN_EXPERTS;
        all.shared = all.shared || p->layers[i].experts.shared.up.weight;
    }
    return all;
}

// Makes every buffer that the plan needs.
static ingot_status make_buffers(forward *f, int64_t n, ingot_error *err) {
    const plan *p = f->plan;
    const int64_t chosen = n * p->n_expert_used;
    const kinds has = kinds_of(p);
    const struct {
        backend_buffer **buffer;
        int64_t width, tokens;
    } all[] = {
        {&f->x, p->n_embd, n},
        {&f->normed, p->n_embd, n},
        {&f->block, p->n_embd, n},
        {&f->rope[0], 2 * (int64_t)p->ropes[0].n_freqs, n},
        {&f->rope[1], 2 * (int64_t)p->ropes[1].n_freqs, n},
        {&f->q, (int64_t)p->n_head * p->k_dim, n},
        {&f->k, (int64_t)p->n_head_kv * p->k_dim, n},
        {&f->v, (int64_t)p->n_head_kv * p->v_dim, n},
        {&f->heads, (int64_t)p->n_head * p->v_dim, n},
        {&f->gate, has.dense ? p->n_ff : 0, n},
        {&f->up, has.dense ? p->n_ff : 0, n},
        {&f->router, has.experts ? p->n_expert : 0, n},
        {&f->expert_gate, has.experts ? p->n_ff_expert : 0, chosen},
        {&f->expert_up, has.experts ? p->n_ff_expert : 0, chosen},
        {&f->expert_out, has.experts ? p->n_embd : 0, chosen},
        {&f->shared_gate, has.shared ? p->n_ff_shared : 0, n},
        {&f->shared_up, has.shared ? p->n_ff_shared : 0, n},
        {&f->share, has.shared ? 1 : 0, n},
        {&f->rows, p->n_embd, FORWARD_TILE},
        {&f->dense, p->classifier.weight ? p->n_embd : 0, FORWARD_TILE},
        {&f->logits, p->head.weight ? p->n_vocab : 0, FORWARD_TILE},
        {&f->few, p->head.weight ? FORWARD_FEW : 0, FORWARD_TILE},
        {&f->scores, p->n_label, FORWARD_TILE},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].width > 0)
            TRY(f->device->ops->buffer_new(f->device, all[i].width, all[i].tokens, all[i].buffer, err));
    if (has.experts)
        TRY(f->device->ops->routing_new(f->device, p->n_expert, p->n_expert_used, n, &f->routing, err));
    int32_t widest = p->n_vocab > p->n_embd ? p->n_vocab : p->n_embd;
    widest = widest > p->n_label ? widest : p->n_label;
    widest = widest > FORWARD_FEW ? widest : FORWARD_FEW;
    f->host = mem_resize(f->mem, NULL, (size_t)widest * FORWARD_TILE, sizeof(float)); // touched when used
    return f->host ? INGOT_OK : fail_memory(err, (uint64_t)widest * FORWARD_TILE * sizeof(float), "results");
}

ingot_status forward_new(const plan *p, backend *device, const ingot_allocator *mem,
                         const forward_params *params, forward **out, ingot_error *err) {
    forward *f = mem_alloc(mem, 1, sizeof *f);
    if (!f)
        return fail_memory(err, sizeof *f, "activations");
    f->plan = p;
    f->device = device;
    f->mem = mem;
    f->k_rotation = params->k_rotation;
    for (int32_t i = 0; i < PLAN_ROPES; i++)
        f->freqs[i] = p->ropes[i].freqs_long && params->n_ctx > p->ropes[i].long_from ? p->ropes[i].freqs_long
                                                                                      : p->ropes[i].freqs;
    ingot_status status = make_buffers(f, params->max_tokens, err);
    if (status != INGOT_OK) {
        forward_free(f);
        return status;
    }
    *out = f;
    return INGOT_OK;
}

void forward_free(forward *f) {
    if (!f)
        return;
    backend_buffer *const all[] = {f->x,           f->normed,    f->block,       f->rope[0],   f->rope[1],
                                   f->q,           f->k,         f->v,           f->heads,     f->gate,
                                   f->up,          f->router,    f->expert_gate, f->expert_up, f->expert_out,
                                   f->shared_gate, f->shared_up, f->share,       f->rows,      f->dense,
                                   f->logits,      f->few,       f->scores};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        f->device->ops->buffer_free(f->device, all[i]);
    f->device->ops->routing_free(f->device, f->routing);
    adapt_free(&f->adapt, f->device, f->mem);
    mem_free(f->mem, f->host);
    mem_free(f->mem, f);
}

void project(forward *f, const backend_buffer *in, int64_t n_tokens, const projection *maps, int32_t n) {
    backend_product products[3] = {{0}};
    for (int32_t i = 0; i < n; i++)
        products[i] = (backend_product){maps[i].map->weight, maps[i].map->bias, maps[i].out};
    f->device->ops->multiply(f->device, in, n_tokens, products, n);
    for (int32_t i = 0; i < n; i++)
        adapt_add(&f->adapt, maps[i].map->number, maps[i].out);
    adapt_run(&f->adapt, f->device, in);
}

static ingot_status check_cancel(const atomic_bool *cancel, ingot_error *err) {
    return atomic_load_explicit(cancel, memory_order_relaxed) ? fail(err, INGOT_ERR_CANCELLED, "cancelled")
                                                              : INGOT_OK;
}

// The input of a block: the stream, or its norm.
static const backend_buffer *input(forward *f, const backend_norm *norm, int64_t n) {
    if (norm->group == 0)
        return f->x;
    f->device->ops->norm(f->device, f->x, norm, n, f->normed);
    return f->normed;
}

// Adds a block's result to the stream.
static void output(forward *f, const block_norms *norms, int64_t n) {
    const backend_ops *ops = f->device->ops;
    if (norms->after.group > 0)
        ops->norm(f->device, f->block, &norms->after, n, f->block);
    ops->add(f->device, f->block, f->plan->residual_scale, n, f->x);
    if (norms->sum.group > 0)
        ops->norm(f->device, f->x, &norms->sum, n, f->x);
}

static ingot_status run_layer(forward *f, const plan_layer *l, const backend_batch *tokens, backend_kv *kv,
                              const atomic_bool *cancel, ingot_error *err) {
    const int64_t n = tokens->n_tokens;
    const bool parallel = f->plan->parallel;
    TRY(check_cancel(cancel, err));
    const backend_buffer *in = input(f, &l->attn_norms.before, n);
    attention_block(f, l, in, tokens, kv);
    // In parallel, what the second block reads is fixed before the first one's result changes the stream.
    if (parallel && l->ffn_norms.before.group > 0)
        in = input(f, &l->ffn_norms.before, n);
    output(f, &l->attn_norms, n);
    TRY(check_cancel(cancel, err));
    if (!parallel)
        in = input(f, &l->ffn_norms.before, n);
    switch (l->ffn) {
    case FFN_DENSE:
        ffn_block(f, &l->dense, in, f->gate, f->up, n);
        break;
    case FFN_EXPERTS:
        experts_block(f, &l->experts, in, n);
        break;
    }
    output(f, &l->ffn_norms, n);
    return INGOT_OK;
}

static void run_embedding(forward *f, const backend_batch *tokens) {
    const backend_ops *ops = f->device->ops;
    const plan *p = f->plan;
    const int64_t n = tokens->n_tokens;
    ops->embed(f->device, p->embedding, tokens->tokens, n, f->x);
    adapt_embedding(&f->adapt, f->device, tokens->tokens, f->x);
    if (p->embedding_scale != 1.0f)
        ops->scale(f->device, f->x, p->embedding_scale, n);
    if (p->positions) {
        ops->embed(f->device, p->positions, tokens->positions, n, f->block);
        ops->add(f->device, f->block, 1.0f, n, f->x);
    }
    if (p->token_types) {
        ops->embed(f->device, p->token_types, NULL, n, f->block);
        ops->add(f->device, f->block, 1.0f, n, f->x);
    }
    if (p->embedding_norm.group > 0)
        ops->norm(f->device, f->x, &p->embedding_norm, n, f->x);
    for (int32_t i = 0; i < PLAN_ROPES; i++)
        if (f->freqs[i])
            ops->rope_table(f->device, f->freqs[i], p->ropes[i].n_freqs, p->ropes[i].magnitude, tokens,
                            f->rope[i]);
}

// The classifier of cross-encoders: Devlin et al. 2018 (BERT), the pooler and a linear layer.
static backend_buffer *run_scores(forward *f, int64_t n) {
    const backend_ops *ops = f->device->ops;
    const plan *p = f->plan;
    backend_buffer *in = f->rows;
    if (p->classifier.weight) {
        project(f, in, n, &(projection){&p->classifier, f->dense}, 1);
        ops->activate(f->device, ACTIVATION_TANH, f->dense, NULL, n);
        in = f->dense;
    }
    project(f, in, n, &(projection){&p->scores, f->scores}, 1);
    return f->scores;
}

// The tokens whose logits are wanted of a row; NULL: all.
typedef struct row_tokens {
    const int32_t *tokens;
    int32_t n;
} row_tokens;

// The logits of a tile's rows, or, with `few`, those that were chosen of each.
static backend_buffer *run_logits(forward *f, int64_t n, const row_tokens *few) {
    const backend_ops *ops = f->device->ops;
    const plan *p = f->plan;
    backend_buffer *out = few ? f->few : f->logits;
    const backend_product head = {p->head.weight, p->head.bias, out};
    if (few)
        for (int64_t i = 0; i < n; i++)
            ops->multiply_rows(f->device, f->rows, i, &head, few[i].tokens, few[i].n);
    else
        project(f, f->rows, n, &(projection){&p->head, out}, 1);
    if (p->logit_scale != 1.0f)
        ops->scale(f->device, out, p->logit_scale, n);
    if (p->logit_cap > 0.0f)
        ops->soft_cap(f->device, out, p->logit_cap, n);
    return out;
}

// Asks which logits are wanted of a tile's rows; whether few are of every one.
static bool choose_tokens(const forward_rows *wanted, int32_t first, int32_t n, row_tokens *chosen) {
    bool few = true;
    for (int32_t i = 0; i < n; i++) {
        chosen[i] = (row_tokens){NULL, 0};
        if (wanted->choose)
            chosen[i].tokens = wanted->choose(wanted->user, first + i, &chosen[i].n);
        few = few && chosen[i].tokens;
    }
    return few;
}

static ingot_status run_tile(forward *f, const forward_rows *wanted, int32_t first, int32_t n,
                             ingot_error *err) {
    const backend_ops *ops = f->device->ops;
    const plan *p = f->plan;
    const bool logits = wanted->result == FORWARD_LOGITS, scores = wanted->result == FORWARD_SCORES;
    row_tokens chosen[FORWARD_TILE];
    ops->gather(f->device, f->x, wanted->rows + first, n, f->rows);
    if (p->out_norm.group > 0)
        ops->norm(f->device, f->rows, &p->out_norm, n, f->rows);
    adapt_tile(&f->adapt, wanted->rows + first, n);
    const bool few = choose_tokens(wanted, first, n, chosen) && !adapt_changes(&f->adapt, p->head.number);
    const backend_buffer *result = logits   ? run_logits(f, n, few ? chosen : NULL)
                                   : scores ? run_scores(f, n)
                                            : f->rows;
    const int32_t width = logits && few ? FORWARD_FEW : logits ? p->n_vocab : scores ? p->n_label : p->n_embd;
    TRY(ops->read(f->device, result, 0, n, f->host, err));
    for (int32_t i = 0; i < n; i++) {
        float *row = f->host + (int64_t)i * width;
        for (int32_t k = 0; !few && chosen[i].tokens && k < chosen[i].n; k++)
            row[k] = row[chosen[i].tokens[k]];
        wanted->sink(wanted->user, first + i, row);
    }
    return INGOT_OK;
}

static ingot_status run_rows(forward *f, const forward_rows *wanted, const atomic_bool *cancel,
                             ingot_error *err) {
    for (int32_t first = 0; first < wanted->n_rows; first += FORWARD_TILE) {
        TRY(check_cancel(cancel, err));
        TRY(run_tile(f, wanted, first,
                     wanted->n_rows - first < FORWARD_TILE ? wanted->n_rows - first : FORWARD_TILE, err));
    }
    return INGOT_OK;
}

ingot_status forward_run(forward *f, const backend_batch *tokens, backend_kv *kv, const forward_rows *wanted,
                         const adapter_list *adapters, const atomic_bool *cancel, ingot_error *err) {
    TRY(adapt_batch(&f->adapt, f->device, f->mem, tokens, adapters, err));
    run_embedding(f, tokens);
    for (int32_t i = 0; i < f->plan->n_layer; i++)
        TRY(run_layer(f, &f->plan->layers[i], tokens, kv, cancel, err));
    TRY(run_rows(f, wanted, cancel, err));
    TRY(f->device->ops->sync(f->device, err));
    return adapt_check(&f->adapt, err);
}
