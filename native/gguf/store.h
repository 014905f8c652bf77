// Memory for the values of a file: taken piece by piece, freed all at once.
#ifndef INGOT_GGUF_STORE_H
#define INGOT_GGUF_STORE_H

#include "base/mem.h"

typedef struct store {
    struct store_block *blocks; // newest first; the rest of the newest small one is where `next` points
    uint8_t *next;
    size_t left;
} store;

// `count` items of `size` bytes, aligned to 8, not cleared; never NULL for a count of zero. NULL on overflow
// or exhaustion. A store starts as {0}; at most half of what it allocates stays unused.
void *store_alloc(store *s, const ingot_allocator *mem, uint64_t count, uint64_t size);
void store_free(store *s, const ingot_allocator *mem);

#endif
