#include "base/pool.h"

#include <stdatomic.h>

#include "base/thread.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

// How long a thread spins for what is about to happen before it sleeps: longer than the gap between two
// operations of a forward pass, shorter than what a sleep and a wake-up cost together.
static const double spin_longest = 40e-6;
static const double spin_shortest = 1e-6;

// A job's life is told by one word, so that joining it and closing it exclude each other: the low bits count
// the workers that are inside, the rest is a number that is odd while the job may be joined. A worker that
// comes late finds the job closed and was never waited for.
enum { INSIDE_BITS = 16 };
#define INSIDE_MASK ((UINT64_C(1) << INSIDE_BITS) - 1)
#define STATE_STEP  (UINT64_C(1) << INSIDE_BITS)

// Pieces that a worker has before it, in one word: the first in the low half, the end in the high one. Their
// owner takes the first of them; who has none left takes the last half of another's. So a worker goes through
// memory in order, and what it fetched ahead is what it needs.
typedef struct range {
    _Atomic uint64_t word;
    char apart[56]; // on a cache line of its own
} range;

typedef struct worker {
    struct pool *pool;
    thread thread;
    int index;
    int core; // -1: not bound
} worker;

struct pool {
    const ingot_allocator *mem;
    int threads;
    worker *workers; // [threads - 1]: the caller is worker 0
    int started;
    mutex turn; // held by the caller whose job runs
    mutex lock; // for the conditions
    condition wake;
    condition done;
    // The job; written while the word says that nobody is inside.
    pool_fn fn;
    void *job;
    int64_t n;
    int64_t grain;
    range *ranges;    // [threads]
    uint64_t runs;    // so far; under `turn`
    char apart_a[64]; // what all threads write lies on cache lines of its own
    _Atomic uint64_t state;
    char apart_b[64];
    atomic_int asleep; // workers that sleep or are about to
    atomic_bool caller_asleep;
    atomic_bool stop;
};

static void spin_pause(void) {
    for (int i = 0; i < 16; i++) {
#if defined(__x86_64__) || defined(__i386__)
        _mm_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb"); // `yield` is no pause on most cores
#endif
    }
}

static bool job_open(uint64_t state) {
    return (state >> INSIDE_BITS & 1) != 0;
}

// ------------------------------------------------------------------------------------------------- workers

static uint64_t range_of(uint64_t first, uint64_t end) {
    return first | end << 32;
}

static uint32_t range_first(uint64_t word) {
    return (uint32_t)word;
}

static uint32_t range_end(uint64_t word) {
    return (uint32_t)(word >> 32);
}

static bool take_first(range *own, int64_t *piece) {
    uint64_t word = atomic_load_explicit(&own->word, memory_order_relaxed);
    while (range_first(word) < range_end(word)) {
        if (atomic_compare_exchange_weak_explicit(&own->word, &word, word + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            *piece = range_first(word);
            return true;
        }
    }
    return false;
}

// Takes the last half of what the worker with most pieces has left; false if nobody has any.
static bool take_half(pool *p, range *own) {
    for (;;) {
        range *from = NULL;
        uint64_t word = 0;
        for (int i = 0; i < p->threads; i++) {
            uint64_t other = atomic_load_explicit(&p->ranges[i].word, memory_order_relaxed);
            if (range_first(other) < range_end(other) &&
                (!from || range_end(other) - range_first(other) > range_end(word) - range_first(word))) {
                from = &p->ranges[i];
                word = other;
            }
        }
        if (!from)
            return false;
        const uint32_t first = range_first(word), end = range_end(word), middle = first + (end - first) / 2;
        if (atomic_compare_exchange_strong_explicit(&from->word, &word, range_of(first, middle),
                                                    memory_order_relaxed, memory_order_relaxed)) {
            atomic_store_explicit(&own->word, range_of(middle, end), memory_order_relaxed);
            return true;
        }
    }
}

static void work(pool *p, int index) {
    range *own = &p->ranges[index];
    do {
        int64_t piece;
        while (take_first(own, &piece)) {
            int64_t begin = piece * p->grain;
            int64_t end = p->n - begin > p->grain ? begin + p->grain : p->n;
            p->fn(p->job, begin, end, index);
        }
    } while (take_half(p, own));
}

// Gives every worker its part of `pieces`.
static void share_out(pool *p, int64_t pieces) {
    const uint64_t n = (uint64_t)pieces, threads = (uint64_t)p->threads;
    for (uint64_t i = 0; i < threads; i++)
        atomic_store_explicit(&p->ranges[i].word, range_of(n * i / threads, n * (i + 1) / threads),
                              memory_order_relaxed);
}

// Whether there is something to do for a worker that has seen job number `seen`.
static bool worker_wanted(pool *p, uint64_t seen) {
    uint64_t state = atomic_load(&p->state);
    return atomic_load(&p->stop) || (job_open(state) && state >> INSIDE_BITS != seen);
}

// Waits until there is. `*spin` adapts: spinning that led to nothing is cut by half, so that a pool that is
// seldom used, or has to share its cores, soon only sleeps.
static void worker_wait(pool *p, uint64_t seen, double *spin) {
    double until = clock_seconds() + *spin;
    do {
        if (worker_wanted(p, seen)) {
            *spin = *spin * 2 < spin_longest ? *spin * 2 : spin_longest;
            return;
        }
        spin_pause();
    } while (clock_seconds() < until);
    *spin = *spin / 2 > spin_shortest ? *spin / 2 : spin_shortest;
    mutex_lock(&p->lock);
    atomic_fetch_add(&p->asleep, 1);
    while (!worker_wanted(p, seen))
        condition_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->asleep, 1);
    mutex_unlock(&p->lock);
}

