// What the tables of native/text share: growing an array, fetching memory early.
#ifndef INGOT_TEXT_GROW_H
#define INGOT_TEXT_GROW_H

#include "base/mem.h"

// Asks the processor for memory that will be read soon.
#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

// Makes room for `need` items of `size` bytes in `block`, which has room for *capacity. Returns the block,
// moved perhaps, with *capacity updated; NULL when memory is exhausted (`block` is as it was).
static inline void *grow(const ingot_allocator *mem, void *block, size_t *capacity, size_t need,
                         size_t size) {
    if (block && need <= *capacity)
        return block;
    size_t wanted = *capacity < 32 ? 64 : *capacity + *capacity / 2;
    if (wanted < need)
        wanted = need;
    void *grown = mem_resize(mem, block, wanted, size);
    if (grown)
        *capacity = wanted;
    return grown;
}

#endif
