// Looking up things by name: the names in order, searched by bisection. Unlike a hash table, no choice of
// names makes a search slow; adding names moves those behind them, so that a file's names in descending
// order, the worst case, cost seconds at the most that a file may have.
#ifndef INGOT_GGUF_INDEX_H
#define INGOT_GGUF_INDEX_H

#include "base/mem.h"

typedef struct name_entry {
    ingot_str name; // borrowed
    uint32_t item;
} name_entry;

typedef struct name_index {
    name_entry *entries; // [count] by name
    uint32_t count;
    size_t capacity;
} name_index;

#define INDEX_NONE UINT32_MAX

// Indexes `count` items: structs of `stride` bytes that begin with an ingot_str, their name. Two of the same
// name are INGOT_ERR_FORMAT ("KIND 'NAME' appears twice"). On failure the index is empty.
ingot_status index_build(name_index *index, const ingot_allocator *mem, const void *items, size_t stride,
                         uint32_t count, const char *kind, ingot_error *err);

// Adds item number `count`, whose name must be new. An index starts as {0}.
ingot_status index_append(name_index *index, const ingot_allocator *mem, ingot_str name, ingot_error *err);

// The number of the item called `name`, or INDEX_NONE.
uint32_t index_find(const name_index *index, ingot_str name);
void index_free(name_index *index, const ingot_allocator *mem);

#endif
