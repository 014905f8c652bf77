#include "grammar/chart.h"

#include "text/grow.h"

enum { SCANNED, WAITING, TOKENS };

static void failed(chart *c, ingot_status status) {
    if (c->status == INGOT_OK)
        c->status = status;
}

ingot_status chart_init(chart *c, const net *n, rx_pool *p, const ingot_allocator *mem, ingot_error *err) {
    *c = (chart){.mem = mem, .n = n, .p = p, .n_taken = 1};
    c->set_table.mem = c->taken_table.mem = mem;
    c->n_seen = 64;
    c->seen = mem_alloc(mem, c->n_seen, sizeof *c->seen);
    c->predicted = mem_alloc(mem, n->n_rules, sizeof *c->predicted);
    c->taken = grow(mem, NULL, &c->taken_capacity, MEMBERS_WORDS(MEMBERS_MOST), sizeof *c->taken);
    c->taken_first = grow(mem, NULL, &c->taken_first_capacity, 1, sizeof *c->taken_first);
    c->sets = grow(mem, NULL, &c->sets_capacity, 1, sizeof *c->sets);
    if (!c->seen || !c->predicted || !c->taken || !c->taken_first || !c->sets)
        return fail_memory(err, n->n_rules * sizeof *c->predicted, "a grammar's states");
    memset(c->taken, 0, MEMBERS_WORDS(MEMBERS_MOST) * sizeof *c->taken); // none of any set
    c->taken_first[0] = 0;
    c->n_taken_words = MEMBERS_WORDS(MEMBERS_MOST);
    c->sets[0] = (chart_set){.row = SET_UNKNOWN};
    c->n_sets = 1;
    return INGOT_OK;
}

void chart_free(chart *c) {
    mem_free(c->mem, c->sets);
    mem_free(c->mem, c->items);
    mem_free(c->mem, c->next);
    table_free(&c->set_table);
    mem_free(c->mem, c->taken);
    mem_free(c->mem, c->taken_first);
    table_free(&c->taken_table);
    mem_free(c->mem, c->reached);
    mem_free(c->mem, c->seen);
    mem_free(c->mem, c->predicted);
    for (int i = 0; i < 3; i++)
        mem_free(c->mem, c->lists[i]);
    *c = (chart){.mem = c->mem};
}

size_t chart_bytes(const chart *c) {
    return c->n_sets * (sizeof *c->sets + 2 * sizeof(uint64_t)) + c->n_items * sizeof *c->items +
           c->n_next * sizeof *c->next + c->n_taken_words * sizeof *c->taken;
}

// ------------------------------------------------------------------------------------------------- members

const uint32_t *chart_taken(const chart *c, uint32_t data) {
    return c->taken + c->taken_first[data];
}

uint32_t chart_take(chart *c, const member_set *s, uint32_t data, uint32_t member) {
    uint32_t words[MEMBERS_WORDS(MEMBERS_MOST)], n = MEMBERS_WORDS(s->n), found;
    memcpy(words, chart_taken(c, data), n * sizeof *words);
    members_take(s, words, member);
    uint32_t hash = hash_words(words, n);
    for (size_t at = hash; table_next(&c->taken_table, hash, &at, &found);)
        if (c->taken_first[found + 1] - c->taken_first[found] == n &&
            memcmp(chart_taken(c, found), words, n * sizeof *words) == 0)
            return found;
    uint32_t *taken = grow(c->mem, c->taken, &c->taken_capacity, c->n_taken_words + n, sizeof *taken);
    if (taken)
        c->taken = taken;
    uint32_t *first = grow(c->mem, c->taken_first, &c->taken_first_capacity, c->n_taken + 2, sizeof *first);
    if (first)
        c->taken_first = first;
    if (!taken || !first || !table_add(&c->taken_table, hash, (uint32_t)c->n_taken)) {
        failed(c, INGOT_ERR_MEMORY);
        return 0;
    }
    memcpy(taken + c->n_taken_words, words, n * sizeof *words);
    first[c->n_taken] = (uint32_t)c->n_taken_words;
    c->n_taken_words += n;
    first[c->n_taken + 1] = (uint32_t)c->n_taken_words;
    return (uint32_t)c->n_taken++;
}

// ------------------------------------------------------------------------------------------------- closure

