// Derivatives of terms, and which terms match anything. Nothing recurses: what is missing is put on a stack.
#include "grammar/rx.h"

static rx failed(rx_pool *p, ingot_status status) {
    if (p->status == INGOT_OK)
        p->status = status;
    return RX_NONE;
}

void rx_classes(rx_pool *p) {
    // Splits the classes by each set in turn.
    uint32_t n = 1;
    memset(p->byte_class, 0, sizeof p->byte_class);
    for (size_t s = 0; s < p->n_sets && n < 256; s++) {
        uint32_t inside[256], outside[256], next = 0;
        memset(inside, 0xff, sizeof inside);
        memset(outside, 0xff, sizeof outside);
        for (unsigned byte = 0; byte < 256; byte++) {
            uint32_t *half = byte_set_has(&p->sets[s], byte) ? inside : outside;
            uint32_t *name = &half[p->byte_class[byte]];
            if (*name == UINT32_MAX)
                *name = next++;
            p->byte_class[byte] = (uint8_t)*name;
        }
        n = next;
    }
    p->n_classes = n;
    for (unsigned byte = 256; byte-- > 0;)
        p->class_byte[p->byte_class[byte]] = (uint8_t)byte;
}

// ------------------------------------------------------------------------------------------------- memo

static size_t memo_slot(const rx_pool *p, uint64_t key) {
    size_t i = hash_mix(key) & (p->memo_slots - 1);
    while (p->memo_keys[i] != 0 && p->memo_keys[i] != key)
        i = (i + 1) & (p->memo_slots - 1);
    return i;
}

static bool memo_get(const rx_pool *p, uint64_t key, rx *out) {
    if (p->memo_slots == 0)
        return false;
    size_t i = memo_slot(p, key);
    *out = p->memo_values[i];
    return p->memo_keys[i] != 0;
}

static bool memo_grow(rx_pool *p) {
    rx_pool old = *p;
    size_t slots = old.memo_slots ? old.memo_slots * 2 : 256;
    uint64_t *keys = mem_alloc(p->mem, slots, sizeof *keys);
    uint32_t *values = mem_alloc(p->mem, slots, sizeof *values);
    if (!keys || !values) {
        mem_free(p->mem, keys);
        mem_free(p->mem, values);
        return false;
    }
    p->memo_keys = keys;
    p->memo_values = values;
    p->memo_slots = slots;
    for (size_t i = 0; i < old.memo_slots; i++)
        if (old.memo_keys[i] != 0) {
            size_t k = memo_slot(p, old.memo_keys[i]);
            keys[k] = old.memo_keys[i];
            values[k] = old.memo_values[i];
        }
    mem_free(p->mem, old.memo_keys);
    mem_free(p->mem, old.memo_values);
    return true;
}

static void memo_put(rx_pool *p, uint64_t key, rx value) {
    if (p->n_memo * 2 >= p->memo_slots && !memo_grow(p)) {
        failed(p, INGOT_ERR_MEMORY);
        return;
    }
    size_t i = memo_slot(p, key);
    p->n_memo += p->memo_keys[i] == 0;
    p->memo_keys[i] = key;
    p->memo_values[i] = value;
}

static uint64_t memo_key(rx x, uint32_t c) {
    return (uint64_t)x << 9 | (c + 1);
}

// -------------------------------------------------------------------------------------------------
// derivatives

// A derivative that is known at once.
static bool known(const rx_pool *p, rx x, uint32_t c, rx *out) {
    const rx_node *node = &p->nodes[x];
    if (!byte_set_has(&p->firsts[x], p->class_byte[c])) {
        *out = RX_NONE;
        return true;
    }
    switch (node->kind) {
    case RX_IS_BYTES:
        *out = RX_EMPTY;
        return true;
    case RX_IS_CAT:
        if (p->nodes[node->a].kind == RX_IS_BYTES) {
            *out = node->b;
            return true;
        }
        break;
    case RX_IS_NOT:
        if (node->a == RX_NONE) {
            *out = RX_ALL;
            return true;
        }
        break;
    default:
        break;
    }
    return memo_get(p, memo_key(x, c), out);
}

// Puts a term on the stack of those that are to be derived.
static void want(rx_pool *p, size_t *n, rx x) {
    if (!mem_reserve(p->mem, &p->pending, &p->pending_capacity, *n + 1, sizeof *p->pending)) {
        failed(p, INGOT_ERR_MEMORY);
        return;
    }
    p->pending[(*n)++] = x;
}

// The known derivative of a part, or another one to wait for.
static rx part(rx_pool *p, rx x, uint32_t c, size_t *n) {
    rx out = RX_NONE;
    if (!known(p, x, c, &out))
        want(p, n, x);
    return out;
}

static rx derive_kids(rx_pool *p, const rx_node *node, uint32_t c, size_t *n) {
    size_t before = *n, base = p->n_scratch;
    p->work += node->b;
    for (uint32_t i = 0; i < node->b; i++)
        rx_push(p, part(p, p->kids[node->a + i], c, n));
    if (*n == before && p->status == INGOT_OK)
        return node->kind == RX_IS_OR ? rx_or_at(p, base) : rx_and_at(p, base);
    p->n_scratch = base;
    return RX_NONE;
}

