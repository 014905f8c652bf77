// The engine's inside: what its thread works with, shared by the ways of serving a request.
#ifndef INGOT_RUN_ENGINE_H
#define INGOT_RUN_ENGINE_H

#include "base/thread.h"
#include "model/forward.h"
#include "model/model.h"
#include "run/generate.h"
#include "run/layout.h"
#include "run/metrics.h"
#include "run/pace.h"
#include "run/prefix.h"
#include "run/schedule.h"
#include "run/spill.h"

// What a caller has done by the engine's thread.
typedef void (*engine_fn)(ingot_engine *e, void *user);

typedef struct engine_call {
    engine_fn fn;
    void *user;
    bool done;
    struct engine_call *next;
} engine_call;

struct ingot_engine {
    ingot_model *model;
    const ingot_allocator *mem;
    ingot_engine_info info; // kv_bytes_used is kept in `pages_used`
    uint64_t page_bytes;
    kv_layout layout;

    // The thread's own.
    backend_kv *kv;
    forward *forward;
    page_pool pool;
    prefix_tree tree;
    spill spill;
    slot *slots; // [n_seqs]
    int32_t n_active;
    atomic_bool blocked; // who is next found no room, and nothing has changed since
    client_shares clients;
    pace pace;
    double step_seconds;   // that a step with answers may take; 0: twice as long as one of answers alone
    bool has_news;         // readers are to be woken: once a step, while its forward pass is computed
    double choose_seconds; // of the present step: of CPU time, choosing tokens
    double next_expiry;    // when one that waits may have waited long enough
    sample_work sampler;
    masks masks;
    speculation speculation;
    int32_t *tokens, *positions, *seqs, *rows; // [n_batch]
    float *logits;                             // [n_seqs][n_vocab] to choose from; virtual memory
    float *raw;                                // [n_vocab] those of one choice as the model gave them
    int32_t *top_tokens;                       // the likeliest of them
    float *top_logprobs;
    size_t top_tokens_capacity, top_logprobs_capacity;
    int32_t *ends; // [n_ends] tokens that end generation
    int32_t n_ends;

    atomic_int pages_used, running_now;
    atomic_int pages_cached; // that are kept alone
    _Atomic uint64_t pages_evicted;
    atomic_bool stopping;
    mutex lock;
    condition work; // there is a request, or the end has come
    condition news; // there are events
    bool locks, running;
    thread thread;
    request *first; // in the order of submission
    request **end;  // where the next one goes: `first`, or the last one's `next`
    int32_t n_requests, max_waiting;
    uint64_t last_id;
    ingot_engine_stats stats; // what is counted
    uint64_t n_wakes;         // by ingot_engine_wake
    engine_call *calls;       // that wait for the thread
};

// Serves the request `r`, which was marked as started, and further waiting ones of its kind, until their end.
// The caller's lock isn't held; there is room for the pages of `r`.
void engine_embed(ingot_engine *e, request *r);

// Ends a request; if `status` is bad it failed with `err`.
void engine_finish(ingot_engine *e, request *r, ingot_status status, ingot_finish finish,
                   const ingot_error *err);

// Has the engine's thread call `fn` between two steps, soon, and under the lock; returns when it has.
void engine_do(ingot_engine *e, engine_fn fn, void *user);

// Wakes readers if there is something to read.
void engine_tell_news(ingot_engine *e);

void engine_count_pages(ingot_engine *e);

// Tokens of the vocabulary: the model's logits may have more, for padding.
int32_t engine_vocab(const ingot_engine *e);

#endif
