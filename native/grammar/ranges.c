#include "grammar/ranges.h"

void range_free(range_list *list) {
    mem_free(list->mem, list->items);
    *list = (range_list){.mem = list->mem};
}

void range_add(range_list *list, uint32_t first, uint32_t last) {
    if (list->failed)
        return;
    if (!mem_reserve(list->mem, &list->items, &list->capacity, list->n + 1, sizeof *list->items)) {
        list->failed = true;
        return;
    }
    list->items[list->n++] = (unicode_range){first, last};
}

static int by_first(const void *a, const void *b) {
    const unicode_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

void range_normalize(range_list *list) {
    if (list->n < 2)
        return;
    qsort(list->items, list->n, sizeof *list->items, by_first);
    size_t n = 0;
    for (size_t i = 1; i < list->n; i++) {
        unicode_range *last = &list->items[n], next = list->items[i];
        if (last->last != UINT32_MAX && next.first > last->last + 1)
            list->items[++n] = next;
        else if (next.last > last->last)
            last->last = next.last;
    }
    list->n = n + 1;
}

void range_negate(range_list *list) {
    range_list out = {.mem = list->mem, .failed = list->failed};
    uint32_t next = 0;
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].first > next)
            range_add(&out, next, list->items[i].first - 1);
        next = list->items[i].last + 1;
    }
    if (next <= UNICODE_MAX)
        range_add(&out, next, UNICODE_MAX);
    range_free(list);
    *list = out;
}

void range_remove(range_list *list, uint32_t first, uint32_t last) {
    range_list out = {.mem = list->mem, .failed = list->failed};
    for (size_t i = 0; i < list->n; i++) {
        unicode_range r = list->items[i];
        if (r.first < first)
            range_add(&out, r.first, r.last < first ? r.last : first - 1);
        if (r.last > last)
            range_add(&out, r.first > last ? r.first : last + 1, r.last);
    }
    range_free(list);
    *list = out;
}
