// A numbered list of byte strings that can be looked up by their bytes. The hash (SipHash-1-3) is keyed by
// where the map lies in memory, so that a file can't be made to collide.
#ifndef INGOT_TEXT_STRMAP_H
#define INGOT_TEXT_STRMAP_H

#include "base/mem.h"
#include "base/status.h"

typedef struct strmap_chunk strmap_chunk;

typedef struct strmap {
    const ingot_allocator *mem;
    ingot_str *items; // [n], the bytes borrowed or copied with strmap_copy
    size_t n;
    size_t capacity;
    uint64_t *slots; // 32 bits of the hash, then the item's number + 1; 0: free
    size_t n_slots;
    size_t n_used;
    strmap_chunk *chunks; // memory of strmap_copy
    uint64_t key[2];
} strmap;

// An empty map with room for `expected` items.
ingot_status strmap_init(strmap *map, const ingot_allocator *mem, size_t expected, ingot_error *err);
void strmap_free(strmap *map);

// The number of the item that equals `a` followed by `b`; -1 if there is none.
int32_t strmap_find_joined(const strmap *map, ingot_str a, ingot_str b);

// Looks up `n` strings at once, which is several times faster in a big map: the memory that one needs is
// fetched while others are looked up. ids[i] is -1 where items[i] isn't there.
void strmap_find_many(const strmap *map, const ingot_str *items, size_t n, int32_t *ids);

static inline int32_t strmap_find(const strmap *map, const char *data, size_t size) {
    return strmap_find_joined(map, (ingot_str){data, size}, (ingot_str){NULL, 0});
}

// Appends an item (at most INT32_MAX of them), borrowing its bytes. It isn't found yet.
ingot_status strmap_push(strmap *map, ingot_str item, ingot_error *err);

// Makes the items from `first` on findable, empty ones apart. Of equal items the first is found.
ingot_status strmap_index(strmap *map, size_t first, ingot_error *err);

// Memory for `size` bytes that live as long as the map; NULL when exhausted.
char *strmap_copy(strmap *map, size_t size);

#endif
