// Making terms. Every constructor gives the simplest of the forms that it knows to be equal.
#include "grammar/rx.h"

static rx failed(rx_pool *p, ingot_status status) {
    if (p->status == INGOT_OK)
        p->status = status;
    return RX_NONE;
}

// ------------------------------------------------------------------------------------------------- pool

static bool same(const rx_pool *p, const rx_node *x, rx_kind kind, uint32_t a, uint32_t b, uint32_t c,
                 const uint32_t *kids) {
    if (x->kind != kind)
        return false;
    if (kids)
        return x->b == b && memcmp(p->kids + x->a, kids, b * sizeof *kids) == 0;
    return x->a == a && x->b == b && x->c == c;
}

// What a term may begin with.
static byte_set first_of(const rx_pool *p, const rx_node *x) {
    static const byte_set any = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    const bool all = x->kind == RX_IS_AND;
    byte_set out = all || x->kind == RX_IS_NOT ? any : (byte_set){{0}};
    if (x->kind == RX_IS_BYTES)
        return p->sets[x->a];
    if (x->kind == RX_IS_REPEAT || x->kind == RX_IS_CAT)
        out = p->firsts[x->a];
    for (int i = 0; i < 4 && x->kind == RX_IS_CAT && rx_nullable(p, x->a); i++)
        out.bits[i] |= p->firsts[x->b].bits[i];
    for (uint32_t k = 0; k < x->b && (all || x->kind == RX_IS_OR); k++)
        for (int i = 0; i < 4; i++) {
            const uint64_t bits = p->firsts[p->kids[x->a + k]].bits[i];
            out.bits[i] = all ? out.bits[i] & bits : out.bits[i] | bits;
        }
    return out;
}

static rx intern(rx_pool *p, rx_node node, const uint32_t *kids) {
    if (p->status != INGOT_OK)
        return RX_NONE;
    uint32_t hash = kids ? hash_words(kids, node.b) + node.kind
                         : hash_words((uint32_t[]){node.kind, node.a, node.b, node.c}, 4);
    uint32_t found;
    for (size_t at = hash; table_next(&p->node_table, hash, &at, &found);)
        if (same(p, &p->nodes[found], (rx_kind)node.kind, node.a, node.b, node.c, kids))
            return found;
    if (p->n_nodes >= p->max_nodes)
        return failed(p, INGOT_ERR_LIMIT);
    if (!mem_reserve(p->mem, &p->nodes, &p->nodes_capacity, p->n_nodes + 1, sizeof *p->nodes))
        return failed(p, INGOT_ERR_MEMORY);
    if (!mem_reserve(p->mem, &p->firsts, &p->firsts_capacity, p->n_nodes + 1, sizeof *p->firsts))
        return failed(p, INGOT_ERR_MEMORY);
    if (kids) {
        if (!mem_reserve(p->mem, &p->kids, &p->kids_capacity, p->n_kids + node.b, sizeof *p->kids))
            return failed(p, INGOT_ERR_MEMORY);
        memcpy(p->kids + p->n_kids, kids, node.b * sizeof *kids);
        node.a = (uint32_t)p->n_kids;
        p->n_kids += node.b;
    }
    if (!table_add(&p->node_table, hash, (uint32_t)p->n_nodes))
        return failed(p, INGOT_ERR_MEMORY);
    p->nodes[p->n_nodes] = node;
    p->firsts[p->n_nodes] = first_of(p, &node);
    return (rx)p->n_nodes++;
}

ingot_status rx_pool_init(rx_pool *p, const ingot_allocator *mem, size_t max_nodes, ingot_error *err) {
    *p = (rx_pool){.mem = mem, .max_nodes = max_nodes};
    p->node_table.mem = p->set_table.mem = mem;
    intern(p, (rx_node){.kind = RX_IS_NONE, .shortest = RX_INF}, NULL);
    intern(p, (rx_node){.kind = RX_IS_EMPTY, .flags = RX_NULLABLE}, NULL);
    intern(p, (rx_node){.kind = RX_IS_NOT, .flags = RX_NULLABLE, .a = RX_NONE}, NULL);
    return p->status == INGOT_OK ? INGOT_OK : fail_memory(err, sizeof(rx_node), "a grammar's terms");
}

