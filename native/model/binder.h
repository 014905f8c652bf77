// The binder's tools: metadata keys of the architecture, and tensors that are claimed once with a known
// shape.
#ifndef INGOT_MODEL_BINDER_H
#define INGOT_MODEL_BINDER_H

#include "gguf/gguf.h"
#include "model/arch.h"
#include "model/plan.h"

enum { BINDER_NAME = 128 };

typedef struct binder {
    const ingot_gguf *gguf;
    backend *device;
    const ingot_allocator *mem;
    const arch *row;
    plan *plan;
    bool *claimed; // [tensor count]
    ingot_error *err;
} binder;

// "<architecture>.<suffix>", in `buffer` of BINDER_NAME bytes.
const char *binder_key(const binder *b, const char *suffix, char *buffer);

ingot_status binder_u32(const binder *b, const char *suffix, bool required, uint32_t min, uint32_t max,
                        int32_t *out);

// A number above zero and finite.
ingot_status binder_positive(const binder *b, const char *suffix, bool required, float *out);

// A number per layer of which this version wants all to be equal.
ingot_status binder_same_u32(const binder *b, const char *suffix, bool required, uint32_t min, uint32_t max,
                             int32_t *out);

// The matrix (or `mats` of them) called `name`: `rows` rows of `width`. A missing one is an error if
// `required`, else *out is NULL.
ingot_status binder_matrix(binder *b, const char *name, bool required, int64_t width, int64_t rows,
                           int64_t mats, backend_weight **out);

// The vector called `name`, of `n` numbers.
ingot_status binder_vector(binder *b, const char *name, bool required, int64_t n, backend_weight **out);

// blk.<layer>.<part>.weight and, if it exists, its .bias.
ingot_status binder_linear(binder *b, int32_t layer, const char *part, bool required, int64_t width,
                           int64_t rows, linear *out);
ingot_status binder_layer_vector(binder *b, int32_t layer, const char *part, bool required, int64_t n,
                                 backend_weight **out);
ingot_status binder_experts(binder *b, int32_t layer, const char *part, int64_t width, int64_t rows,
                            int64_t mats, backend_weight **out);

// Numbers that the plan is made of (rope factors), the one case of values that are read here: allocates [n]
// floats with the binder's allocator. A missing tensor gives NULL.
ingot_status binder_floats(binder *b, const char *name, int64_t n, float **out);

// Whether the file has a tensor of this name, or blk.<layer>.<part>.weight.
bool binder_has(const binder *b, const char *name);
bool binder_has_layer(const binder *b, int32_t layer, const char *part);

// An error that names the first tensor that nothing claimed.
ingot_status binder_all_claimed(const binder *b);

// rope.c: the plan's rotary embedding.
ingot_status binder_rope(binder *b);

#endif
