// The tokens that may be chosen, and ways to keep the best of them. Nothing is sorted: what is kept is found
// by its rank (a larger key first, equal ones by token) in linear time, and candidates always stand in the
// order of their tokens, so no result depends on how it was found.
#ifndef INGOT_RUN_CANDIDATES_H
#define INGOT_RUN_CANDIDATES_H

#include "base/mem.h"

struct kernels;

typedef struct candidates {
    const ingot_allocator *mem;
    const struct kernels *k; // of the CPU
    int32_t room;
    int32_t n;
    bool whole;      // candidate i is token i, and some may be banned: -INFINITY
    int32_t *tokens; // [n] ascending, unless whole
    float *logits;   // [n], no NaN, at most FLT_MAX
    bool odd;        // some may not be finite
    float max;       // of them; -INFINITY: all are banned, or there are none
    float *weights;  // [n] candidates_weigh: exp(logit - max)
    double total;    // of the weights

    // Memory.
    float *own;        // [room] logits, unless whole
    float *keys;       // [room] for ranks
    int32_t *subset;   // [room]
    float *block_max;  // [backend_row_blocks(room)] of logits, if whole
    double *block_sum; // [backend_row_blocks(room)] of weights
    int16_t *bins;     // [room]
    int32_t *in_bin;   // [room]
    double *histogram;
} candidates;

ingot_status candidates_init(candidates *c, const struct kernels *k, int32_t room, const ingot_allocator *mem,
                             ingot_error *err);
void candidates_free(candidates *c);

// Takes all tokens of `logits` [n], which is used in place and changed. Whether there were NaNs, which are
// banned.
bool candidates_take_all(candidates *c, float *logits, int32_t n);

// The same, only to be looked at (weigh, top, count): logits are neither changed nor tamed.
void candidates_view(candidates *c, const float *logits, int32_t n);

// Takes those of tokens [n], ascending, which are copied.
bool candidates_take(candidates *c, const float *logits, const int32_t *tokens, int32_t n);

static inline int32_t candidate_token(const candidates *c, int32_t i) {
    return c->whole ? i : c->tokens[i];
}

// Finds the maxima again after logits were changed.
void candidates_changed(candidates *c);

// Subtracts `from` of all logits and divides them.
void candidates_divide(candidates *c, float from, float by);

// How many aren't banned.
int32_t candidates_count(const candidates *c);

// The index of the likeliest; the first of equals.
int32_t candidates_best(const candidates *c);

// Computes weights and their total, and how they are spread over blocks.
void candidates_weigh(candidates *c);

// The mean of logit - max, by weight.
double candidates_mean(const candidates *c);

// Finds those whose logits are at least `least`: their number, their indices, ascending, in c->subset.
int32_t candidates_above(candidates *c, double least);

// Keeps those whose logit is at least `least`, and at least `min` (>= 1) of the likeliest.
void candidates_keep_above(candidates *c, double least, int32_t min);

// Keeps the `k` (>= 1) likeliest.
void candidates_keep_count(candidates *c, int32_t k);

// Keeps the likeliest whose weights reach `share` of the total, at least `min` (>= 1).
void candidates_keep_mass(candidates *c, double share, int32_t min);

// Keeps those whose logits are closest to `center`, until their weights exceed `share` of the total, at least
// `min`.
void candidates_keep_closest(candidates *c, double center, double share, int32_t min);

// Drops the `n` of these indices, ascending.
void candidates_drop(candidates *c, const int32_t *indices, int32_t n);

// The indices of the likeliest `k` (<= their count), likeliest first. Valid until the next call.
const int32_t *candidates_top(candidates *c, int32_t k);

// The index in which the share `u` (in [0, 1)) of the total of weights lies.
int32_t candidates_draw(const candidates *c, double u);

#endif
