// Heap memory through the caller's allocator, so that tests can make the n-th allocation fail.
#ifndef INGOT_BASE_MEM_H
#define INGOT_BASE_MEM_H

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

// The C library's allocator; what a NULL `ingot_allocator` means everywhere.
extern const ingot_allocator mem_libc;

// `count` items of `size` bytes, zeroed. A count of zero gives a unique pointer that must be freed. NULL on
// overflow or exhaustion. `mem` may be NULL (libc).
void *mem_alloc(const ingot_allocator *mem, size_t count, size_t size);

// Resizes to `count` items of `size` bytes; new bytes are not cleared; `old` survives a NULL result.
void *mem_resize(const ingot_allocator *mem, void *old, size_t count, size_t size);

// What mem_reserve calls for an array that is too small.
bool mem_grow(const ingot_allocator *mem, void *array, size_t *capacity, size_t need, size_t size);

// Makes room for `need` items of `size` bytes in *array (a pointer to items of any type), which has room for
// *capacity; moved perhaps, with *capacity updated. *array is NULL at first, and never after a success. False
// when memory is exhausted: nothing has changed then.
static inline bool mem_reserve(const ingot_allocator *mem, void *array, size_t *capacity, size_t need,
                               size_t size) {
    void *block; // copied: the pointer has a type of the caller's
    memcpy(&block, array, sizeof block);
    return (block && need <= *capacity) || mem_grow(mem, array, capacity, need, size);
}

// Frees; NULL is allowed.
void mem_free(const ingot_allocator *mem, void *block);

// The message for a failed allocation: "cannot allocate N bytes for WHAT".
ingot_status fail_memory(ingot_error *err, uint64_t bytes, const char *what);

#endif