void rx_pool_free(rx_pool *p) {
    mem_free(p->mem, p->nodes);
    mem_free(p->mem, p->firsts);
    mem_free(p->mem, p->kids);
    mem_free(p->mem, p->sets);
    table_free(&p->node_table);
    table_free(&p->set_table);
    mem_free(p->mem, p->memo_keys);
    mem_free(p->mem, p->memo_values);
    mem_free(p->mem, p->scratch);
    mem_free(p->mem, p->pending);
    *p = (rx_pool){.mem = p->mem};
}

size_t rx_pool_bytes(const rx_pool *p) {
    return p->n_nodes * (sizeof *p->nodes + sizeof *p->firsts + 2 * sizeof(uint64_t)) +
           p->n_kids * sizeof *p->kids + p->n_memo * 2 * (sizeof *p->memo_keys + sizeof *p->memo_values);
}

static uint32_t hash_of(const rx_pool *p, const rx_node *x) {
    if (x->kind == RX_IS_OR || x->kind == RX_IS_AND)
        return hash_words(p->kids + x->a, x->b) + x->kind;
    return hash_words((const uint32_t[]){x->kind, x->a, x->b, x->c}, 4);
}

// Marks the parts of what is kept: they have lower numbers.
static void keep_parts(const rx_pool *p, bool *keep) {
    for (size_t i = p->n_nodes; i-- > 0;) {
        const rx_node *x = &p->nodes[i];
        keep[i] = keep[i] || i < p->n_fixed;
        if (!keep[i])
            continue;
        if (x->kind == RX_IS_OR || x->kind == RX_IS_AND)
            for (uint32_t k = 0; k < x->b; k++)
                keep[p->kids[x->a + k]] = true;
        if (x->kind == RX_IS_CAT || x->kind == RX_IS_REPEAT || x->kind == RX_IS_NOT)
            keep[x->a] = true;
        if (x->kind == RX_IS_CAT)
            keep[x->b] = true;
    }
}

void rx_collect(rx_pool *p, bool *keep, uint32_t *to) {
    keep_parts(p, keep);
    size_t n = 0, n_kids = 0;
    table_clear(&p->node_table);
    for (size_t i = 0; i < p->n_nodes; i++) {
        if (!keep[i])
            continue;
        rx_node x = p->nodes[i];
        if (x.kind == RX_IS_OR || x.kind == RX_IS_AND) {
            for (uint32_t k = 0; k < x.b; k++)
                p->kids[n_kids + k] = to[p->kids[x.a + k]];
            x.a = (uint32_t)n_kids;
            n_kids += x.b;
        } else if (x.kind == RX_IS_CAT || x.kind == RX_IS_REPEAT || x.kind == RX_IS_NOT) {
            x.a = to[x.a];
            x.b = x.kind == RX_IS_CAT ? to[x.b] : x.b;
        }
        p->nodes[n] = x;
        p->firsts[n] = p->firsts[i];
        to[i] = (uint32_t)n;
        table_put(&p->node_table, hash_of(p, &x), (uint32_t)n++);
    }
    p->n_nodes = n;
    p->n_kids = n_kids;
    if (p->n_memo > 0)
        memset(p->memo_keys, 0, p->memo_slots * sizeof *p->memo_keys);
    p->n_memo = 0;
    p->n_scratch = 0;
    p->status = INGOT_OK;
}

bool rx_push(rx_pool *p, uint32_t word) {
    if (!mem_reserve(p->mem, &p->scratch, &p->scratch_capacity, p->n_scratch + 1, sizeof *p->scratch)) {
        failed(p, INGOT_ERR_MEMORY);
        return false;
    }
    p->scratch[p->n_scratch++] = word;
    return true;
}

// ------------------------------------------------------------------------------------------------- terms

rx rx_bytes(rx_pool *p, const byte_set *set) {
    if (!(set->bits[0] | set->bits[1] | set->bits[2] | set->bits[3]) || p->status != INGOT_OK)
        return RX_NONE;
    uint32_t hash = hash_words((const uint32_t *)(const void *)set, sizeof *set / sizeof(uint32_t));
    uint32_t found;
    for (size_t at = hash; table_next(&p->set_table, hash, &at, &found);)
        if (memcmp(&p->sets[found], set, sizeof *set) == 0)
            return intern(p, (rx_node){.kind = RX_IS_BYTES, .a = found, .shortest = 1}, NULL);
    if (!mem_reserve(p->mem, &p->sets, &p->sets_capacity, p->n_sets + 1, sizeof *p->sets))
        return failed(p, INGOT_ERR_MEMORY);
    if (!table_add(&p->set_table, hash, (uint32_t)p->n_sets))
        return failed(p, INGOT_ERR_MEMORY);
    p->sets[p->n_sets] = *set;
    return intern(p, (rx_node){.kind = RX_IS_BYTES, .a = (uint32_t)p->n_sets++, .shortest = 1}, NULL);
}

