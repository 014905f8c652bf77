// What a matcher can tell besides masks: bytes that must come, a shortest end, and why.
#include <stdarg.h>
#include <stdio.h>

#include "grammar/grammar.h"
#include "text/heap.h"

// Forced bytes and ends are not followed further than this.
#define MAX_TEXT (1u << 20)

// Text that is made: as far as `capacity` reaches it is stored, `n` counts on.
typedef struct output {
    char *text;
    size_t capacity, n;
} output;

static void put(output *o, const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++, o->n++)
        if (o->n < o->capacity)
            o->text[o->n] = ((const char *)bytes)[i];
}

static ingot_status end(const output *o, size_t *size, ingot_error *err) {
    *size = o->n;
    return o->n <= o->capacity
               ? INGOT_OK
               : fail(err, INGOT_ERR_LIMIT, "%zu bytes of text: there is room for %zu", o->n, o->capacity);
}

static uint32_t current(const ingot_matcher *m) {
    return m->history[m->n - 1];
}

// ------------------------------------------------------------------------------------------------- forced

static void put_forced(ingot_grammar *g, uint32_t set, output *o) {
    const rx_pool *p = &g->pool;
    uint32_t bytes[256] = {0}; // of each class
    for (int i = 0; i < 256; i++)
        bytes[p->byte_class[i]]++;
    while (o->n < MAX_TEXT && !g->chart.sets[set].accepting && g->chart.sets[set].n_tokens == 0) {
        uint32_t ways = 0, next = SET_DEAD, only = 0;
        for (uint32_t k = 0; k < p->n_classes && ways < 2; k++) {
            uint32_t to = chart_step(&g->chart, set, k);
            if (to == SET_DEAD)
                continue;
            ways += bytes[k];
            next = to;
            only = k;
        }
        if (ways != 1)
            return;
        put(o, &p->class_byte[only], 1);
        set = next;
    }
}

ingot_status ingot_matcher_forced(ingot_matcher *m, char *text, size_t capacity, size_t *size,
                                  ingot_error *err) {
    ingot_grammar *g = m->grammar;
    output o = {text, capacity, 0};
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK) {
        put_forced(g, current(m), &o);
        status = grammar_status(g, err);
    }
    mutex_unlock(&g->lock);
    return status == INGOT_OK ? end(&o, size, err) : status;
}

