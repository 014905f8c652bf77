// Drafts from the text itself: what followed the last time that the text's end stood there. Saxena 2023,
// "Prompt Lookup Decoding". Each token costs constant work and no allocation, whatever the text is.
//
// Where a long stretch ends with a token that is another one, it may have been replaced: what followed it
// is expected next.
//
// How likely a draft is to come is learnt without computing any: what would have been drafted is compared
// with what came, apart for each length of the stretch that agreed.
#ifndef INGOT_RUN_DRAFT_H
#define INGOT_RUN_DRAFT_H

#include "base/status.h"

enum {
    DRAFT_GRAM = 3,    // tokens that must agree
    DRAFT_CLASSES = 5, // of lengths: 3, 4 to 7, 8 to 15, 16 to 31, more
    DRAFT_LENGTH = 32, // so many are compared
    DRAFT_LONG = 8,    // after which one token may have been replaced
    DRAFT_TRIED = 8,   // places that are looked at, the latest ones
    DRAFT_HEADS = 1 << 15,
};

// Its arrays are virtual memory, as a sequence's are.
typedef struct draft_index {
    int32_t *heads; // [n_heads] by the hash of DRAFT_GRAM tokens where they came last: the place behind them
    int32_t *links; // [n_ctx] of a place, the one before with the same hash; 0: none
    int32_t n_heads, n_ctx;
    int32_t n;      // tokens that are known
    int32_t at;     // the place whose token is expected next; 0: none is
    int32_t length; // how many tokens before it agree with the last ones
    int32_t behind; // the place behind one that was expected wrongly, after a long stretch; 0: none
    double hits[DRAFT_CLASSES], tries[DRAFT_CLASSES];
} draft_index;

// For texts of up to `n_ctx` tokens.
ingot_status draft_index_init(draft_index *d, int32_t n_ctx, ingot_error *err);
void draft_index_free(draft_index *d);

// Forgets the text, and what was learnt of it.
void draft_index_reset(draft_index *d);

// Makes `tokens` [n] known, which begin like those that were given before but may be fewer. Nothing is learnt
// of those before `n_prompt`, which nobody had to guess.
void draft_index_feed(draft_index *d, const int32_t *tokens, int32_t n, int32_t n_prompt);

// What may follow the known tokens: up to `most`, into `out`; returns how many. A stretch that runs into the
// text's end is taken to repeat.
int32_t draft_index_propose(const draft_index *d, const int32_t *tokens, int32_t most, int32_t *out);

// The chance that token `i` of a draft comes, if those before it did.
double draft_index_chance(const draft_index *d, int32_t i);

#endif
