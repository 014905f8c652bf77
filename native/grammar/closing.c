// How a text can end soonest: by Dijkstra's algorithm over the rules that are open.
#include "grammar/grammar.h"
#include "text/heap.h"

// Ends are not followed further than this.
#define MAX_TEXT (1u << 20)

// A rule that ends for a set in which it began, and the least that leads there.
typedef struct ending {
    uint32_t rule, origin;
    uint32_t from; // the place of the ending before it; UINT32_MAX: none
    uint32_t item; // that it was reached from first
    uint64_t length;
    bool final;
} ending;

typedef struct endings {
    const ingot_allocator *mem;
    ending *items;
    size_t n, capacity;
    table found;
    heap queue; // length << 32 | place
    // What is known from searches before: how much is missing once a rule ended.
    uint32_t *known; // rule, origin, length
    size_t n_known, known_capacity;
    table known_table;
    // What an item puts: bytes, or a token (-1: none).
    char *text;
    size_t n_text, text_capacity;
    int32_t token;
    uint32_t *path; // of sets
    size_t n_path, path_capacity;
    bool failed;
} endings;

static void add_ending(endings *e, ending x) {
    uint32_t hash = hash_words((const uint32_t[]){x.rule, x.origin}, 2), place;
    if (x.length >= RX_INF)
        return;
    for (size_t at = hash; table_next(&e->found, hash, &at, &place);) {
        ending *known = &e->items[place];
        if (known->rule != x.rule || known->origin != x.origin)
            continue;
        if (known->final || known->length <= x.length)
            return;
        *known = x;
        e->failed = e->failed || !heap_push(&e->queue, e->mem, x.length << 32 | place);
        return;
    }
    if (!mem_reserve(e->mem, &e->items, &e->capacity, e->n + 1, sizeof *e->items) ||
        !table_add(&e->found, hash, (uint32_t)e->n) || !heap_push(&e->queue, e->mem, x.length << 32 | e->n)) {
        e->failed = true;
        return;
    }
    e->items[e->n++] = x;
}

static bool known_ending(const endings *e, const ending *x, uint32_t *length) {
    uint32_t hash = hash_words((const uint32_t[]){x->rule, x->origin}, 2), place;
    for (size_t at = hash; table_next(&e->known_table, hash, &at, &place);)
        if (e->known[3 * place] == x->rule && e->known[3 * place + 1] == x->origin) {
            *length = e->known[3 * place + 2];
            return true;
        }
    return false;
}

static void remember(endings *e, const ending *x, uint32_t length) {
    uint32_t hash = hash_words((const uint32_t[]){x->rule, x->origin}, 2), old;
    if (known_ending(e, x, &old))
        return;
    if (!mem_reserve(e->mem, &e->known, &e->known_capacity, 3 * e->n_known + 3, sizeof *e->known) ||
        !table_add(&e->known_table, hash, (uint32_t)e->n_known)) {
        e->failed = true;
        return;
    }
    memcpy(e->known + 3 * e->n_known++, (const uint32_t[]){x->rule, x->origin, length}, 3 * sizeof *e->known);
}

static uint64_t rest(const chart *c, uint32_t state, uint32_t data) {
    const net_rule *rule = &c->n->rules[c->n->states[state].rule];
    return net_rest(c->n, state, data, rule->kind == RULE_SET ? chart_taken(c, data) : NULL);
}

// Every item of a set as a way to its rule's end.
static void begin_endings(ingot_grammar *g, endings *e, uint32_t set) {
    chart *c = &g->chart;
    const chart_set s = c->sets[set];
    for (uint32_t i = 0; i < s.n_scanned + s.n_waiting + s.n_tokens; i++) {
        if (i >= s.n_scanned && i < s.n_scanned + s.n_waiting)
            continue;
        const chart_item x = chart_items(c, set)[i];
        if (i < s.n_scanned && rx_nullable(&g->pool, x.term))
            continue; // what comes behind it has items of its own
        uint32_t state = g->net.edges[x.where].target;
        uint64_t length = i < s.n_scanned ? rx_shortest(&g->pool, x.term) : 1;
        uint32_t origin = x.origin == SET_SELF ? set : x.origin;
        add_ending(e, (ending){g->net.states[state].rule, origin, UINT32_MAX, i,
                               length + rest(c, state, x.data), false});
    }
}