static void list_add(chart *c, int list, chart_item item) {
    size_t n = c->n_lists[list];
    chart_item *items = grow(c->mem, c->lists[list], &c->lists_capacity[list], n + 1, sizeof *items);
    if (!items) {
        failed(c, INGOT_ERR_MEMORY);
        return;
    }
    c->lists[list] = items;
    items[n] = item;
    c->n_lists[list] = n + 1;
}

static bool seen_grow(chart *c) {
    uint64_t *seen = mem_alloc(c->mem, c->n_seen * 2, sizeof *seen);
    if (!seen) {
        failed(c, INGOT_ERR_MEMORY);
        return false;
    }
    mem_free(c->mem, c->seen);
    c->seen = seen;
    c->n_seen *= 2;
    for (size_t i = 0; i < c->n_reached; i++) {
        const reached_state *r = &c->reached[i];
        size_t slot = hash_words((const uint32_t[]){r->state, r->origin, r->data}, 3) & (c->n_seen - 1);
        while (seen[slot] >> 32 == c->generation)
            slot = (slot + 1) & (c->n_seen - 1);
        seen[slot] = (uint64_t)c->generation << 32 | i;
    }
    return true;
}

// Adds a state unless it is there. All ways to a rule's end are one.
static void reach(chart *c, uint32_t state, uint32_t origin, uint32_t data) {
    const net_state *s = &c->n->states[state];
    if (s->tail) {
        state = c->n->rules[s->rule].end;
        data = 0;
    }
    size_t slot = hash_words((const uint32_t[]){state, origin, data}, 3) & (c->n_seen - 1);
    for (; c->seen[slot] >> 32 == c->generation; slot = (slot + 1) & (c->n_seen - 1)) {
        const reached_state *r = &c->reached[(uint32_t)c->seen[slot]];
        if (r->state == state && r->origin == origin && r->data == data)
            return;
    }
    reached_state *reached =
        grow(c->mem, c->reached, &c->reached_capacity, c->n_reached + 1, sizeof *reached);
    if (!reached) {
        failed(c, INGOT_ERR_MEMORY);
        return;
    }
    c->reached = reached;
    reached[c->n_reached] = (reached_state){state, origin, data};
    c->seen[slot] = (uint64_t)c->generation << 32 | c->n_reached++;
    if (c->n_reached * 2 > c->n_seen)
        seen_grow(c);
}

// What is left of a lexeme's edge; at its end, the state behind it, too.
static void scan(chart *c, uint32_t edge, rx term, uint32_t origin, uint32_t data) {
    if (term != RX_EMPTY)
        list_add(c, SCANNED, (chart_item){edge, term, origin, data});
    if (rx_nullable(c->p, term))
        reach(c, c->n->edges[edge].target, origin, data);
}

// Those that wait for `rule` in a set that is made: the first and how many.
static const chart_item *waiting(const chart *c, uint32_t set, uint32_t rule, size_t *n) {
    const chart_item *items = chart_items(c, set) + c->sets[set].n_scanned;
    size_t low = 0, high = c->sets[set].n_waiting;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (items[middle].term < rule)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < c->sets[set].n_waiting && items[end].term == rule)
        end++;
    *n = end - low;
    return items + low;
}

// How far a chain of ends is followed at once: only cycles are longer.
#define MAX_CHAIN 64

// Waits for `rule`, after which `state` comes. If that is just the end of another rule for which one alone
// waits, what that one waits for is what counts: so right recursion doesn't pile up (J. Leo, 1991).
static void wait_for(chart *c, uint32_t rule, uint32_t state, uint32_t origin, uint32_t data) {
    for (int i = 0; i < MAX_CHAIN && c->n->states[state].tail && origin != SET_SELF && origin != SET_ACCEPT;
         i++) {
        size_t n;
        const chart_item *item = waiting(c, origin, c->n->states[state].rule, &n);
        if (n != 1 || !c->n->states[item->where].tail)
            break;
        state = item->where;
        origin = item->origin == SET_SELF ? origin : item->origin;
    }
    if (c->n->states[state].tail) {
        state = c->n->rules[c->n->states[state].rule].end;
        data = 0;
    }
    list_add(c, WAITING, (chart_item){state, rule, origin, data});
}

