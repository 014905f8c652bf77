// The blocks of a layer and the buffers that they work in.
#ifndef INGOT_MODEL_BLOCKS_H
#define INGOT_MODEL_BLOCKS_H

#include "model/adapt.h"

struct forward {
    const plan *plan;
    backend *device;
    const ingot_allocator *mem;
    const float *freqs[PLAN_ROPES]; // of rope, for this context
    int32_t k_rotation;             // as in forward_params
    // Each is [max_tokens][width] unless noted.
    backend_buffer *x;                // the residual stream [n_embd]
    backend_buffer *normed;           // [n_embd]
    backend_buffer *block;            // what a block adds to the stream [n_embd]
    backend_buffer *rope[PLAN_ROPES]; // cos and sin [2 * n_freqs]
    backend_buffer *q, *k, *v, *heads;
    backend_buffer *gate, *up; // [n_ff]
    backend_buffer *router;    // [n_expert]
    backend_routing *routing;
    backend_buffer *expert_gate, *expert_up;         // [max_tokens * n_expert_used][n_ff_expert]
    backend_buffer *expert_out;                      // [max_tokens * n_expert_used][n_embd]
    backend_buffer *shared_gate, *shared_up, *share; // [n_ff_shared], [1]
    backend_buffer *rows, *dense;                    // [FORWARD_TILE][n_embd]
    backend_buffer *logits, *few, *scores;           // [FORWARD_TILE][n_vocab], [FORWARD_FEW], [n_label]
    float *host;                                     // [FORWARD_TILE] rows of what a sink takes
    adapt adapt;                                     // which tokens have adapters
};

// out = map(in)
typedef struct projection {
    const linear *map;
    backend_buffer *out;
} projection;

// Of `n` maps that share an input, 3 at most, with what adapters add.
void project(forward *f, const backend_buffer *in, int64_t n_tokens, const projection *maps, int32_t n);

// Each reads `in`, of `n_tokens` tokens, and leaves its result in f->block.
void attention_block(forward *f, const plan_layer *layer, const backend_buffer *in,
                     const backend_batch *tokens, backend_kv *kv);
void ffn_block(forward *f, const ffn_weights *w, const backend_buffer *in, backend_buffer *gate,
               backend_buffer *up, int64_t n_tokens);
void experts_block(forward *f, const experts_weights *w, const backend_buffer *in, int64_t n_tokens);

#endif
