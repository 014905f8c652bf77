// Requests that generate, in slots: a sequence for each, whose pages the prefix tree knows too. The engine
// thread's own.
#ifndef INGOT_RUN_GENERATE_H
#define INGOT_RUN_GENERATE_H

#include "run/constraint.h"
#include "run/pages.h"
#include "run/request.h"
#include "run/speculate.h"

enum { ENGINE_SEQS_MAX = 256 };

typedef struct slot {
    sequence sequence;
    request *r;        // NULL: free
    int32_t n_pending; // tokens known, not computed yet: they stand behind the sequence's
    bool chooses;      // a token, after the present step
    bool prompts;      // the present step computes tokens of the prompt for the first time
    bool waits;        // for its caller, who changes logits
    bool rewound;      // tokens were taken back while the present ones were told
    constraint constraint;
    drafted drafted;
} slot;

// Whether a slot's next token is chosen after the next step; else there is more to be computed first.
bool slot_answers(const slot *s);

// Gives a request a slot, whose sequence begins with what was known of its tokens.
void slot_begin(ingot_engine *e, slot *s, request *r);

// Leaves a slot's pages to the prefix tree.
void slot_leave_pages(ingot_engine *e, slot *s);

// The same, and frees the slot.
void slot_release(ingot_engine *e, slot *s);

// Ends the requests that were cancelled, or all of them if the engine is closing.
void slots_cancel(ingot_engine *e);

// Whether there is something to do for a slot; the caller holds the lock.
bool slots_have_work(const ingot_engine *e);

// Chooses for those whose callers have changed their logits.
void slots_resume(ingot_engine *e);

// One step of all requests in slots, but of those that wait for their callers. It `began` when somebody
// looked for who is next.
void slots_step(ingot_engine *e, double began);

#endif
