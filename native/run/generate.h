// Requests that generate, in slots: a sequence for each, which stays when the request has ended, so that the
// next one that begins alike finds it. The engine thread's own.
#ifndef INGOT_RUN_GENERATE_H
#define INGOT_RUN_GENERATE_H

#include "run/constraint.h"
#include "run/pages.h"
#include "run/request.h"
#include "run/speculate.h"

enum { ENGINE_SEQS_MAX = 256 };

typedef struct slot {
    sequence sequence;
    request *r;          // NULL: free
    int32_t worst_pages; // that the request may come to need: nobody else gets them
    int32_t n_chosen;    // tokens chosen, not computed yet: they stand behind the sequence's
    bool chooses;        // a token, after the present step
    bool waits;          // for its caller, who changes logits
    bool rewound;        // tokens were taken back while the present ones were told
    constraint constraint;
    drafted drafted;
    uint64_t last_step;
    double start, ready; // when the request began, when its prompt was computed
} slot;

// Gives a request a slot, and sees to the pages; false if it has to wait until another one ends.
bool slots_begin(ingot_engine *e, request *r);

// Free pages that no running request may come to need.
int32_t slots_spare_pages(const ingot_engine *e);

// Makes `n_pages` free that no running request may come to need, oldest free sequences first, but not that of
// `keep`; false, with nothing done, if that can't be.
bool slots_make_room(ingot_engine *e, int32_t n_pages, const slot *keep);

// Ends the requests that were cancelled, or all of them if the engine is closing.
void slots_cancel(ingot_engine *e);

// Whether there is something to do for a slot; the caller holds the lock.
bool slots_have_work(const ingot_engine *e);

// Chooses for those whose callers have changed their logits.
void slots_resume(ingot_engine *e);

// One step of all requests in slots, but of those that wait for their callers.
void slots_step(ingot_engine *e);

#endif