// ------------------------------------------------------------------------------------------------- shortest

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
    ending *items = grow(e->mem, e->items, &e->capacity, e->n + 1, sizeof *items);
    if (items)
        e->items = items;
    if (!items || !table_add(&e->found, hash, (uint32_t)e->n) ||
        !heap_push(&e->queue, e->mem, x.length << 32 | e->n)) {
        e->failed = true;
        return;
    }
    items[e->n++] = x;
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
    uint32_t *known = grow(e->mem, e->known, &e->known_capacity, 3 * e->n_known + 3, sizeof *known);
    if (known)
        e->known = known;
    if (!known || !table_add(&e->known_table, hash, (uint32_t)e->n_known)) {
        e->failed = true;
        return;
    }
    memcpy(known + 3 * e->n_known++, (const uint32_t[]){x->rule, x->origin, length}, 3 * sizeof *known);
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
        const chart_item *waiting = chart_items(c, x.origin) + c->sets[x.origin].n_scanned;
        for (uint32_t i = 0; i < c->sets[x.origin].n_waiting; i++) {
            const chart_item w = waiting[i];
            if (w.term == x.rule)
                add_ending(e,
                           (ending){g->net.states[w.where].rule, w.origin == SET_SELF ? x.origin : w.origin,
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

// Puts the shortest text of a term; returns the set behind it.
static uint32_t put_term(ingot_grammar *g, rx term, uint32_t set, output *o) {
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
        put(o, &p->class_byte[k], 1);
        set = chart_step(&g->chart, set, k);
        term = next;
    }
    return set;
}

static ingot_status put_shortest(ingot_grammar *g, endings *e, uint32_t set, output *o, ingot_error *err) {
    uint32_t before = RX_INF, total = 0;
    while (!g->chart.sets[set].accepting) {
        uint32_t item = best_item(g, e, set, &total);
        TRY(grammar_status(g, err));
        if (e->failed)
            return fail_memory(err, e->n * sizeof *e->items, "the shortest end of a text");
        if (item != UINT32_MAX && item >= g->chart.sets[set].n_scanned)
            return fail(err, INGOT_ERR_UNSUPPORTED,
                        "the text can't be completed by bytes alone: a token must come");
        if (item == UINT32_MAX || total >= before || set == SET_DEAD)
            return fail(err, INGOT_ERR_INTERNAL, "a shortest end of a text wasn't found");
        if (total > MAX_TEXT)
            return fail(err, INGOT_ERR_LIMIT, "the shortest end of the text has more than %u bytes",
                        MAX_TEXT);
        before = total;
        set = put_term(g, chart_items(&g->chart, set)[item].term, set, o);
    }
    return INGOT_OK;
}

ingot_status ingot_matcher_shortest(ingot_matcher *m, char *text, size_t capacity, size_t *size,
                                    ingot_error *err) {
    ingot_grammar *g = m->grammar;
    output o = {text, capacity, 0};
    endings e = {.mem = g->mem, .found.mem = g->mem, .known_table.mem = g->mem};
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK)
        status = put_shortest(g, &e, current(m), &o, err);
    mutex_unlock(&g->lock);
    mem_free(g->mem, e.items);
    mem_free(g->mem, e.known);
    mem_free(g->mem, e.queue.items);
    table_free(&e.found);
    table_free(&e.known_table);
    return status == INGOT_OK ? end(&o, size, err) : status;
}

// ------------------------------------------------------------------------------------------------- explain

PRINTF_LIKE(2, 3)
static void say(output *o, const char *fmt, ...) {
    char line[256];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    put(o, line, n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void say_byte(output *o, unsigned byte) {
    if (byte > 0x20 && byte < 0x7F)
        say(o, "%c", byte);
    else
        say(o, byte == ' ' ? "' '" : byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : "\\x%02X", byte);
}

static void say_rules(const ingot_grammar *g, uint32_t set, output *o) {
    const chart *c = &g->chart;
    const chart_set *s = &c->sets[set];
    say(o, "open rules:");
    ingot_str last = {NULL, 0};
    for (uint32_t i = 0; i < s->n_scanned + s->n_waiting + s->n_tokens; i++) {
        const chart_item *x = chart_items(c, set) + i;
        bool waiting = i >= s->n_scanned && i < s->n_scanned + s->n_waiting;
        uint32_t state = waiting ? x->where : g->net.edges[x->where].target;
        ingot_str name = net_rule_name(&g->net, g->net.states[state].rule);
        if (name.data == last.data)
            continue;
        last = name;
        say(o, " ");
        put(o, name.data, name.size);
    }
    say(o, "\n%s", s->accepting ? "the text may end here\n" : "");
}

static void say_next(ingot_grammar *g, uint32_t set, output *o) {
    const rx_pool *p = &g->pool;
    say(o, "next bytes:");
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned last = byte;
        if (chart_step(&g->chart, set, p->byte_class[byte]) == SET_DEAD)
            continue;
        while (last < 255 && chart_step(&g->chart, set, p->byte_class[last + 1]) != SET_DEAD)
            last++;
        say(o, " ");
        say_byte(o, byte);
        if (last > byte)
            say(o, last > byte + 1 ? ".." : " ");
        if (last > byte)
            say_byte(o, last);
        byte = last;
    }
    say(o, "\n");
}

static void say_token(ingot_grammar *g, uint32_t set, int32_t token, output *o) {
    const ingot_token_trie *t = g->trie;
    ingot_str text = token_trie_text(t, token);
    if (t->roles[token] == INGOT_ROLE_END) {
        say(o, "token %d ends the text, which %s\n", token,
            g->chart.sets[set].accepting ? "may end here" : "isn't complete");
        return;
    }
    if (t->roles[token] == INGOT_ROLE_CONTROL) {
        say(o, "token %d is a control token, which only a token of the grammar allows\n", token);
        return;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint32_t to = chart_step(&g->chart, set, g->pool.byte_class[(uint8_t)text.data[i]]);
        if (to == SET_DEAD) {
            say(o, "token %d stops at its byte %zu, ", token, i);
            say_byte(o, (uint8_t)text.data[i]);
            say(o, "; there\n");
            say_rules(g, set, o);
            say_next(g, set, o);
            return;
        }
        set = to;
    }
    say(o, "token %d may come next\n", token);
}

ingot_status ingot_matcher_explain(ingot_matcher *m, int32_t token, char *text, size_t capacity, size_t *size,
                                   ingot_error *err) {
    ingot_grammar *g = m->grammar;
    output o = {text, capacity, 0};
    if (token >= 0 && (!g->trie || token >= g->trie->n_tokens))
        return fail(err, INGOT_ERR_INVALID, "there is no token %d in the grammar's vocabulary", token);
    mutex_lock(&g->lock);
    ingot_status status = grammar_tidy(g, err);
    if (status == INGOT_OK) {
        say_rules(g, current(m), &o);
        say_next(g, current(m), &o);
        if (token >= 0)
            say_token(g, current(m), token, &o);
        status = grammar_status(g, err);
    }
    mutex_unlock(&g->lock);
    return status == INGOT_OK ? end(&o, size, err) : status;
}
