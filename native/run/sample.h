// Choosing a token from logits (with their bias): the samplers of samplers.def in the order that is asked
// for, then a draw.
#ifndef INGOT_RUN_SAMPLE_H
#define INGOT_RUN_SAMPLE_H

#include "run/candidates.h"
#include "text/vocab.h"

enum { SAMPLE_STAGES_MAX = 32, DRY_BREAKERS_MAX = 64, DRY_BREAKER_BYTES = 64 };

// The values of samplers.def's parameters.
typedef struct sample_params {
#define PARAM(name, value, min, max, integer, doc) double name;
#define STAGE(name, usual, doc)
#include "run/samplers.def"
#undef PARAM
#undef STAGE
} sample_params;

// A checked copy of an ingot_sampling.
typedef struct sample_settings {
    sample_params params;
    uint8_t stages[SAMPLE_STAGES_MAX]; // [n_stages]
    int32_t n_stages;
    bool greedy; // takes the likeliest of what is left
    char (*breakers)[DRY_BREAKER_BYTES];
    uint8_t *breaker_sizes; // [n_breakers]
    size_t n_breakers;
    uint64_t seed;
    uint32_t sample;
    const ingot_allocator *mem;
} sample_settings;

// INGOT_ERR_INVALID for what can't be, which it names. `v` may be NULL: there is no vocabulary.
ingot_status sample_settings_init(sample_settings *s, const ingot_sampling *from, const vocab *v,
                                  const ingot_allocator *mem, ingot_error *err);
void sample_settings_free(sample_settings *s);

// What a sequence's choices have left for the next ones.
typedef struct sample_state {
    double mu;                         // mirostat: the most surprise
    double weighted_sum, total_weight; // adaptive: of the probabilities of chosen tokens
} sample_state;

sample_state sample_state_begin(const sample_params *p);

// What a token is chosen from.
typedef struct sample_input {
    float *logits; // [n_vocab] changed in place; -INFINITY bans, NaN does too
    int32_t n_vocab;
    const uint32_t
        *allowed[2]; // bits [words] of tokens that may come, each NULL: all may. Logits of others aren't read
    size_t words;
    const int32_t *recent; // [n_recent] the tokens so far, oldest first
    int32_t n_recent;
    uint64_t index;    // tokens chosen before
    const vocab *text; // may be NULL
} sample_input;

// The memory that choosing takes; who uses it one after another may share it.
typedef struct sample_work {
    const ingot_allocator *mem;
    candidates list;
    int32_t *counts; // [n_vocab] zero between calls
    int32_t *window; // scratch of DRY and of infill
    size_t window_capacity;
    char *text;
    size_t text_capacity;
} sample_work;

ingot_status sample_init(sample_work *s, const struct kernels *k, int32_t n_vocab, const ingot_allocator *mem,
                         ingot_error *err);
void sample_free(sample_work *s);

// Leaves in s->list what would be drawn from, weighed. INGOT_ERR_INVALID if every token is banned,
// INGOT_ERR_FORMAT if there are but NaNs.
ingot_status sample_prepare(sample_work *s, const sample_settings *set, const sample_state *state,
                            const sample_input *in, ingot_error *err);

// Draws the token at *index of s->list, and goes on in `state`.
void sample_draw(sample_work *s, const sample_settings *set, sample_state *state, uint64_t number,
                 int32_t *index);

// Both; quicker where the likeliest token is all that is wanted. Nothing is left in s->list then.
ingot_status sample_choose(sample_work *s, const sample_settings *set, sample_state *state,
                           const sample_input *in, int32_t *token, ingot_error *err);

#endif
