// A plan: what the forward pass needs to know of a model, with nothing left to decide. bind.c makes it from a
// row of archs.def, metadata and tensors; forward.c and the blocks follow it.
#ifndef INGOT_MODEL_PLAN_H
#define INGOT_MODEL_PLAN_H

#include "backend/backend.h"

// A weight and its bias (NULL where the file has none).
typedef struct linear {
    backend_weight *weight;
    backend_weight *bias;
    int32_t number; // of the weight, by which adapters know it
} linear;

typedef enum ffn_kind {
    FFN_DENSE,
    FFN_EXPERTS, // mixture of experts, with a shared one if `shared.up` is there
} ffn_kind;

// down(act(gate(x)) * up(x)), or down(act(up(x))) where there is no gate.
typedef struct ffn_weights {
    linear gate, up, down;
} ffn_weights;

typedef struct experts_weights {
    linear router;         // [n_embd -> n_expert]
    linear gate, up, down; // n_expert matrices each, and a bias for each
    ffn_weights shared;
    linear shared_gate; // [n_embd -> 1], without a weight: the shared expert counts in full
} experts_weights;

// Norms around a block: of what it reads, of what it gives, and of the stream once that was added.
typedef struct block_norms {
    backend_norm before, after, sum;
} block_norms;

typedef struct plan_layer {
    block_norms attn_norms, ffn_norms;
    linear q, k, v, o;
    backend_norm q_norm, k_norm; // before the rotation
    backend_norm qk_unit;        // of both, after it
    int32_t rope;                // index of plan.ropes, -1: no rotation
    attend_args attend;
    ffn_kind ffn;
    ffn_weights dense;
    experts_weights experts;
} plan_layer;

// Rotary embedding: the angle of pair i at a position is position * freqs[i].
typedef struct plan_rope {
    int32_t n_freqs;
    float *freqs;      // [n_freqs]
    float *freqs_long; // [n_freqs] for contexts over `long_from` (longrope), or NULL
    int32_t long_from;
    float magnitude; // cos and sin are multiplied by it
} plan_rope;

enum { PLAN_ROPES = 2 };

// Where a weight was found: rows [first, first + rows) of a tensor, or the whole of it.
typedef struct plan_source {
    const ingot_gguf_tensor *tensor;
    int64_t first, rows;
    bool linear; // it belongs to a linear map
} plan_source;

typedef struct plan {
    int32_t n_layer, n_ctx_train, n_embd, n_vocab;
    int32_t n_head, n_head_kv, k_dim, v_dim;
    int32_t n_ff; // of dense layers; 0: there are none
    int32_t n_expert, n_expert_used, n_ff_expert, n_ff_shared;
    router_kind router;
    float router_scale;
    bool weigh_input; // an expert's share multiplies what it reads, not what it gives
    activation activation;
    bool parallel; // attention and feed-forward block read the same stream
    bool causal;
    float embedding_scale, residual_scale;
    float qkv_limit; // 0: none
    rope_kind rope_kind;
    plan_rope ropes[PLAN_ROPES]; // the second one, if it has freqs, for layers with a window
    backend_weight *embedding;
    backend_weight *positions;   // [n_ctx_train] learned, or NULL
    backend_weight *token_types; // row 0 is added to every token, or NULL
    backend_norm embedding_norm;
    backend_norm out_norm;
    linear head; // its weight may be `embedding`; NULL: the model gives no logits
    float logit_scale;
    float logit_cap; // 0: none
    ingot_pooling pooling;
    linear classifier;        // [n_embd -> n_embd] with tanh, or none
    linear scores;            // [n_embd -> n_label], or none
    int32_t n_label;          // 0: no classifier
    plan_layer *layers;       // [n_layer]
    backend_weight **weights; // all handles, to be freed
    plan_source *sources;     // of each
    int32_t n_weights;        // a head that is the embedding has this number: it may be adapted apart
    uint64_t n_params;
    uint64_t weight_bytes;
} plan;

// Makes a plan for `gguf` with its weights on `device`. `ignore_extra` accepts tensors that nothing claims.
// `n_vocab`: tokens of the vocabulary, 0 if there is none. On failure `out` is left empty.
ingot_status plan_bind(const ingot_gguf *gguf, backend *device, const ingot_allocator *mem, int32_t n_vocab,
                       bool ignore_extra, plan *out, ingot_error *err);
void plan_free(plan *p, backend *device, const ingot_allocator *mem);

#endif
