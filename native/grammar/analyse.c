#include "grammar/analyse.h"

#include "text/heap.h"

uint32_t node_child(const ir *g, const ir_node *node, uint32_t i) {
    switch (node->kind) {
    case IR_SEQUENCE:
    case IR_CHOICE:
    case IR_BOTH:
        return i < node->n ? g->words[node->first + i] : ANALYSE_NONE;
    case IR_REPEAT:
    case IR_COMPLEMENT:
    case IR_TAG:
        return i == 0 ? g->words[node->first] : ANALYSE_NONE;
    case IR_RULE:
        return i == 0 ? g->rules[node->first].body : ANALYSE_NONE;
    case IR_SET: // the separator, then the members
        if (i > node->n)
            return ANALYSE_NONE;
        return g->words[node->first + (i == 0 ? 0 : 2 * i - 1)];
    default:
        return ANALYSE_NONE;
    }
}

bool analyse_reach(const ir *g, uint32_t root, bool *reached) {
    uint32_t *waiting = mem_alloc(g->mem, g->n_nodes, sizeof *waiting), child;
    if (!waiting)
        return false;
    size_t n = 0;
    reached[root] = true;
    waiting[n++] = root;
    while (n > 0) {
        uint32_t node = waiting[--n];
        for (uint32_t i = 0; (child = node_child(g, &g->nodes[node], i)) != ANALYSE_NONE; i++)
            if (!reached[child]) {
                reached[child] = true;
                waiting[n++] = child;
            }
    }
    mem_free(g->mem, waiting);
    return true;
}

// ------------------------------------------------------------------------------------------------- regular

// Finds strongly connected components (R. Tarjan, 1972): a node is in one with others, or below itself, if it
// is recursive, and is left after everything below it.
typedef struct component_search {
    uint32_t *number; // of each node, in the order of discovery; 0: not yet
    uint32_t *low;
    uint32_t *path; // (node, next child) pairs
    size_t n_path, path_capacity;
    uint32_t *open; // found nodes whose component isn't complete
    size_t n_open, open_capacity;
    uint32_t next;
} component_search;

static bool enter(analysis *a, component_search *s, uint32_t node) {
    if (!mem_reserve(a->mem, &s->path, &s->path_capacity, s->n_path + 2, sizeof *s->path) ||
        !mem_reserve(a->mem, &s->open, &s->open_capacity, s->n_open + 1, sizeof *s->open))
        return false;
    s->path[s->n_path++] = node;
    s->path[s->n_path++] = 0;
    s->open[s->n_open++] = node;
    s->number[node] = s->low[node] = s->next++;
    a->reached[node] = true;
    return true;
}

// Whether a node is regular whose component is `size` nodes and whose children are known.
static bool is_regular(const analysis *a, uint32_t node, size_t size) {
    const ir_node *x = &a->g->nodes[node];
    if (size > 1 || x->kind == IR_TOKENS || x->kind == IR_TAG || x->kind == IR_SET)
        return false;
    uint32_t child;
    for (uint32_t i = 0; (child = node_child(a->g, x, i)) != ANALYSE_NONE; i++)
        if (child == node || !a->regular[child])
            return false;
    return true;
}

static ingot_status leave(analysis *a, component_search *s, uint32_t node, ingot_error *err) {
    if (s->low[node] != s->number[node])
        return INGOT_OK;
    size_t first = s->n_open;
    while (s->open[first - 1] != node)
        first--;
    first--;
    for (size_t i = first; i < s->n_open; i++) {
        uint32_t member = s->open[i];
        s->low[member] = UINT32_MAX; // complete
        a->regular[member] = is_regular(a, member, s->n_open - first);
        uint8_t kind = a->g->nodes[member].kind;
        if (!a->regular[member] && (kind == IR_BOTH || kind == IR_COMPLEMENT))
            return fail(
                err, INGOT_ERR_INVALID,
                "%s in the grammar isn't of regular parts: expected no recursive rules, tokens, tags or sets "
                "there",
                kind == IR_BOTH ? "an intersection" : "a complement");
    }
    s->n_open = first;
    return INGOT_OK;
}

