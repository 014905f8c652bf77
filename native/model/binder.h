// The binder's tools: metadata keys of the architecture, and tensors that are claimed once with a known
// shape.
#ifndef INGOT_MODEL_BINDER_H
#define INGOT_MODEL_BINDER_H

#include "gguf/gguf.h"
#include "model/arch.h"
#include "model/plan.h"

enum { BINDER_NAME = 128, NO_LAYER = -1 };

typedef struct binder {
    const ingot_gguf *gguf;
    backend *device;
    const ingot_allocator *mem;
    const arch *row;
    plan *plan;
    float norm_eps;
    int32_t n_block; // layers of the file; those past the plan's predict further tokens and aren't used
    bool *claimed;   // [tensor count]
    size_t weights_capacity, sources_capacity; // of the plan's lists
    ingot_error *err;
} binder;

// "<architecture>.<suffix>", in `buffer` of BINDER_NAME bytes.
const char *binder_key(const binder *b, const char *suffix, char *buffer);

ingot_status binder_u32(const binder *b, const char *suffix, bool required, uint32_t min, uint32_t max,
                        int32_t *out);

// A number above zero and finite.
ingot_status binder_positive(const binder *b, const char *suffix, bool required, float *out);

// The same, but 0 is allowed and means that there is none.
ingot_status binder_option(const binder *b, const char *suffix, float *out);

ingot_status binder_bool(const binder *b, const char *suffix, bool *out);

// A number per layer of which this version wants all to be equal.
ingot_status binder_same_u32(const binder *b, const char *suffix, bool required, uint32_t min, uint32_t max,
                             int32_t *out);

// Tensors are named by part: "attn_q" is blk.<layer>.attn_q.weight, or attn_q.weight with NO_LAYER. A missing
// one is an error if `required`, else a handle is NULL. What is claimed counts as used.

bool binder_has(const binder *b, int32_t layer, const char *part);

// The number of rows that the tensor has, 0 if it is missing.
int64_t binder_rows(const binder *b, int32_t layer, const char *part);

// The matrix (or `mats` of them) of `rows` rows of `width`.
ingot_status binder_matrix(binder *b, int32_t layer, const char *part, bool required, int64_t width,
                           int64_t rows, int64_t mats, backend_weight **out);

// The same, and its bias if there is one.
ingot_status binder_linear(binder *b, int32_t layer, const char *part, bool required, int64_t width,
                           int64_t rows, int64_t mats, linear *out);

// Rows [first, first + rows) of a matrix of `total` rows, and of its bias.
ingot_status binder_linear_rows(binder *b, int32_t layer, const char *part, int64_t width, int64_t total,
                                int64_t first, int64_t rows, linear *out);

// A vector of `n` numbers.
ingot_status binder_vector(binder *b, int32_t layer, const char *part, bool required, int64_t n,
                           backend_weight **out);

// A norm of the row's kind over groups of `group`, of which there are `groups`: its weights are [group] or
// [group, groups] or [group * groups], and its bias alike. A missing one leaves *out without a group.
ingot_status binder_norm(binder *b, int32_t layer, const char *part, bool required, int64_t group,
                         int64_t groups, backend_norm *out);

// Numbers that the plan is made of (rope factors), the one case of values that are read here: allocates [n]
// floats with the binder's allocator. A missing tensor gives NULL.
ingot_status binder_floats(binder *b, const char *part, int64_t n, float **out);

// An error that names the first tensor that nothing claimed.
ingot_status binder_all_claimed(const binder *b);

// rope.c: the plan's rotary embeddings.
ingot_status binder_rope(binder *b);

// layer.c: one layer.
ingot_status binder_layer(binder *b, int32_t i, plan_layer *layer);

// window.c: what each layer's attention sees, and which of them rotate.
ingot_status binder_windows(binder *b);

#endif
