// An allocator that fails one chosen allocation and counts the blocks that are alive, for showing that every
// failed allocation becomes INGOT_ERR_MEMORY and leaks nothing. Safe from several threads. Use:
//
//     for (long n = 0; ; n++) {
//         failing_mem m;
//         failing_mem_init(&m, n);
//         ingot_status status = thing_new(&m.allocator, &thing, &err);
//         if (status == INGOT_OK)
//             thing_free(thing);
//         if (!failing_mem_end(&m, status)) // all n allocations succeeded: nothing is left to fail
//             break;
//     }
#ifndef INGOT_TESTS_FAILING_MEM_H
#define INGOT_TESTS_FAILING_MEM_H

#include <stdatomic.h>
#include <stdlib.h>

#include "check.h"
#include "ingot.h"

typedef struct failing_mem {
    ingot_allocator allocator; // give &m.allocator to what is tested; the struct must not move
    long fail_at;              // which allocation fails, counted from 0; negative: none
    atomic_long calls;         // allocations and resizings asked for so far
    atomic_long live;          // blocks not yet freed
} failing_mem;

static inline void *failing_mem_resize(void *user, void *old, size_t size) {
    failing_mem *m = user;
    if (size == 0) {
        if (old)
            atomic_fetch_sub(&m->live, 1);
        free(old);
        return NULL;
    }
    if (atomic_fetch_add(&m->calls, 1) == m->fail_at)
        return NULL;
    void *block = realloc(old, size);
    if (block && !old)
        atomic_fetch_add(&m->live, 1);
    return block;
}

static inline void failing_mem_init(failing_mem *m, long fail_at) {
    m->allocator = (ingot_allocator){.user = m, .resize = failing_mem_resize};
    m->fail_at = fail_at;
    atomic_init(&m->calls, 0);
    atomic_init(&m->live, 0);
}

static inline long failing_mem_live(failing_mem *m) {
    return atomic_load(&m->live);
}

// Whether the chosen allocation was reached.
static inline bool failing_mem_failed(failing_mem *m) {
    return m->fail_at >= 0 && atomic_load(&m->calls) > m->fail_at;
}

// Checks that what ended with `status` freed everything, and failed just where an allocation did; returns
// whether one did.
static inline bool failing_mem_end(failing_mem *m, ingot_status status) {
    const bool failed = failing_mem_failed(m);
    CHECK(failing_mem_live(m) == 0);
    CHECK(status == (failed ? INGOT_ERR_MEMORY : INGOT_OK));
    return failed;
}

#endif
