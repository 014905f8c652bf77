// Following a text with items that know their events: plain Earley sets, a place in `sets` each.
#include "grammar/trace.h"

enum { SCANNED, WAITING, TOKENS };

#define TRACE_ACCEPT UINT32_MAX // as an origin: the root's

static void out_of_memory(trace *t) {
    t->status = INGOT_ERR_MEMORY;
}

void trace_init(trace *t, const ingot_allocator *mem) {
    *t = (trace){.mem = mem};
    t->link_table.mem = t->known_table.mem = t->flat_table.mem = t->seen.mem = mem;
}

void trace_free(trace *t) {
    mem_free(t->mem, t->text);
    mem_free(t->mem, t->steps);
    mem_free(t->mem, t->sets);
    mem_free(t->mem, t->items);
    mem_free(t->mem, t->links);
    mem_free(t->mem, t->known);
    mem_free(t->mem, t->flat);
    mem_free(t->mem, t->reached);
    mem_free(t->mem, t->predicted);
    for (int i = 0; i < 3; i++)
        mem_free(t->mem, t->lists[i]);
    table_free(&t->link_table);
    table_free(&t->known_table);
    table_free(&t->flat_table);
    table_free(&t->seen);
    trace_init(t, t->mem);
}

// ------------------------------------------------------------------------------------------------- text

static uint64_t text_end(const trace *t, size_t steps) {
    return steps > 0 ? t->steps[steps - 1].end : 0;
}

bool trace_add(trace *t, const char *bytes, size_t size, int32_t token) {
    uint64_t end = text_end(t, t->n_steps);
    if (!mem_reserve(t->mem, &t->text, &t->text_capacity, (size_t)end + size, 1) ||
        !mem_reserve(t->mem, &t->steps, &t->steps_capacity, t->n_steps + 1, sizeof *t->steps))
        return false;
    if (size > 0)
        memcpy(t->text + end, bytes, size);
    t->steps[t->n_steps++] = (trace_step){end + size, token, 0};
    return true;
}

// What was found out about sets that are gone is no longer true.
static void drop_known(trace *t) {
    t->n_known = 0;
    table_clear(&t->known_table);
}

void trace_take_back(trace *t, size_t n) {
    t->n_steps -= n;
    if (t->n_done <= t->n_steps)
        return;
    t->n_done = t->n_steps;
    t->n_sets = t->n_done > 0 ? t->steps[t->n_done - 1].set + 1 : 1;
    const trace_set *last = &t->sets[t->n_sets - 1];
    t->n_items = last->first + last->n_scanned + last->n_waiting + last->n_tokens;
    drop_known(t);
}

void trace_forget(trace *t) {
    t->n_done = t->n_sets = t->n_items = t->n_links = t->n_flat = 0;
    table_clear(&t->link_table);
    table_clear(&t->flat_table);
    drop_known(t);
    t->status = INGOT_OK;
}

bool trace_copy(trace *to, const trace *from) {
    uint64_t start = 0;
    for (size_t i = 0; i < from->n_steps; i++) {
        if (!trace_add(to, from->text + start, (size_t)(from->steps[i].end - start), from->steps[i].token))
            return false;
        start = from->steps[i].end;
    }
    return true;
}

// ------------------------------------------------------------------------------------------------- links

static uint32_t link_after(trace *t, trace_link x) {
    uint32_t position[2] = {(uint32_t)x.position, (uint32_t)(x.position >> 32)}, found;
    uint32_t hash = hash_words(
        (const uint32_t[]){x.before, x.chain, (uint32_t)x.tag, x.enter, position[0], position[1]}, 6);
    if (t->n_links == 0)
        t->n_links = 1; // number 0 is nothing
    for (size_t at = hash; table_next(&t->link_table, hash, &at, &found);) {
        const trace_link *y = &t->links[found];
        if (y->before == x.before && y->chain == x.chain && y->tag == x.tag && y->enter == x.enter &&
            y->position == x.position)
            return found;
    }
    if (!mem_reserve(t->mem, &t->links, &t->links_capacity, t->n_links + 1, sizeof *t->links) ||
        !table_add(&t->link_table, hash, (uint32_t)t->n_links)) {
        out_of_memory(t);
        return 0;
    }
    x.length = (x.before > 0 ? t->links[x.before].length : 0) + 1;
    t->links[t->n_links] = x;
    return (uint32_t)t->n_links++;
}