// The derivative of a term if those of its parts are known, which are put on the stack otherwise.
static rx derive_one(rx_pool *p, rx x, uint32_t c, size_t *n) {
    const rx_node node = p->nodes[x];
    rx a, b;
    size_t before = *n;
    p->work++;
    switch (node.kind) {
    case RX_IS_CAT:
        a = part(p, node.a, c, n);
        b = rx_nullable(p, node.a) ? part(p, node.b, c, n) : RX_NONE;
        if (*n != before)
            return RX_NONE;
        a = rx_cat(p, a, node.b);
        return b == RX_NONE ? a : rx_or(p, (rx[]){a, b}, 2);
    case RX_IS_REPEAT:
        a = part(p, node.a, c, n);
        if (*n != before || a == RX_NONE)
            return RX_NONE;
        b = rx_repeat(p, node.a, node.b > 0 ? node.b - 1 : 0, node.c == RX_INF ? RX_INF : node.c - 1);
        return rx_cat(p, a, b);
    case RX_IS_NOT:
        a = part(p, node.a, c, n);
        return *n != before ? RX_NONE : rx_not(p, a);
    default:
        return derive_kids(p, &node, c, n);
    }
}

rx rx_derive(rx_pool *p, rx x, uint32_t c) {
    rx out;
    if (known(p, x, c, &out))
        return out;
    size_t n = 0;
    want(p, &n, x);
    while (n > 0 && p->status == INGOT_OK) {
        rx top = p->pending[n - 1];
        size_t before = n;
        if (known(p, top, c, &out)) {
            n--;
            continue;
        }
        out = derive_one(p, top, c, &n);
        if (n == before) {
            memo_put(p, memo_key(top, c), out);
            n--;
        }
    }
    return p->status == INGOT_OK ? out : RX_NONE;
}

// ------------------------------------------------------------------------------------------------- search

// How many terms a search may look at, how many new ones may come up, and how many alternatives all of them
// may have, before it gives up: fractions of a second.
#define SEARCH_TERMS 50000
#define SEARCH_NEW   ((size_t)1 << 20)
#define SEARCH_WORK  ((uint64_t)1 << 22)

typedef struct search {
    rx *terms;
    uint32_t *from; // the place of the term that it is a derivative of
    size_t n, terms_capacity, from_capacity;
    table seen;
} search;

static void search_free(rx_pool *p, search *s) {
    mem_free(p->mem, s->terms);
    mem_free(p->mem, s->from);
    table_free(&s->seen);
}

static void search_add(rx_pool *p, search *s, rx x, uint32_t from) {
    uint32_t hash = hash_mix(x), found;
    for (size_t at = hash; table_next(&s->seen, hash, &at, &found);)
        if (s->terms[found] == x)
            return;
    if (!mem_reserve(p->mem, &s->terms, &s->terms_capacity, s->n + 1, sizeof *s->terms) ||
        !mem_reserve(p->mem, &s->from, &s->from_capacity, s->n + 1, sizeof *s->from) ||
        !table_add(&s->seen, hash, (uint32_t)s->n)) {
        failed(p, INGOT_ERR_MEMORY);
        return;
    }
    s->terms[s->n] = x;
    s->from[s->n++] = from;
}

// Searches the derivatives of x, nearest first, for one that is nullable; with `any` one that is known to be
// live will do. Returns its place, or UINT32_MAX.
static uint32_t search_run(rx_pool *p, search *s, rx x, bool any) {
    const size_t most = p->n_nodes + SEARCH_NEW;
    const uint64_t most_work = p->work + SEARCH_WORK;
    search_add(p, s, x, UINT32_MAX);
    for (size_t i = 0; i < s->n && p->status == INGOT_OK; i++) {
        const rx_node node = p->nodes[s->terms[i]];
        if (node.flags & RX_NULLABLE || (any && (node.flags & RX_LIVE || !(node.flags & RX_COMPLEX))))
            return (uint32_t)i;
        for (uint32_t c = 0; c < p->n_classes && p->status == INGOT_OK; c++) {
            if (s->n > SEARCH_TERMS || p->n_nodes > most || p->work > most_work) {
                failed(p, INGOT_ERR_LIMIT);
                break;
            }
            rx d = rx_derive(p, s->terms[i], c);
            if (d != RX_NONE && !(p->nodes[d].flags & RX_DEAD))
                search_add(p, s, d, (uint32_t)i);
        }
    }
    return UINT32_MAX;
}

bool rx_live(rx_pool *p, rx x) {
    const unsigned flags = p->nodes[x].flags;
    if (x == RX_NONE || flags & RX_DEAD)
        return false;
    if (!(flags & RX_COMPLEX) || flags & (RX_LIVE | RX_NULLABLE))
        return true;
    search s = {.seen.mem = p->mem};
    uint32_t found = search_run(p, &s, x, true);
    if (p->status == INGOT_OK && found == UINT32_MAX)
        for (size_t i = 0; i < s.n; i++)
            p->nodes[s.terms[i]].flags |= RX_DEAD;
    for (uint32_t i = found; i != UINT32_MAX && p->status == INGOT_OK; i = s.from[i])
        p->nodes[s.terms[i]].flags |= RX_LIVE;
    search_free(p, &s);
    return found != UINT32_MAX && p->status == INGOT_OK;
}

uint32_t rx_shortest(rx_pool *p, rx x) {
    if (!(p->nodes[x].flags & RX_COMPLEX))
        return p->nodes[x].shortest;
    rx length;
    if (memo_get(p, memo_key(x, 256), &length))
        return length;
    search s = {.seen.mem = p->mem};
    uint32_t found = search_run(p, &s, x, false);
    length = found == UINT32_MAX ? RX_INF : 0;
    for (uint32_t i = found; i != UINT32_MAX; i = s.from[i])
        length += s.from[i] != UINT32_MAX;
    // Along the way, too: what is asked next is one byte further on.
    uint32_t left = 0;
    for (uint32_t i = found; i != UINT32_MAX && p->status == INGOT_OK; i = s.from[i])
        memo_put(p, memo_key(s.terms[i], 256), left++);
    search_free(p, &s);
    return length;
}
