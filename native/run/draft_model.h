// A small model that drafts for a large one. Leviathan et al. 2023, "Fast Inference from Transformers via
// Speculative Decoding"; its likeliest tokens are what is drafted.
//
// It has pages, activations and sequences of its own: one for each slot, which follows the slot's text and
// forgets what was drafted and didn't come. The engine thread's own.
#ifndef INGOT_RUN_DRAFT_MODEL_H
#define INGOT_RUN_DRAFT_MODEL_H

#include <stdatomic.h>

#include "model/forward.h"
#include "model/model.h"
#include "run/candidates.h"
#include "run/pages.h"

typedef struct draft_model {
    ingot_model *model;
    const ingot_allocator *mem;
    uint64_t kv_bytes; // of its pages
    int32_t n_seqs, n_ctx, n_batch;
    backend_kv *kv;
    forward *forward;
    page_pool pool;
    sequence *sequences;                       // [n_seqs]
    int32_t *tokens, *positions, *seqs, *rows; // [n_batch]
    const int32_t **pages;                     // [n_seqs]
    int32_t *ends, *best;                      // [n_seqs]
    candidates *list;                          // borrowed: to find the likeliest token in
    double seconds;                            // average of a pass with a token of each; 0: not known
} draft_model;

// What a slot wants drafted, and what it got.
typedef struct draft_wish {
    int32_t seq;         // the slot's number
    const int32_t *text; // [n_text] its tokens so far
    int32_t n_text;
    int32_t most;    // tokens
    int32_t *tokens; // [n] at most `most`
    int32_t n;
} draft_wish;

// Bytes of keys and values that a token has in a model, in pages of these types, or of F16 where its heads
// don't allow them.
uint64_t draft_model_token_bytes(const ingot_model *m, int32_t k_type, int32_t v_type);

// An error that says what differs, unless `draft` can draft for `target`: both of one runtime, and with the
// same vocabulary.
ingot_status draft_model_check(const ingot_model *draft, const ingot_model *target, ingot_error *err);

// For `n_seqs` slots and texts of `n_ctx` tokens, with types of pages, and as many, as the target has:
// `like`. `model` and `list` (of the target's vocabulary) are borrowed.
ingot_status draft_model_new(ingot_model *model, const ingot_allocator *mem, const kv_layout *like,
                             int32_t n_seqs, int32_t n_ctx, candidates *list, draft_model **out,
                             ingot_error *err);
void draft_model_free(draft_model *d);

// Fulfils `wishes` [n], of different slots, in passes that all of them take together. Of texts that it
// doesn't know yet it first computes as much as one pass has room for: who isn't ready then gets nothing
// this time, and so does who finds no free page.
ingot_status draft_model_run(draft_model *d, draft_wish *wishes, int32_t n, const atomic_bool *cancel,
                             ingot_error *err);

#endif
