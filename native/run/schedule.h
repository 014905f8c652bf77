// Who runs: which waiting request is next, when one that runs must wait again, and whose the pages are.
#ifndef INGOT_RUN_SCHEDULE_H
#define INGOT_RUN_SCHEDULE_H

#include "run/generate.h"

// What clients were given, in tokens; a prompt's count once, chosen ones twice. Sheng et al. 2024, "Fairness
// in Serving Large Language Models".
typedef struct client_share {
    uint64_t client;
    double tokens;
} client_share;

enum { CLIENTS_MAX = 64 };

typedef struct client_shares {
    client_share known[CLIENTS_MAX];
    int32_t n;
} client_shares;

// The request whose turn it is; NULL if none waits, or all those that do will soon find more of their prompts
// known. The caller holds the lock.
request *schedule_next(ingot_engine *e);

// How many of a request's known tokens may be taken over: the last one, and those whose logits are asked for,
// must be computed.
int32_t schedule_most_shared(const ingot_engine *e, const request *r);

// Begins a request that generates, or goes on with it, if there are a slot and pages: perhaps those of others
// with a lower priority. False if it has to wait. The caller holds the lock.
bool schedule_begin(ingot_engine *e, request *r);

// Sees to `n` free pages, of what is kept for later.
bool schedule_evict(ingot_engine *e, int32_t n);

// The slots whose requests run, those first that shall go on when there are too few pages for all: *n of
// them.
void schedule_order(const ingot_engine *e, slot **slots, int32_t *n);

// Sees to pages for the next `n_tokens` tokens of a slot. Others have to wait again, if they come behind it,
// or else it has itself: false.
bool schedule_reserve(ingot_engine *e, slot *s, int32_t n_tokens);

// Makes the request of some slot wait again, the last one in order, if there are others; false if there are
// none.
bool schedule_preempt_last(ingot_engine *e);

// Fails the requests whose time to wait is over. The caller holds the lock.
void schedule_expire(ingot_engine *e);

// Forgets the older half of a slot's tokens but the first n_keep; what isn't known of the rest is computed
// again.
void schedule_shift(ingot_engine *e, slot *s);

// A client was given tokens; one that is new, or was away, begins where the one stands that was given least.
// The caller holds the lock.
void schedule_charge(ingot_engine *e, uint64_t client, double tokens);

#endif
