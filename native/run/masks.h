// Masks that are computed on a thread of their own, beside a forward pass: whoever needs one next waits for
// it only if the pass was quicker.
#ifndef INGOT_RUN_MASKS_H
#define INGOT_RUN_MASKS_H

#include "base/mem.h"
#include "base/thread.h"

// The mask of the token that comes next in a request's answer. The engine thread's own, but from masks_begin
// until masks_wait.
typedef struct wanted_mask {
    ingot_matcher *matcher;
    uint32_t *bits; // [words]
    size_t words;
    int32_t n_allowed;
    ingot_status status; // of computing it
    ingot_error err;
    struct wanted_mask *next; // in the list of those that nobody computes yet
} wanted_mask;

typedef struct masks {
    mutex lock;
    condition work, news; // there is a mask to compute, or the end has come; one was computed
    bool locks, running, stopping;
    thread thread; // started when it is needed first
    wanted_mask *first;
    int32_t n_open; // in the list or being computed
} masks;

ingot_status masks_init(masks *m, ingot_error *err);

// Nothing may be wanted.
void masks_free(masks *m);

// Fills `mask` at once if it is known already, else beside what the caller does once masks_begin was called:
// until then nobody holds the grammar's lock for long.
void masks_want(masks *m, wanted_mask *mask);
void masks_begin(masks *m);

// Returns when nothing is wanted any more: the caller computes what the thread hasn't begun.
void masks_wait(masks *m);

#endif
