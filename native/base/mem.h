// Heap memory through the caller's allocator, so that tests can make the n-th allocation fail.
#ifndef INGOT_BASE_MEM_H
#define INGOT_BASE_MEM_H

#include <stdlib.h>

#include "base/status.h"

// The C library's allocator; what a NULL `ingot_allocator` means everywhere.
extern const ingot_allocator mem_libc;

// `count` items of `size` bytes, zeroed. A count of zero gives a unique pointer that must be freed. NULL on
// overflow or exhaustion. `mem` may be NULL (libc).
void *mem_alloc(const ingot_allocator *mem, size_t count, size_t size);

// Resizes to `count` items of `size` bytes; new bytes are not cleared; `old` survives a NULL result.
void *mem_resize(const ingot_allocator *mem, void *old, size_t count, size_t size);

// Frees; NULL is allowed.
void mem_free(const ingot_allocator *mem, void *block);

// The message for a failed allocation: "cannot allocate N bytes for WHAT".
ingot_status fail_memory(ingot_error *err, uint64_t bytes, const char *what);

#endif
