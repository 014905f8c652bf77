// Samplers that punish repetition.
#include <float.h>
#include <math.h>
#include <string.h>

#include "run/stages.h"

// How many of the recent tokens a window of `last_n` (-1: all) has.
static int32_t window_size(double last_n, int32_t n_recent) {
    return last_n < 0.0 || last_n > n_recent ? n_recent : (int32_t)last_n;
}

static float penalized(const sample_params *p, float logit, int32_t count) {
    const double scaled = logit > 0.0f ? logit / p->repeat_penalty : logit * p->repeat_penalty;
    const double less = scaled - (count * p->frequency_penalty + p->presence_penalty);
    return logit > -INFINITY ? (float)fmax(-(double)FLT_MAX, fmin(less, (double)FLT_MAX)) : logit;
}

// repeat_penalty: Keskar et al. 2019, "CTRL", but logits below 0 are multiplied.
ingot_status stage_penalties(sample_work *s, const sample_settings *set, const sample_input *in,
                             ingot_error *err) {
    (void)err;
    candidates *c = &s->list;
    const sample_params *p = &set->params;
    if (!penalties_active(p))
        return INGOT_OK;
    const int32_t n = window_size(p->repeat_last_n, in->n_recent);
    const int32_t *window = in->recent + in->n_recent - n;
    for (int32_t i = 0; i < n; i++)
        s->counts[window[i]]++;
    for (int32_t i = 0; i < c->n && !c->whole; i++)
        if (s->counts[c->tokens[i]] > 0)
            c->logits[i] = penalized(p, c->logits[i], s->counts[c->tokens[i]]);
    for (int32_t i = 0; i < n; i++) {
        const int32_t token = window[i];
        if (c->whole && token < c->n && s->counts[token] > 0)
            c->logits[token] = penalized(p, c->logits[token], s->counts[token]);
        s->counts[token] = 0;
    }
    candidates_changed(c);
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------------- DRY

// A token's text, as a reader sees it; grown on demand.
static ingot_status piece(sample_work *s, const vocab *v, int32_t token, size_t *size, ingot_error *err) {
    *size = vocab_piece(v, token, true, s->text, s->text_capacity);
    if (*size <= s->text_capacity)
        return INGOT_OK;
    if (!mem_reserve(s->mem, &s->text, &s->text_capacity, *size, 1))
        return fail_memory(err, *size, "a token's text");
    vocab_piece(v, token, true, s->text, s->text_capacity);
    return INGOT_OK;
}

// The text that begins a few tokens ago: its first bytes, and which token each is of, counted from the
// newest.
typedef struct tail {
    char bytes[DRY_BREAKER_BYTES];
    int32_t tokens[DRY_BREAKER_BYTES];
    size_t n;
} tail;

// The newest token of a breaker that begins in the token `text` [size] or, if several do, that reaches the
// farthest; -1 if none does. `after` is what follows.
static int32_t breaker_end(const sample_settings *set, const char *text, size_t size, int32_t token,
                           const tail *after) {
    int32_t found = -1;
    for (size_t b = 0; b < set->n_breakers; b++) {
        const char *breaker = set->breakers[b];
        const size_t length = set->breaker_sizes[b];
        for (size_t i = 0; i < size && i + length <= size + after->n; i++) {
            const size_t own = size - i < length ? size - i : length;
            if (memcmp(text + i, breaker, own) != 0 || memcmp(after->bytes, breaker + own, length - own) != 0)
                continue;
            const int32_t end = own == length ? token : after->tokens[length - own - 1];
            found = found < 0 || end < found ? end : found;
        }
    }
    return found;
}

// Puts a token's text in front.
static void prepend(tail *t, const char *text, size_t size, int32_t token) {
    const size_t own = size < sizeof t->bytes ? size : sizeof t->bytes;
    const size_t kept = t->n < sizeof t->bytes - own ? t->n : sizeof t->bytes - own;
    memmove(t->bytes + own, t->bytes, kept);
    memmove(t->tokens + own, t->tokens, kept * sizeof *t->tokens);
    memcpy(t->bytes, text, own);
    for (size_t i = 0; i < own; i++)
        t->tokens[i] = token;
    t->n = own + kept;
}

// How many of the newest of `n` tokens come behind the last breaker.
static ingot_status behind_breaker(sample_work *s, const sample_settings *set, const sample_input *in,
                                   int32_t n, int32_t *limit, ingot_error *err) {
    tail t = {.n = 0};
    *limit = n;
    for (int32_t i = 0; i < n && in->text && set->n_breakers > 0; i++) {
        size_t size;
        TRY(piece(s, in->text, in->recent[in->n_recent - 1 - i], &size, err));
        const int32_t end = breaker_end(set, s->text, size, i, &t);
        if (end >= 0) {
            *limit = end;
            break;
        }
        prepend(&t, s->text, size, i);
    }
    return INGOT_OK;
}

// For each k in 1 .. n - 1 how long the texts that end with the newest token and k tokens before it agree, in
// z[k]. Gusfield 1997, "Algorithms on Strings, Trees and Sequences" (Z-algorithm). The newest is newest[0],
// older ones lie before it.
static void agreements(const int32_t *newest, int32_t n, int32_t *z) {
    int32_t left = 0, right = 0; // the match that reaches farthest, right is behind it
    for (int32_t k = 1; k < n; k++) {
        int32_t length = 0;
        if (k < right)
            length = z[k - left] < right - k ? z[k - left] : right - k;
        while (k + length < n && newest[-length] == newest[-k - length])
            length++;
        z[k] = length;
        if (k + length > right) {
            left = k;
            right = k + length;
        }
    }
}

static ingot_status punish(sample_work *s, const sample_settings *set, const sample_input *in, int32_t token,
                           float *logit, ingot_error *err) {
    const sample_params *p = &set->params;
    const double most = 1e30; // of a penalty: the token isn't banned
    const int32_t beyond = s->counts[token] - 1 - (int32_t)p->dry_allowed_length;
    if (in->text) {
        size_t size;
        TRY(piece(s, in->text, token, &size, err));
        const tail none = {.n = 0};
        if (breaker_end(set, s->text, size, 0, &none) >= 0)
            return INGOT_OK;
    }
    const double penalty = p->dry_multiplier * pow(p->dry_base, beyond);
    *logit -= (float)(penalty < most ? penalty : most);
    return INGOT_OK;
}

// p-e-w 2024, "DRY: A modern repetition penalty that reliably prevents looping". s->counts has 1 more than
// the length of the repetition that each token would prolong.
ingot_status stage_dry(sample_work *s, const sample_settings *set, const sample_input *in, ingot_error *err) {
    candidates *c = &s->list;
    const sample_params *p = &set->params;
    if (!dry_active(p))
        return INGOT_OK;
    const int32_t n = window_size(p->dry_penalty_last_n, in->n_recent);
    int32_t limit;
    if (n <= p->dry_allowed_length)
        return INGOT_OK;
    TRY(behind_breaker(s, set, in, n, &limit, err));
    if (limit < p->dry_allowed_length)
        return INGOT_OK;
    if (!mem_reserve(s->mem, &s->window, &s->window_capacity, (size_t)n, sizeof *s->window))
        return fail_memory(err, (uint64_t)n * sizeof *s->window, "a sampler");
    const int32_t *newest = in->recent + in->n_recent - 1;
    ingot_status status = INGOT_OK;
    agreements(newest, n, s->window);
    for (int32_t k = 1; k < n; k++) {
        const int32_t length = s->window[k] < limit ? s->window[k] : limit, token = newest[1 - k];
        if (length >= p->dry_allowed_length && length >= s->counts[token])
            s->counts[token] = length + 1;
    }
    for (int32_t i = 0; i < c->n && !c->whole && status == INGOT_OK; i++)
        if (s->counts[c->tokens[i]] > 0)
            status = punish(s, set, in, c->tokens[i], &c->logits[i], err);
    for (int32_t k = 1; k < n; k++) {
        const int32_t token = newest[1 - k];
        if (c->whole && token < c->n && s->counts[token] > 0 && status == INGOT_OK)
            status = punish(s, set, in, token, &c->logits[token], err);
        s->counts[token] = 0;
    }
    candidates_changed(c);
    return status;
}
