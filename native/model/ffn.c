// The feed-forward block: down(act(gate(x)) * up(x)), or without a gate down(act(up(x))).
#include "model/blocks.h"

void ffn_block(forward *f, const ffn_weights *w, const backend_buffer *in, backend_buffer *gate,
               backend_buffer *up, int64_t n_tokens) {
    const backend_ops *ops = f->device->ops;
    const bool gated = w->gate.weight != NULL;
    backend_buffer *inner = gated ? gate : up;
    project(f, in, n_tokens, (projection[]){{&w->up, up}, {&w->gate, gate}}, gated ? 2 : 1);
    ops->activate(f->device, f->plan->activation, inner, gated ? up : NULL, n_tokens);
    project(f, inner, n_tokens, &(projection){&w->down, f->block}, 1);
}