static uint32_t add_lengths(uint32_t a, uint32_t b) {
    return a >= RX_INF - 1 - b || b >= RX_INF - 1 ? RX_INF - 1 : a + b;
}

static rx cons(rx_pool *p, rx a, rx b) {
    if (a == RX_NONE || b == RX_NONE)
        return RX_NONE;
    if (a == RX_EMPTY)
        return b;
    if (b == RX_EMPTY)
        return a;
    const rx_node x = p->nodes[a], y = p->nodes[b];
    // The same thing twice, or counted twice, is one counter.
    rx next = y.kind == RX_IS_CAT ? y.a : b;
    const rx_node z = p->nodes[next];
    rx once = x.kind == RX_IS_REPEAT ? x.a : a, again = z.kind == RX_IS_REPEAT ? z.a : next;
    if (once == again || a == again || once == next) {
        rx what = once == again ? once : a == again ? a : next;
        uint64_t x_min = what == a ? 1 : x.b, x_max = what == a ? 1 : x.c;
        uint64_t z_min = what == next ? 1 : z.b, z_max = what == next ? 1 : z.c;
        bool endless = x_max == RX_INF || z_max == RX_INF || x_max + z_max >= RX_INF;
        if (x_min + z_min < RX_INF / 2) {
            rx both =
                rx_repeat(p, what, (uint32_t)(x_min + z_min), endless ? RX_INF : (uint32_t)(x_max + z_max));
            return y.kind == RX_IS_CAT ? cons(p, both, y.b) : both;
        }
    }
    rx_node node = {.kind = RX_IS_CAT, .a = a, .b = b, .shortest = add_lengths(x.shortest, y.shortest)};
    node.flags = (uint8_t)((x.flags & y.flags & RX_NULLABLE) | ((x.flags | y.flags) & RX_COMPLEX));
    return intern(p, node, NULL);
}

rx rx_cat(rx_pool *p, rx a, rx b) {
    if (b == RX_NONE || b == RX_EMPTY)
        return b == RX_NONE ? RX_NONE : a;
    size_t base = p->n_scratch;
    for (; p->nodes[a].kind == RX_IS_CAT; a = p->nodes[a].b)
        if (!rx_push(p, p->nodes[a].a))
            return RX_NONE;
    rx out = cons(p, a, b);
    while (p->n_scratch > base)
        out = cons(p, p->scratch[--p->n_scratch], out);
    return out;
}

rx rx_repeat(rx_pool *p, rx a, uint32_t min, uint32_t max) {
    if (max == 0)
        return RX_EMPTY;
    if (a == RX_NONE || a == RX_EMPTY)
        return a == RX_NONE && min > 0 ? RX_NONE : RX_EMPTY;
    const rx_node x = p->nodes[a];
    if (x.flags & RX_NULLABLE)
        min = 0; // rounds may be empty
    if (min == 1 && max == 1)
        return a;
    if (a == RX_ALL)
        return a;
    if (x.kind == RX_IS_REPEAT) {
        // (a{0,m}){0,n} is a{0,mn}; (a{0,}){m,n} is a{0,}, (a{1,}){m,n} is a{m,}.
        if (x.c == RX_INF && x.b <= 1)
            return rx_repeat(p, x.a, x.b * min, RX_INF);
        if (x.b == 0) { // what is more than can be counted has no end
            uint64_t most = max == RX_INF ? RX_INF : (uint64_t)x.c * max;
            return rx_repeat(p, x.a, 0, x.c == RX_INF || most >= RX_INF / 2 ? RX_INF : (uint32_t)most);
        }
    }
    if (x.kind == RX_IS_OR && min == 0 && max == RX_INF) {
        // (a*|b)* is (a|b)*.
        size_t base = p->n_scratch;
        bool nested = false;
        for (uint32_t i = 0; i < x.b; i++) {
            const rx_node kid = p->nodes[p->kids[x.a + i]];
            bool star = kid.kind == RX_IS_REPEAT && kid.b <= 1 && kid.c == RX_INF;
            nested = nested || star;
            rx_push(p, star ? kid.a : p->kids[x.a + i]);
        }
        if (nested)
            return rx_repeat(p, rx_or_at(p, base), 0, RX_INF);
        p->n_scratch = base;
    }
    uint64_t shortest = (uint64_t)x.shortest * min;
    rx_node node = {.kind = RX_IS_REPEAT, .a = a, .b = min, .c = max};
    node.shortest = shortest >= RX_INF - 1 ? RX_INF - 1 : (uint32_t)shortest;
    node.flags = (uint8_t)((min == 0 ? RX_NULLABLE : 0) | (x.flags & RX_COMPLEX));
    return intern(p, node, NULL);
}