// The item of a set with which the text is complete soonest: Dijkstra over ends of rules.
static uint32_t best_item(ingot_grammar *g, endings *e, uint32_t set, uint32_t *total) {
    chart *c = &g->chart;
    e->n = e->queue.n = 0;
    if (e->found.n * 16 < e->found.n_slots) // of a larger search: clearing it again and again takes longer
        table_free(&e->found);
    table_clear(&e->found);
    begin_endings(g, e, set);
    uint64_t best = UINT64_MAX;
    uint32_t best_place = UINT32_MAX, left;
    while (e->queue.n > 0 && !e->failed) {
        uint64_t top = heap_pop(&e->queue);
        ending x = e->items[(uint32_t)top];
        if (top >> 32 >= best)
            break;
        if (x.final || top >> 32 != x.length)
            continue;
        e->items[(uint32_t)top].final = true;
        if (x.origin == SET_ACCEPT || known_ending(e, &x, &left)) {
            uint64_t length = x.length + (x.origin == SET_ACCEPT ? 0 : left);
            best_place = length < best ? (uint32_t)top : best_place;
            best = length < best ? length : best;
            continue;
        }
        size_t n;
        const chart_item *waiting = chart_waiting(c, x.origin, x.rule, &n);
        for (size_t i = 0; i < n; i++) {
            const chart_item w = waiting[i];
            add_ending(e, (ending){g->net.states[w.where].rule, w.origin == SET_SELF ? x.origin : w.origin,
                                   (uint32_t)top, x.item, x.length + rest(c, w.where, w.data), false});
        }
    }
    if (best_place == UINT32_MAX || e->failed)
        return UINT32_MAX;
    *total = (uint32_t)best;
    for (uint32_t i = best_place; i != UINT32_MAX; i = e->items[i].from)
        if (e->items[i].origin != SET_ACCEPT)
            remember(e, &e->items[i], (uint32_t)(best - e->items[i].length));
    return e->items[best_place].item;
}

// ------------------------------------------------------------------------------------------------- a part

static void put_byte(endings *e, uint8_t byte) {
    if (mem_reserve(e->mem, &e->text, &e->text_capacity, e->n_text + 1, 1))
        e->text[e->n_text++] = (char)byte;
    else
        e->failed = true;
}

// Puts the shortest text of a term; returns the set behind it.
static uint32_t put_term(ingot_grammar *g, rx term, uint32_t set, endings *e) {
    rx_pool *p = &g->pool;
    while (!rx_nullable(p, term) && set != SET_DEAD && p->status == INGOT_OK) {
        uint32_t length = rx_shortest(p, term), k = 0;
        rx next = RX_NONE;
        for (; k < p->n_classes; k++) {
            next = rx_derive(p, term, k);
            if (next != RX_NONE && rx_live(p, next) && rx_shortest(p, next) + 1 == length)
                break;
        }
        if (k == p->n_classes)
            return SET_DEAD;
        put_byte(e, p->class_byte[k]);
        set = chart_step(&g->chart, set, k);
        term = next;
    }
    return set;
}

// Puts a token of a set of tokens, one of text if there is one; returns the set behind it, SET_DEAD if all of
// them end generation.
static uint32_t put_token(ingot_grammar *g, uint32_t edge, uint32_t set, endings *e) {
    const ingot_token_trie *t = g->trie;
    int32_t best = -1;
    for (int32_t token = 0; t && token < t->n_tokens; token++) {
        if (t->roles[token] == INGOT_ROLE_END || (best >= 0 && t->roles[token] >= t->roles[best]))
            continue;
        if (net_has_token(&g->net, g->net.edges[edge].arg, token, false))
            best = token;
    }
    e->token = best;
    return best < 0 ? SET_DEAD : chart_token(&g->chart, set, SET_DEAD, best, false);
}

// Puts what completes a set's text up to the next one of its way; returns that.
static uint32_t put_item(ingot_grammar *g, uint32_t set, uint32_t item, endings *e) {
    const chart_item x = chart_items(&g->chart, set)[item];
    e->n_text = 0;
    e->token = -1;
    return item < g->chart.sets[set].n_scanned ? put_term(g, x.term, set, e) : put_token(g, x.where, set, e);
}

// ------------------------------------------------------------------------------------------------- ways

