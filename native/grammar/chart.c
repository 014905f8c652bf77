#include "grammar/chart.h"

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
    if (!c->seen || !c->predicted ||
        !mem_reserve(mem, &c->taken, &c->taken_capacity, MEMBERS_WORDS(MEMBERS_MOST), sizeof *c->taken) ||
        !mem_reserve(mem, &c->taken_first, &c->taken_first_capacity, 2, sizeof *c->taken_first) ||
        !mem_reserve(mem, &c->sets, &c->sets_capacity, 1, sizeof *c->sets))
        return fail_memory(err, n->n_rules * sizeof *c->predicted, "a grammar's states");
    memset(c->taken, 0, MEMBERS_WORDS(MEMBERS_MOST) * sizeof *c->taken); // none of any set
    c->n_taken_words = MEMBERS_WORDS(MEMBERS_MOST);
    c->taken_first[0] = 0;
    c->taken_first[1] = (uint32_t)c->n_taken_words;
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
    if (!mem_reserve(c->mem, &c->taken, &c->taken_capacity, c->n_taken_words + n, sizeof *c->taken) ||
        !mem_reserve(c->mem, &c->taken_first, &c->taken_first_capacity, c->n_taken + 2,
                     sizeof *c->taken_first) ||
        !table_add(&c->taken_table, hash, (uint32_t)c->n_taken)) {
        failed(c, INGOT_ERR_MEMORY);
        return 0;
    }
    memcpy(c->taken + c->n_taken_words, words, n * sizeof *words);
    c->taken_first[c->n_taken] = (uint32_t)c->n_taken_words;
    c->n_taken_words += n;
    c->taken_first[c->n_taken + 1] = (uint32_t)c->n_taken_words;
    return (uint32_t)c->n_taken++;
}

// ------------------------------------------------------------------------------------------------- closure

