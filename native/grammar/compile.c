#include "grammar/grammar.h"

// Terms that a grammar may have, at 20 bytes each and as many in tables.
#define MAX_TERMS (1u << 22)

#define DEFAULT_BYTES ((uint64_t)256 << 20)

void ingot_grammar_free(ingot_grammar *g) {
    if (!g)
        return;
    grammar_masks_free(g);
    mem_free(g->mem, g->ends);
    chart_free(&g->chart);
    rx_pool_free(&g->pool);
    net_free(&g->net);
    if (g->has_lock)
        mutex_free(&g->lock);
    mem_free(g->mem, g);
}

// What of the bytes may be sets and terms; the rest is for masks.
static bool is_full(const ingot_grammar *g) {
    return g->chart.status != INGOT_OK || g->pool.status != INGOT_OK || g->pool.n_nodes > MAX_TERMS / 4 * 3 ||
           chart_bytes(&g->chart) + rx_pool_bytes(&g->pool) > g->fixed_bytes + g->max_bytes / 4 * 3;
}

static ingot_status collect(ingot_grammar *g, bool *keep, uint32_t *to, ingot_error *err) {
    keep[g->start] = true;
    for (const ingot_matcher *m = g->matchers; m; m = m->next)
        for (size_t i = 0; i < m->n; i++)
            keep[m->history[i].set] = true;
    TRY(chart_collect(&g->chart, keep, to, err));
    g->start = to[g->start];
    for (ingot_matcher *m = g->matchers; m; m = m->next) {
        for (size_t i = 0; i < m->n; i++)
            m->history[i].set = to[m->history[i].set];
        if (m->trace)
            trace_forget(m->trace);
    }
    g->masks.n = g->masks.n_of_set = g->masks.hand = 0;
    g->n_ends = 0;
    return INGOT_OK;
}

ingot_status grammar_tidy(ingot_grammar *g, ingot_error *err) {
    g->chart.work = g->pool.work = 0;
    if (!is_full(g))
        return INGOT_OK;
    bool *keep = mem_alloc(g->mem, g->chart.n_sets, sizeof *keep);
    uint32_t *to = mem_alloc(g->mem, g->chart.n_sets, sizeof *to);
    ingot_status status = keep && to ? collect(g, keep, to, err)
                                     : fail_memory(err, g->chart.n_sets * 5, "tidying a grammar's states");
    mem_free(g->mem, keep);
    mem_free(g->mem, to);
    TRY(status);
    if (!is_full(g))
        return INGOT_OK;
    return fail(
        err, INGOT_ERR_LIMIT,
        "the matchers of the grammar need more than the %llu bytes it was given: free some, or compile it "
        "with more",
        (unsigned long long)g->max_bytes);
}

ingot_status grammar_status(const ingot_grammar *g, ingot_error *err) {
    const ingot_status status = g->chart.status != INGOT_OK ? g->chart.status : g->pool.status;
    if (status == INGOT_OK)
        return INGOT_OK;
    if (status == INGOT_ERR_MEMORY)
        return fail_memory(err, chart_bytes(&g->chart) + rx_pool_bytes(&g->pool), "a grammar's states");
    return fail(
        err, status,
        "the grammar has more states than can be kept here: expected one with fewer alternatives at a time");
}

static ingot_status compile(ingot_grammar *g, const ir *source, uint32_t root, ingot_error *err) {
    TRY(mutex_init(&g->lock, err));
    g->has_lock = true;
    TRY(rx_pool_init(&g->pool, g->mem, MAX_TERMS, err));
    analysis a;
    ingot_status status = analyse(source, root, &g->pool, &a, err);
    if (status == INGOT_OK && a.shortest[root] == RX_INF)
        status = fail(err, INGOT_ERR_INVALID,
                      "no text matches the grammar: every way through it is endless or empty");
    if (status == INGOT_OK)
        status = net_build(source, root, &a, &g->pool, &g->net, err);
    analysis_free(&a);
    TRY(status);
    g->pool.n_fixed = g->pool.n_nodes;
    TRY(chart_init(&g->chart, &g->net, &g->pool, g->mem, err));
    g->start = chart_start(&g->chart);
    TRY(grammar_status(g, err));
    g->fixed_bytes = chart_bytes(&g->chart) + rx_pool_bytes(&g->pool);
    return g->trie ? grammar_masks_init(g, err) : INGOT_OK;
}

ingot_status ingot_grammar_compile(const ingot_grammar_builder *builder, int32_t root, uint64_t bytes,
                                   ingot_grammar **out, ingot_error *err) {
    TRY(ingot_grammar_builder_status(builder, err));
    if (root < 0 || (size_t)root >= builder->n_nodes)
        return fail(err, INGOT_ERR_INVALID, "%d is no node of this grammar: there are %zu", root,
                    builder->n_nodes);
    ingot_grammar *g = mem_alloc(builder->mem, 1, sizeof *g);
    if (!g)
        return fail_memory(err, sizeof *g, "a grammar");
    g->mem = builder->mem;
    g->trie = builder->trie;
    g->max_bytes = bytes > 0 ? bytes : DEFAULT_BYTES;
    ingot_status status = compile(g, builder, (uint32_t)root, err);
    if (status != INGOT_OK) {
        ingot_grammar_free(g);
        return status;
    }
    *out = g;
    return INGOT_OK;
}