// What is known of a set's end; NULL when memory is exhausted.
static set_end *end_of(ingot_grammar *g, uint32_t set) {
    if (!mem_reserve(g->mem, &g->ends, &g->ends_capacity, g->chart.n_sets, sizeof *g->ends))
        return NULL;
    for (; g->n_ends < g->chart.n_sets; g->n_ends++)
        g->ends[g->n_ends] = (set_end){END_UNKNOWN, END_UNKNOWN, 0, SET_DEAD};
    return &g->ends[set];
}

// Finds how many bytes are missing in a set's text, and with which item they begin.
static ingot_status find_size(ingot_grammar *g, endings *e, uint32_t set, ingot_error *err) {
    set_end *end = end_of(g, set);
    uint32_t total = 0, item = 0;
    if (end && end->size != END_UNKNOWN)
        return INGOT_OK;
    if (end && !g->chart.sets[set].accepting)
        item = best_item(g, e, set, &total);
    TRY(grammar_status(g, err));
    if (!end || e->failed)
        return fail_memory(err, e->n * sizeof *e->items, "the shortest end of a text");
    end->size = item == UINT32_MAX ? END_NONE : total;
    end->item = item;
    return INGOT_OK;
}

static void add_token(int32_t token, int32_t *tokens, size_t capacity, size_t *n) {
    if (*n < capacity)
        tokens[*n] = token;
    ++*n;
}

// Appends the tokens of what an item put to `tokens`, which has *n, as far as `capacity` reaches: the longest
// that fit one after the other. False if the vocabulary lacks one.
static bool cut(const ingot_token_trie *t, const endings *e, int32_t *tokens, size_t capacity, size_t *n) {
    if (e->token >= 0)
        add_token(e->token, tokens, capacity, n);
    for (size_t at = 0; at < e->n_text;) {
        const int32_t token = token_trie_longest(t, e->text + at, e->n_text - at);
        if (token < 0)
            return false;
        add_token(token, tokens, capacity, n);
        at += token_trie_text(t, token).size;
    }
    return true;
}

// Puts the part of a set's end that comes first, and finds out about the set behind it: SET_DEAD if there is
// none. *n_tokens is what the part takes, END_NONE if it can't be made of tokens.
static ingot_status find_part(ingot_grammar *g, endings *e, uint32_t set, uint32_t *n_tokens,
                              ingot_error *err) {
    const set_end end = g->ends[set];
    *n_tokens = END_NONE;
    if (end.size > MAX_TEXT) // or there is none
        return INGOT_OK;
    size_t n = 0;
    const uint32_t next = put_item(g, set, end.item, e);
    const bool spelt = !g->trie || cut(g->trie, e, NULL, 0, &n);
    TRY(grammar_status(g, err));
    TRY(find_size(g, e, next, err));
    g->ends[set].next = g->ends[next].size < end.size ? next : SET_DEAD;
    if (g->ends[set].next != SET_DEAD && spelt)
        *n_tokens = (uint32_t)n;
    return INGOT_OK;
}

// Finds the whole way from a set to the end of its text, and how many tokens it takes: this stays known of
// all sets on it.
static ingot_status find_way(ingot_grammar *g, endings *e, uint32_t set, ingot_error *err) {
    uint32_t n = 0;
    e->n_path = 0;
    for (;;) {
        TRY(find_size(g, e, set, err));
        if (g->chart.sets[set].accepting)
            break;
        n = g->ends[set].n_tokens;
        if (n != END_UNKNOWN)
            break;
        if (!mem_reserve(e->mem, &e->path, &e->path_capacity, e->n_path + 2, sizeof *e->path))
            return fail_memory(err, e->n_path * sizeof *e->path, "the shortest end of a text");
        TRY(find_part(g, e, set, &n, err));
        e->path[e->n_path++] = set;
        e->path[e->n_path++] = n;
        set = g->ends[set].next;
        if (set == SET_DEAD)
            break;
        n = 0;
    }
    for (; e->n_path > 0; e->n_path -= 2) {
        const uint32_t part = e->path[e->n_path - 1];
        n = n == END_NONE || part == END_NONE ? END_NONE : n + part;
        g->ends[e->path[e->n_path - 2]].n_tokens = n;
    }
    return INGOT_OK;
}

static void endings_free(endings *e) {
    mem_free(e->mem, e->items);
    mem_free(e->mem, e->known);
    mem_free(e->mem, e->queue.items);
    mem_free(e->mem, e->text);
    mem_free(e->mem, e->path);
    table_free(&e->found);
    table_free(&e->known_table);
}

