// The pool of KV pages and the sequences that hold them. A page has the keys and values of PAGE_TOKENS
// positions in all layers; a sequence is a list of pages; pages are counted, so that sequences can share
// them. Kwon et al. 2023, "Efficient Memory Management for Large Language Model Serving with PagedAttention".
#ifndef INGOT_RUN_PAGES_H
#define INGOT_RUN_PAGES_H

#include "base/status.h"

enum { PAGE_TOKENS = 32 };

static inline int32_t pages_for(int32_t n_tokens) {
    return n_tokens / PAGE_TOKENS + (n_tokens % PAGE_TOKENS != 0);
}

// Its arrays are virtual memory, so that a context of millions of tokens costs nothing until it is used.
typedef struct page_pool {
    int32_t n_pages, n_free;
    int32_t n_fresh;     // pages below this number were taken at least once
    int32_t *returned;   // [n_pages] a stack of the n_free - (n_pages - n_fresh) that came back
    int32_t *references; // [n_pages]
} page_pool;

typedef struct sequence {
    int32_t *pages; // [n_pages] of positions 0 to PAGE_TOKENS - 1, and so on
    int32_t n_pages;
    int32_t *tokens; // [n_tokens] what stands in the pages
    int32_t n_tokens;
    int32_t n_published; // of those, known to the prefix tree
    int32_t n_ctx;       // room
} sequence;

ingot_status page_pool_init(page_pool *p, int32_t n_pages, ingot_error *err);
void page_pool_free(page_pool *p);

// Takes `n` pages for a while. INGOT_ERR_LIMIT, with nothing taken, if there aren't enough.
ingot_status page_pool_take(page_pool *p, int32_t n, int32_t *pages, ingot_error *err);
void page_pool_give(page_pool *p, int32_t n, const int32_t *pages);

// Room for `n_ctx` positions; no pages yet.
ingot_status sequence_init(sequence *s, int32_t n_ctx, ingot_error *err);
void sequence_free(sequence *s, page_pool *p);

// Takes the pages that positions below `n_tokens` (<= n_ctx) need. INGOT_ERR_LIMIT, with nothing taken, if
// there aren't enough.
ingot_status sequence_reserve(sequence *s, page_pool *p, int32_t n_tokens, ingot_error *err);

// Gives back the pages behind the last token's.
void sequence_trim(sequence *s, page_pool *p);

// Forgets all from position `n_tokens` on, which is 0 or not below n_published, and gives back the pages that
// become empty.
void sequence_truncate(sequence *s, page_pool *p, int32_t n_tokens);

#endif