rx rx_not(rx_pool *p, rx a) {
    const rx_node x = p->nodes[a];
    if (x.kind == RX_IS_NOT)
        return x.a;
    rx_node node = {.kind = RX_IS_NOT, .a = a, .shortest = x.flags & RX_NULLABLE ? 1 : 0};
    node.flags = (uint8_t)((x.flags & RX_NULLABLE ? 0 : RX_NULLABLE) | RX_COMPLEX);
    return intern(p, node, NULL);
}

// ------------------------------------------------------------------------------------------------- choices

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static size_t sort_unique(uint32_t *items, size_t n) {
    if (n > 8) {
        qsort(items, n, sizeof *items, by_number);
    } else {
        for (size_t i = 1; i < n; i++)
            for (size_t k = i; k > 0 && items[k - 1] > items[k]; k--) {
                uint32_t item = items[k];
                items[k] = items[k - 1];
                items[k - 1] = item;
            }
    }
    size_t out = 0;
    for (size_t i = 0; i < n; i++)
        if (out == 0 || items[i] != items[out - 1])
            items[out++] = items[i];
    return out;
}

// Puts in place of the operands above `base` those that they are made of, without `unit`; sorted, no doubles.
static size_t flatten(rx_pool *p, rx_kind kind, rx unit, size_t base) {
    size_t n = p->n_scratch - base;
    for (size_t i = 0; i < n; i++) {
        const rx item = p->scratch[base + i];
        const rx_node x = p->nodes[item];
        if (x.kind == kind) {
            for (uint32_t k = 0; k < x.b; k++)
                rx_push(p, p->kids[x.a + k]);
        } else if (item != unit) {
            rx_push(p, item);
        }
    }
    if (p->status != INGOT_OK || n == 0)
        return 0;
    size_t kept = p->n_scratch - base - n;
    if (kept > 0)
        memmove(p->scratch + base, p->scratch + base + n, kept * sizeof(uint32_t));
    kept = sort_unique(p->scratch + base, kept);
    p->n_scratch = base + kept;
    return kept;
}

// If two alternatives with the same end differ in a byte or a counter before it alone, their union; else
// RX_NONE.
static rx join(rx_pool *p, rx a, rx b) {
    const rx_node x = p->nodes[a], y = p->nodes[b];
    rx x_end = x.kind == RX_IS_CAT ? x.b : RX_EMPTY, y_end = y.kind == RX_IS_CAT ? y.b : RX_EMPTY;
    if (x_end != y_end)
        return RX_NONE;
    const rx_node h = p->nodes[x.kind == RX_IS_CAT ? x.a : a], k = p->nodes[y.kind == RX_IS_CAT ? y.a : b];
    rx head = RX_NONE;
    if (h.kind == RX_IS_BYTES && k.kind == RX_IS_BYTES) {
        byte_set set = p->sets[h.a];
        for (int i = 0; i < 4; i++)
            set.bits[i] |= p->sets[k.a].bits[i];
        head = rx_bytes(p, &set);
    } else if (h.kind == RX_IS_REPEAT && k.kind == RX_IS_REPEAT && h.a == k.a) {
        const rx_node low = h.b <= k.b ? h : k, high = h.b <= k.b ? k : h;
        if (low.c == RX_INF || high.b <= low.c + 1)
            head = rx_repeat(p, h.a, low.b, low.c > high.c ? low.c : high.c);
    }
    return head == RX_NONE ? RX_NONE : rx_cat(p, head, x_end);
}

