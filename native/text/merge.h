// The merging that BPE and SPM share: of all neighbours that may become one, the pair of the lowest rank goes
// first, the leftmost among equals, until no pair is left. O(n log n).
#ifndef INGOT_TEXT_MERGE_H
#define INGOT_TEXT_MERGE_H

#include "base/status.h"
#include "text/heap.h"

// A piece of the text; dead (its size 0) once it was merged into its left neighbour.
typedef struct merge_symbol {
    uint32_t start;
    uint32_t size;
    int32_t id; // of the vocabulary; -1: none
    int32_t previous;
    int32_t next;   // -1: the last
    int32_t merged; // what this and the next become; -1: they don't
    uint32_t rank;  // of that pair
} merge_symbol;

// What `left` and `right`, neighbours in `text`, become: sets *id and *rank. False if they stay apart.
typedef bool (*merge_pair_fn)(const void *rules, const char *text, const merge_symbol *left,
                              const merge_symbol *right, int32_t *id, uint32_t *rank);

// May be used for many texts in turn; zeroed at first.
typedef struct merger {
    merge_symbol *symbols; // the first is never dead: the result is read along `next` from there
    size_t n;
    size_t capacity;
    heap pairs;
} merger;

// Appends a symbol; start over by setting `n` to 0.
ingot_status merger_append(merger *m, const ingot_allocator *mem, merge_symbol symbol, ingot_error *err);
ingot_status merger_run(merger *m, const ingot_allocator *mem, const char *text, merge_pair_fn pair,
                        const void *rules, ingot_error *err);
void merger_free(merger *m, const ingot_allocator *mem);

#endif
