// The thread pool: every index is done once, whoever calls, however many threads there are.
#include <stdatomic.h>
#include <stdlib.h>

#include "base/pool.h"
#include "base/thread.h"
#include "check.h"
#include "failing_mem.h"

// What a job does: counts its visits to every index, and that workers keep to their own number.
typedef struct tally {
    atomic_int *visits; // [n]
    int64_t n;
    int64_t grain;
    int threads;
    atomic_int inside[64]; // per worker number
    atomic_int wrong;
} tally;

static void visit(void *job, int64_t begin, int64_t end, int worker) {
    tally *t = job;
    if (worker < 0 || worker >= t->threads || begin < 0 || begin >= end || end > t->n) {
        atomic_fetch_add(&t->wrong, 1);
        return;
    }
    if (end - begin > t->grain && (begin != 0 || end != t->n))
        atomic_fetch_add(&t->wrong, 1);
    if (atomic_fetch_add(&t->inside[worker], 1) != 0)
        atomic_fetch_add(&t->wrong, 1); // two threads under one number
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add_explicit(&t->visits[i], 1, memory_order_relaxed);
    atomic_fetch_sub(&t->inside[worker], 1);
}

static void check_range(pool *p, int64_t n, int64_t grain) {
    tally t = {.n = n, .grain = grain, .threads = pool_threads(p)};
    t.visits = calloc((size_t)n + 1, sizeof *t.visits);
    pool_run(p, n, grain, visit, &t);
    int wrong = atomic_load(&t.wrong);
    for (int64_t i = 0; i < n; i++)
        wrong += atomic_load(&t.visits[i]) != 1;
    CHECK(wrong == 0);
    free((void *)t.visits);
}

static void test_ranges(void) {
    static const int threads[] = {1, 2, 3, 8, 33};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        pool *p = NULL;
        ingot_error err;
        CHECK(pool_new(threads[i], NULL, NULL, &p, &err) == INGOT_OK);
        CHECK(pool_threads(p) == threads[i]);
        uint64_t shared = 0; // runs of several pieces, if there are threads for them
        for (int64_t n = 0; n < 40; n++) {
            for (int64_t grain = 1; grain < 10; grain += 2) {
                check_range(p, n, grain);
                shared += n > grain && threads[i] > 1;
            }
        }
        CHECK(pool_runs(p) == shared);
        check_range(p, 100000, 1);
        check_range(p, 100000, 999);
        check_range(p, 1000, INT64_MAX);
        pool_free(p);
    }
}

static void add(void *job, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t sum = 0;
    for (int64_t i = begin; i < end; i++)
        sum += i;
    atomic_fetch_add((atomic_llong *)job, sum);
}

// Most of the time goes into handing over: what a forward pass of a small model is made of.
static void test_many_tiny_jobs(void) {
    pool *p = NULL;
    CHECK(pool_new(4, NULL, NULL, &p, NULL) == INGOT_OK);
    int wrong = 0;
    for (int i = 0; i < 20000; i++) {
        atomic_llong sum = 0;
        pool_run(p, 16, 1, add, &sum);
        wrong += atomic_load(&sum) != 120;
    }
    CHECK(wrong == 0);
    pool_free(p);
}

typedef struct caller {
    pool *pool;
    int wrong;
} caller;

static void call(void *arg) {
    caller *c = arg;
    for (int i = 0; i < 500; i++) {
        atomic_llong sum = 0;
        pool_run(c->pool, 1000, 10, add, &sum);
        c->wrong += atomic_load(&sum) != 499500;
    }
}

static void test_several_callers(void) {
    pool *p = NULL;
    CHECK(pool_new(3, NULL, NULL, &p, NULL) == INGOT_OK);
    caller callers[6];
    thread threads[6];
    for (int i = 0; i < 6; i++) {
        callers[i] = (caller){.pool = p};
        CHECK(thread_start(&threads[i], call, &callers[i], "caller", NULL) == INGOT_OK);
    }
    for (int i = 0; i < 6; i++) {
        thread_join(threads[i]);
        CHECK(callers[i].wrong == 0);
    }
    pool_free(p);
}

// Even a piece alone in its job must wait for its turn: callers share worker 0's scratch memory.
typedef struct small {
    pool *pool;
    atomic_int *inside;
    atomic_int *wrong;
} small;