static ingot_status find_regular(analysis *a, component_search *s, uint32_t root, ingot_error *err) {
    const ir *g = a->g;
    if (!enter(a, s, root))
        return fail_memory(err, g->n_nodes, "a grammar's rules");
    while (s->n_path > 0) {
        uint32_t node = s->path[s->n_path - 2], i = s->path[s->n_path - 1]++;
        const ir_node *x = &g->nodes[node];
        if (x->kind == IR_RULE && g->rules[x->first].body == IR_UNBOUNDED)
            return fail(err, INGOT_ERR_INVALID, "the grammar's rule '%.*s' is used but not defined",
                        ir_name_size(&g->rules[x->first]), g->bytes + g->rules[x->first].name);
        uint32_t child = node_child(g, x, i);
        if (child == ANALYSE_NONE) {
            s->n_path -= 2;
            TRY(leave(a, s, node, err));
            if (s->n_path > 0 && s->low[node] < s->low[s->path[s->n_path - 2]])
                s->low[s->path[s->n_path - 2]] = s->low[node];
        } else if (s->number[child] == 0) {
            if (!enter(a, s, child))
                return fail_memory(err, g->n_nodes, "a grammar's rules");
        } else if (s->low[child] != UINT32_MAX && s->number[child] < s->low[node]) {
            s->low[node] = s->number[child];
        }
    }
    return INGOT_OK;
}

static ingot_status find_components(analysis *a, uint32_t root, ingot_error *err) {
    component_search s = {.next = 1};
    s.number = mem_alloc(a->mem, a->g->n_nodes, sizeof *s.number);
    s.low = mem_alloc(a->mem, a->g->n_nodes, sizeof *s.low);
    ingot_status status = s.number && s.low ? find_regular(a, &s, root, err)
                                            : fail_memory(err, a->g->n_nodes, "a grammar's rules");
    mem_free(a->mem, s.number);
    mem_free(a->mem, s.low);
    mem_free(a->mem, s.path);
    mem_free(a->mem, s.open);
    return status;
}

// ------------------------------------------------------------------------------------------------- terms

static rx literal(rx_pool *p, const char *bytes, uint32_t n) {
    rx out = RX_EMPTY;
    for (uint32_t i = n; i-- > 0;) {
        byte_set set = {{0, 0, 0, 0}};
        set.bits[(uint8_t)bytes[i] >> 6] = (uint64_t)1 << ((uint8_t)bytes[i] & 63);
        out = rx_cat(p, rx_bytes(p, &set), out);
    }
    return out;
}

// Every UTF-8 text but x's.
static rx complement(rx_pool *p, rx x) {
    rx text = rx_repeat(p, rx_characters(p, (const uint32_t[]){0, 0xD7FF, 0xE000, 0x10FFFF}, 2), 0, RX_INF);
    return rx_and(p, (rx[]){text, rx_not(p, x)}, 2);
}

// A class of characters; grammars have the same ones again and again.
static rx characters(analysis *a, rx_pool *p, const ir_node *x) {
    const uint32_t *words = ir_children(a->g, x);
    uint32_t hash = hash_words(words, 2 * (size_t)x->n), found, node = (uint32_t)(x - a->g->nodes);
    for (size_t at = hash; x->n > 0 && table_next(&a->classes, hash, &at, &found);) {
        const ir_node *y = &a->g->nodes[found];
        if (y->n == x->n && memcmp(ir_children(a->g, y), words, 2 * x->n * sizeof *words) == 0)
            return a->terms[found];
    }
    rx out = rx_characters(p, words, x->n);
    if (x->n > 0 && !table_add(&a->classes, hash, node) && p->status == INGOT_OK)
        p->status = INGOT_ERR_MEMORY;
    return out;
}

// The term of a regular node whose children's are known.
static rx term(analysis *a, rx_pool *p, const ir_node *x) {
    const ir *g = a->g;
    const uint32_t *words = ir_children(g, x);
    rx out = RX_EMPTY;
    size_t base = p->n_scratch;
    switch (x->kind) {
    case IR_LITERAL:
        return literal(p, g->bytes + x->first, x->n);
    case IR_CLASS:
        return characters(a, p, x);
    case IR_BYTE: {
        byte_set set = {{0, 0, 0, 0}};
        for (uint32_t i = 0; i < x->n; i++)
            for (uint32_t byte = words[2 * i]; byte <= words[2 * i + 1]; byte++)
                set.bits[byte >> 6] |= (uint64_t)1 << (byte & 63);
        return rx_bytes(p, &set);
    }
    case IR_SEQUENCE:
        for (uint32_t i = x->n; i-- > 0;)
            out = rx_cat(p, a->terms[words[i]], out);
        return out;
    case IR_REPEAT:
        return rx_repeat(p, a->terms[words[0]], x->min, x->max);
    case IR_COMPLEMENT:
        return complement(p, a->terms[words[0]]);
    case IR_RULE:
        return a->terms[g->rules[x->first].body];
    default: // IR_CHOICE, IR_BOTH
        for (uint32_t i = 0; i < x->n; i++)
            rx_push(p, a->terms[words[i]]);
        return x->kind == IR_CHOICE ? rx_or_at(p, base) : rx_and_at(p, base);
    }
}

// A path down from a node: each with the number of the child that is looked at next.
typedef struct node_path {
    uint32_t *items;
    size_t n, capacity;
} node_path;

