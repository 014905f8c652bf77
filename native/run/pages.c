#include "run/pages.h"

#include "base/mem.h"
#include "base/thread.h"

static uint64_t bytes_of(int32_t n) {
    return (uint64_t)n * sizeof(int32_t);
}

ingot_status page_pool_init(page_pool *p, int32_t n_pages, ingot_error *err) {
    *p = (page_pool){.n_pages = n_pages, .n_free = n_pages};
    p->returned = vm_reserve(bytes_of(n_pages));
    p->references = vm_reserve(bytes_of(n_pages));
    if (p->returned && p->references)
        return INGOT_OK;
    page_pool_free(p);
    return fail_memory(err, 2 * bytes_of(n_pages), "the list of KV pages");
}

void page_pool_free(page_pool *p) {
    vm_release(p->returned, bytes_of(p->n_pages));
    vm_release(p->references, bytes_of(p->n_pages));
    *p = (page_pool){0};
}

ingot_status sequence_init(sequence *s, int32_t n_ctx, ingot_error *err) {
    *s = (sequence){.n_ctx = n_ctx};
    s->pages = vm_reserve(bytes_of(pages_for(n_ctx)));
    s->tokens = vm_reserve(bytes_of(n_ctx));
    if (s->pages && s->tokens)
        return INGOT_OK;
    vm_release(s->pages, bytes_of(pages_for(n_ctx)));
    vm_release(s->tokens, bytes_of(n_ctx));
    *s = (sequence){0};
    return fail_memory(err, bytes_of(n_ctx), "a sequence's page table");
}

void sequence_free(sequence *s, page_pool *p) {
    sequence_truncate(s, p, 0);
    vm_release(s->pages, bytes_of(pages_for(s->n_ctx)));
    vm_release(s->tokens, bytes_of(s->n_ctx));
    *s = (sequence){0};
}

// Pages that came back first, so that little memory is touched.
static int32_t take_page(page_pool *p) {
    int32_t n_returned = p->n_free - (p->n_pages - p->n_fresh);
    p->n_free--;
    return n_returned > 0 ? p->returned[n_returned - 1] : p->n_fresh++;
}

static void return_page(page_pool *p, int32_t page) {
    int32_t n_returned = p->n_free - (p->n_pages - p->n_fresh);
    p->returned[n_returned] = page;
    p->n_free++;
}

ingot_status page_pool_take(page_pool *p, int32_t n, int32_t *pages, ingot_error *err) {
    if (n > p->n_free)
        return fail(err, INGOT_ERR_LIMIT, "%d KV pages of %d tokens are needed, %d of %d are free", n,
                    PAGE_TOKENS, p->n_free, p->n_pages);
    for (int32_t i = 0; i < n; i++) {
        pages[i] = take_page(p);
        p->references[pages[i]] = 1;
    }
    return INGOT_OK;
}

void page_pool_give(page_pool *p, int32_t n, const int32_t *pages) {
    while (n-- > 0)
        if (--p->references[pages[n]] == 0)
            return_page(p, pages[n]);
}

ingot_status sequence_reserve(sequence *s, page_pool *p, int32_t n_tokens, ingot_error *err) {
    int32_t missing = pages_for(n_tokens) - s->n_pages;
    if (missing <= 0)
        return INGOT_OK;
    TRY(page_pool_take(p, missing, s->pages + s->n_pages, err));
    s->n_pages += missing;
    return INGOT_OK;
}

void sequence_trim(sequence *s, page_pool *p) {
    const int32_t surplus = s->n_pages - pages_for(s->n_tokens);
    if (surplus <= 0)
        return;
    s->n_pages -= surplus;
    page_pool_give(p, surplus, s->pages + s->n_pages);
}

void sequence_truncate(sequence *s, page_pool *p, int32_t n_tokens) {
    if (s->n_tokens > n_tokens)
        s->n_tokens = n_tokens;
    if (s->n_published > n_tokens)
        s->n_published = n_tokens;
    int32_t surplus = s->n_pages - pages_for(n_tokens);
    if (surplus <= 0)
        return;
    s->n_pages -= surplus;
    page_pool_give(p, surplus, s->pages + s->n_pages);
}
