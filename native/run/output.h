// What a request has said so far: the bytes of its tokens, what of them may be shown, where they end, and the
// events that nobody has read yet.
//
// Text that may become a stop text is held back, and tokens that may become part of a banned text are: those
// are taken back when it is complete, to where it began.
#ifndef INGOT_RUN_OUTPUT_H
#define INGOT_RUN_OUTPUT_H

#include "grammar/search.h"
#include "run/sample.h"
#include "run/stop.h"

// Of a token: the logarithm of its probability (NaN: not known) and those of the likeliest ones.
typedef struct token_logprobs {
    float chosen;
    int32_t n_top;
    const int32_t *tokens; // [n_top]
    const float *logprobs;
} token_logprobs;

// An event waiting to be read; its text lies in the output.
typedef struct pending_event {
    ingot_event_kind kind;
    int32_t token;
    size_t text_begin, text_end; // what may be shown with it
    size_t begin, end;           // the token's own bytes
    int32_t n_prompt, n_generated;
    float logprob;
    int32_t n_top;
    size_t top_at;       // in `top_tokens`
    sample_state before; // how the token was chosen
} pending_event;

// A token that may not come as the answer's n-th one, since a banned text came of it.
typedef struct token_ban {
    int32_t index, token;
} token_ban;

typedef struct output {
    const ingot_allocator *mem;
    ingot_matcher *matcher; // that holds the answer; may be NULL
    bool special;           // names of control tokens are text
    stop_set stops;
    search **searches; // [n_searches] stop expressions
    size_t n_searches;
    stop_set banned;
    bool closing; // whatever comes now must come

    char *bytes;
    size_t size, capacity;
    size_t n_shown;        // of them, part of an event
    pending_event *events; // [n_events], unread from first_event on; those from n_ready on may be taken back
    size_t n_events, first_event, n_ready, event_capacity;
    int32_t *top_tokens; // of events
    float *top_logprobs;
    size_t n_top, top_tokens_capacity, top_logprobs_capacity;
    token_ban *bans;
    size_t n_bans, ban_capacity;

    int32_t stop_index; // which stop text, or behind those which expression; -1: none
    size_t stop_size;   // of what it matched, behind `size`
    char *read_text;    // what the last wait gave out
    size_t read_capacity;
    int32_t *read_top_tokens;
    float *read_top_logprobs;
    size_t read_top_tokens_capacity, read_top_logprobs_capacity;
} output;

// INGOT_ERR_INVALID names the stop text or expression, or the banned text, that can't be.
ingot_status output_init(output *o, const ingot_request *params, const ingot_allocator *mem,
                         ingot_error *err);
void output_free(output *o);

// A token that was chosen.
typedef struct output_token {
    int32_t token;
    bool visible;        // else it adds no bytes
    bool may_stop;       // else stop texts don't count yet
    int32_t n_generated; // tokens, this one included
    int32_t n_prompt;
    sample_state before;
    token_logprobs logprobs;
} output_token;

// Appends a token's bytes, and queues its event. *stopped tells whether a stop text is complete: the output
// ends before it then. *n_back is how many tokens are taken back, since a banned text is complete: this one,
// and those before it whose events are gone. The first of them is banned where it stood, and *before is how
// it was chosen.
ingot_status output_add(output *o, const vocab *v, const output_token *t, bool *stopped, int32_t *n_back,
                        sample_state *before, ingot_error *err);

// Queues a PREFILL event.
ingot_status output_prefilled(output *o, int32_t n_prompt, ingot_error *err);

// Nothing is taken back any more.
void output_settle(output *o);

// Whether there is an event to be read.
static inline bool output_has_event(const output *o) {
    return o->first_event < o->n_ready;
}

// Takes the next one into `out`, which there is.
ingot_status output_take(output *o, ingot_event *out, ingot_error *err);

// Takes the rest of the text, and what a stop text or expression matched.
ingot_status output_take_rest(output *o, ingot_event *out, ingot_error *err);

#endif
