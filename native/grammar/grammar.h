// A compiled grammar, and what its matchers found out about it so far: sets, terms, masks.
#ifndef INGOT_GRAMMAR_GRAMMAR_H
#define INGOT_GRAMMAR_GRAMMAR_H

#include <stdatomic.h>

#include "base/thread.h"
#include "grammar/chart.h"
#include "grammar/token_trie.h"
#include "grammar/trace.h"

// A mask that is kept.
typedef struct kept_mask {
    uint32_t *bits; // [words + 1]
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

// Siblings in a trie, and the set before them.
typedef struct open_siblings {
    uint32_t first;
    uint32_t set;
} open_siblings;

// How the text of a set can be completed soonest: by the bytes (or the token) of an item, then as that set
// can that is reached by it.
typedef struct set_end {
    uint32_t size;     // bytes in all, a token that must come counted as one; END_UNKNOWN, END_NONE
    uint32_t n_tokens; // the same, END_UNKNOWN: not asked for yet
    uint32_t item, next;
} set_end;

#define END_UNKNOWN UINT32_MAX
#define END_NONE    (UINT32_MAX - 1u) // none was found, or it can't be made of tokens

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
    open_siblings *open; // [trie->max_open + 1]
    set_end *ends;       // [n_ends]
    size_t n_ends, ends_capacity;
    uint32_t start; // the set at the beginning
    mutex lock;     // over everything that changes: pool, chart, masks, matchers
    bool has_lock;
    ingot_matcher *matchers; // a list of all
};

// The set after a step, and the bytes that it took.
typedef struct matcher_step {
    uint32_t set;
    uint32_t size;
} matcher_step;

struct ingot_matcher {
    ingot_grammar *grammar;
    ingot_matcher *next, *previous;
    matcher_step *history; // [n]; the first is the start
    size_t n, capacity;
    trace *trace;     // NULL: the grammar has no tags
    atomic_bool lent; // to a request
};

static inline uint32_t matcher_set(const ingot_matcher *m) {
    return m->history[m->n - 1].set;
}

// The error for what went wrong in chart or pool, or INGOT_OK. The lock must be held.
ingot_status grammar_status(const ingot_grammar *g, ingot_error *err);

// To be called before anything is found out: counts work from here on, and gives memory back if there is too
// much: keeps what matchers refer to alone. No set that isn't in a matcher's history survives. The lock must
// be held.
ingot_status grammar_tidy(ingot_grammar *g, ingot_error *err);

// An error if the grammar was made without a vocabulary.
ingot_status grammar_check_trie(const ingot_grammar *g, ingot_error *err);

// The mask of a set: [words] bits, borrowed until the next call; NULL after a failure. The lock must be held.
const uint32_t *grammar_mask(ingot_grammar *g, uint32_t set, int32_t *n_allowed);
bool grammar_knows_mask(const ingot_grammar *g, uint32_t set);
ingot_status grammar_masks_init(ingot_grammar *g, ingot_error *err);
void grammar_masks_free(ingot_grammar *g);

// What the engine asks of a matcher besides what ingot.h has.

// Copies the mask [words] if it is known already, as ingot_matcher_mask does; else false.
bool matcher_known_mask(ingot_matcher *m, uint32_t *bits, int32_t *n_allowed);

// Whether the text can be completed by `n` tokens, as ingot_matcher_closing finds them.
ingot_status matcher_can_close(ingot_matcher *m, uint64_t n, bool *can, ingot_error *err);

// Whether the text was complete before its last `n` bytes, which lie before `end`, as do all others of the
// matcher's steps that reach behind that place.
ingot_status matcher_complete_before(ingot_matcher *m, const char *end, size_t n, bool *complete,
                                     ingot_error *err);

#endif