static void worker_main(void *arg) {
    worker *w = arg;
    pool *p = w->pool;
    if (w->core >= 0)
        thread_bind(w->core); // a refusal costs speed alone
    uint64_t seen = 0;
    double spin = spin_longest;
    for (;;) {
        worker_wait(p, seen, &spin);
        if (atomic_load(&p->stop))
            return;
        uint64_t state = atomic_load(&p->state);
        if (!job_open(state) || !atomic_compare_exchange_strong(&p->state, &state, state + 1))
            continue; // closed, or another worker was faster: look again
        seen = state >> INSIDE_BITS;
        work(p, w->index);
        state = atomic_fetch_sub(&p->state, 1) - 1;
        if (!job_open(state) && (state & INSIDE_MASK) == 0 && atomic_load(&p->caller_asleep)) {
            mutex_lock(&p->lock);
            condition_wake_all(&p->done);
            mutex_unlock(&p->lock);
        }
    }
}

// ------------------------------------------------------------------------------------------------- callers

static void wake_workers(pool *p) {
    if (atomic_load(&p->asleep) == 0)
        return;
    mutex_lock(&p->lock);
    condition_wake_all(&p->wake);
    mutex_unlock(&p->lock);
}

static bool somebody_inside(pool *p) {
    return (atomic_load(&p->state) & INSIDE_MASK) != 0;
}

// Waits until every worker that joined has left.
static void wait_done(pool *p) {
    if (!somebody_inside(p))
        return;
    double until = clock_seconds() + spin_longest;
    do {
        spin_pause();
        if (!somebody_inside(p))
            return;
    } while (clock_seconds() < until);
    mutex_lock(&p->lock);
    atomic_store(&p->caller_asleep, true);
    while (somebody_inside(p))
        condition_wait(&p->done, &p->lock);
    atomic_store(&p->caller_asleep, false);
    mutex_unlock(&p->lock);
}

void pool_run(pool *p, int64_t n, int64_t grain, pool_fn fn, void *job) {
    if (n <= 0)
        return;
    if (grain < 1)
        grain = 1;
    mutex_lock(&p->turn);
    while (n / grain >= INT32_MAX) // pieces are counted in half a word
        grain *= 2;
    if (n <= grain || p->threads == 1) {
        fn(job, 0, n, 0);
    } else {
        p->fn = fn;
        p->job = job;
        p->n = n;
        p->grain = grain;
        p->runs++;
        share_out(p, n / grain + (n % grain != 0));
        atomic_fetch_add(&p->state, STATE_STEP);
        wake_workers(p);
        work(p, 0);
        atomic_fetch_add(&p->state, STATE_STEP);
        wait_done(p);
    }
    mutex_unlock(&p->turn);
}

int pool_threads(const pool *p) {
    return p->threads;
}

uint64_t pool_runs(pool *p) {
    mutex_lock(&p->turn);
    const uint64_t runs = p->runs;
    mutex_unlock(&p->turn);
    return runs;
}

// ------------------------------------------------------------------------------------------------- life

static ingot_status locks_init(pool *p, ingot_error *err) {
    TRY(mutex_init(&p->turn, err));
    const ingot_status status = monitor_init(&p->lock, &p->wake, &p->done, err);
    if (status != INGOT_OK)
        mutex_free(&p->turn);
    return status;
}

void pool_free(pool *p) {
    if (!p)
        return;
    mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    condition_wake_all(&p->wake);
    mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++)
        thread_join(p->workers[i].thread);
    monitor_free(&p->lock, &p->wake, &p->done);
    mutex_free(&p->turn);
    mem_free(p->mem, p->workers);
    mem_free(p->mem, p->ranges);
    mem_free(p->mem, p);
}

static ingot_status workers_start(pool *p, const int *cores, ingot_error *err) {
    for (int i = 0; i < p->threads - 1; i++) {
        worker *w = &p->workers[i];
        w->pool = p;
        w->index = i + 1;
        w->core = cores ? cores[i + 1] : -1;
        TRY(thread_start(&w->thread, worker_main, w, "ingot-worker", err));
        p->started++;
    }
    return INGOT_OK;
}

ingot_status pool_new(int threads, const int *cores, const ingot_allocator *mem, pool **out,
                      ingot_error *err) {
    *out = NULL;
    if (threads < 1 || threads > POOL_THREADS_MAX)
        return fail(err, INGOT_ERR_INVALID, "threads is %d, expected 1 to %d", threads, POOL_THREADS_MAX);
    pool *p = mem_alloc(mem, 1, sizeof *p);
    if (!p)
        return fail_memory(err, sizeof *p, "the thread pool");
    p->mem = mem;
    p->threads = threads;
    p->workers = mem_alloc(mem, (size_t)threads, sizeof *p->workers);
    p->ranges = mem_alloc(mem, (size_t)threads, sizeof *p->ranges);
    ingot_status status = INGOT_OK;
    if (!p->workers || !p->ranges)
        status = fail_memory(err, (uint64_t)threads * sizeof *p->workers, "the thread pool");
    if (status == INGOT_OK)
        status = locks_init(p, err);
    if (status != INGOT_OK) {
        mem_free(mem, p->workers);
        mem_free(mem, p->ranges);
        mem_free(mem, p);
        return status;
    }
    status = workers_start(p, cores, err);
    if (status != INGOT_OK) {
        pool_free(p);
        return status;
    }
    *out = p;
    return INGOT_OK;
}
