#include "text/trie.h"

#include "text/prefetch.h"

#define MAX_NODES (1u << 24) // so that a parent and a byte fit 32 bits
#define BATCH     32

static size_t home_of(const trie *t, uint32_t edge) {
    uint64_t h = ((uint64_t)edge + 1) * t->key;
    h = (h ^ h >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(h >> t->shift);
}

static uint64_t *find_edge(const trie *t, uint32_t edge) {
    size_t mask = t->n_slots - 1;
    for (size_t i = home_of(t, edge);; i = (i + 1) & mask)
        if (t->edges[i] == 0 || t->edges[i] >> 32 == edge)
            return &t->edges[i];
}

static ingot_status make_edges(trie *t, int bits, ingot_error *err) {
    uint64_t *old = t->edges;
    size_t n_old = t->n_slots;
    uint64_t *edges = mem_alloc(t->mem, (size_t)1 << bits, sizeof *edges);
    if (!edges)
        return fail_memory(err, sizeof *edges << bits, "a trie of tokens");
    t->edges = edges;
    t->n_slots = (size_t)1 << bits;
    t->shift = 64 - bits;
    for (size_t i = 0; i < n_old; i++)
        if (old[i])
            *find_edge(t, (uint32_t)(old[i] >> 32)) = old[i];
    mem_free(t->mem, old);
    return INGOT_OK;
}

static ingot_status add_node(trie *t, uint32_t *node, ingot_error *err) {
    if (t->n_nodes == MAX_NODES)
        return fail(err, INGOT_ERR_LIMIT, "a trie of tokens has over %u nodes", MAX_NODES);
    if (!mem_reserve(t->mem, &t->values, &t->capacity, t->n_nodes + 1u, sizeof *t->values))
        return fail_memory(err, (t->n_nodes + 1u) * sizeof *t->values, "a trie of tokens");
    t->values[t->n_nodes] = TRIE_NONE;
    *node = t->n_nodes++;
    return INGOT_OK;
}

ingot_status trie_init(trie *t, const ingot_allocator *mem, size_t expected, ingot_error *err) {
    *t = (trie){.mem = mem};
    int bits = 8;
    while (bits < 25 && (size_t)1 << bits < expected * 2)
        bits++;
    TRY(make_edges(t, bits, err));
    uint64_t place = (uint64_t)(uintptr_t)t->edges ^ (uint64_t)(uintptr_t)t << 20;
    t->key = (place * UINT64_C(0x9E3779B97F4A7C15)) | 1;
    uint32_t root;
    return add_node(t, &root, err);
}

void trie_free(trie *t) {
    mem_free(t->mem, t->edges);
    mem_free(t->mem, t->values);
    mem_free(t->mem, t->shorter);
    mem_free(t->mem, t->longest);
    *t = (trie){.mem = t->mem};
}

// One byte deeper: *node becomes its child along `byte`.
static ingot_status descend(trie *t, uint32_t *node, unsigned char byte, ingot_error *err) {
    uint32_t edge = *node << 8 | byte;
    uint64_t *slot = find_edge(t, edge);
    if (*slot == 0) {
        uint32_t child = 0;
        TRY(add_node(t, &child, err));
        *slot = (uint64_t)edge << 32 | child;
    }
    *node = (uint32_t)*slot;
    return INGOT_OK;
}

// The strings go down side by side, so that the memory of one is fetched while others are looked at.
static ingot_status add_batch(trie *t, const ingot_str *texts, const int32_t *values, size_t n,
                              ingot_error *err) {
    uint32_t nodes[BATCH] = {TRIE_ROOT};
    bool more = true;
    for (size_t depth = 0; more; depth++) {
        more = false;
        if (((size_t)t->n_nodes + BATCH) * 2 > t->n_slots)
            TRY(make_edges(t, 64 - t->shift + 1, err));
        for (size_t i = 0; i < n; i++)
            if (depth < texts[i].size)
                PREFETCH(&t->edges[home_of(t, nodes[i] << 8 | (unsigned char)texts[i].data[depth])]);
        for (size_t i = 0; i < n; i++) {
            if (depth < texts[i].size) {
                TRY(descend(t, &nodes[i], (unsigned char)texts[i].data[depth], err));
                more = true;
            }
        }
    }
    for (size_t i = 0; i < n; i++)
        if (nodes[i] != TRIE_ROOT && t->values[nodes[i]] == TRIE_NONE)
            t->values[nodes[i]] = values[i];
    return INGOT_OK;
}

ingot_status trie_add(trie *t, const ingot_str *texts, const int32_t *values, size_t n, ingot_error *err) {
    for (size_t i = 0; i < n; i += BATCH)
        TRY(add_batch(t, texts + i, values + i, n - i < BATCH ? n - i : BATCH, err));
    return INGOT_OK;
}

uint32_t trie_child(const trie *t, uint32_t node, unsigned char byte) {
    return (uint32_t)*find_edge(t, node << 8 | byte);
}

// Fills `order` with the nodes by their depth; `edge_of[node]` is how each was reached.
static void sort_by_depth(const trie *t, const uint32_t *edge_of, uint32_t *depth, uint32_t *order,
                          uint32_t *count) {
    depth[TRIE_ROOT] = 0;
    for (uint32_t node = 1; node < t->n_nodes; node++) // a parent has a smaller number than its children
        depth[node] = depth[edge_of[node] >> 8] + 1;
    for (uint32_t node = 0; node < t->n_nodes; node++)
        count[depth[node]]++;
    uint32_t sum = 0;
    for (uint32_t d = 0; d < t->n_nodes; d++) {
        uint32_t n = count[d];
        count[d] = sum;
        sum += n;
    }
    for (uint32_t node = 0; node < t->n_nodes; node++)
        order[count[depth[node]]++] = node;
}

ingot_status trie_link(trie *t, ingot_error *err) {
    size_t n = t->n_nodes;
    uint32_t *work = mem_alloc(t->mem, n * 4, sizeof *work);
    t->shorter = mem_alloc(t->mem, n, sizeof *t->shorter);
    t->longest = mem_alloc(t->mem, n, sizeof *t->longest);
    if (!work || !t->shorter || !t->longest) {
        mem_free(t->mem, work);
        return fail_memory(err, n * 6 * sizeof *work, "a trie of tokens");
    }
    uint32_t *edge_of = work;
    uint32_t *order = work + n;
    for (size_t i = 0; i < t->n_slots; i++)
        if (t->edges[i])
            edge_of[(uint32_t)t->edges[i]] = (uint32_t)(t->edges[i] >> 32);
    sort_by_depth(t, edge_of, work + 2 * n, order, work + 3 * n);
    for (size_t i = 1; i < n; i++) {
        uint32_t node = order[i];
        uint32_t parent = edge_of[node] >> 8;
        t->shorter[node] =
            parent == TRIE_ROOT ? TRIE_ROOT : trie_step(t, t->shorter[parent], (unsigned char)edge_of[node]);
        t->longest[node] = t->values[node] == TRIE_NONE ? t->longest[t->shorter[node]] : node;
    }
    mem_free(t->mem, work);
    return INGOT_OK;
}
