// A hash table from hashes to numbers of items that the caller keeps and compares.
#ifndef INGOT_GRAMMAR_TABLE_H
#define INGOT_GRAMMAR_TABLE_H

#include <string.h>

#include "base/mem.h"

typedef struct table {
    const ingot_allocator *mem;
    uint64_t *slots; // hash << 32 | number + 1; 0: free
    size_t n_slots;  // a power of two, or 0
    size_t n;
} table;

static inline uint32_t hash_mix(uint64_t x) {
    x = (x ^ (x >> 31)) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9u;
    return (uint32_t)(x >> 32);
}

static inline uint32_t hash_words(const uint32_t *words, size_t n) {
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ words[i]) * 0x9E3779B97F4A7C15u;
        h ^= h >> 32;
    }
    return (uint32_t)h;
}

// Walks over the numbers with this hash: begin with *at = hash; false past the last.
static inline bool table_next(const table *t, uint32_t hash, size_t *at, uint32_t *number) {
    if (t->n_slots == 0)
        return false;
    for (size_t i = *at & (t->n_slots - 1);; i = (i + 1) & (t->n_slots - 1)) {
        if (t->slots[i] == 0)
            return false;
        if (t->slots[i] >> 32 == hash) {
            *number = (uint32_t)t->slots[i] - 1;
            *at = i + 1;
            return true;
        }
    }
}

static inline void table_place(table *t, uint64_t entry) {
    size_t i = (size_t)(entry >> 32) & (t->n_slots - 1);
    while (t->slots[i] != 0)
        i = (i + 1) & (t->n_slots - 1);
    t->slots[i] = entry;
}

// Adds a number < UINT32_MAX where there is room, as for one that was there before table_clear.
static inline void table_put(table *t, uint32_t hash, uint32_t number) {
    table_place(t, (uint64_t)hash << 32 | (number + 1));
    t->n++;
}

// Adds a number < UINT32_MAX; false when memory is exhausted.
static inline bool table_add(table *t, uint32_t hash, uint32_t number) {
    if ((t->n + 1) * 4 > t->n_slots * 3) {
        table grown = {t->mem, NULL, t->n_slots ? t->n_slots * 2 : 64, t->n};
        grown.slots = mem_alloc(t->mem, grown.n_slots, sizeof *grown.slots);
        if (!grown.slots)
            return false;
        for (size_t i = 0; i < t->n_slots; i++)
            if (t->slots[i] != 0)
                table_place(&grown, t->slots[i]);
        mem_free(t->mem, t->slots);
        *t = grown;
    }
    table_put(t, hash, number);
    return true;
}

static inline void table_clear(table *t) {
    if (t->n > 0)
        memset(t->slots, 0, t->n_slots * sizeof *t->slots);
    t->n = 0;
}

static inline void table_free(table *t) {
    mem_free(t->mem, t->slots);
    *t = (table){.mem = t->mem};
}

#endif
