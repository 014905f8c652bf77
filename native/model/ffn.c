// The feed-forward block: down(act(gate(x)) * up(x)), or without a gate down(act(up(x))).
#include "model/blocks.h"

void ffn_block(forward *f, const ffn_weights *w, const backend_buffer *in, backend_buffer *gate,
               backend_buffer *up, int64_t n_tokens) {
    const backend_ops *ops = f->device->ops;
    const bool gated = w->gate.weight != NULL;
    backend_product products[2] = {{w->up.weight, w->up.bias, up}, {w->gate.weight, w->gate.bias, gate}};
    backend_buffer *inner = gated ? gate : up;
    ops->multiply(f->device, in, n_tokens, products, gated ? 2 : 1);
    ops->activate(f->device, f->plan->activation, inner, gated ? up : NULL, n_tokens);
    ops->multiply(f->device, inner, n_tokens, &(backend_product){w->down.weight, w->down.bias, f->block}, 1);
}
