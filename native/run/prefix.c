#include "run/prefix.h"

#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

// Nodes stand in a hash table by what comes before them and their first token: the other tokens are compared
// one by one, since a part of a page is worth having too.
//
// In the order of use a node is newer than its children, so what stands first and isn't used is a leaf.

static uint64_t nodes_bytes(const prefix_tree *t) {
    return (uint64_t)t->pool->n_pages * sizeof *t->nodes;
}

ingot_status prefix_init(prefix_tree *t, page_pool *pool, ingot_error *err) {
    *t = (prefix_tree){.pool = pool, .n_buckets = 16, .oldest = -1, .newest = -1};
    while (t->n_buckets < (uint32_t)pool->n_pages)
        t->n_buckets *= 2;
    t->nodes = vm_reserve(nodes_bytes(t));
    t->buckets = vm_reserve((uint64_t)t->n_buckets * sizeof *t->buckets);
    if (t->nodes && t->buckets)
        return INGOT_OK;
    const uint64_t bytes = nodes_bytes(t) + (uint64_t)t->n_buckets * sizeof *t->buckets;
    prefix_free(t);
    return fail_memory(err, bytes, "the prefix cache");
}

void prefix_free(prefix_tree *t) {
    if (!t->pool)
        return;
    vm_release(t->nodes, nodes_bytes(t));
    vm_release(t->buckets, (uint64_t)t->n_buckets * sizeof *t->buckets);
    *t = (prefix_tree){0};
}

// ------------------------------------------------------------------------------------------------- order of
// use

static void unlink_use(prefix_tree *t, int32_t page) {
    prefix_node *node = &t->nodes[page];
    *(node->older < 0 ? &t->oldest : &t->nodes[node->older].newer) = node->newer;
    *(node->newer < 0 ? &t->newest : &t->nodes[node->newer].older) = node->older;
}

static void link_newest(prefix_tree *t, int32_t page) {
    t->nodes[page].older = t->newest;
    t->nodes[page].newer = -1;
    *(t->newest < 0 ? &t->oldest : &t->nodes[t->newest].newer) = page;
    t->newest = page;
}

void prefix_touch(prefix_tree *t, const sequence *s) {
    for (int32_t i = s->n_pages - 1; i >= 0; i--)
        if (t->nodes[s->pages[i]].known) {
            unlink_use(t, s->pages[i]);
            link_newest(t, s->pages[i]);
        }
}

// ------------------------------------------------------------------------------------------------- nodes