static int by_end(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

// Joins alternatives on top of the scratch stack; returns how many are left.
static size_t join_all(rx_pool *p, size_t base) {
    size_t n = p->n_scratch - base;
    for (size_t i = 0; i < n; i++) { // (end, alternative) pairs above them
        const rx item = p->scratch[base + i];
        rx_push(p, p->nodes[item].kind == RX_IS_CAT ? p->nodes[item].b : RX_EMPTY);
        rx_push(p, item);
    }
    if (p->status != INGOT_OK)
        return 0;
    qsort(p->scratch + base + n, n, 2 * sizeof(uint32_t), by_end);
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t item = p->scratch[base + n + 2 * i + 1];
        for (size_t k = out; k > 0 && out - k < 4;) { // counters and bytes may alternate
            rx joined = join(p, p->scratch[base + k - 1], item);
            if (joined == RX_NONE) {
                k--;
                continue;
            }
            item = joined;
            memmove(p->scratch + base + k - 1, p->scratch + base + k, (out - k) * sizeof(uint32_t));
            k = --out;
        }
        p->scratch[base + out++] = item;
    }
    p->n_scratch = base + sort_unique(p->scratch + base, out);
    return p->n_scratch - base;
}

// The node of `n` kids on top of the scratch stack.
static rx intern_kids(rx_pool *p, rx_kind kind, size_t base, size_t n) {
    rx_node node = {.kind = (uint8_t)kind, .b = (uint32_t)n};
    uint32_t least = RX_INF, most = 0;
    unsigned any = 0, all = RX_NULLABLE;
    for (size_t i = 0; i < n; i++) {
        const rx_node x = p->nodes[p->scratch[base + i]];
        any |= x.flags;
        all &= x.flags;
        least = x.shortest < least ? x.shortest : least;
        most = x.shortest > most ? x.shortest : most;
    }
    bool both = kind == RX_IS_AND;
    node.shortest = both ? most : least;
    node.flags =
        (uint8_t)(((both ? all : any) & RX_NULLABLE) | (any & RX_COMPLEX) | (both ? RX_COMPLEX : 0u));
    rx out = intern(p, node, p->scratch + base);
    p->n_scratch = base;
    return out;
}

// Takes the empty text away from alternatives of which another one matches it too.
static void drop_empty(rx_pool *p, size_t base, size_t n) {
    bool other = false;
    for (size_t i = 0; i < n && !other; i++)
        other = p->scratch[base + i] != RX_EMPTY && rx_nullable(p, p->scratch[base + i]);
    if (!other || p->scratch[base] != RX_EMPTY)
        return;
    memmove(p->scratch + base, p->scratch + base + 1, (n - 1) * sizeof(uint32_t));
    p->n_scratch--;
}

rx rx_or_at(rx_pool *p, size_t base) {
    size_t n = flatten(p, RX_IS_OR, RX_NONE, base);
    rx out = RX_NONE;
    for (size_t i = 0; i < n; i++)
        if (p->scratch[base + i] == RX_ALL)
            out = RX_ALL;
    if (out == RX_NONE && n > 1) {
        drop_empty(p, base, n);
        n = join_all(p, base);
        if (n > 1 && p->status == INGOT_OK)
            return intern_kids(p, RX_IS_OR, base, n);
    }
    if (out == RX_NONE && n == 1 && p->status == INGOT_OK)
        out = p->scratch[base];
    p->n_scratch = base;
    return out;
}

rx rx_and_at(rx_pool *p, size_t base) {
    size_t n = flatten(p, RX_IS_AND, RX_ALL, base);
    rx out = RX_NONE;
    if (n == 0 && p->status == INGOT_OK) {
        out = RX_ALL;
    } else if (n == 1) {
        out = p->scratch[base];
    } else if (n > 1 && p->scratch[base] == RX_EMPTY) { // the smallest number but RX_NONE
        out = RX_EMPTY;
        for (size_t i = 1; i < n; i++)
            if (!rx_nullable(p, p->scratch[base + i]))
                out = RX_NONE;
    } else if (n > 1 && p->scratch[base] != RX_NONE) {
        return intern_kids(p, RX_IS_AND, base, n);
    }
    p->n_scratch = base;
    return out;
}

static size_t push_all(rx_pool *p, const rx *kids, size_t n) {
    size_t base = p->n_scratch;
    for (size_t i = 0; i < n; i++)
        rx_push(p, kids[i]);
    return base;
}

rx rx_or(rx_pool *p, const rx *kids, size_t n) {
    return n == 1 ? kids[0] : rx_or_at(p, push_all(p, kids, n));
}

rx rx_and(rx_pool *p, const rx *kids, size_t n) {
    return n == 1 ? kids[0] : rx_and_at(p, push_all(p, kids, n));
}
