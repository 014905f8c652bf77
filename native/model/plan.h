// A plan: what the forward pass needs to know of a model, with nothing left to decide. bind.c makes it from a
// row of archs.def, metadata and tensors; forward.c and the blocks follow it.
#ifndef INGOT_MODEL_PLAN_H
#define INGOT_MODEL_PLAN_H

#include "backend/backend.h"

// A weight and its bias (NULL where the file has none).
typedef struct linear {
    backend_weight *weight;
    backend_weight *bias;
} linear;

typedef enum ffn_kind {
    FFN_SWIGLU,
    FFN_EXPERTS, // mixture of SwiGLU experts, with a shared one if `shared.up` is there
} ffn_kind;

typedef struct swiglu_weights {
    linear gate, up, down;
} swiglu_weights;

typedef struct experts_weights {
    backend_weight *router;           // [n_embd -> n_expert]
    backend_weight *gate, *up, *down; // n_expert matrices each
    swiglu_weights shared;
    backend_weight *shared_gate; // [n_embd -> 1], NULL: the shared expert counts in full
} experts_weights;

typedef struct plan_layer {
    backend_weight *attn_norm;
    linear q, k, v, o;
    backend_weight *q_norm, *k_norm; // per head, NULL: none
    backend_weight *ffn_norm;
    ffn_kind ffn;
    swiglu_weights dense;
    experts_weights experts;
} plan_layer;

// Rotary embedding: the angle of pair i at a position is position * freqs[i].
typedef struct plan_rope {
    rope_kind kind;
    int32_t n_freqs;
    float *freqs;      // [n_freqs]
    float *freqs_long; // [n_freqs] for contexts over `long_from` (longrope), or NULL
    int32_t long_from;
    float magnitude; // cos and sin are multiplied by it
} plan_rope;

typedef struct plan {
    int32_t n_layer, n_ctx_train, n_embd, n_vocab;
    int32_t n_head, n_head_kv, k_dim, v_dim;
    int32_t n_ff; // of dense layers and, if 0, none
    int32_t n_expert, n_expert_used, n_ff_expert, n_ff_shared;
    router_kind router;
    float router_scale;
    float norm_eps;
    float attn_scale;
    plan_rope rope;
    backend_weight *embedding;
    backend_weight *out_norm;
    linear head;              // its weight may be `embedding`
    plan_layer *layers;       // [n_layer]
    backend_weight **weights; // all handles, to be freed
    int32_t n_weights;
    uint64_t n_params;
    uint64_t weight_bytes;
} plan;

// Makes a plan for `gguf` with its weights on `device`. `ignore_extra` accepts tensors that nothing claims.
// `n_vocab`: tokens of the vocabulary, 0 if there is none. On failure `out` is left empty.
ingot_status plan_bind(const ingot_gguf *gguf, backend *device, const ingot_allocator *mem, int32_t n_vocab,
                       bool ignore_extra, plan *out, ingot_error *err);
void plan_free(plan *p, backend *device, const ingot_allocator *mem);

#endif
