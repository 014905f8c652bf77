// The prefix tree: what KV pages hold, by the tokens that lead there, so that no request computes what
// another one has computed before. A node is a page; its children go on behind it. The pages of running
// sequences are in it too, as far as their tokens are settled; what nobody uses stays until its memory is
// wanted, the least recently used first. Zheng et al. 2024, "SGLang: Efficient Execution of Structured
// Language Model Programs" (RadixAttention). The engine thread's own.
#ifndef INGOT_RUN_PREFIX_H
#define INGOT_RUN_PREFIX_H

#include "run/pages.h"

// A page that is to be copied to another one; -1: there is nothing to copy.
typedef struct page_copy {
    int32_t from, to;
} page_copy;

// The node of the page of the same number; tokens of a page that isn't full may be added by the one sequence
// that has it.
typedef struct prefix_node {
    bool known;         // there is such a node
    int32_t parent;     // the page before it; -1: none
    int32_t n_children; // pages that follow
    int32_t n_tokens;   // 1 to PAGE_TOKENS; less only without children
    uint64_t domain;
    int32_t older, newer;   // in the order of use; -1: the end
    int32_t before, behind; // in its bucket; -1: the end
    int32_t tokens[PAGE_TOKENS];
} prefix_node;

// A page that nobody uses is about to be forgotten.
typedef void (*prefix_evict_fn)(void *user, int32_t page);

typedef struct prefix_tree {
    page_pool *pool;
    prefix_evict_fn evicts; // or NULL
    void *user;
    prefix_node *nodes; // [n_pages] virtual memory
    int32_t *buckets;   // [n_buckets] a power of two; the first node's number + 1; virtual memory
    uint32_t n_buckets;
    int32_t oldest, newest; // -1: there is no node
    int32_t n_unused;       // nodes whose pages no sequence has
    uint64_t n_evicted;     // pages, since the beginning
} prefix_tree;

ingot_status prefix_init(prefix_tree *t, page_pool *pool, ingot_error *err);
void prefix_free(prefix_tree *t);

// How many of `n` tokens are known. Keys and values of one domain mean nothing in another: it stands for all
// that they depend on but the tokens.
int32_t prefix_match(const prefix_tree *t, uint64_t domain, const int32_t *tokens, int32_t n);

// Makes `s`, which has no pages but the tokens already, begin with what is known of its first `n` ones:
// s->n_tokens of them. A page of which it takes a part, or to which somebody else may still write, is to be
// copied before it is used: *copy.
void prefix_take(prefix_tree *t, uint64_t domain, sequence *s, int32_t n, page_copy *copy);

// Makes the first `n` tokens of `s` known, which were computed and never will be taken back. A page that is
// full and known already is given back for the known one.
void prefix_publish(prefix_tree *t, uint64_t domain, sequence *s, int32_t n);

// Writes the tokens from the text's beginning to the end of a page; returns how many.
int32_t prefix_path(const prefix_tree *t, int32_t page, int32_t *tokens);

// Marks what `s` has as used just now.
void prefix_touch(prefix_tree *t, const sequence *s);

// Takes all pages from `s`; what is known of them stays so.
void prefix_leave(prefix_tree *t, sequence *s);

// Forgets what was used the longest ago until `n` pages are free; false, with nothing done, if that can't be.
bool prefix_evict(prefix_tree *t, int32_t n);

#endif
