#include "run/pages.h"

static int32_t pages_for(int32_t n_tokens) {
    return n_tokens / PAGE_TOKENS + (n_tokens % PAGE_TOKENS != 0);
}

ingot_status page_pool_init(page_pool *p, int32_t n_pages, const ingot_allocator *mem, ingot_error *err) {
    *p = (page_pool){.mem = mem, .n_pages = n_pages, .n_free = n_pages};
    p->free_list = mem_alloc(mem, (size_t)n_pages, sizeof *p->free_list);
    p->references = mem_alloc(mem, (size_t)n_pages, sizeof *p->references);
    if (!p->free_list || !p->references) {
        page_pool_free(p);
        return fail_memory(err, (uint64_t)n_pages * 2 * sizeof(int32_t), "the list of KV pages");
    }
    for (int32_t i = 0; i < n_pages; i++)
        p->free_list[i] = n_pages - 1 - i;
    return INGOT_OK;
}

void page_pool_free(page_pool *p) {
    mem_free(p->mem, p->free_list);
    mem_free(p->mem, p->references);
    p->free_list = p->references = NULL;
}

ingot_status sequence_init(sequence *s, int32_t n_ctx, const ingot_allocator *mem, ingot_error *err) {
    *s = (sequence){0};
    s->pages = mem_alloc(mem, (size_t)pages_for(n_ctx), sizeof *s->pages);
    s->tokens = mem_alloc(mem, (size_t)n_ctx, sizeof *s->tokens);
    if (s->pages && s->tokens)
        return INGOT_OK;
    mem_free(mem, s->pages);
    mem_free(mem, s->tokens);
    *s = (sequence){0};
    return fail_memory(err, (uint64_t)n_ctx * sizeof *s->tokens, "a sequence's page table");
}

void sequence_free(sequence *s, page_pool *p) {
    sequence_truncate(s, p, 0);
    mem_free(p->mem, s->pages);
    mem_free(p->mem, s->tokens);
    *s = (sequence){0};
}

ingot_status sequence_reserve(sequence *s, page_pool *p, int32_t n_tokens, ingot_error *err) {
    int32_t missing = pages_for(n_tokens) - s->n_pages;
    if (missing > p->n_free)
        return fail(err, INGOT_ERR_LIMIT,
                    "%d KV pages of %d tokens are needed for %d tokens, %d of %d are free", missing,
                    PAGE_TOKENS, n_tokens, p->n_free, p->n_pages);
    for (; missing > 0; missing--) {
        int32_t page = p->free_list[--p->n_free];
        p->references[page] = 1;
        s->pages[s->n_pages++] = page;
    }
    return INGOT_OK;
}

void sequence_truncate(sequence *s, page_pool *p, int32_t n_tokens) {
    if (s->n_tokens > n_tokens)
        s->n_tokens = n_tokens;
    while (s->n_pages > pages_for(n_tokens)) {
        int32_t page = s->pages[--s->n_pages];
        if (--p->references[page] == 0)
            p->free_list[p->n_free++] = page;
    }
}
