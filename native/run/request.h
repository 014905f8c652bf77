// A request on its way through the engine: its copied parameters, and what it has said so far.
#ifndef INGOT_RUN_REQUEST_H
#define INGOT_RUN_REQUEST_H

#include <stdatomic.h>

#include "model/adapter.h"
#include "run/output.h"

typedef struct request {
    const ingot_allocator *mem;
    struct request *next; // in the engine's list
    uint64_t id;

    // Fixed from submission on.
    ingot_request params; // its pointers are the copies below, but for what is to be filled
    sample_settings sampling;
    int32_t *tokens;
    ingot_logit_bias *bias;
    int32_t *stop_tokens;
    float *model_logits; // [n_vocab] those that a caller changes, as they were; NULL: nobody asks for them
    uint32_t *allowed;   // bits [n_allowed_words] of the tokens that may come; NULL: all may
    size_t n_allowed_words;
    atomic_bool cancel;
    adapter_use *adapters; // [n_adapters] in the order of their serial numbers, each kept
    int32_t n_adapters;
    uint64_t domain; // of the prefix tree: the key of the adapters
    double submit_time;
    double asked_time; // when the prefix cache was asked how much of it is known
    int32_t n_match;   // what it said

    // The engine thread's own while it runs the request; under the engine's lock once `finished`.
    sample_state state;
    int32_t n_known; // tokens in `tokens`: the prompt, and what was chosen before it had to wait again
    bool begun;      // its turn has come once
    bool closes;     // of its constraint, while it waits again
    int32_t n_cached, n_prompt, n_generated, n_shifted;
    int32_t n_drafted, n_accepted, n_forced;
    double start, ready, last_token_time; // when its turn came, its prompt was computed, a token was chosen
    int32_t stop_token;                   // the index of the one that came; -1: none did
    double prefill_seconds, decode_seconds;

    // Under the engine's lock.
    bool started, finished, delivered, dropped; // delivered: the last event was read
    bool offered, awaits; // logits are the next event; their caller hasn't done with them
    bool announced;       // by ingot_engine_ready; its events weren't read to the last one since
    int32_t users;        // threads inside wait or drop
    output output;
    int32_t *offered_tokens; // [n_offered_tokens] with the logits
    size_t n_offered_tokens, offered_capacity;
    ingot_finish finish; // with `finished`
    ingot_error error;
} request;

// Keeps `n` tokens, the prompt and what was chosen, for when its turn comes again.
ingot_status request_keep(request *r, const int32_t *tokens, int32_t n, ingot_error *err);

// Copies `params`, which must be valid for the model; errors name the field.
ingot_status request_new(const ingot_request *params, const ingot_model *model, request **out,
                         ingot_error *err);
void request_free(request *r);

// Whether memory of the caller's is written to or walked through.
bool request_borrows(const request *r);

// Whether every row of logits is wanted whole, though a grammar may say what comes.
bool request_wants_rows(const request *r);

// The index of a token in the request's list of those that end it; -1: it isn't there.
int32_t request_stop_token(const request *r, int32_t token);

adapter_list request_adapters(const request *r);

// The functions below are called under the engine's lock.

// Gives the caller logits to change, and `n` tokens (copied) that came before: the next event, once those
// that are there were read.
ingot_status request_offer(request *r, const int32_t *tokens, int32_t n, ingot_error *err);

// Makes the last event, which carries the rest of the output unless the request failed or was cancelled.
void request_finish(request *r, ingot_finish finish, const ingot_error *error);

// Whether request_take has something.
bool request_has_event(const request *r);

// Takes the next event into `out`; NONE if there is none yet.
ingot_status request_take(request *r, ingot_event *out, ingot_error *err);

#endif