static uint32_t bucket_of(const prefix_tree *t, int32_t parent, uint64_t domain, int32_t token) {
    uint64_t hash = parent < 0 ? domain : (uint64_t)parent;
    hash = (hash ^ (uint64_t)(uint32_t)token << 32) * 0x9e3779b97f4a7c15u;
    return (uint32_t)((hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u >> 32) & (t->n_buckets - 1);
}

static void add_node(prefix_tree *t, int32_t page, int32_t parent, uint64_t domain, const int32_t *tokens,
                     int32_t n_tokens) {
    const uint32_t bucket = bucket_of(t, parent, domain, tokens[0]);
    prefix_node *node = &t->nodes[page];
    *node = (prefix_node){.known = true, .parent = parent, .domain = domain, .n_tokens = n_tokens};
    memcpy(node->tokens, tokens, (size_t)n_tokens * sizeof *tokens);
    node->before = -1;
    node->behind = t->buckets[bucket] - 1;
    if (node->behind >= 0)
        t->nodes[node->behind].before = page;
    t->buckets[bucket] = page + 1;
    if (parent >= 0)
        t->nodes[parent].n_children++;
    link_newest(t, page);
    t->pool->references[page]++; // beside the sequence's
}

static void remove_node(prefix_tree *t, int32_t page) {
    prefix_node *node = &t->nodes[page];
    const uint32_t bucket = bucket_of(t, node->parent, node->domain, node->tokens[0]);
    if (node->before < 0)
        t->buckets[bucket] = node->behind + 1;
    else
        t->nodes[node->before].behind = node->behind;
    if (node->behind >= 0)
        t->nodes[node->behind].before = node->before;
    if (node->parent >= 0)
        t->nodes[node->parent].n_children--;
    unlink_use(t, page);
    node->known = false;
    page_pool_give(t->pool, 1, &page);
}

static void use(prefix_tree *t, int32_t page) {
    t->n_unused -= t->pool->references[page]++ == 1;
}

static void leave(prefix_tree *t, int32_t page) {
    const bool known = t->nodes[page].known;
    page_pool_give(t->pool, 1, &page);
    t->n_unused += known && t->pool->references[page] == 1;
}

void prefix_leave(prefix_tree *t, sequence *s) {
    while (s->n_pages > 0)
        leave(t, s->pages[--s->n_pages]);
    s->n_tokens = s->n_published = 0;
}

// The page behind `parent` that has most of the next `n` tokens, and how many.
static int32_t best_child(const prefix_tree *t, int32_t parent, uint64_t domain, const int32_t *tokens,
                          int32_t n, int32_t *n_alike) {
    int32_t best = -1;
    *n_alike = 0;
    if (n <= 0)
        return -1;
    for (int32_t page = t->buckets[bucket_of(t, parent, domain, tokens[0])] - 1; page >= 0;
         page = t->nodes[page].behind) {
        const prefix_node *node = &t->nodes[page];
        const int32_t most = node->n_tokens < n ? node->n_tokens : n;
        int32_t alike = 0;
        if (node->parent != parent || node->domain != domain)
            continue;
        while (alike < most && node->tokens[alike] == tokens[alike])
            alike++;
        if (alike > *n_alike) {
            *n_alike = alike;
            best = page;
        }
    }
    return best;
}

int32_t prefix_match(const prefix_tree *t, uint64_t domain, const int32_t *tokens, int32_t n) {
    int32_t found = 0, page = -1, alike = 0;
    do {
        page = best_child(t, page, domain, tokens + found, n - found, &alike);
        found += alike;
    } while (alike == PAGE_TOKENS);
    return found;
}

int32_t prefix_path(const prefix_tree *t, int32_t page, int32_t *tokens) {
    int32_t n = 0;
    for (int32_t at = t->nodes[page].parent; at >= 0; at = t->nodes[at].parent)
        n += PAGE_TOKENS;
    const int32_t size = n + t->nodes[page].n_tokens;
    for (; page >= 0; page = t->nodes[page].parent, n -= PAGE_TOKENS)
        memcpy(tokens + n, t->nodes[page].tokens, (size_t)t->nodes[page].n_tokens * sizeof *tokens);
    return size;
}

// ------------------------------------------------------------------------------------------------- sequences

void prefix_take(prefix_tree *t, uint64_t domain, sequence *s, int32_t n, page_copy *copy) {
    page_pool *pool = t->pool;
    int32_t page = -1, alike = 0;
    *copy = (page_copy){-1, -1};
    for (s->n_tokens = 0;; s->n_tokens += PAGE_TOKENS) {
        page = best_child(t, page, domain, s->tokens + s->n_tokens, n - s->n_tokens, &alike);
        if (page < 0)
            break;
        use(t, page);
        if (alike < PAGE_TOKENS)
            break;
        s->pages[s->n_pages++] = page;
    }
    s->n_published = s->n_tokens;
    prefix_touch(t, s);
    if (page < 0)
        return;
    if (pool->references[page] == 2 && alike == t->nodes[page].n_tokens) { // nobody else goes on with it
        s->pages[s->n_pages++] = page;
        s->n_published = s->n_tokens += alike;
        prefix_touch(t, s);
        return;
    }
    if (prefix_evict(t, 1) && page_pool_take(pool, 1, &copy->to, NULL) == INGOT_OK) {
        copy->from = page;
        s->pages[s->n_pages++] = copy->to;
        s->n_tokens += alike;
    }
    leave(t, page);
}

// Gives a page that has become full back for another one that holds the same.
static void join_twins(prefix_tree *t, sequence *s, int32_t i) {
    const int32_t own = s->pages[i];
    const prefix_node *node = &t->nodes[own];
    for (int32_t page = t->buckets[bucket_of(t, node->parent, node->domain, node->tokens[0])] - 1; page >= 0;
         page = t->nodes[page].behind) {
        const prefix_node *other = &t->nodes[page];
        if (page == own || other->parent != node->parent || other->domain != node->domain ||
            other->n_tokens < PAGE_TOKENS || memcmp(other->tokens, node->tokens, sizeof node->tokens) != 0)
            continue;
        remove_node(t, own);
        page_pool_give(t->pool, 1, &own);
        s->pages[i] = page;
        use(t, page);
        return;
    }
}

void prefix_publish(prefix_tree *t, uint64_t domain, sequence *s, int32_t n) {
    bool any = false;
    while (s->n_published < n) {
        const int32_t i = s->n_published / PAGE_TOKENS, begin = i * PAGE_TOKENS, page = s->pages[i];
        const int32_t n_tokens = n - begin < PAGE_TOKENS ? n - begin : PAGE_TOKENS;
        prefix_node *node = &t->nodes[page];
        if (!node->known) {
            add_node(t, page, i > 0 ? s->pages[i - 1] : -1, domain, s->tokens + begin, n_tokens);
            any = true;
        } else {
            memcpy(node->tokens + node->n_tokens, s->tokens + begin + node->n_tokens,
                   (size_t)(n_tokens - node->n_tokens) * sizeof *node->tokens);
            node->n_tokens = n_tokens;
        }
        if (n_tokens == PAGE_TOKENS)
            join_twins(t, s, i);
        s->n_published = begin + n_tokens;
    }
    if (any) // what is new is newer than what it follows
        prefix_touch(t, s);
}

bool prefix_evict(prefix_tree *t, int32_t n) {
    if (t->pool->n_free + t->n_unused < n)
        return false;
    for (int32_t page = t->oldest; page >= 0 && t->pool->n_free < n;) {
        const int32_t newer = t->nodes[page].newer;
        if (t->pool->references[page] == 1 && t->nodes[page].n_children == 0) {
            if (t->evicts)
                t->evicts(t->user, page);
            remove_node(t, page);
            t->n_unused--;
            t->n_evicted++;
        }
        page = newer;
    }
    return t->pool->n_free >= n;
}
