// Earley sets (J. Earley, "An efficient context-free parsing algorithm", 1970) that are told apart by what is
// in them, not by where in a text they came up. An item knows the set in which its rule began; what begins in
// a set itself says SELF instead, which becomes the set's number when a byte is taken. So the next set is a
// function of a set and a byte: an automaton with a stack, made as far as it is walked, in which the same
// place of a repeated thing is the same set.
#ifndef INGOT_GRAMMAR_CHART_H
#define INGOT_GRAMMAR_CHART_H

#include "grammar/net.h"

#define SET_DEAD    0u                // nothing can follow, and the text isn't complete
#define SET_UNKNOWN UINT32_MAX        // in rows: not asked for yet
#define SET_SELF    UINT32_MAX        // as an origin
#define SET_ACCEPT  (UINT32_MAX - 1u) // the origin of the root: when it ends, the text is complete

// What a set consists of, by place in its list:
//   scanned  `where`: a lexeme's edge, `term`: what is left of it
//   waiting  `where`: the state behind a rule, `term`: the rule
//   tokens   `where`: a token's edge
typedef struct chart_item {
    uint32_t where, term, origin, data;
} chart_item;

typedef struct chart_set {
    uint32_t first; // items[first ...]: scanned, waiting, tokens, each ascending
    uint32_t n_scanned, n_waiting, n_tokens;
    uint32_t row; // next[row ... + classes]; SET_UNKNOWN: none yet
    bool accepting;
} chart_set;

// A state that was reached in the set that is being made.
typedef struct reached_state {
    uint32_t state, origin, data;
} reached_state;

// Items and alternatives that one step or mask may be worth: up to a second.
#define CHART_WORK ((uint64_t)8000000)

typedef struct chart {
    const ingot_allocator *mem;
    const net *n;
    rx_pool *p;
    chart_set *sets;
    size_t n_sets, sets_capacity;
    chart_item *items;
    size_t n_items, items_capacity;
    uint32_t *next;
    size_t n_next, next_capacity;
    table set_table;
    // What members of sets are behind: words of MEMBERS_WORDS each, by number.
    uint32_t *taken;
    size_t n_taken_words, taken_capacity;
    uint32_t *taken_first; // of each number; 0 is "none of any set" and has no words
    size_t n_taken, taken_first_capacity;
    table taken_table;
    // The set that is being made.
    reached_state *reached;
    size_t n_reached, reached_capacity;
    uint64_t *seen; // generation << 32 | place in `reached`
    size_t n_seen;  // a power of two
    uint32_t generation;
    uint32_t *predicted; // [n_rules] generation
    chart_item *lists[3];
    size_t n_lists[3], lists_capacity[3];
    bool accepting;
    uint64_t work;       // items that were made since somebody set it to 0; CHART_WORK are too many
    ingot_status status; // of the first failure: sets are SET_DEAD from then on
} chart;

ingot_status chart_init(chart *c, const net *n, rx_pool *p, const ingot_allocator *mem, ingot_error *err);
void chart_free(chart *c);

// Bytes of memory in use.
size_t chart_bytes(const chart *c);

// Forgets all sets but those with keep[set] set and those that these refer to, and all terms of the pool but
// theirs. to[set] becomes the new number of a set. Both are [n_sets]; `keep` is written to.
ingot_status chart_collect(chart *c, bool *keep, uint32_t *to, ingot_error *err);

// The set at the beginning of a text.
uint32_t chart_start(chart *c);

// The set after a byte of class `k`, made now if it isn't known.
uint32_t chart_make(chart *c, uint32_t set, uint32_t k);

// The same, fast where it is known.
static inline uint32_t chart_step(chart *c, uint32_t set, uint32_t k) {
    uint32_t row = c->sets[set].row;
    uint32_t to = row == SET_UNKNOWN ? SET_UNKNOWN : c->next[row + k];
    return to != SET_UNKNOWN ? to : chart_make(c, set, k);
}

// The set after a token (-1: one without an id; `ends`: it ends generation), where `after` is the one after
// its bytes (SET_DEAD: it has none that may follow).
uint32_t chart_token(chart *c, uint32_t set, uint32_t after, int32_t token, bool ends);

// Whether a step of a rule passes with this data, and what it leaves: *data.
bool chart_pass(chart *c, const net_rule *rule, const net_edge *e, uint32_t *data);

// Numbers for the members that are behind; those of number 0 are none.
uint32_t chart_take(chart *c, const member_set *s, uint32_t data, uint32_t member);
const uint32_t *chart_taken(const chart *c, uint32_t data);

// Those that wait for `rule` in a set that is made: the first and how many.
const chart_item *chart_waiting(const chart *c, uint32_t set, uint32_t rule, size_t *n);

static inline const chart_item *chart_items(const chart *c, uint32_t set) {
    return c->items + c->sets[set].first;
}

#endif
