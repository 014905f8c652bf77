// Speculation: tokens that may come next are computed in the step of the token before them, and when that is
// done tokens are chosen from the rows of logits as if each had been waited for, as long as what comes is
// what was drafted. So drafts change how soon an answer comes and not what it says: a token's logits are the
// same bits in any batch, and the numbers that choices are made with are functions of their places.
// (Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding", keep the distribution;
// this keeps the answer.)
//
// Whether to draft, and how much, follows from the seconds that steps of so many tokens take (pace.h), and
// from how often drafts would have been right.
#ifndef INGOT_RUN_SPECULATE_H
#define INGOT_RUN_SPECULATE_H

#include "run/draft.h"
#include "run/draft_model.h"

enum {
    SPECULATE_MOST = 32, // drafted tokens of a request in a step,
    SPECULATE_ROWS = 64, // and of all requests
};

// A slot's own.
typedef struct drafted {
    uint64_t request; // whose text the index has
    draft_index index;
    int32_t tokens[SPECULATE_MOST]; // [n] that are expected behind the chosen ones
    int32_t n;
    int32_t row;        // the first of their rows of logits
    bool by_model;      // they are the draft model's
    double hits, tries; // of those, in this request
} drafted;

// An engine's own.
typedef struct speculation {
    float *logits;      // [SPECULATE_ROWS][n_vocab] behind drafted tokens; virtual memory
    int32_t n_rows;     // of them that the present step takes
    draft_model *model; // NULL: there is none, or it has failed
} speculation;

struct slot;

// `draft` (may be NULL) drafts where the text itself has nothing; what samples must be there already.
ingot_status speculate_init(ingot_engine *e, ingot_model *draft, ingot_error *err);
void speculate_free(ingot_engine *e);

// Before a step is composed: drafts for the slots for which that is expected to pay, or was asked for.
void speculate_begin(ingot_engine *e);

// Settles how many of a slot's drafted tokens a step computes behind the chosen ones: at most `room`.
int32_t speculate_take(ingot_engine *e, struct slot *s, int32_t room);

// Where the logits behind a slot's drafted token `i` belong: [n_vocab].
float *speculate_row(const ingot_engine *e, const struct slot *s, int32_t i);

// Goes on with a slot after a step: chooses from `logits` [n_vocab], which are changed, and then, as long as
// what was chosen is what was drafted, from the rows behind that. As choose_tokens says; where the time is
// over, as choose_end does.
ingot_status speculate_choose(ingot_engine *e, struct slot *s, float *logits, ingot_finish *finish,
                              ingot_error *err);

#endif
