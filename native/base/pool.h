// The thread pool. Workers spin a little, then sleep; a job's range is handed out dynamically, so a core that
// is busy elsewhere takes less of it and holds nobody up.
#ifndef INGOT_BASE_POOL_H
#define INGOT_BASE_POOL_H

#include "base/mem.h"
#include "base/status.h"

typedef struct pool pool;

// `begin` <= i < `end` are to be done; `worker` < pool_threads() identifies the thread (for scratch memory).
typedef void (*pool_fn)(void *job, int64_t begin, int64_t end, int worker);

// A pool of `threads` (>= 1) workers, the caller of pool_run counting as one of them. `cores` (may be NULL)
// has a logical CPU id per worker to bind it to; the caller itself is never bound.
ingot_status pool_new(int threads, const int *cores, const ingot_allocator *mem, pool **out,
                      ingot_error *err);
void pool_free(pool *p);
int pool_threads(const pool *p);

// Runs fn over 0 <= i < n in pieces of at least `grain` (>= 1) and returns when all is done. Calls from
// several threads take turns, so the cores are never oversubscribed. Must not be called from inside a job.
void pool_run(pool *p, int64_t n, int64_t grain, pool_fn fn, void *job);

#endif
