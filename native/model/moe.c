// A mixture of experts: a router chooses a few gated feed-forward blocks for each token; a shared one may
// always count.
#include "model/blocks.h"

void experts_block(forward *f, const experts_weights *w, const backend_buffer *in, int64_t n_tokens) {
    const backend_ops *ops = f->device->ops;
    const plan *p = f->plan;
    // The shared expert first: its result in `block` is what the chosen ones are added to.
    if (w->shared.up.weight) {
        ffn_block(f, &w->shared, in, f->shared_gate, f->shared_up, n_tokens);
        if (w->shared_gate.weight) {
            project(f, in, n_tokens, &(projection){&w->shared_gate, f->share}, 1);
            ops->gate(f->device, f->block, f->share, n_tokens);
        }
    } else {
        ops->clear(f->device, f->block, n_tokens);
    }
    project(f, in, n_tokens, &(projection){&w->router, f->router}, 1);
    ops->route(f->device, f->router, p->router, p->router_scale, n_tokens, f->routing);
    backend_product products[2] = {{w->gate.weight, w->gate.bias, f->expert_gate},
                                   {w->up.weight, w->up.bias, f->expert_up}};
    ops->multiply_experts(f->device, in, false, f->routing, products, 2);
    if (p->weigh_input) { // the projections are linear: weighing what they give is the same
        ops->weigh_experts(f->device, f->routing, n_tokens, f->expert_gate);
        ops->weigh_experts(f->device, f->routing, n_tokens, f->expert_up);
    }
    ops->activate(f->device, p->activation, f->expert_gate, f->expert_up, n_tokens * p->n_expert_used);
    backend_product down = {w->down.weight, w->down.bias, f->expert_out};
    ops->multiply_experts(f->device, f->expert_gate, true, f->routing, &down, 1);
    ops->add_experts(f->device, f->expert_out, f->routing, !p->weigh_input, n_tokens, f->block);
}
