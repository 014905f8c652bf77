// Regular expressions over bytes as hash-consed terms, and their derivatives (J. Brzozowski, "Derivatives of
// regular expressions", 1964). A term is a state of an automaton that is built as far as it is walked.
// Terms are kept simple enough (sorted alternatives without doubles, joined counters) that there are
// finitely many of them, and few.
#ifndef INGOT_GRAMMAR_RX_H
#define INGOT_GRAMMAR_RX_H

#include "grammar/table.h"

typedef uint32_t rx;

#define RX_NONE  0u // matches nothing
#define RX_EMPTY 1u // the empty text
#define RX_ALL   2u // any bytes
#define RX_INF   UINT32_MAX

typedef enum rx_kind {
    RX_IS_NONE,
    RX_IS_EMPTY,
    RX_IS_BYTES,  // a byte of sets[a]
    RX_IS_CAT,    // a, then b; a is no RX_IS_CAT
    RX_IS_OR,     // kids[a .. a + b], ascending
    RX_IS_AND,    // the same
    RX_IS_NOT,    // what isn't a
    RX_IS_REPEAT, // a, b to c times (RX_INF: without end)
} rx_kind;

enum {
    RX_NULLABLE = 1,
    RX_COMPLEX = 2, // holds an intersection or a complement: may match nothing without showing it
    RX_LIVE = 4,    // of complex terms: known to match something,
    RX_DEAD = 8,    // or nothing
};

typedef struct rx_node {
    uint8_t kind;
    uint8_t flags;
    uint32_t a, b, c;
    uint32_t shortest; // bytes of the shortest text; of complex terms a lower bound
} rx_node;

typedef struct byte_set {
    uint64_t bits[4];
} byte_set;

static inline bool byte_set_has(const byte_set *s, unsigned byte) {
    return s->bits[byte >> 6] >> (byte & 63) & 1;
}

typedef struct rx_pool {
    const ingot_allocator *mem;
    rx_node *nodes;
    size_t n_nodes, nodes_capacity;
    byte_set *firsts; // [n_nodes] bytes that may come first in a term's texts, and perhaps others
    size_t firsts_capacity;
    uint32_t *kids;
    size_t n_kids, kids_capacity;
    byte_set *sets;
    size_t n_sets, sets_capacity;
    table node_table, set_table;
    uint64_t *memo_keys; // term << 8 | class + 1; 0: free
    uint32_t *memo_values;
    size_t n_memo, memo_slots;
    uint32_t *scratch; // a stack
    size_t n_scratch, scratch_capacity;
    uint32_t *pending; // of derivatives
    size_t pending_capacity;
    uint8_t byte_class[256];
    uint8_t class_byte[256]; // a byte of each class
    uint32_t n_classes;
    size_t max_nodes;
    uint64_t work;       // alternatives that derivatives were made of, since somebody set it to 0
    size_t n_fixed;      // terms that rx_collect always keeps
    ingot_status status; // of the first failure: INGOT_ERR_MEMORY or INGOT_ERR_LIMIT. Terms are
                         // RX_NONE from then on
} rx_pool;

ingot_status rx_pool_init(rx_pool *p, const ingot_allocator *mem, size_t max_nodes, ingot_error *err);
void rx_pool_free(rx_pool *p);

// Bytes of memory in use.
size_t rx_pool_bytes(const rx_pool *p);

// Forgets all terms but the fixed ones, those with keep[x] set, and their parts. to[x] becomes the new number
// of what was x; numbers keep their order. Both are [n_nodes]. `keep` is written to.
void rx_collect(rx_pool *p, bool *keep, uint32_t *to);

rx rx_bytes(rx_pool *p, const byte_set *set);
rx rx_cat(rx_pool *p, rx a, rx b);
rx rx_or(rx_pool *p, const rx *kids, size_t n);
rx rx_and(rx_pool *p, const rx *kids, size_t n);
// The same of what was pushed since n_scratch was `base`, which is popped.
bool rx_push(rx_pool *p, rx x);
rx rx_or_at(rx_pool *p, size_t base);
rx rx_and_at(rx_pool *p, size_t base);

rx rx_not(rx_pool *p, rx a);
rx rx_repeat(rx_pool *p, rx a, uint32_t min, uint32_t max);

// Characters of `n` ascending ranges words[2 * i] to words[2 * i + 1], as UTF-8.
rx rx_characters(rx_pool *p, const uint32_t *words, size_t n);

// Makes the classes of bytes that no set tells apart. No set may be added afterwards but unions and
// intersections of those that are there.
void rx_classes(rx_pool *p);

// What may follow a byte of class `c`.
rx rx_derive(rx_pool *p, rx x, uint32_t c);

// Whether x matches anything.
bool rx_live(rx_pool *p, rx x);

// Bytes of the shortest text that x matches; RX_INF if there is none.
uint32_t rx_shortest(rx_pool *p, rx x);

static inline bool rx_nullable(const rx_pool *p, rx x) {
    return p->nodes[x].flags & RX_NULLABLE;
}

#endif