static bool path_push(const analysis *a, node_path *path, uint32_t node) {
    if (!mem_reserve(a->mem, &path->items, &path->capacity, path->n + 2, sizeof *path->items))
        return false;
    path->items[path->n++] = node;
    path->items[path->n++] = 0;
    return true;
}

// Makes the term of a regular node, after those of the nodes below it. False when memory is exhausted.
static bool make_term(analysis *a, rx_pool *p, node_path *path, uint32_t root) {
    const ir *g = a->g;
    if (!path_push(a, path, root))
        return false;
    while (path->n > 0) {
        uint32_t node = path->items[path->n - 2];
        uint32_t child = node_child(g, &g->nodes[node], path->items[path->n - 1]++);
        if (child == ANALYSE_NONE) {
            a->terms[node] = term(a, p, &g->nodes[node]);
            path->n -= 2;
        } else if (a->terms[child] == ANALYSE_NONE && !path_push(a, path, child)) {
            return false;
        }
    }
    return true;
}

static ingot_status make_terms(analysis *a, rx_pool *p, ingot_error *err) {
    const ir *g = a->g;
    node_path path = {NULL, 0, 0};
    bool room = true;
    for (uint32_t node = 0; node < g->n_nodes && room; node++)
        if (a->reached[node] && a->regular[node] && a->terms[node] == ANALYSE_NONE)
            room = make_term(a, p, &path, node);
    mem_free(a->mem, path.items);
    if (!room || p->status == INGOT_ERR_MEMORY)
        return fail_memory(err, g->n_nodes, "a grammar's regular parts");
    return p->status == INGOT_OK
               ? INGOT_OK
               : fail(err, p->status, "the grammar's regular parts have more than %zu states", p->max_nodes);
}

// ------------------------------------------------------------------------------------------------- lengths

static uint32_t add_lengths(uint64_t a, uint64_t b) {
    return a == RX_INF || b == RX_INF ? RX_INF : a + b >= RX_INF ? RX_INF - 1 : (uint32_t)(a + b);
}

static uint32_t times(uint64_t a, uint64_t n) {
    return n == 0 ? 0 : a == RX_INF ? RX_INF : a * n >= RX_INF ? RX_INF - 1 : (uint32_t)(a * n);
}

static uint32_t set_length(const analysis *a, const ir_node *x) {
    const uint32_t *words = ir_children(a->g, x), none[MEMBERS_WORDS(MEMBERS_MOST)] = {0};
    for (uint32_t i = 0; i < x->n; i++)
        a->members[i] = (set_member){words[2 + 2 * i], a->shortest[words[1 + 2 * i]]};
    const member_set set = members_of(a->members, x, a->shortest[words[0]]);
    return members_shortest(&set, none, false);
}

// The least length of a node, of what is known of its children's.
static uint32_t least(const analysis *a, uint32_t node) {
    const ir_node *x = &a->g->nodes[node];
    const uint32_t *words = ir_children(a->g, x);
    uint32_t out = x->kind == IR_SEQUENCE ? 0 : RX_INF;
    switch (x->kind) {
    case IR_TOKENS:
        return x->n > 0 || x->negated ? 1 : RX_INF;
    case IR_SEQUENCE:
        for (uint32_t i = 0; i < x->n; i++)
            out = add_lengths(out, a->shortest[words[i]]);
        return out;
    case IR_CHOICE:
        for (uint32_t i = 0; i < x->n; i++)
            out = a->shortest[words[i]] < out ? a->shortest[words[i]] : out;
        return out;
    case IR_REPEAT:
        return times(a->shortest[words[0]], x->min);
    case IR_SET:
        return set_length(a, x);
    case IR_RULE:
        return a->shortest[a->g->rules[x->first].body];
    default: // IR_TAG
        return a->shortest[words[0]];
    }
}

// Who is above whom: parents[first[node] .. first[node + 1]].
typedef struct above {
    uint32_t *first;
    uint32_t *parents;
    uint32_t *waiting; // children whose length a sequence still waits for
} above;

static bool find_parents(const analysis *a, above *up) {
    const ir *g = a->g;
    up->first = mem_alloc(a->mem, g->n_nodes + 2, sizeof *up->first);
    up->waiting = mem_alloc(a->mem, g->n_nodes, sizeof *up->waiting);
    if (!up->first || !up->waiting)
        return false;
    uint32_t total = 0, child;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t node = 0; node < g->n_nodes; node++) {
            if (!a->reached[node] || a->regular[node])
                continue;
            for (uint32_t i = 0; (child = node_child(g, &g->nodes[node], i)) != ANALYSE_NONE; i++) {
                if (pass == 0)
                    up->first[child + 2]++;
                else
                    up->parents[up->first[child + 1]++] = node;
                total += pass == 0;
                up->waiting[node] += pass == 0;
            }
        }
        if (pass == 1)
            return true;
        for (size_t i = 2; i < g->n_nodes + 2; i++)
            up->first[i] += up->first[i - 1];
        up->parents = mem_alloc(a->mem, total + 1, sizeof *up->parents);
        if (!up->parents)
            return false;
    }
    return true;
}