static void alone(void *job, int64_t begin, int64_t end, int worker) {
    small *s = job;
    if (begin != 0 || end != 1 || worker != 0 || atomic_fetch_add(s->inside, 1) != 0)
        atomic_fetch_add(s->wrong, 1);
    thread_yield();
    atomic_fetch_sub(s->inside, 1);
}

static void call_small(void *arg) {
    small *s = arg;
    for (int i = 0; i < 300; i++)
        pool_run(s->pool, 1, 1, alone, s);
}

static void test_small_jobs_take_turns(void) {
    pool *p = NULL;
    CHECK(pool_new(2, NULL, NULL, &p, NULL) == INGOT_OK);
    atomic_int inside = 0, wrong = 0;
    small s = {.pool = p, .inside = &inside, .wrong = &wrong};
    thread threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(thread_start(&threads[i], call_small, &s, "caller", NULL) == INGOT_OK);
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);
    CHECK(atomic_load(&wrong) == 0);
    pool_free(p);
}

static void spin_for(void *job, int64_t begin, int64_t end, int worker) {
    (void)worker;
    volatile double x = 0;
    for (int64_t i = begin * *(int64_t *)job; i < end * *(int64_t *)job; i++)
        x = x + (double)i;
}

static double seconds_with(int threads, int jobs) {
    pool *p = NULL;
    CHECK(pool_new(threads, NULL, NULL, &p, NULL) == INGOT_OK);
    int64_t weight = 2000;
    double best = 1e9;
    for (int round = 0; round < 3; round++) {
        double start = clock_seconds();
        for (int i = 0; i < jobs; i++)
            pool_run(p, 32, 1, spin_for, &weight);
        double took = clock_seconds() - start;
        best = took < best ? took : best;
    }
    pool_free(p);
    return best;
}

// 32 threads on whatever this machine has must not be a catastrophe (spinning barriers are: 50 times slower).
static void test_more_threads_than_cores(void) {
    double one = seconds_with(1, 300), many = seconds_with(32, 300);
    printf("300 jobs: %.1f ms with 1 thread, %.1f ms with 32\n", one * 1e3, many * 1e3);
    CHECK(many < one * 10 + 1);
}

// A piece that waits until all four are being worked on, for ten seconds at most.
static void meet(void *job, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    atomic_int *inside = job;
    double until = clock_seconds() + 10.0;
    atomic_fetch_add(inside, 1);
    while (atomic_load(inside) < 4 && clock_seconds() < until)
        thread_yield();
}

static void test_sleeping_workers_wake(void) {
    pool *p = NULL;
    CHECK(pool_new(4, NULL, NULL, &p, NULL) == INGOT_OK);
    for (int i = 0; i < 20; i++) {
        mutex lock;
        condition never;
        CHECK(mutex_init(&lock, NULL) == INGOT_OK && condition_init(&never, NULL) == INGOT_OK);
        mutex_lock(&lock);
        double until = clock_seconds() + 0.002; // long enough for all to fall asleep
        while (condition_wait_until(&never, &lock, until)) {
        }
        mutex_unlock(&lock);
        condition_free(&never);
        mutex_free(&lock);
        atomic_int inside = 0;
        double start = clock_seconds();
        pool_run(p, 4, 1, meet, &inside);
        CHECK(atomic_load(&inside) == 4 && clock_seconds() - start < 9.0);
    }
    pool_free(p);
}

static void test_errors(void) {
    pool *p = NULL;
    ingot_error err;
    CHECK(pool_new(0, NULL, NULL, &p, &err) == INGOT_ERR_INVALID && !p);
    CHECK_CONTAINS(err.message, "threads is 0");
    CHECK(pool_new(POOL_THREADS_MAX + 1, NULL, NULL, &p, &err) == INGOT_ERR_INVALID && !p);
    int cores[2] = {0, 100000}; // the second can't be
    CHECK(pool_new(2, cores, NULL, &p, &err) == INGOT_OK);
    check_range(p, 1000, 1);
    pool_free(p);
    pool_free(NULL);
    for (long n = 0;; n++) {
        failing_mem m;
        failing_mem_init(&m, n);
        ingot_status status = pool_new(3, NULL, &m.allocator, &p, &err);
        if (status == INGOT_OK)
            pool_free(p);
        CHECK(status == INGOT_OK || !p);
        if (!failing_mem_end(&m, status))
            break;
    }
}

int main(void) {
    test_ranges();
    test_many_tiny_jobs();
    test_several_callers();
    test_small_jobs_take_turns();
    test_more_threads_than_cores();
    test_sleeping_workers_wake();
    test_errors();
    return check_report();
}
