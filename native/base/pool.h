// The thread pool. Workers spin a little, then sleep. Each has its own part of a job's range and, when it is
// done, takes from another's: a core that is busy elsewhere does less and holds nobody up.
#ifndef INGOT_BASE_POOL_H
#define INGOT_BASE_POOL_H

#include "base/mem.h"
#include "base/status.h"

typedef struct pool pool;

// `begin` <= i < `end` are to be done; `worker` < pool_threads() identifies the thread (for scratch memory).
typedef void (*pool_fn)(void *job, int64_t begin, int64_t end, int worker);

enum { POOL_THREADS_MAX = 1024 };

// A pool of `threads` (1 to POOL_THREADS_MAX) workers, the caller of pool_run counting as the first of them.
// `cores` (may be NULL) has a logical CPU id per worker ([threads]) to bind it to; the caller itself is never
// bound, and a core that the system refuses is passed over in silence. `mem` is borrowed.
ingot_status pool_new(int threads, const int *cores, const ingot_allocator *mem, pool **out,
                      ingot_error *err);

// No call may be running. NULL is allowed.
void pool_free(pool *p);
int pool_threads(const pool *p);

// How many times pool_run has given work to several threads and waited for them.
uint64_t pool_runs(pool *p);

// Runs fn over 0 <= i < n in pieces of `grain` (>= 1; the last may be smaller; one thread or n <= grain: one
// piece, in the caller) and returns when all is done. Calls from several threads take turns, so the cores are
// never oversubscribed and scratch memory of a worker is used by one of them at a time. Must not be called
// from inside a job. A worker mostly gets pieces that follow each other;
// which ones is left to chance.
void pool_run(pool *p, int64_t n, int64_t grain, pool_fn fn, void *job);

#endif
