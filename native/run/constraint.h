// What holds an answer to a grammar: which tokens may come, those that must, and an end in time.
#ifndef INGOT_RUN_CONSTRAINT_H
#define INGOT_RUN_CONSTRAINT_H

#include "run/masks.h"
#include "text/vocab.h"

// A slot's own. `mask.matcher` NULL: anything may come, and the rest means nothing.
typedef struct constraint {
    const ingot_allocator *mem;
    wanted_mask mask;
    int32_t *few; // [n_few] the allowed tokens, ascending, where they are few; room for FORWARD_FEW
    int32_t n_few;
    bool closes;      // the answer is complete when its tokens are used up
    int32_t *closing; // tokens that complete it, as constraint_closing finds them
    size_t closing_capacity;
} constraint;

// Room for masks of `n_vocab` tokens.
ingot_status constraint_init(constraint *c, int32_t n_vocab, const ingot_allocator *mem, ingot_error *err);
void constraint_free(constraint *c);

// An error if the matcher's grammar is of another vocabulary.
ingot_status constraint_check(const ingot_matcher *matcher, const vocab *v, ingot_error *err);

// Begins an answer of at most `budget` tokens. With `close`, it will be complete by then, if its shortest
// text isn't longer.
ingot_status constraint_begin(constraint *c, bool close, int64_t budget, ingot_error *err);

// Goes on by a token that may come.
ingot_status constraint_accept(constraint *c, int32_t token, ingot_error *err);

// The same, unless no way to complete the answer would be left within `budget` tokens, this one included:
// then it stays where it is, and *fits is false.
ingot_status constraint_try(constraint *c, int32_t token, int64_t budget, bool *fits, ingot_error *err);

// Finds tokens that complete the answer: *n of them in c->closing.
ingot_status constraint_closing(constraint *c, size_t *n, ingot_error *err);

// Whether an answer that is to be closed is complete.
bool constraint_complete(const constraint *c);

// Makes c->few of the mask, which is computed.
void constraint_list_few(constraint *c, int32_t n_vocab);

// Why no token may come; for an error.
ingot_status constraint_stuck(const constraint *c, ingot_error *err);

// Finds the tokens of the text that must come next, as the model's own tokenizer cuts it behind `recent`, the
// answer's last tokens: *n of them (maybe none) in c->closing. The last one is left out where more may
// follow, since it could be cut otherwise then.
ingot_status constraint_forced(constraint *c, const vocab *v, const int32_t *recent, int32_t n_recent,
                               size_t *n, ingot_error *err);

#endif
