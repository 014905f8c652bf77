// Tags: which parts of a text are what. For grammars with tags a matcher keeps its text, and follows it once
// more with sets whose items know the events that lead to them (they belong to places of this text, so they
// aren't shared). An item's chain has the events since its rule began; those before are its callers'.
#ifndef INGOT_GRAMMAR_TRACE_H
#define INGOT_GRAMMAR_TRACE_H

#include "grammar/chart.h"

typedef struct trace_item {
    uint32_t where, term, origin, data; // as in chart_item; origin: a place in `sets`
    uint32_t chain;
} trace_item;

typedef struct trace_set {
    uint32_t first; // items[first ...]: scanned, waiting, tokens
    uint32_t n_scanned, n_waiting, n_tokens;
    uint32_t ended; // the root's chain + 1 if the text may end here
    uint64_t position;
} trace_set;

// An event, or a whole chain that stands in its place, behind `before`. 0: nothing.
typedef struct trace_link {
    uint32_t before, chain; // `chain` 0: an event
    int32_t tag;
    bool enter;
    uint64_t position;
    uint32_t length; // events, of links that hold no chains
} trace_link;

// What all ways to some place agree on: `list` are links without chains, and all of it if `exact`; otherwise
// ways part behind it, at `limit` first.
typedef struct trace_view {
    uint32_t list;
    bool exact;
    uint64_t limit;
} trace_view;

typedef struct trace_known {
    uint32_t rule, origin;
    bool done;
    trace_view view;
} trace_known;

typedef struct trace_step {
    uint64_t end; // of its bytes in the text
    int32_t token;
    uint32_t set; // behind it
} trace_step;

typedef struct trace {
    const ingot_allocator *mem;
    char *text;
    size_t text_capacity;
    trace_step *steps; // [n_steps]; the first n_done were followed
    size_t n_steps, n_done, steps_capacity;
    trace_set *sets;
    size_t n_sets, sets_capacity;
    trace_item *items;
    size_t n_items, items_capacity;
    trace_link *links;
    size_t n_links, links_capacity;
    table link_table;
    trace_known *known;
    size_t n_known, known_capacity;
    table known_table;
    uint32_t *flat; // (list, chain, list with it): what was joined before
    size_t n_flat, flat_capacity;
    table flat_table;
    // The set that is being made.
    trace_item *reached; // where: a state
    size_t n_reached, reached_capacity;
    table seen;
    uint32_t *predicted;
    size_t n_predicted, predicted_capacity;
    trace_item *lists[3];
    size_t n_lists[3], lists_capacity[3];
    uint32_t ended;
    ingot_status status;
} trace;

void trace_init(trace *t, const ingot_allocator *mem);
void trace_free(trace *t);

// Adds a step (`token` -1: bytes alone); false when memory is exhausted. Takes back the last `n`. Forgets
// what was followed but not the text, since terms have new numbers.
bool trace_add(trace *t, const char *bytes, size_t size, int32_t token);
void trace_take_back(trace *t, size_t n);
void trace_forget(trace *t);
bool trace_copy(trace *to, const trace *from);

// Follows what was not followed yet. `roles` (NULL: no tokens) are those of the vocabulary.
ingot_status trace_follow(trace *t, chart *c, const uint8_t *roles);

// What all ways to the last set agree on; with `complete` those alone that end there (`list` 0 and `exact`
// false if there are none).
trace_view trace_agreed(trace *t, const chart *c, bool complete);

#endif
