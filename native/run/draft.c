#include "run/draft.h"

#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

// What is believed before anything was seen, by class: so many tries, so many of which were right.
static const double BELIEVED[DRAFT_CLASSES] = {0.25, 0.5, 0.75, 0.85, 0.9};
static const double TRIES = 4.0, MOST_TRIES = 24.0;

static uint64_t bytes_of(int32_t n) {
    return (uint64_t)n * sizeof(int32_t);
}

ingot_status draft_index_init(draft_index *d, int32_t n_ctx, ingot_error *err) {
    *d = (draft_index){.n_heads = 64, .n_ctx = n_ctx + 1};
    while (d->n_heads < DRAFT_HEADS && d->n_heads < n_ctx)
        d->n_heads *= 2;
    d->heads = vm_reserve(bytes_of(d->n_heads));
    d->links = vm_reserve(bytes_of(d->n_ctx));
    if (!d->heads || !d->links) {
        draft_index_free(d);
        return fail_memory(err, bytes_of(n_ctx), "an index of drafts");
    }
    draft_index_reset(d);
    return INGOT_OK;
}

void draft_index_free(draft_index *d) {
    vm_release(d->heads, bytes_of(d->n_heads));
    vm_release(d->links, bytes_of(d->n_ctx));
    *d = (draft_index){0};
}

void draft_index_reset(draft_index *d) {
    if (d->n > 0) // else it is untouched
        memset(d->heads, 0, (size_t)bytes_of(d->n_heads));
    d->n = d->at = d->length = d->behind = 0;
    for (int i = 0; i < DRAFT_CLASSES; i++) {
        d->tries[i] = TRIES;
        d->hits[i] = TRIES * BELIEVED[i];
    }
}

static int class_of(int32_t length) {
    int class = 0;
    while (class < DRAFT_CLASSES - 1 && length >> (class + 2) != 0)
        class ++;
    return class;
}

static int32_t *head_of(const draft_index *d, const int32_t *end) {
    uint32_t hash = 0;
    for (int i = 1; i <= DRAFT_GRAM; i++)
        hash = (hash ^ (uint32_t)end[-i]) * 0x9e3779b1u;
    return &d->heads[(hash ^ hash >> 15) & (uint32_t)(d->n_heads - 1)];
}

// Notes that the DRAFT_GRAM tokens before place `n` came there.
static void note(draft_index *d, const int32_t *tokens, int32_t n) {
    int32_t *head = head_of(d, tokens + n);
    d->links[n] = *head;
    *head = n;
}

// How many tokens before the places `a` < `b` agree, up to DRAFT_LENGTH.
static int32_t agreeing(const int32_t *tokens, int32_t a, int32_t b) {
    int32_t n = 0;
    while (n < DRAFT_LENGTH && n < a && tokens[a - 1 - n] == tokens[b - 1 - n])
        n++;
    return n;
}

// Finds the place before `n` whose past agrees longest with the last tokens, of equal ones the latest; else
// the one behind a token that was replaced.
static void look(draft_index *d, const int32_t *tokens, int32_t n) {
    int32_t place = *head_of(d, tokens + n);
    d->at = d->length = 0;
    for (int tried = 0; tried < DRAFT_TRIED && place > 0 && d->length < DRAFT_LENGTH; tried++) {
        // Links may be of tokens that were taken back: then they lead somewhere, but not for long.
        const int32_t length = place < n ? agreeing(tokens, place, n) : 0;
        if (length >= DRAFT_GRAM && length > d->length) {
            d->at = place;
            d->length = length;
        }
        place = d->links[place];
    }
    if (d->at == 0 && d->behind > 0) {
        d->at = d->behind;
        d->length = DRAFT_LONG - 1; // so that another miss isn't taken for a replaced token, too
    }
    d->behind = 0;
}

// Compares what was expected with what came.
static void learn(draft_index *d, const int32_t *tokens, int32_t token) {
    const int class = class_of(d->length);
    const bool hit = tokens[d->at] == token;
    d->tries[class] += 1.0;
    d->hits[class] += hit;
    if (d->tries[class] > MOST_TRIES) {
        d->tries[class] /= 2.0;
        d->hits[class] /= 2.0;
    }
    d->behind = !hit && d->length >= DRAFT_LONG ? d->at + 1 : 0;
    d->at = hit ? d->at + 1 : 0;
    d->length += d->length < DRAFT_LENGTH;
}

void draft_index_feed(draft_index *d, const int32_t *tokens, int32_t n, int32_t n_prompt) {
    if (n < d->n) { // tokens were taken back
        d->n = n;
        d->at = d->behind = 0;
    }
    for (; d->n < n; d->n++) {
        const int32_t behind = d->n + 1;
        if (d->at > 0)
            learn(d, tokens, tokens[d->n]);
        if (behind < DRAFT_GRAM)
            continue;
        if (d->at == 0 && behind >= n_prompt)
            look(d, tokens, behind);
        note(d, tokens, behind);
    }
}

int32_t draft_index_propose(const draft_index *d, const int32_t *tokens, int32_t most, int32_t *out) {
    const int32_t n_known = d->n - d->at;
    if (d->at == 0)
        return 0;
    for (int32_t i = 0; i < most; i++)
        out[i] = i < n_known ? tokens[d->at + i] : out[i - n_known];
    return most;
}

double draft_index_chance(const draft_index *d, int32_t i) {
    const int class = class_of(d->length + i);
    return d->hits[class] / d->tries[class];
}
