// Choosing a token from logits (with their bias): the stages of samplers.def in their order, then a draw.
#ifndef INGOT_RUN_SAMPLE_H
#define INGOT_RUN_SAMPLE_H

#include "base/mem.h"

// The values of samplers.def's parameters.
typedef struct sample_params {
#define PARAM(name, value, min, max, integer, doc) double name;
#define STAGE(name)
#include "run/samplers.def"
#undef PARAM
#undef STAGE
} sample_params;

// Fills `out` from `values` (NULL: defaults) in the order of samplers.def. INGOT_ERR_INVALID for a value
// outside its range, which it names.
ingot_status sample_params_read(const double *values, size_t n, sample_params *out, ingot_error *err);

typedef struct candidate {
    int32_t token;
    float logit;
    double p; // scratch: not normalised
} candidate;

// The memory that choosing takes; who uses it one after another may share it.
typedef struct sampler {
    const ingot_allocator *mem;
    int32_t n_vocab;
    candidate *candidates; // [n_vocab]; the first n count
    int32_t n;
    bool sorted;     // likeliest first, ties by token
    int32_t *counts; // [n_vocab] of recent tokens; zero between calls
} sampler;

ingot_status sampler_init(sampler *s, int32_t n_vocab, const ingot_allocator *mem, ingot_error *err);
void sampler_free(sampler *s);

// What a token is chosen from.
typedef struct sample_input {
    const float *logits;     // [n_vocab]; -INFINITY bans, NaN does too
    const uint32_t *allowed; // bits of the tokens that may come, logits of others aren't read; NULL: all may
    size_t words;            // of `allowed`
    const int32_t *recent;   // [n_recent] the tokens so far, oldest first
    int32_t n_recent;
} sample_input;

// Chooses a token. The draw is number `index` of `seed`. INGOT_ERR_INVALID if every token is banned,
// INGOT_ERR_FORMAT if there are but NaNs.
ingot_status sampler_choose(sampler *s, const sample_params *params, uint64_t seed, uint64_t index,
                            const sample_input *in, int32_t *token, ingot_error *err);

#endif
