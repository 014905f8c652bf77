#include "model/blocks.h"

// Makes every buffer that the plan needs.
static ingot_status make_buffers(forward *f, int64_t n, ingot_error *err) {
    const plan *p = f->plan;
    const int64_t chosen = n * p->n_expert_used;
    bool shared = false;
    for (int32_t i = 0; i < p->n_layer; i++)
        shared = shared || p->layers[i].experts.shared.up.weight;
    const struct {
        backend_buffer **buffer;
        int64_t width, tokens;
    } all[] = {
        {&f->x, p->n_embd, n},
        {&f->normed, p->n_embd, n},
        {&f->block, p->n_embd, n},
        {&f->rope, 2 * (int64_t)p->rope.n_freqs, n},
        {&f->q, (int64_t)p->n_head * p->k_dim, n},
        {&f->k, (int64_t)p->n_head_kv * p->k_dim, n},
        {&f->v, (int64_t)p->n_head_kv * p->v_dim, n},
        {&f->heads, (int64_t)p->n_head * p->v_dim, n},
        {&f->gate, p->n_expert > 0 ? 0 : p->n_ff, n},
        {&f->up, p->n_expert > 0 ? 0 : p->n_ff, n},
        {&f->router, p->n_expert, n},
        {&f->expert_gate, p->n_ff_expert, chosen},
        {&f->expert_up, p->n_ff_expert, chosen},
        {&f->expert_out, p->n_expert > 0 ? p->n_embd : 0, chosen},
        {&f->shared_gate, shared ? p->n_ff_shared : 0, n},
        {&f->shared_up, shared ? p->n_ff_shared : 0, n},
        {&f->share, shared ? 1 : 0, n},
        {&f->rows, p->n_embd, FORWARD_TILE},
        {&f->logits, p->n_vocab, FORWARD_TILE},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].width > 0)
            TRY(f->device->ops->buffer_new(f->device, all[i].width, all[i].tokens, all[i].buffer, err));
    if (p->n_expert > 0)
        TRY(f->device->ops->routing_new(f->device, p->n_expert, p->n_expert_used, n, &f->routing, err));
    f->host_logits = mem_alloc(f->mem, (size_t)p->n_vocab * FORWARD_TILE, sizeof(float));
    return f->host_logits ? INGOT_OK : fail_memory(err, (uint64_t)p->n_vocab * FORWARD_TILE * 4, "logits");
}

ingot_status forward_new(const plan *p, backend *device, const ingot_allocator *mem, int32_t max_tokens,
                         int32_t n_ctx, forward **out, ingot_error *err) {
    forward *f = mem_alloc(mem, 1, sizeof *f);
    if (!f)
        return fail_memory(err, sizeof *f, "activations");
    f->plan = p;
    f->device = device;
    f->mem = mem;
    f->freqs = p->rope.freqs_long && n_ctx > p->rope.long_from ? p->rope.freqs_long : p->rope.freqs;
    ingot_status status = make_buffers(f, max_tokens, err);
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
    backend_buffer *const all[] = {f->x,         f->normed,      f->block,     f->rope,       f->q,
                                   f->k,         f->v,           f->heads,     f->gate,       f->up,
                                   f->router,    f->expert_gate, f->expert_up, f->expert_out, f->shared_gate,
                                   f->shared_up, f->share,       f->rows,      f->logits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        f->device->ops->buffer_free(f->device, all[i]);
    f->device->ops->routing_free(f->device, f->routing);
    mem_free(f->mem, f->host_logits);
    mem_free(f->mem, f);
}

static ingot_status check_cancel(const atomic_bool *cancel, ingot_error *err) {
    return atomic_load_explicit(cancel, memory_order_relaxed) ? fail(err, INGOT_ERR_CANCELLED, "cancelled")
                                                              : INGOT_OK;
}

static ingot_status run_layer(forward *f, int32_t i, const backend_batch *tokens, backend_kv *kv,
                              const atomic_bool *cancel, ingot_error *err) {
    const backend_ops *ops = f->device->ops;
    const plan_layer *l = &f->plan->layers[i];
    const float eps = f->plan->norm_eps;
    const int64_t n = tokens->n_tokens, n_embd = f->plan->n_embd;
    TRY(check_cancel(cancel, err));
    ops->rms_norm(f->device, f->x, l->attn_norm, eps, n_embd, n, f->normed);
    attention_block(f, i, tokens, kv);
    ops->add(f->device, f->block, n, f->x);
    TRY(check_cancel(cancel, err));
    ops->rms_norm(f->device, f->x, l->ffn_norm, eps, n_embd, n, f->normed);
    switch (l->ffn) {
    case FFN_SWIGLU:
        swiglu_block(f, &l->dense, f->gate, f->up, n);
        break;
    case FFN_EXPERTS:
        experts_block(f, &l->experts, n);
        break;
    }
    ops->add(f->device, f->block, n, f->x);
    return INGOT_OK;
}

// Logits of up to FORWARD_TILE rows at a time: never [tokens x vocabulary].
static ingot_status run_head(forward *f, const int32_t *rows, int32_t n_rows, row_sink sink, void *user,
                             const atomic_bool *cancel, ingot_error *err) {
    const backend_ops *ops = f->device->ops;
    const plan *p = f->plan;
    for (int32_t first = 0; first < n_rows; first += FORWARD_TILE) {
        int32_t n = n_rows - first < FORWARD_TILE ? n_rows - first : FORWARD_TILE;
        TRY(check_cancel(cancel, err));
        ops->gather(f->device, f->x, rows + first, n, f->rows);
        ops->rms_norm(f->device, f->rows, p->out_norm, p->norm_eps, p->n_embd, n, f->rows);
        ops->multiply(f->device, f->rows, n, &(backend_product){p->head.weight, p->head.bias, f->logits}, 1);
        TRY(ops->read(f->device, f->logits, 0, n, f->host_logits, err));
        for (int32_t i = 0; i < n; i++)
            sink(user, first + i, f->host_logits + (int64_t)i * p->n_vocab);
    }
    return INGOT_OK;
}

ingot_status forward_run(forward *f, const backend_batch *tokens, backend_kv *kv, const int32_t *rows,
                         int32_t n_rows, row_sink sink, void *user, const atomic_bool *cancel,
                         ingot_error *err) {
    const backend_ops *ops = f->device->ops;
    const plan_rope *rope = &f->plan->rope;
    ops->embed(f->device, f->plan->embedding, tokens, f->x);
    ops->rope_table(f->device, f->freqs, rope->n_freqs, rope->magnitude, tokens, f->rope);
    for (int32_t i = 0; i < f->plan->n_layer; i++)
        TRY(run_layer(f, i, tokens, kv, cancel, err));
    TRY(run_head(f, rows, n_rows, sink, user, cancel, err));
    return ops->sync(f->device, err);
}