static void list_add(chart *c, int list, chart_item item) {
    size_t n = c->n_lists[list];
    if (!mem_reserve(c->mem, &c->lists[list], &c->lists_capacity[list], n + 1, sizeof *c->lists[list])) {
        failed(c, INGOT_ERR_MEMORY);
        return;
    }
    c->lists[list][n] = item;
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
    c->work++;
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
    if (!mem_reserve(c->mem, &c->reached, &c->reached_capacity, c->n_reached + 1, sizeof *c->reached)) {
        failed(c, INGOT_ERR_MEMORY);
        return;
    }
    c->reached[c->n_reached] = (reached_state){state, origin, data};
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

const chart_item *chart_waiting(const chart *c, uint32_t set, uint32_t rule, size_t *n) {
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
        const chart_item *item = chart_waiting(c, origin, c->n->states[state].rule, &n);
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
    const chart_item *items = chart_waiting(c, origin, rule, &n);
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
        if (c->work + c->p->work > CHART_WORK)
            failed(c, INGOT_ERR_LIMIT);
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
    if (!mem_reserve(c->mem, &c->items, &c->items_capacity, c->n_items + total, sizeof *c->items) ||
        !mem_reserve(c->mem, &c->sets, &c->sets_capacity, c->n_sets + 1, sizeof *c->sets) ||
        !table_add(&c->set_table, hash, (uint32_t)c->n_sets)) {
        failed(c, INGOT_ERR_MEMORY);
        return SET_DEAD;
    }
    chart_set *set = &c->sets[c->n_sets];
    *set = (chart_set){.first = (uint32_t)c->n_items,
                       .n_scanned = (uint32_t)c->n_lists[SCANNED],
                       .n_waiting = (uint32_t)c->n_lists[WAITING],
                       .n_tokens = (uint32_t)c->n_lists[TOKENS],
                       .row = SET_UNKNOWN,
                       .accepting = c->accepting};
    for (int i = 0; i < 3; i++) {
        if (c->n_lists[i] > 0)
            memcpy(c->items + c->n_items, c->lists[i], c->n_lists[i] * sizeof *c->items);
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
        if (!mem_reserve(c->mem, &c->next, &c->next_capacity, c->n_next + classes, sizeof *c->next)) {
            failed(c, INGOT_ERR_MEMORY);
            return NULL;
        }
        c->sets[set].row = (uint32_t)c->n_next;
        // Most classes lead nowhere, which is seen at once.
        byte_set firsts = {{0}};
        for (uint32_t i = 0; i < c->sets[set].n_scanned; i++)
            for (int k = 0; k < 4; k++)
                firsts.bits[k] |= c->p->firsts[chart_items(c, set)[i].term].bits[k];
        for (uint32_t k = 0; k < classes; k++)
            c->next[c->n_next++] = byte_set_has(&firsts, c->p->class_byte[k]) ? SET_UNKNOWN : SET_DEAD;
    }
    return c->next + c->sets[set].row;
}

uint32_t chart_make(chart *c, uint32_t set, uint32_t k) {
    uint32_t *row = row_of(c, set);
    if (c->status != INGOT_OK)
        return SET_DEAD;
    if (row[k] != SET_UNKNOWN)
        return row[k];
    begin(c);
    for (uint32_t i = 0; i < c->sets[set].n_scanned; i++) {
        const chart_item item = chart_items(c, set)[i];
        rx term = rx_derive(c->p, item.term, k);
        if (term != RX_NONE && rx_live(c->p, term))
            scan(c, item.where, term, item.origin == SET_SELF ? set : item.origin, item.data);
    }
    close_over(c);
    uint32_t to = finish(c);
    c->work += c->sets[set].n_scanned + 1;
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

// Whether an item's number is one of members that are behind.
static bool has_taken(const chart *c, int list, const chart_item *x) {
    const uint32_t state = list == WAITING ? x->where : c->n->edges[x->where].state;
    return c->n->rules[c->n->states[state].rule].kind == RULE_SET;
}

// What is kept of what sets refer to, and the new numbers.
typedef struct kept {
    bool *sets, *terms, *taken;
    uint32_t *to_set, *to_term, *to_taken;
} kept;

// Marks what the kept sets refer to: sets with lower numbers, terms, members that are behind.
static void keep_parts(const chart *c, kept *k) {
    k->sets[SET_DEAD] = true;
    for (size_t i = c->n_sets; i-- > 0;) {
        const chart_set *s = &c->sets[i];
        const chart_item *item = &c->items[s->first];
        const uint32_t lists[3] = {s->n_scanned, s->n_waiting, s->n_tokens};
        for (int list = 0; list < 3 && k->sets[i]; list++)
            for (uint32_t n = 0; n < lists[list]; n++, item++) {
                if (item->origin < SET_ACCEPT)
                    k->sets[item->origin] = true;
                if (list == SCANNED)
                    k->terms[item->term] = true;
                if (has_taken(c, list, item))
                    k->taken[item->data] = true;
            }
    }
}

// Numbers keep their order, here and below.
static void move_taken(chart *c, kept *k) {
    size_t n = 0, n_words = 0;
    table_clear(&c->taken_table);
    for (size_t i = 0; i < c->n_taken; i++) {
        const uint32_t first = c->taken_first[i], size = c->taken_first[i + 1] - first;
        if (i > 0 && !k->taken[i])
            continue;
        memmove(c->taken + n_words, c->taken + first, size * sizeof *c->taken);
        c->taken_first[n] = (uint32_t)n_words;
        if (i > 0)
            table_put(&c->taken_table, hash_words(c->taken + n_words, size), (uint32_t)n);
        n_words += size;
        k->to_taken[i] = (uint32_t)n++;
    }
    c->taken_first[n] = (uint32_t)n_words;
    c->n_taken = n;
    c->n_taken_words = n_words;
}

// Moves what is kept down: lists of items stay sorted.
static void move_sets(chart *c, kept *all) {
    size_t n = 0, n_items = 0;
    table_clear(&c->set_table);
    for (size_t i = 0; i < c->n_sets; i++) {
        if (!all->sets[i])
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
                item.origin = item.origin < SET_ACCEPT ? all->to_set[item.origin] : item.origin;
                item.term = list == SCANNED ? all->to_term[item.term] : item.term;
                item.data = has_taken(c, list, &item) ? all->to_taken[item.data] : item.data;
                items[k] = item;
            }
            if (lists[list] > 0)
                hash = hash * 31 + hash_words((const uint32_t *)items, lists[list] * 4);
            n_items += lists[list];
        }
        c->sets[n] = s;
        all->to_set[i] = (uint32_t)n;
        if (n != SET_DEAD)
            table_put(&c->set_table, hash, (uint32_t)n);
        n++;
    }
    c->n_sets = n;
    c->n_items = n_items;
    c->n_next = 0;
}

ingot_status chart_collect(chart *c, bool *keep, uint32_t *to, ingot_error *err) {
    const size_t n_terms = c->p->n_nodes;
    kept k = {.sets = keep, .to_set = to};
    k.terms = mem_alloc(c->mem, n_terms, sizeof *k.terms);
    k.to_term = mem_alloc(c->mem, n_terms, sizeof *k.to_term);
    k.taken = mem_alloc(c->mem, c->n_taken, sizeof *k.taken);
    k.to_taken = mem_alloc(c->mem, c->n_taken, sizeof *k.to_taken);
    const bool room = k.terms && k.to_term && k.taken && k.to_taken;
    if (room) {
        keep_parts(c, &k);
        rx_collect(c->p, k.terms, k.to_term);
        move_taken(c, &k);
        move_sets(c, &k);
        c->status = INGOT_OK;
    }
    mem_free(c->mem, k.terms);
    mem_free(c->mem, k.to_term);
    mem_free(c->mem, k.taken);
    mem_free(c->mem, k.to_taken);
    return room ? INGOT_OK : fail_memory(err, (n_terms + c->n_taken) * 5, "tidying a grammar's states");
}
