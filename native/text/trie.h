// A trie of byte strings, and the same as an Aho-Corasick automaton (A. V. Aho and M. J. Corasick,
// "Efficient string matching", 1975). Edges are kept in one hash table keyed by the trie's place in memory.
#ifndef INGOT_TEXT_TRIE_H
#define INGOT_TEXT_TRIE_H

#include "base/mem.h"
#include "base/status.h"

#define TRIE_ROOT 0u
#define TRIE_NONE -1

typedef struct trie {
    const ingot_allocator *mem;
    uint64_t *edges; // parent << 8 | byte in the upper half, the child below; 0: free
    size_t n_slots;
    int shift;
    uint64_t key;
    int32_t *values; // of a node: TRIE_NONE or what was added with its string
    uint32_t n_nodes;
    size_t capacity;
    uint32_t *shorter; // after trie_link: the node of the longest proper suffix that is in the trie
    uint32_t *longest; // after trie_link: the longest suffix of the node, itself included, that has a value;
                       // TRIE_ROOT if there is none
} trie;

// Makes an empty trie, with memory for about `expected` nodes.
ingot_status trie_init(trie *t, const ingot_allocator *mem, size_t expected, ingot_error *err);
void trie_free(trie *t);

// Adds strings with values >= 0; empty ones are left out. If one was there, its value stays. Adding many at
// once is faster.
ingot_status trie_add(trie *t, const ingot_str *texts, const int32_t *values, size_t n, ingot_error *err);

// The child of `node` along `byte`; TRIE_ROOT if there is none.
uint32_t trie_child(const trie *t, uint32_t node, unsigned char byte);

// Makes the automaton: fills `shorter` and `longest`. Nothing may be added afterwards.
ingot_status trie_link(trie *t, ingot_error *err);

// The automaton's next state. Amortised constant time over a text.
static inline uint32_t trie_step(const trie *t, uint32_t node, unsigned char byte) {
    for (;;) {
        uint32_t child = trie_child(t, node, byte);
        if (child != TRIE_ROOT || node == TRIE_ROOT)
            return child;
        node = t->shorter[node];
    }
}

#endif
