#include "base/thread.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

ingot_status mutex_init(mutex *m, ingot_error *err) {
    int code = pthread_mutex_init(m, NULL);
    return code == 0 ? INGOT_OK : fail(err, INGOT_ERR_MEMORY, "cannot make a mutex: %s", strerror(code));
}

void mutex_free(mutex *m) {
    pthread_mutex_destroy(m);
}

void mutex_lock(mutex *m) {
    pthread_mutex_lock(m);
}

void mutex_unlock(mutex *m) {
    pthread_mutex_unlock(m);
}

ingot_status condition_init(condition *c, ingot_error *err) {
    pthread_condattr_t attr;
    int code = pthread_condattr_init(&attr);
    if (code == 0) {
#if !defined(__APPLE__)
        code = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
        if (code == 0)
            code = pthread_cond_init(c, &attr);
        pthread_condattr_destroy(&attr);
    }
    return code == 0 ? INGOT_OK : fail(err, INGOT_ERR_MEMORY, "cannot make a condition: %s", strerror(code));
}

void condition_free(condition *c) {
    pthread_cond_destroy(c);
}

ingot_status monitor_init(mutex *lock, condition *one, condition *other, ingot_error *err) {
    TRY(mutex_init(lock, err));
    ingot_status status = condition_init(one, err);
    if (status == INGOT_OK) {
        status = condition_init(other, err);
        if (status == INGOT_OK)
            return INGOT_OK;
        condition_free(one);
    }
    mutex_free(lock);
    return status;
}

void monitor_free(mutex *lock, condition *one, condition *other) {
    condition_free(other);
    condition_free(one);
    mutex_free(lock);
}

void condition_wake_all(condition *c) {
    pthread_cond_broadcast(c);
}

void condition_wait(condition *c, mutex *m) {
    pthread_cond_wait(c, m);
}

static struct timespec timespec_of(double seconds) {
    double whole = floor(seconds);
    struct timespec t = {.tv_sec = (time_t)whole, .tv_nsec = (long)((seconds - whole) * 1e9)};
    return t;
}

bool condition_wait_until(condition *c, mutex *m, double deadline) {
    double left = deadline - clock_seconds();
    if (left <= 0)
        return false;
    if (left > 1e8) { // three years: past what a timespec is sure to hold
        condition_wait(c, m);
        return true;
    }
#if defined(__APPLE__)
    struct timespec t = timespec_of(left);
    return pthread_cond_timedwait_relative_np(c, m, &t) != ETIMEDOUT;
#else
    struct timespec t = timespec_of(deadline);
    return pthread_cond_timedwait(c, m, &t) != ETIMEDOUT;
#endif
}

// What a new thread needs to begin; it lies on the starter's stack until `taken`.
typedef struct start {
    void (*body)(void *);
    void *arg;
    const char *name;
    mutex lock;
    condition change;
    bool taken;
} start;

static void name_self(const char *name) {
    char cut[16]; // the most that Linux takes
    strncpy(cut, name, sizeof cut - 1);
    cut[sizeof cut - 1] = '\0';
#if defined(__APPLE__)
    pthread_setname_np(cut);
#elif defined(__linux__)
    pthread_setname_np(pthread_self(), cut);
#endif
}

static void *thread_main(void *arg) {
    start *s = arg;
    void (*body)(void *) = s->body;
    void *body_arg = s->arg;
    name_self(s->name);
    mutex_lock(&s->lock);
    s->taken = true;
    condition_wake_all(&s->change);
    mutex_unlock(&s->lock);
    body(body_arg);
    return NULL;
}

// Signals that a thread's own fault raises: blocking them would turn a fault that a handler mends into death.
static void blocked_signals(sigset_t *set) {
    sigfillset(set);
    static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(set, faults[i]);
}

ingot_status thread_start(thread *t, void (*body)(void *), void *arg, const char *name, ingot_error *err) {
    start s = {.body = body, .arg = arg, .name = name};
    TRY(mutex_init(&s.lock, err));
    ingot_status status = condition_init(&s.change, err);
    if (status != INGOT_OK) {
        mutex_free(&s.lock);
        return status;
    }
    sigset_t blocked, old;
    blocked_signals(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &old);
    int code = pthread_create(t, NULL, thread_main, &s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code == 0) {
        mutex_lock(&s.lock);
        while (!s.taken)
            condition_wait(&s.change, &s.lock);
        mutex_unlock(&s.lock);
    } else {
        status = fail(err, INGOT_ERR_MEMORY, "cannot start the thread %s: %s", name, strerror(code));
    }
    condition_free(&s.change);
    mutex_free(&s.lock);
    return status;
}

void thread_join(thread t) {
    pthread_join(t, NULL);
}

void thread_yield(void) {
    sched_yield();
}

bool thread_bind(int core) {
#if defined(__linux__)
    cpu_set_t set;
    if (core < 0 || core >= CPU_SETSIZE)
        return false;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
#else
    (void)core;
    return false;
#endif
}

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double clock_seconds(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

double thread_seconds(void) {
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

int64_t process_id(void) {
    return getpid();
}

void *vm_reserve(uint64_t size) {
    if (size == 0 || size > SIZE_MAX / 2)
        return NULL;
    void *block =
        mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

void vm_release(void *block, uint64_t size) {
    if (block)
        munmap(block, (size_t)size);
}
