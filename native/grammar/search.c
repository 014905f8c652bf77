#include "grammar/search.h"

#include "grammar/analyse.h"

enum { MAX_TERMS = 1 << 20 };

// A way of matching what began at `first`.
typedef struct attempt {
    rx term;
    uint64_t first;
} attempt;

struct search {
    const ingot_allocator *mem;
    rx_pool pool;
    rx free, begins;   // what may match anywhere, and at the beginning alone
    uint64_t n;        // bytes so far
    attempt *attempts; // [n_attempts] by where they began, with different terms: of equal ones the earliest
                       // goes on
    size_t n_attempts, capacity;
    uint64_t *seen; // [seen_capacity] by term: the byte, counted from 1, after which it was an attempt's
    size_t seen_capacity;
};

static ingot_status term_of(const analysis *a, int32_t node, rx *out, ingot_error *err) {
    *out = node < 0 ? RX_NONE : a->terms[node];
    return *out == ANALYSE_NONE ? fail(err, INGOT_ERR_UNSUPPORTED, "the expression isn't regular") : INGOT_OK;
}

static ingot_status compile(search *s, ir *g, const char *pattern, size_t size, ingot_error *err) {
    const int shown = size < 60 ? (int)size : 60;
    int32_t nodes[IR_BOUNDS], both[2];
    size_t n = 0;
    ir_regex(g, pattern, size, nodes);
    TRY(ingot_grammar_builder_status(g, err));
    if (nodes[IR_ENDS] >= 0 || nodes[IR_BEGINS | IR_ENDS] >= 0)
        return fail(
            err, INGOT_ERR_INVALID,
            "the expression '%.*s' has a $, but it is searched for in a text that goes on; leave it out",
            shown, pattern);
    if (nodes[IR_FREE] >= 0)
        both[n++] = nodes[IR_FREE];
    if (nodes[IR_BEGINS] >= 0)
        both[n++] = nodes[IR_BEGINS];
    const int32_t root = ingot_grammar_builder_choice(g, both, n);
    TRY(ingot_grammar_builder_status(g, err));
    analysis a;
    ingot_status status = analyse(g, (uint32_t)root, &s->pool, &a, err);
    if (status == INGOT_OK)
        status = term_of(&a, nodes[IR_FREE], &s->free, err);
    if (status == INGOT_OK)
        status = term_of(&a, nodes[IR_BEGINS], &s->begins, err);
    analysis_free(&a);
    TRY(status);
    if (s->pool.status != INGOT_OK)
        return fail(err, s->pool.status, "the expression '%.*s' is too large", shown, pattern);
    if (rx_nullable(&s->pool, s->free) || rx_nullable(&s->pool, s->begins))
        return fail(err, INGOT_ERR_INVALID,
                    "the expression '%.*s' matches the empty text; expected one that needs a character",
                    shown, pattern);
    return INGOT_OK;
}

ingot_status search_new(const ingot_allocator *mem, const char *pattern, size_t size, search **out,
                        ingot_error *err) {
    search *s = mem_alloc(mem, 1, sizeof *s);
    ir *g = NULL;
    if (!s)
        return fail_memory(err, sizeof *s, "a search");
    s->mem = s->pool.mem = mem;
    ingot_status status = rx_pool_init(&s->pool, mem, MAX_TERMS, err);
    if (status == INGOT_OK)
        status = ir_new(mem, NULL, &g, err);
    if (status == INGOT_OK)
        status = compile(s, g, pattern, size, err);
    ingot_grammar_builder_free(g);
    if (status != INGOT_OK) {
        search_free(s);
        return status;
    }
    *out = s;
    return INGOT_OK;
}

void search_free(search *s) {
    if (!s)
        return;
    rx_pool_free(&s->pool);
    mem_free(s->mem, s->attempts);
    mem_free(s->mem, s->seen);
    mem_free(s->mem, s);
}

void search_reset(search *s) {
    s->n = 0;
    s->n_attempts = 0;
    for (size_t i = 0; i < s->seen_capacity; i++)
        s->seen[i] = 0;
}

size_t search_held(const search *s) {
    return s->n_attempts > 0 ? (size_t)(s->n - s->attempts[0].first) : 0;
}

// Goes on with an attempt, unless nothing can come of it or an earlier one is as far; *matched is set if it
// matches.
static ingot_status go_on(search *s, attempt from, uint32_t class, attempt *to, size_t *n, bool *matched,
                          ingot_error *err) {
    const size_t had = s->seen_capacity;
    const rx term = rx_derive(&s->pool, from.term, class);
    const bool live = term != RX_NONE && rx_live(&s->pool, term);
    if (s->pool.status != INGOT_OK)
        return fail(err, s->pool.status, "a stop expression has more states than can be kept");
    if (!live)
        return INGOT_OK;
    if (!mem_reserve(s->mem, &s->seen, &s->seen_capacity, (size_t)term + 1, sizeof *s->seen))
        return fail_memory(err, ((uint64_t)term + 1) * sizeof *s->seen, "a search");
    for (size_t i = had; i < s->seen_capacity; i++)
        s->seen[i] = 0;
    if (s->seen[term] == s->n)
        return INGOT_OK;
    s->seen[term] = s->n;
    to[(*n)++] = (attempt){term, from.first};
    *matched = *matched || rx_nullable(&s->pool, term);
    return INGOT_OK;
}

ingot_status search_feed(search *s, char byte, size_t *length, ingot_error *err) {
    const uint32_t class = s->pool.byte_class[(uint8_t)byte];
    const uint64_t here = s->n++;
    size_t n = 0;
    *length = 0;
    if (!mem_reserve(s->mem, &s->attempts, &s->capacity, s->n_attempts + 2, sizeof *s->attempts))
        return fail_memory(err, (s->n_attempts + 2) * sizeof *s->attempts, "a search");
    size_t n_before = s->n_attempts;
    if (here == 0)
        s->attempts[n_before++] = (attempt){s->begins, here};
    s->attempts[n_before++] = (attempt){s->free, here};
    for (size_t i = 0; i < n_before; i++) { // in place: n <= i
        const attempt from = s->attempts[i];
        bool matched = false;
        TRY(go_on(s, from, class, s->attempts, &n, &matched, err));
        if (matched && *length == 0)
            *length = (size_t)(here + 1 - from.first);
    }
    s->n_attempts = n;
    return INGOT_OK;
}
