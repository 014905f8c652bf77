// Which parts of a text of at most 7 bytes something matches: the pairs (i, j) for which it matches the text
// from i to j.
#ifndef INGOT_TESTS_RELATION_H
#define INGOT_TESTS_RELATION_H

#include <stdbool.h>
#include <stdint.h>

// Bit 8 * i + j: from i to j.
typedef uint64_t relation;

static inline relation relation_chain(relation a, relation b) {
    relation out = 0;
    for (int i = 0; i < 8; i++)
        for (int j = i; j < 8; j++)
            if (a >> (8 * i + j) & 1)
                out |= (relation)(b >> (8 * j) & 0xFF) << (8 * i);
    return out;
}

static inline relation relation_all(int size, bool same) {
    relation out = 0;
    for (int i = 0; i <= size; i++)
        for (int j = i; j <= (same ? i : size); j++)
            out |= (relation)1 << (8 * i + j);
    return out;
}

static inline relation relation_repeat(relation child, int size, int min, int max) {
    relation power = relation_all(size, true), out = 0;
    int last = max < 0 ? min + 16 : max;
    for (int k = 0; k <= last; k++) {
        out |= k >= min ? power : 0;
        power = relation_chain(power, child);
    }
    return out;
}

#endif