static void complete(chart *c, uint32_t rule, uint32_t origin) {
    if (origin == SET_ACCEPT)
        c->accepting = true;
    if (origin == SET_SELF || origin == SET_ACCEPT)
        return; // rules that may be empty are passed over where they are called
    size_t n;
    const chart_item *items = waiting(c, origin, rule, &n);
    for (size_t i = 0; i < n; i++)
        reach(c, items[i].where, items[i].origin == SET_SELF ? origin : items[i].origin, items[i].data);
}

bool chart_pass(chart *c, const net_rule *rule, const net_edge *e, uint32_t *data) {
    const member_set *set = rule->kind == RULE_SET ? &c->n->sets[rule->set] : NULL;
    uint32_t most = rule->max == IR_UNBOUNDED ? rule->min : rule->max;
    switch (e->kind) {
    case EDGE_ROUND:
        return rule->max == IR_UNBOUNDED || *data < rule->max;
    case EDGE_COUNT:
        *data += *data < most;
        return true;
    case EDGE_ENOUGH:
        return *data >= rule->min;
    case EDGE_FIRST:
        return *data == 0;
    case EDGE_NEXT:
        return members_may_go_on(set, chart_taken(c, *data));
    case EDGE_TAKE:
        if (!members_may_take(set, chart_taken(c, *data), e->arg))
            return false;
        *data = chart_take(c, set, *data, e->arg);
        return true;
    case EDGE_DONE:
        return members_done(set, chart_taken(c, *data));
    default:
        return true;
    }
}

static void follow(chart *c, uint32_t number, reached_state from) {
    const net_edge *e = &c->n->edges[number];
    uint32_t data = from.data;
    switch (e->kind) {
    case EDGE_LEXEME:
        scan(c, number, e->arg, from.origin, from.data);
        break;
    case EDGE_CALL:
    case EDGE_SOME:
        wait_for(c, e->arg, e->target, from.origin, from.data);
        if (c->predicted[e->arg] != c->generation) {
            c->predicted[e->arg] = c->generation;
            reach(c, c->n->rules[e->arg].start, SET_SELF, 0);
        }
        if (e->kind == EDGE_CALL && c->n->rules[e->arg].nullable)
            reach(c, e->target, from.origin, from.data);
        break;
    case EDGE_TOKENS:
        list_add(c, TOKENS, (chart_item){number, 0, from.origin, from.data});
        break;
    default:
        if (chart_pass(c, &c->n->rules[c->n->states[e->state].rule], e, &data))
            reach(c, e->target, from.origin, data);
        break;
    }
}

static void begin(chart *c) {
    c->n_reached = 0;
    c->n_lists[0] = c->n_lists[1] = c->n_lists[2] = 0;
    c->accepting = false;
    if (++c->generation == 0) { // once in four thousand million sets
        memset(c->seen, 0, c->n_seen * sizeof *c->seen);
        memset(c->predicted, 0, c->n->n_rules * sizeof *c->predicted);
        c->generation = 1;
    }
}

static void close_over(chart *c) {
    for (size_t i = 0; i < c->n_reached && c->status == INGOT_OK; i++) {
        const reached_state r = c->reached[i];
        const net_state *s = &c->n->states[r.state];
        if (s->final)
            complete(c, s->rule, r.origin);
        for (uint32_t e = s->first_edge; e < s[1].first_edge; e++)
            follow(c, e, r);
    }
}

// ------------------------------------------------------------------------------------------------- sets

static int compare(const chart_item *x, const chart_item *y) {
    if (x->term != y->term)
        return x->term < y->term ? -1 : 1;
    if (x->where != y->where)
        return x->where < y->where ? -1 : 1;
    if (x->origin != y->origin)
        return x->origin < y->origin ? -1 : 1;
    return (x->data > y->data) - (x->data < y->data);
}

static int by_item(const void *a, const void *b) {
    return compare(a, b);
}

static size_t sort_unique(chart_item *items, size_t n) {
    if (n > 12) {
        qsort(items, n, sizeof *items, by_item);
    } else {
        for (size_t i = 1; i < n; i++) {
            chart_item item = items[i];
            size_t k = i;
            for (; k > 0 && compare(&items[k - 1], &item) > 0; k--)
                items[k] = items[k - 1];
            items[k] = item;
        }
    }
    size_t out = 0;
    for (size_t i = 0; i < n; i++)
        if (out == 0 || compare(&items[i], &items[out - 1]) != 0)
            items[out++] = items[i];
    return out;
}

