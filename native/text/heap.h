// A heap of numbers, the smallest first.
#ifndef INGOT_TEXT_HEAP_H
#define INGOT_TEXT_HEAP_H

#include "base/mem.h"

typedef struct heap {
    uint64_t *items;
    size_t n;
    size_t capacity;
} heap;

// False when memory is exhausted.
static inline bool heap_push(heap *h, const ingot_allocator *mem, uint64_t item) {
    if (!mem_reserve(mem, &h->items, &h->capacity, h->n + 1, sizeof *h->items))
        return false;
    uint64_t *items = h->items;
    size_t i = h->n++;
    for (; i > 0 && items[(i - 1) / 2] > item; i = (i - 1) / 2)
        items[i] = items[(i - 1) / 2];
    items[i] = item;
    return true;
}

// The heap must not be empty.
static inline uint64_t heap_pop(heap *h) {
    uint64_t *items = h->items;
    uint64_t top = items[0];
    uint64_t last = items[--h->n];
    size_t i = 0;
    for (size_t child = 1; child < h->n; child = 2 * i + 1) {
        if (child + 1 < h->n && items[child + 1] < items[child])
            child++;
        if (items[child] >= last)
            break;
        items[i] = items[child];
        i = child;
    }
    items[i] = last;
    return top;
}

#endif
