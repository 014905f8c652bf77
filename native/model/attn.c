// Self-attention with grouped heads, optional norms per head, and rotary positions.
#include "model/blocks.h"

void attention_block(forward *f, int32_t layer, const backend_batch *tokens, backend_kv *kv) {
    const backend_ops *ops = f->device->ops;
    const plan *p = f->plan;
    const plan_layer *l = &p->layers[layer];
    backend_product qkv[3] = {
        {l->q.weight, l->q.bias, f->q},
        {l->k.weight, l->k.bias, f->k},
        {l->v.weight, l->v.bias, f->v},
    };
    ops->multiply(f->device, f->normed, tokens->n_tokens, qkv, 3);
    if (l->q_norm) {
        ops->rms_norm(f->device, f->q, l->q_norm, p->norm_eps, p->k_dim, tokens->n_tokens, f->q);
        ops->rms_norm(f->device, f->k, l->k_norm, p->norm_eps, p->k_dim, tokens->n_tokens, f->k);
    }
    ops->rope(f->device, f->q, f->rope, p->rope.kind, p->n_head, tokens);
    ops->rope(f->device, f->k, f->rope, p->rope.kind, p->n_head_kv, tokens);
    ops->kv_store(f->device, kv, layer, p->n_head_kv, f->k, f->v, tokens);
    attend_args args = {layer, p->n_head, p->n_head_kv, p->attn_scale};
    ops->attend(f->device, kv, &args, f->q, tokens, f->heads);
    ops->multiply(f->device, f->heads, tokens->n_tokens, &(backend_product){l->o.weight, l->o.bias, f->block},
                  1);
}