// Lengths become final from the shortest up (D. Knuth, "A generalization of Dijkstra's algorithm", 1977).
static bool settle(analysis *a, above *up, heap *queue) {
    const ir *g = a->g;
    bool room = true;
    for (uint32_t node = 0; node < g->n_nodes && room; node++) {
        if (!a->reached[node])
            continue;
        bool above_regular = a->regular[node] && up->first[node + 1] > up->first[node];
        uint32_t length = a->regular[node] ? RX_INF : least(a, node);
        if (above_regular)
            length = a->shortest[node]; // filled in by the caller
        a->shortest[node] = RX_INF;
        if (length != RX_INF)
            room = heap_push(queue, a->mem, (uint64_t)length << 32 | node);
    }
    while (queue->n > 0 && room) {
        uint64_t top = heap_pop(queue);
        uint32_t node = (uint32_t)top;
        if (a->shortest[node] != RX_INF)
            continue;
        a->shortest[node] = (uint32_t)(top >> 32);
        for (uint32_t i = up->first[node]; i < up->first[node + 1] && room; i++) {
            uint32_t parent = up->parents[i];
            uint8_t kind = g->nodes[parent].kind;
            up->waiting[parent]--;
            if (a->shortest[parent] != RX_INF || (kind == IR_SEQUENCE && up->waiting[parent] > 0))
                continue;
            uint32_t length = kind == IR_CHOICE ? a->shortest[node] : least(a, parent);
            if (length != RX_INF)
                room = heap_push(queue, a->mem, (uint64_t)length << 32 | parent);
        }
    }
    return room;
}

static ingot_status find_lengths(analysis *a, rx_pool *p, uint32_t root, ingot_error *err) {
    above up = {NULL, NULL, NULL};
    heap queue = {NULL, 0, 0};
    rx_classes(p);
    bool room = find_parents(a, &up);
    for (uint32_t node = 0; room && node < a->g->n_nodes && p->status == INGOT_OK; node++)
        if (a->reached[node] && a->regular[node] && (node == root || up.first[node + 1] > up.first[node]))
            a->shortest[node] = rx_shortest(p, a->terms[node]);
    if (room && !a->regular[root])
        room = settle(a, &up, &queue);
    mem_free(a->mem, up.first);
    mem_free(a->mem, up.parents);
    mem_free(a->mem, up.waiting);
    mem_free(a->mem, queue.items);
    if (p->status == INGOT_ERR_LIMIT)
        return fail(
            err, INGOT_ERR_LIMIT,
            "an intersection or complement in the grammar has too many states to know whether it is empty");
    return room && p->status == INGOT_OK ? INGOT_OK : fail_memory(err, a->g->n_nodes, "a grammar's lengths");
}

// ------------------------------------------------------------------------------------------------- all

void analysis_free(analysis *a) {
    mem_free(a->mem, a->reached);
    mem_free(a->mem, a->regular);
    mem_free(a->mem, a->terms);
    mem_free(a->mem, a->shortest);
    mem_free(a->mem, a->members);
    table_free(&a->classes);
    *a = (analysis){.mem = a->mem, .classes.mem = a->mem};
}

ingot_status analyse(const ir *g, uint32_t root, rx_pool *pool, analysis *out, ingot_error *err) {
    *out = (analysis){.g = g, .mem = g->mem, .classes.mem = g->mem};
    out->reached = mem_alloc(g->mem, g->n_nodes, sizeof *out->reached);
    out->regular = mem_alloc(g->mem, g->n_nodes, sizeof *out->regular);
    out->terms = mem_alloc(g->mem, g->n_nodes, sizeof *out->terms);
    out->shortest = mem_alloc(g->mem, g->n_nodes, sizeof *out->shortest);
    out->members = mem_alloc(g->mem, MEMBERS_MOST, sizeof *out->members);
    if (!out->reached || !out->regular || !out->terms || !out->shortest || !out->members)
        return fail_memory(err, g->n_nodes * 10, "a grammar");
    memset(out->terms, 0xff, g->n_nodes * sizeof *out->terms);
    memset(out->shortest, 0xff, g->n_nodes * sizeof *out->shortest);
    TRY(find_components(out, root, err));
    TRY(make_terms(out, pool, err));
    return find_lengths(out, pool, root, err);
}