static uint32_t add_set(chart *c, uint32_t hash, size_t total) {
    chart_item *items = grow(c->mem, c->items, &c->items_capacity, c->n_items + total, sizeof *items);
    if (items)
        c->items = items;
    chart_set *sets = grow(c->mem, c->sets, &c->sets_capacity, c->n_sets + 1, sizeof *sets);
    if (sets)
        c->sets = sets;
    if (!items || !sets || !table_add(&c->set_table, hash, (uint32_t)c->n_sets)) {
        failed(c, INGOT_ERR_MEMORY);
        return SET_DEAD;
    }
    chart_set *set = &sets[c->n_sets];
    *set = (chart_set){.first = (uint32_t)c->n_items,
                       .n_scanned = (uint32_t)c->n_lists[SCANNED],
                       .n_waiting = (uint32_t)c->n_lists[WAITING],
                       .n_tokens = (uint32_t)c->n_lists[TOKENS],
                       .row = SET_UNKNOWN,
                       .accepting = c->accepting};
    for (int i = 0; i < 3; i++) {
        if (c->n_lists[i] > 0)
            memcpy(items + c->n_items, c->lists[i], c->n_lists[i] * sizeof *items);
        c->n_items += c->n_lists[i];
    }
    return (uint32_t)c->n_sets++;
}

static bool same(const chart *c, const chart_set *s) {
    if (s->n_scanned != c->n_lists[SCANNED] || s->n_waiting != c->n_lists[WAITING] ||
        s->n_tokens != c->n_lists[TOKENS] || s->accepting != c->accepting)
        return false;
    const chart_item *items = c->items + s->first;
    for (int i = 0; i < 3; i++) {
        if (c->n_lists[i] > 0 && memcmp(items, c->lists[i], c->n_lists[i] * sizeof *items) != 0)
            return false;
        items += c->n_lists[i];
    }
    return true;
}

// The number of the set that was made.
static uint32_t finish(chart *c) {
    size_t total = 0;
    uint32_t hash = c->accepting;
    for (int i = 0; i < 3; i++) {
        c->n_lists[i] = sort_unique(c->lists[i], c->n_lists[i]);
        total += c->n_lists[i];
        if (c->n_lists[i] > 0)
            hash = hash * 31 + hash_words((const uint32_t *)c->lists[i], c->n_lists[i] * 4);
    }
    if (c->p->status != INGOT_OK)
        failed(c, c->p->status);
    if (c->status != INGOT_OK || (c->n_lists[SCANNED] + c->n_lists[TOKENS] == 0 && !c->accepting))
        return SET_DEAD;
    uint32_t found;
    for (size_t at = hash; table_next(&c->set_table, hash, &at, &found);)
        if (same(c, &c->sets[found]))
            return found;
    return add_set(c, hash, total);
}

uint32_t chart_start(chart *c) {
    begin(c);
    reach(c, c->n->rules[0].start, SET_ACCEPT, 0);
    close_over(c);
    return finish(c);
}

static uint32_t *row_of(chart *c, uint32_t set) {
    if (c->sets[set].row == SET_UNKNOWN) {
        uint32_t classes = c->p->n_classes;
        uint32_t *next = grow(c->mem, c->next, &c->next_capacity, c->n_next + classes, sizeof *next);
        if (!next) {
            failed(c, INGOT_ERR_MEMORY);
            return NULL;
        }
        c->next = next;
        c->sets[set].row = (uint32_t)c->n_next;
        memset(next + c->n_next, 0xff, classes * sizeof *next);
        c->n_next += classes;
    }
    return c->next + c->sets[set].row;
}

uint32_t chart_make(chart *c, uint32_t set, uint32_t k) {
    uint32_t *row = row_of(c, set);
    if (c->status != INGOT_OK)
        return SET_DEAD;
    begin(c);
    for (uint32_t i = 0; i < c->sets[set].n_scanned; i++) {
        const chart_item item = chart_items(c, set)[i];
        rx term = rx_derive(c->p, item.term, k);
        if (term != RX_NONE && rx_live(c->p, term))
            scan(c, item.where, term, item.origin == SET_SELF ? set : item.origin, item.data);
    }
    close_over(c);
    uint32_t to = finish(c);
    c->work += c->sets[set].n_scanned + c->n_reached + 1;
    if (c->work + c->p->work > CHART_WORK)
        failed(c, INGOT_ERR_LIMIT);
    if (c->status == INGOT_OK)
        row[k] = to;
    return to;
}

