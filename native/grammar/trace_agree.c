// What all ways of reading a text agree on: the longest common beginning of their events.
#include "grammar/trace.h"

#define TRACE_ACCEPT UINT32_MAX
#define NO_LIMIT     UINT64_MAX

static uint32_t length(const trace *t, uint32_t list) {
    return list > 0 ? t->links[list].length : 0;
}

// The common beginning of two lists.
static uint32_t common(const trace *t, uint32_t a, uint32_t b) {
    while (length(t, a) > length(t, b))
        a = t->links[a].before;
    while (length(t, b) > length(t, a))
        b = t->links[b].before;
    while (a != b) {
        a = t->links[a].before;
        b = t->links[b].before;
    }
    return a;
}

// Where the first event of a list is that comes behind its beginning `start`.
static uint64_t next_position(const trace *t, uint32_t list, uint32_t start) {
    uint64_t position = NO_LIMIT;
    for (; list != start; list = t->links[list].before)
        position = t->links[list].position;
    return position;
}

static trace_view agree(const trace *t, trace_view a, trace_view b) {
    trace_view out = {common(t, a.list, b.list), a.exact && b.exact && a.list == b.list,
                      a.limit < b.limit ? a.limit : b.limit};
    uint64_t next = next_position(t, a.list, out.list), other = next_position(t, b.list, out.list);
    out.limit = next < out.limit ? next : out.limit;
    out.limit = other < out.limit ? other : out.limit;
    return out;
}

static uint32_t event_after(trace *t, uint32_t list, const trace_link *event) {
    trace_link x = *event;
    x.before = list;
    uint32_t hash = hash_words((const uint32_t[]){list, (uint32_t)x.tag, x.enter, (uint32_t)x.position}, 4),
             place;
    for (size_t at = hash; table_next(&t->flat_table, hash, &at, &place);) {
        const trace_link *y = &t->links[t->flat[place]];
        if (y->before == list && y->tag == x.tag && y->enter == x.enter && y->position == x.position)
            return t->flat[place];
    }
    if (!mem_reserve(t->mem, &t->flat, &t->flat_capacity, t->n_flat + 1, sizeof *t->flat) ||
        !mem_reserve(t->mem, &t->links, &t->links_capacity, t->n_links + 2, sizeof *t->links) ||
        !table_add(&t->flat_table, hash, (uint32_t)t->n_flat)) {
        t->status = INGOT_ERR_MEMORY;
        return list;
    }
    t->n_links += t->n_links == 0;
    x.length = length(t, list) + 1;
    t->links[t->n_links] = x;
    t->flat[t->n_flat++] = (uint32_t)t->n_links;
    return (uint32_t)t->n_links++;
}

// A list with a chain's events behind it. Chains are trees that lean back: what is to come is put on a stack.
static uint32_t flatten(trace *t, uint32_t list, uint32_t chain) {
    size_t base = t->n_predicted;
    uint32_t top = chain;
    for (;;) {
        for (; top > 0; top = t->links[top].before) {
            if (!mem_reserve(t->mem, &t->predicted, &t->predicted_capacity, t->n_predicted + 1,
                             sizeof *t->predicted)) {
                t->status = INGOT_ERR_MEMORY;
                t->n_predicted = base;
                return list;
            }
            t->predicted[t->n_predicted++] = top;
        }
        if (t->n_predicted == base)
            return list;
        const trace_link x = t->links[t->predicted[--t->n_predicted]];
        if (x.chain == 0)
            list = event_after(t, list, &x);
        top = x.chain;
    }
}

// ------------------------------------------------------------------------------------------------- callers

static trace_known *find(trace *t, uint32_t rule, uint32_t origin) {
    uint32_t hash = hash_words((const uint32_t[]){rule, origin}, 2), place;
    for (size_t at = hash; table_next(&t->known_table, hash, &at, &place);)
        if (t->known[place].rule == rule && t->known[place].origin == origin)
            return &t->known[place];
    if (!mem_reserve(t->mem, &t->known, &t->known_capacity, t->n_known + 1, sizeof *t->known) ||
        !table_add(&t->known_table, hash, (uint32_t)t->n_known)) {
        t->status = INGOT_ERR_MEMORY;
        return NULL;
    }
    t->known[t->n_known] = (trace_known){.rule = rule, .origin = origin};
    return &t->known[t->n_known++];
}

// Joins what comes before an item with its own chain.
static trace_view behind(trace *t, trace_view before, uint32_t chain) {
    if (before.exact)
        before.list = flatten(t, before.list, chain);
    return before;
}

// What all ways to the beginning of `rule` in set `origin` agree on. Those that lead round in a circle add
// nothing but what they hold themselves.
static trace_view before_rule(trace *t, const net *n, uint32_t rule, uint32_t origin) {
    const trace_view nothing = {0, true, NO_LIMIT};
    if (origin == TRACE_ACCEPT)
        return nothing;
    size_t base = t->n_predicted;
    trace_known *known = find(t, rule, origin);
    uint32_t place = known ? (uint32_t)(known - t->known) : 0;
    while (t->status == INGOT_OK && !t->known[place].done) {
        const trace_known here = t->known[place];
        const trace_set s = t->sets[here.origin];
        bool waits = false, any = false;
        trace_view view = nothing;
        for (uint32_t i = 0; i < s.n_waiting && !waits && t->status == INGOT_OK; i++) {
            const trace_item w = t->items[s.first + s.n_scanned + i];
            if (w.term != here.rule)
                continue;
            trace_view above = nothing;
            if (w.origin != TRACE_ACCEPT) {
                size_t n_before = t->n_known;
                known = find(t, n->states[w.where].rule, w.origin);
                if (!known)
                    break;
                if (t->n_known > n_before) { // wasn't known: it comes first
                    if (!mem_reserve(t->mem, &t->predicted, &t->predicted_capacity, t->n_predicted + 1,
                                     sizeof *t->predicted)) {
                        t->status = INGOT_ERR_MEMORY;
                        break;
                    }
                    t->predicted[t->n_predicted++] = place;
                    place = (uint32_t)t->n_known - 1;
                    waits = true;
                    break;
                }
                if (!known->done)
                    continue; // round in a circle
                above = known->view;
            }
            above = behind(t, above, w.chain);
            view = any ? agree(t, view, above) : above;
            any = true;
        }
        if (waits || t->status != INGOT_OK)
            continue;
        t->known[place].done = true;
        t->known[place].view = view;
        if (t->n_predicted > base)
            place = t->predicted[--t->n_predicted];
    }
    t->n_predicted = base;
    return t->status == INGOT_OK ? t->known[place].view : nothing;
}

trace_view trace_agreed(trace *t, const chart *c, bool complete) {
    const trace_set s = t->sets[t->n_sets - 1];
    trace_view out = {0, false, s.position};
    bool any = false;
    if (s.ended > 0) {
        out = behind(t, (trace_view){0, true, NO_LIMIT}, s.ended - 1);
        any = true;
    }
    for (uint32_t i = 0; i < s.n_scanned + s.n_waiting + s.n_tokens && !complete; i++) {
        if (i >= s.n_scanned && i < s.n_scanned + s.n_waiting)
            continue;
        const trace_item x = t->items[s.first + i];
        uint32_t rule = c->n->states[c->n->edges[x.where].state].rule;
        trace_view view = behind(t, before_rule(t, c->n, rule, x.origin), x.chain);
        out = any ? agree(t, out, view) : view;
        any = true;
    }
    out.limit = out.limit < s.position ? out.limit : s.position;
    return out;
}
