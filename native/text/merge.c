#include "text/merge.h"

ingot_status merger_append(merger *m, const ingot_allocator *mem, merge_symbol symbol, ingot_error *err) {
    if (m->n >= INT32_MAX)
        return fail(err, INGOT_ERR_LIMIT, "a text has over 2147483647 symbols");
    if (!mem_reserve(mem, &m->symbols, &m->capacity, m->n + 1, sizeof *m->symbols))
        return fail_memory(err, (m->n + 1) * sizeof *m->symbols, "a text's symbols");
    int32_t i = (int32_t)m->n++;
    symbol.previous = i - 1;
    symbol.next = -1;
    symbol.merged = -1;
    m->symbols[i] = symbol;
    if (i > 0)
        m->symbols[i - 1].next = i;
    return INGOT_OK;
}

// Looks at the pair that starts with symbol `i` and queues it if it can merge.
static ingot_status consider(merger *m, const ingot_allocator *mem, const char *text, merge_pair_fn pair,
                             const void *rules, int32_t i, ingot_error *err) {
    if (i < 0)
        return INGOT_OK;
    merge_symbol *left = &m->symbols[i];
    left->merged = -1;
    if (left->next < 0 || !pair(rules, text, left, &m->symbols[left->next], &left->merged, &left->rank))
        return INGOT_OK;
    if (!heap_push(&m->pairs, mem, (uint64_t)left->rank << 32 | (uint32_t)i))
        return fail_memory(err, (m->pairs.n + 1) * sizeof(uint64_t), "a text's merges");
    return INGOT_OK;
}

ingot_status merger_run(merger *m, const ingot_allocator *mem, const char *text, merge_pair_fn pair,
                        const void *rules, ingot_error *err) {
    m->pairs.n = 0;
    for (size_t i = 0; i < m->n; i++)
        TRY(consider(m, mem, text, pair, rules, (int32_t)i, err));
    while (m->pairs.n > 0) {
        uint64_t top = heap_pop(&m->pairs);
        int32_t i = (int32_t)(uint32_t)top;
        merge_symbol *left = &m->symbols[i];
        if (left->size == 0 || left->merged < 0 || left->rank != (uint32_t)(top >> 32))
            continue; // one of the two has changed since
        merge_symbol *right = &m->symbols[left->next];
        left->id = left->merged;
        left->size += right->size;
        left->next = right->next;
        right->size = 0;
        if (left->next >= 0)
            m->symbols[left->next].previous = i;
        TRY(consider(m, mem, text, pair, rules, left->previous, err));
        TRY(consider(m, mem, text, pair, rules, i, err));
    }
    return INGOT_OK;
}

void merger_free(merger *m, const ingot_allocator *mem) {
    mem_free(mem, m->symbols);
    mem_free(mem, m->pairs.items);
    *m = (merger){0};
}