uint32_t chart_token(chart *c, uint32_t set, uint32_t after, int32_t token, bool ends) {
    begin(c);
    const chart_set *s = &c->sets[set];
    bool any = false;
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        const chart_item item = chart_items(c, set)[s->n_scanned + s->n_waiting + i];
        const net_edge *e = &c->n->edges[item.where];
        if (!net_has_token(c->n, e->arg, token, ends))
            continue;
        any = true;
        reach(c, e->target, item.origin == SET_SELF ? set : item.origin, item.data);
    }
    if (!any)
        return after;
    // What was reached by bytes comes on top; what begins in that set begins in this one as well.
    if (after != SET_DEAD) {
        s = &c->sets[after];
        const uint32_t n[3] = {s->n_scanned, s->n_waiting, s->n_tokens};
        const chart_item *item = chart_items(c, after);
        for (int list = 0; list < 3; list++)
            for (uint32_t i = 0; i < n[list]; i++)
                list_add(c, list, *item++);
        c->accepting = c->accepting || s->accepting;
    }
    close_over(c);
    return finish(c);
}

// -------------------------------------------------------------------------------------------------
// collecting

// Marks what the kept sets refer to: sets with lower numbers, and terms.
static void keep_origins(const chart *c, bool *keep, bool *keep_term) {
    keep[SET_DEAD] = true;
    for (size_t i = c->n_sets; i-- > 0;) {
        const chart_set *s = &c->sets[i];
        for (uint32_t k = 0; keep[i] && k < s->n_scanned + s->n_waiting + s->n_tokens; k++) {
            const chart_item *item = &c->items[s->first + k];
            if (item->origin < SET_ACCEPT)
                keep[item->origin] = true;
            if (k < s->n_scanned)
                keep_term[item->term] = true;
        }
    }
}

// Moves what is kept down. Numbers keep their order, and with them lists of items.
static void move_down(chart *c, const bool *keep, uint32_t *to, const uint32_t *to_term) {
    size_t n = 0, n_items = 0;
    table_clear(&c->set_table);
    for (size_t i = 0; i < c->n_sets; i++) {
        if (!keep[i])
            continue;
        chart_set s = c->sets[i];
        const uint32_t lists[3] = {s.n_scanned, s.n_waiting, s.n_tokens};
        uint32_t hash = s.accepting, from = s.first;
        s.first = (uint32_t)n_items;
        s.row = SET_UNKNOWN;
        for (int list = 0; list < 3; list++) {
            chart_item *items = c->items + n_items;
            for (uint32_t k = 0; k < lists[list]; k++) {
                chart_item item = c->items[from++];
                item.origin = item.origin < SET_ACCEPT ? to[item.origin] : item.origin;
                item.term = list == SCANNED ? to_term[item.term] : item.term;
                items[k] = item;
            }
            if (lists[list] > 0)
                hash = hash * 31 + hash_words((const uint32_t *)items, lists[list] * 4);
            n_items += lists[list];
        }
        c->sets[n] = s;
        to[i] = (uint32_t)n;
        if (n != SET_DEAD)
            table_put(&c->set_table, hash, (uint32_t)n);
        n++;
    }
    c->n_sets = n;
    c->n_items = n_items;
    c->n_next = 0;
}

ingot_status chart_collect(chart *c, bool *keep, uint32_t *to, ingot_error *err) {
    size_t n_terms = c->p->n_nodes;
    bool *keep_term = mem_alloc(c->mem, n_terms, sizeof *keep_term);
    uint32_t *to_term = mem_alloc(c->mem, n_terms, sizeof *to_term);
    bool room = keep_term && to_term;
    if (room) {
        keep_origins(c, keep, keep_term);
        rx_collect(c->p, keep_term, to_term);
        move_down(c, keep, to, to_term);
        c->status = INGOT_OK;
    }
    mem_free(c->mem, keep_term);
    mem_free(c->mem, to_term);
    return room ? INGOT_OK : fail_memory(err, n_terms * 5, "tidying a grammar's states");
}
