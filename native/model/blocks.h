// The blocks of a layer and the buffers that they work in.
#ifndef INGOT_MODEL_BLOCKS_H
#define INGOT_MODEL_BLOCKS_H

#include "model/forward.h"

// Rows of logits computed at a time.
enum { FORWARD_TILE = 8 };

struct forward {
    const plan *plan;
    backend *device;
    const ingot_allocator *mem;
    const float *freqs; // of rope, for this context
    // Each is [max_tokens][width] unless noted.
    backend_buffer *x;      // the residual stream [n_embd]
    backend_buffer *normed; // [n_embd]
    backend_buffer *block;  // what a block adds to the stream [n_embd]
    backend_buffer *rope;   // cos and sin [2 * n_freqs]
    backend_buffer *q, *k, *v, *heads;
    backend_buffer *gate, *up; // [n_ff]
    backend_buffer *router;    // [n_expert]
    backend_routing *routing;
    backend_buffer *expert_gate, *expert_up;         // [max_tokens * n_expert_used][n_ff_expert]
    backend_buffer *expert_out;                      // [max_tokens * n_expert_used][n_embd]
    backend_buffer *shared_gate, *shared_up, *share; // [n_ff_shared], [1]
    backend_buffer *rows, *logits;                   // [FORWARD_TILE][n_embd], [FORWARD_TILE][n_vocab]
    float *host_logits;                              // [FORWARD_TILE][n_vocab]
};

// Each reads f->normed and leaves its result in f->block.
void attention_block(forward *f, int32_t layer, const backend_batch *tokens, backend_kv *kv);
void swiglu_block(forward *f, const swiglu_weights *w, backend_buffer *gate, backend_buffer *up,
                  int64_t n_tokens);
void experts_block(forward *f, const experts_weights *w, int64_t n_tokens);

#endif
