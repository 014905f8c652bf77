// A compiled grammar, and what its matchers found out about it so far: sets, terms, masks.
#ifndef INGOT_GRAMMAR_GRAMMAR_H
#define INGOT_GRAMMAR_GRAMMAR_H

#include "base/thread.h"
#include "grammar/chart.h"
#include "grammar/token_trie.h"
#include "grammar/trace.h"

// A mask that is kept.
typedef struct kept_mask {
    uint32_t *bits; // [words]
    uint32_t set;
    int32_t n_allowed;
    bool used; // since the last time that a place was wanted
} kept_mask;

typedef struct mask_cache {
    kept_mask *masks; // [n], and bits of more up to n_made
    size_t n, n_made, n_most;
    size_t capacity;
    size_t hand;      // where the next one to go is looked for
    uint32_t *of_set; // [n_sets] place + 1; 0: none
    size_t of_set_capacity;
    size_t n_of_set;
} mask_cache;

// What bytes may follow inside a kind's texts, by classes: pairs of a class and the state after it.
typedef struct kind_steps {
    uint8_t class_of[KIND_STATES][256];
    uint8_t to[KIND_STATES][256];
    uint32_t n[KIND_STATES];
} kind_steps;

// Pairs of a set and a state of a kind that were found: a search through both.
#define KIND_PAIRS 2048

typedef struct kind_walk {
    uint32_t set[KIND_PAIRS];
    uint8_t state[KIND_PAIRS];
    uint16_t slot[KIND_PAIRS];
    uint16_t slots[2 * KIND_PAIRS]; // place + 1
    uint32_t n;
} kind_walk;

struct ingot_grammar {
    const ingot_allocator *mem;
    const ingot_token_trie *trie; // NULL: text alone
    uint64_t max_bytes;           // of sets, terms and masks,
    uint64_t fixed_bytes;         // besides those that there are from the beginning
    net net;
    rx_pool pool;
    chart chart;
    mask_cache masks;
    kind_steps *steps; // [TOKEN_KINDS]
    kind_walk *walk;
    uint32_t start; // the set at the beginning
    mutex lock;     // over everything that changes: pool, chart, masks, matchers
    bool has_lock;
    ingot_matcher *matchers; // a list of all
};

struct ingot_matcher {
    ingot_grammar *grammar;
    ingot_matcher *next, *previous;
    uint32_t *history; // the set after each step; the first is the start
    size_t n, capacity;
    trace *trace; // NULL: the grammar has no tags
};

// The error for what went wrong in chart or pool, or INGOT_OK. The lock must be held.
ingot_status grammar_status(const ingot_grammar *g, ingot_error *err);

// To be called before anything is found out: counts work from here on, and gives memory back if there is too
// much: keeps what matchers refer to alone. No set that isn't in a matcher's history survives. The lock must
// be held.
ingot_status grammar_tidy(ingot_grammar *g, ingot_error *err);

// The mask of a set: [words] bits, borrowed until the next call; NULL after a failure. The lock must be held.
const uint32_t *grammar_mask(ingot_grammar *g, uint32_t set, int32_t *n_allowed);
ingot_status grammar_masks_init(ingot_grammar *g, ingot_error *err);
void grammar_masks_free(ingot_grammar *g);

#endif
