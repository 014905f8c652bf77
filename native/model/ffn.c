// The gated feed-forward block: down(silu(gate(x)) * up(x)).
#include "model/blocks.h"

void swiglu_block(forward *f, const swiglu_weights *w, backend_buffer *gate, backend_buffer *up,
                  int64_t n_tokens) {
    const backend_ops *ops = f->device->ops;
    backend_product in[2] = {{w->gate.weight, w->gate.bias, gate}, {w->up.weight, w->up.bias, up}};
    ops->multiply(f->device, f->normed, n_tokens, in, 2);
    ops->swiglu(f->device, gate, up, n_tokens);
    ops->multiply(f->device, gate, n_tokens, &(backend_product){w->down.weight, w->down.bias, f->block}, 1);
}
