// Self-attention with grouped heads, optional norms of heads, and rotary positions.
#include "model/blocks.h"

static void clamp(forward *f, int64_t n_tokens) {
    const backend_ops *ops = f->device->ops;
    const float limit = f->plan->qkv_limit;
    ops->clamp(f->device, f->q, limit, n_tokens);
    ops->clamp(f->device, f->k, limit, n_tokens);
    ops->clamp(f->device, f->v, limit, n_tokens);
}

static void norm_heads(forward *f, const plan_layer *l, int64_t n_tokens) {
    const backend_ops *ops = f->device->ops;
    if (l->q_norm.group > 0)
        ops->norm(f->device, f->q, &l->q_norm, n_tokens, f->q);
    if (l->k_norm.group > 0)
        ops->norm(f->device, f->k, &l->k_norm, n_tokens, f->k);
}

void attention_block(forward *f, const plan_layer *l, const backend_buffer *in, const backend_batch *tokens,
                     backend_kv *kv) {
    const backend_ops *ops = f->device->ops;
    const plan *p = f->plan;
    const int64_t n = tokens->n_tokens;
    project(f, in, n, (projection[]){{&l->q, f->q}, {&l->k, f->k}, {&l->v, f->v}}, 3);
    if (p->qkv_limit > 0.0f)
        clamp(f, n);
    norm_heads(f, l, n);
    if (l->rope >= 0) {
        ops->rope(f->device, f->q, f->rope[l->rope], p->rope_kind, p->n_head, tokens);
        ops->rope(f->device, f->k, f->rope[l->rope], p->rope_kind, p->n_head_kv, tokens);
    }
    if (l->qk_unit.group > 0) {
        ops->norm(f->device, f->q, &l->qk_unit, n, f->q);
        ops->norm(f->device, f->k, &l->qk_unit, n, f->k);
    }
    if (f->k_rotation > 0) {
        ops->rotate(f->device, f->q, f->k_rotation, n);
        ops->rotate(f->device, f->k, f->k_rotation, n);
    }
    ops->kv_store(f->device, kv, l->attend.layer, p->n_head_kv, f->k, f->v, tokens);
    ops->attend(f->device, kv, &l->attend, f->q, tokens, f->heads);
    project(f, f->heads, n, &(projection){&l->o, f->block}, 1);
}
