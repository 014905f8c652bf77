// A request on its way through the engine: its copied parameters, its output so far, and the events that
// nobody has read yet.
#ifndef INGOT_RUN_REQUEST_H
#define INGOT_RUN_REQUEST_H

#include <stdatomic.h>

#include "run/sample.h"
#include "run/stop.h"
#include "text/vocab.h"

// An event waiting to be read; its text lies in the request's output.
typedef struct pending_event {
    ingot_event_kind kind;
    int32_t token;
    size_t text_begin, text_end;
    int32_t n_prompt, n_generated;
} pending_event;

typedef struct request {
    const ingot_allocator *mem;
    struct request *next; // in the engine's list
    uint64_t id;

    // Fixed from submission on.
    ingot_request params; // its pointers are the copies below, but for what is to be filled
    sample_params sampling;
    int32_t *tokens;
    ingot_logit_bias *bias;
    atomic_bool cancel;

    // The engine thread's own while it runs the request; under the engine's lock once `finished`.
    stop_set stops;
    int32_t n_cached, n_prompt, n_generated;
    int32_t stop_index;
    double prefill_seconds, decode_seconds;

    // Under the engine's lock.
    bool started, finished, delivered, dropped; // delivered: the last event was read
    int32_t users;                              // threads inside wait or drop
    char *output;                               // bytes of the tokens so far
    size_t n_output, output_capacity;
    size_t n_shown;        // of them, part of an event
    pending_event *events; // [n_events], unread from first_event on
    size_t n_events, first_event, event_capacity;
    ingot_finish finish; // with `finished`
    ingot_error error;
    char *read_text; // what the last wait gave out
    size_t read_capacity;
} request;

// Copies `params`, which must be valid for a model of `n_vocab` tokens; errors name the field.
ingot_status request_new(const ingot_request *params, int32_t n_vocab, const ingot_allocator *mem,
                         request **out, ingot_error *err);
void request_free(request *r);

// Whether memory of the caller's is written to or walked through.
bool request_borrows(const request *r);

// The functions below are called under the engine's lock.

// Queues a PREFILL event.
ingot_status request_prefilled(request *r, ingot_error *err);

// Appends a token's bytes to the output and queues its event with what may be shown by now: whole code
// points, without what may become a stop text. *stopped tells whether a stop text is complete; the output
// then ends before it. A token that is not `visible` adds no bytes.
ingot_status request_token(request *r, const vocab *v, int32_t token, bool visible, bool *stopped,
                           ingot_error *err);

// Makes the last event, which carries the rest of the output unless the request failed or was cancelled.
void request_finish(request *r, ingot_finish finish, const ingot_error *error);

// Takes the next event into `out`; NONE if there is none yet.
ingot_status request_take(request *r, ingot_event *out, ingot_error *err);

#endif
