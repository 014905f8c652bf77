// Lists of ranges of numbers: classes of characters and bytes, sets of tokens.
#ifndef INGOT_GRAMMAR_RANGES_H
#define INGOT_GRAMMAR_RANGES_H

#include "base/mem.h"
#include "text/unicode.h"

// Zeroed but for `mem` it is empty. A failed allocation sets `failed`; calls do nothing from then on.
typedef struct range_list {
    const ingot_allocator *mem;
    unicode_range *items;
    size_t n;
    size_t capacity;
    bool failed;
} range_list;

void range_free(range_list *list);
void range_add(range_list *list, uint32_t first, uint32_t last);

// Sorts, and joins what overlaps or touches; the calls below want it done.
void range_normalize(range_list *list);
void range_negate(range_list *list); // within 0 to UNICODE_MAX
void range_remove(range_list *list, uint32_t first, uint32_t last);

#endif