static ingot_status no_end(const ingot_grammar *g, uint32_t set, ingot_error *err) {
    if (g->ends[set].size > MAX_TEXT && g->ends[set].size != END_NONE)
        return fail(err, INGOT_ERR_LIMIT, "the shortest end of the text has more than %u bytes", MAX_TEXT);
    return fail(
        err, INGOT_ERR_UNSUPPORTED,
        "the text can't be completed: a token must come that ends generation or that isn't known here, "
        "or the vocabulary lacks a byte of its end");
}

// Takes the parts of an end, one after the other.
typedef void (*part_fn)(const ingot_grammar *g, const endings *e, void *user);

static ingot_status follow_way(ingot_matcher *m, bool in_tokens, part_fn take, void *user, ingot_error *err) {
    ingot_grammar *g = m->grammar;
    endings e = {.mem = g->mem, .found.mem = g->mem, .known_table.mem = g->mem};
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    uint32_t set = matcher_set(m);
    if (status == INGOT_OK)
        status = find_way(g, &e, set, err);
    while (status == INGOT_OK && !g->chart.sets[set].accepting) {
        const set_end end = g->ends[set];
        if (end.next == SET_DEAD || (in_tokens && end.n_tokens == END_NONE)) {
            status = no_end(g, set, err);
            break;
        }
        put_item(g, set, end.item, &e);
        take(g, &e, user);
        set = end.next;
        if (e.failed)
            status = fail_memory(err, e.n_text, "the shortest end of a text");
    }
    mutex_unlock(&g->lock);
    endings_free(&e);
    return status;
}

// ------------------------------------------------------------------------------------------------- calls

// What a caller has room for, and how much there is.
typedef struct taken {
    char *text;
    int32_t *tokens;
    size_t capacity, n;
    int32_t token; // one that must come; -1: none
} taken;

static void take_text(const ingot_grammar *g, const endings *e, void *user) {
    (void)g;
    taken *t = user;
    for (size_t i = 0; i < e->n_text; i++, t->n++)
        if (t->n < t->capacity)
            t->text[t->n] = e->text[i];
    t->token = e->token >= 0 ? e->token : t->token;
}

static void take_tokens(const ingot_grammar *g, const endings *e, void *user) {
    taken *t = user;
    cut(g->trie, e, t->tokens, t->capacity, &t->n);
}

ingot_status ingot_matcher_shortest(ingot_matcher *m, char *text, size_t capacity, size_t *size,
                                    ingot_error *err) {
    taken t = {.text = text, .capacity = capacity, .token = -1};
    TRY(follow_way(m, false, take_text, &t, err));
    *size = t.n;
    if (t.token >= 0)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "the text can't be completed by bytes alone: token %d must come", t.token);
    return t.n <= capacity
               ? INGOT_OK
               : fail(err, INGOT_ERR_LIMIT, "%zu bytes of text: there is room for %zu", t.n, capacity);
}

ingot_status ingot_matcher_closing(ingot_matcher *m, int32_t *tokens, size_t capacity, size_t *n,
                                   ingot_error *err) {
    taken t = {.tokens = tokens, .capacity = capacity};
    *n = 0;
    TRY(grammar_check_trie(m->grammar, err));
    TRY(follow_way(m, true, take_tokens, &t, err));
    *n = t.n;
    return t.n <= capacity ? INGOT_OK
                           : fail(err, INGOT_ERR_LIMIT, "%zu tokens: there is room for %zu", t.n, capacity);
}

ingot_status matcher_can_close(ingot_matcher *m, uint64_t n, bool *can, ingot_error *err) {
    ingot_grammar *g = m->grammar;
    endings e = {.mem = g->mem, .found.mem = g->mem, .known_table.mem = g->mem};
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    const uint32_t set = matcher_set(m);
    *can = status == INGOT_OK && g->chart.sets[set].accepting;
    if (status == INGOT_OK && !*can) {
        status = find_size(g, &e, set, err);
        // A token is a byte at least.
        *can = status == INGOT_OK && g->trie->spells && g->ends[set].size <= n;
    }
    if (status == INGOT_OK && !*can) {
        status = find_way(g, &e, set, err);
        *can = status == INGOT_OK && g->ends[set].n_tokens <= n && g->ends[set].n_tokens != END_NONE;
    }
    mutex_unlock(&g->lock);
    endings_free(&e);
    return status;
}