static uint32_t chain_after(trace *t, uint32_t before, uint32_t chain) {
    if (chain == 0 || before == 0)
        return before == 0 ? chain : before;
    return link_after(t, (trace_link){.before = before, .chain = chain});
}

// ------------------------------------------------------------------------------------------------- sets

static void list_add(trace *t, int list, trace_item item) {
    if (!mem_reserve(t->mem, &t->lists[list], &t->lists_capacity[list], t->n_lists[list] + 1,
                     sizeof *t->lists[list])) {
        out_of_memory(t);
        return;
    }
    t->lists[list][t->n_lists[list]++] = item;
}

// Adds a state unless it is there: of two ways to it the first stays.
static void reach(trace *t, trace_item x) {
    uint32_t hash = hash_words((const uint32_t[]){x.where, x.origin, x.data}, 3), found;
    for (size_t at = hash; table_next(&t->seen, hash, &at, &found);) {
        const trace_item *y = &t->reached[found];
        if (y->where == x.where && y->origin == x.origin && y->data == x.data)
            return;
    }
    if (!mem_reserve(t->mem, &t->reached, &t->reached_capacity, t->n_reached + 1, sizeof *t->reached) ||
        !table_add(&t->seen, hash, (uint32_t)t->n_reached)) {
        out_of_memory(t);
        return;
    }
    t->reached[t->n_reached++] = x;
}

// A lexeme of which `x.term` is left; of two ways to the same the first stays.
static void scan(trace *t, const chart *c, trace_item x) {
    for (size_t i = 0; i < t->n_lists[SCANNED]; i++) {
        const trace_item *y = &t->lists[SCANNED][i];
        if (y->where == x.where && y->term == x.term && y->origin == x.origin && y->data == x.data)
            return;
    }
    if (x.term != RX_EMPTY)
        list_add(t, SCANNED, x);
    if (rx_nullable(c->p, x.term))
        reach(t, (trace_item){c->n->edges[x.where].target, 0, x.origin, x.data, x.chain});
}

static void call(trace *t, chart *c, const net_edge *e, trace_item x) {
    uint32_t here = (uint32_t)t->n_sets;
    list_add(t, WAITING, (trace_item){e->target, e->arg, x.origin, x.data, x.chain});
    reach(t, (trace_item){c->n->rules[e->arg].start, 0, here, 0, 0});
    if (e->kind == EDGE_CALL && c->n->rules[e->arg].nullable)
        reach(t, (trace_item){e->target, 0, x.origin, x.data, x.chain});
}

static void follow(trace *t, chart *c, uint32_t number, trace_item x, uint64_t position) {
    const net_edge *e = &c->n->edges[number];
    switch (e->kind) {
    case EDGE_LEXEME:
        scan(t, c, (trace_item){number, e->arg, x.origin, x.data, x.chain});
        return;
    case EDGE_CALL:
    case EDGE_SOME:
        call(t, c, e, x);
        return;
    case EDGE_TOKENS:
        list_add(t, TOKENS, (trace_item){number, 0, x.origin, x.data, x.chain});
        return;
    case EDGE_ENTER:
    case EDGE_LEAVE:
        x.chain = link_after(t, (trace_link){.before = x.chain,
                                             .tag = (int32_t)e->arg,
                                             .enter = e->kind == EDGE_ENTER,
                                             .position = position});
        break;
    default:
        if (!chart_pass(c, &c->n->rules[c->n->states[e->state].rule], e, &x.data))
            return;
        break;
    }
    x.where = e->target;
    reach(t, x);
}

// A rule is through: those that waited for it go on.
static void complete(trace *t, uint32_t rule, trace_item x) {
    if (x.origin == TRACE_ACCEPT) {
        t->ended = t->ended > 0 ? t->ended : x.chain + 1;
        return;
    }
    if (x.origin == t->n_sets)
        return; // rules that may be empty are passed over where they are called
    const trace_set s = t->sets[x.origin];
    for (uint32_t i = 0; i < s.n_waiting; i++) {
        const trace_item w = t->items[s.first + s.n_scanned + i];
        if (w.term == rule)
            reach(t, (trace_item){w.where, 0, w.origin, w.data, chain_after(t, w.chain, x.chain)});
    }
}

