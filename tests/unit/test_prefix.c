// The prefix tree against what it stands for: pages whose contents are written and copied as keys and values
// would be.
#include "check.h"

#include <string.h>

#include "run/prefix.h"

enum { N_PAGES = 40, N_CTX = 12 * PAGE_TOKENS, N_SEQS = 5, N_ROUNDS = 40000 };

static uint64_t state = 1;

static int32_t below(int32_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((state >> 33) % (uint64_t)n);
}

typedef struct world {
    page_pool pool;
    prefix_tree tree;
    sequence seqs[N_SEQS];
    bool runs[N_SEQS];
    uint64_t domains[N_SEQS];
    int32_t contents[N_PAGES][PAGE_TOKENS]; // a token, and what comes before it
} world;

// Stands for keys and values: they depend on all tokens so far.
static int32_t content_of(const sequence *s, uint64_t domain, int32_t position) {
    uint64_t hash = domain;
    for (int32_t i = 0; i <= position; i++)
        hash = (hash + (uint64_t)(uint32_t)s->tokens[i] + 1) * 0x9e3779b97f4a7c15u;
    return (int32_t)(hash >> 40);
}

static bool holds(const world *w, int32_t i) {
    const sequence *s = &w->seqs[i];
    for (int32_t k = 0; k < s->n_tokens; k++)
        if (w->contents[s->pages[k / PAGE_TOKENS]][k % PAGE_TOKENS] != content_of(s, w->domains[i], k))
            return false;
    return true;
}

static void begin(world *w, int32_t i) {
    sequence *s = &w->seqs[i];
    const int32_t n = 1 + below(N_CTX - 1);
    const int32_t family = below(3), alike = below(n + 1);
    page_copy copy;
    for (int32_t k = 0; k < n; k++)
        s->tokens[k] = k < alike ? (k * 7 + family) % 5 : below(2);
    w->domains[i] = (uint64_t)below(2);
    const int32_t known = prefix_match(&w->tree, w->domains[i], s->tokens, n);
    prefix_take(&w->tree, w->domains[i], s, n, &copy);
    if (copy.from >= 0)
        memcpy(w->contents[copy.to], w->contents[copy.from], sizeof w->contents[0]);
    CHECK(s->n_tokens == known || (w->pool.n_free == 0 && s->n_tokens == known - known % PAGE_TOKENS));
    CHECK(s->n_pages == pages_for(s->n_tokens));
    w->runs[i] = true;
}

// Computes some tokens, of which all or some become known.
static void go_on(world *w, int32_t i) {
    sequence *s = &w->seqs[i];
    int32_t n = s->n_tokens + 1 + below(2 * PAGE_TOKENS);
    n = n < N_CTX ? n : N_CTX;
    if (!prefix_evict(&w->tree, pages_for(n) - s->n_pages)) {
        prefix_leave(&w->tree, s);
        w->runs[i] = false;
        return;
    }
    CHECK(sequence_reserve(s, &w->pool, n, NULL) == INGOT_OK);
    for (int32_t k = s->n_tokens; k < n; k++) {
        s->tokens[k] = below(3);
        w->contents[s->pages[k / PAGE_TOKENS]][k % PAGE_TOKENS] = content_of(s, w->domains[i], k);
    }
    const int32_t settled = s->n_tokens + below(n - s->n_tokens + 1);
    s->n_tokens = n;
    prefix_publish(&w->tree, w->domains[i], s, settled);
    if (below(4) == 0) // what isn't known may be taken back
        sequence_truncate(s, &w->pool, s->n_published + below(s->n_tokens - s->n_published + 1));
}

static void end(world *w, int32_t i) {
    if (below(3) > 0)
        prefix_publish(&w->tree, w->domains[i], &w->seqs[i], w->seqs[i].n_tokens);
    prefix_touch(&w->tree, &w->seqs[i]);
    prefix_leave(&w->tree, &w->seqs[i]);
    w->runs[i] = false;
}

static int32_t count_unused(const world *w) {
    int32_t n = 0;
    for (int32_t page = 0; page < N_PAGES; page++)
        n += w->tree.nodes[page].known && w->pool.references[page] == 1;
    return n;
}

static void test_random(void) {
    static world w;
    CHECK(page_pool_init(&w.pool, N_PAGES, NULL) == INGOT_OK);
    CHECK(prefix_init(&w.tree, &w.pool, NULL) == INGOT_OK);
    for (int32_t i = 0; i < N_SEQS; i++)
        CHECK(sequence_init(&w.seqs[i], N_CTX, NULL) == INGOT_OK);
    for (int32_t round = 0; round < N_ROUNDS; round++) {
        const int32_t i = below(N_SEQS);
        if (!w.runs[i])
            begin(&w, i);
        else if (below(6) == 0 || w.seqs[i].n_tokens == N_CTX)
            end(&w, i);
        else
            go_on(&w, i);
        CHECK(holds(&w, i));
        CHECK(w.tree.n_unused == count_unused(&w));
    }
    for (int32_t i = 0; i < N_SEQS; i++)
        if (w.runs[i])
            end(&w, i);
    CHECK(w.tree.n_evicted > 1000 && w.pool.n_free + w.tree.n_unused == N_PAGES);
    CHECK(prefix_evict(&w.tree, N_PAGES) && w.tree.n_unused == 0 && w.tree.oldest == -1);
    for (int32_t i = 0; i < N_SEQS; i++)
        sequence_free(&w.seqs[i], &w.pool);
    prefix_free(&w.tree);
    page_pool_free(&w.pool);
}

// What was used last stays longest, and a beginning longer than what follows it.
static void test_order(void) {
    page_pool pool;
    prefix_tree tree;
    sequence s;
    page_copy copy;
    CHECK(page_pool_init(&pool, 4, NULL) == INGOT_OK && prefix_init(&tree, &pool, NULL) == INGOT_OK);
    CHECK(sequence_init(&s, 3 * PAGE_TOKENS, NULL) == INGOT_OK);
    for (int32_t family = 0; family < 2; family++) {
        for (int32_t k = 0; k < 2 * PAGE_TOKENS; k++)
            s.tokens[k] = family;
        CHECK(sequence_reserve(&s, &pool, 2 * PAGE_TOKENS, NULL) == INGOT_OK);
        s.n_tokens = 2 * PAGE_TOKENS;
        prefix_publish(&tree, 0, &s, s.n_tokens);
        prefix_leave(&tree, &s);
    }
    for (int32_t k = 0; k < 2 * PAGE_TOKENS; k++)
        s.tokens[k] = 0;
    CHECK(prefix_match(&tree, 1, s.tokens, 2 * PAGE_TOKENS) == 0);
    prefix_take(&tree, 0, &s, 2 * PAGE_TOKENS, &copy); // now the first family is the newer one
    CHECK(s.n_tokens == 2 * PAGE_TOKENS && copy.from < 0 && !prefix_evict(&tree, 3));
    prefix_leave(&tree, &s);
    CHECK(prefix_evict(&tree, 1) && prefix_match(&tree, 0, s.tokens, 2 * PAGE_TOKENS) == 2 * PAGE_TOKENS);
    const int32_t other[PAGE_TOKENS] = {1};
    CHECK(prefix_match(&tree, 0, other, 1) == 1);
    CHECK(prefix_evict(&tree, 3) && prefix_match(&tree, 0, s.tokens, 2 * PAGE_TOKENS) == PAGE_TOKENS);
    sequence_free(&s, &pool);
    prefix_free(&tree);
    page_pool_free(&pool);
}

int main(void) {
    test_order();
    test_random();
    return check_report();
}
