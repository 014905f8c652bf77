// A request on its way through the engine: its copied parameters, its output so far, and the events that
// nobody has read yet.
#ifndef INGOT_RUN_REQUEST_H
#define INGOT_RUN_REQUEST_H

#include <stdatomic.h>

#include "run/sample.h"
#include "run/stop.h"
#include "text/vocab.h"

// An event waiting to be read; its text lies in the request's published bytes.
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
    ingot_request params; // its pointers are the copies below, prompt_logits apart
    int32_t *tokens;
    ingot_logit_bias *bias;
    stop_set stops;
    sampler sampler;
    atomic_bool cancel;

    // The engine thread's own while it runs the request.
    char *output; // bytes of the tokens so far
    size_t n_output, output_capacity;
    size_t n_shown; // of them, published
    int32_t n_cached;
    int32_t n_prompt, n_generated;
    int32_t stop_index;
    double prefill_seconds, decode_seconds;

    // Under the engine's lock.
    bool started, finished;
    int32_t users; // threads inside wait or drop
    bool dropped;
    pending_event *events; // [n_events - first_event] unread from first_event on
    size_t n_events, first_event, event_capacity;
    bool delivered;  // the last event was read
    char *published; // the part of the output that events speak of
    size_t n_published, published_capacity;
    ingot_finish finish; // with `finished`
    ingot_error error;
    size_t final_begin; // text of the last event, in `published`
    char *read_text;    // what the last wait gave out
    size_t read_capacity;
} request;

// Copies `params`, which must be valid for a model of `n_vocab` tokens; errors name the field.
ingot_status request_new(const ingot_request *params, int32_t n_vocab, const ingot_allocator *mem,
                         request **out, ingot_error *err);
void request_free(request *r);

// Appends a token's bytes to the output. *stopped tells whether a stop text is complete; the output then ends
// before it.
ingot_status request_append(request *r, const vocab *v, int32_t token, bool *stopped, ingot_error *err);

// Under the engine's lock: queues an event with what may be shown by now: whole code points, without what may
// become a stop text.
ingot_status request_publish(request *r, ingot_event_kind kind, int32_t token, ingot_error *err);

// Under the engine's lock: queues the last event, with the rest of the output. `error` counts for
// FINISH_ERROR and FINISH_CANCELLED.
void request_finish(request *r, ingot_finish finish, const ingot_error *error);

// Under the engine's lock: takes the next event into `out`; NONE if there is none yet.
ingot_status request_take(request *r, ingot_event *out, ingot_error *err);

#endif