static void begin(trace *t) {
    t->n_reached = 0;
    t->n_lists[0] = t->n_lists[1] = t->n_lists[2] = 0;
    t->ended = 0;
    table_clear(&t->seen);
}

static void finish(trace *t, chart *c, uint64_t position) {
    for (size_t i = 0; i < t->n_reached && t->status == INGOT_OK; i++) {
        const trace_item x = t->reached[i];
        const net_state *s = &c->n->states[x.where];
        if (s->final)
            complete(t, s->rule, x);
        for (uint32_t e = s->first_edge; e < s[1].first_edge; e++)
            follow(t, c, e, x, position);
    }
    trace_set set = {(uint32_t)t->n_items,
                     (uint32_t)t->n_lists[0],
                     (uint32_t)t->n_lists[1],
                     (uint32_t)t->n_lists[2],
                     t->ended,
                     position};
    size_t total = t->n_items + t->n_lists[0] + t->n_lists[1] + t->n_lists[2];
    if (!mem_reserve(t->mem, &t->items, &t->items_capacity, total, sizeof *t->items) ||
        !mem_reserve(t->mem, &t->sets, &t->sets_capacity, t->n_sets + 1, sizeof *t->sets)) {
        out_of_memory(t);
        return;
    }
    for (int list = 0; list < 3; list++) {
        if (t->n_lists[list] > 0)
            memcpy(t->items + t->n_items, t->lists[list], t->n_lists[list] * sizeof *t->items);
        t->n_items += t->n_lists[list];
    }
    t->sets[t->n_sets++] = set;
}

// What a byte of class `k` leads to from the last set.
static void take_byte(trace *t, chart *c, uint32_t k) {
    const trace_set s = t->sets[t->n_sets - 1];
    for (uint32_t i = 0; i < s.n_scanned; i++) {
        trace_item x = t->items[s.first + i];
        x.term = rx_derive(c->p, x.term, k);
        if (x.term != RX_NONE && rx_live(c->p, x.term))
            scan(t, c, x);
    }
}

// What a token leads to from the set at its beginning; false: nowhere.
static bool take_token(trace *t, chart *c, uint32_t from, int32_t token, bool ends) {
    const trace_set s = t->sets[from];
    bool any = false;
    for (uint32_t i = 0; i < s.n_tokens; i++) {
        const trace_item x = t->items[s.first + s.n_scanned + s.n_waiting + i];
        if (!net_has_token(c->n, c->n->edges[x.where].arg, token, ends))
            continue;
        any = true;
        reach(t, (trace_item){c->n->edges[x.where].target, 0, x.origin, x.data, x.chain});
    }
    return any;
}

static void follow_step(trace *t, chart *c, trace_step *step, uint64_t start, const uint8_t *roles) {
    uint32_t from = (uint32_t)t->n_sets - 1;
    bool ends = roles && step->token >= 0 && roles[step->token] == INGOT_ROLE_END;
    for (uint64_t at = start; at < step->end && t->status == INGOT_OK; at++) {
        begin(t);
        take_byte(t, c, c->p->byte_class[(uint8_t)t->text[at]]);
        if (at + 1 == step->end)
            take_token(t, c, from, step->token, ends);
        finish(t, c, at + 1);
    }
    if (start == step->end && step->token >= 0) {
        begin(t);
        if (take_token(t, c, from, step->token, ends))
            finish(t, c, start);
    }
    step->set = (uint32_t)t->n_sets - 1;
}

ingot_status trace_follow(trace *t, chart *c, const uint8_t *roles) {
    if (t->n_sets == 0) {
        begin(t);
        reach(t, (trace_item){c->n->rules[0].start, 0, TRACE_ACCEPT, 0, 0});
        finish(t, c, 0);
    }
    while (t->n_done < t->n_steps && t->status == INGOT_OK && c->p->status == INGOT_OK) {
        follow_step(t, c, &t->steps[t->n_done], text_end(t, t->n_done), roles);
        t->n_done++;
    }
    ingot_status status = t->status != INGOT_OK ? t->status : c->p->status;
    if (status != INGOT_OK)
        trace_forget(t);
    return status;
}
