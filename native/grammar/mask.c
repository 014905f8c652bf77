// Masks: which tokens may come next.
#include "grammar/grammar.h"

// ------------------------------------------------------------------------------------------------- kinds

static void find_steps(const ingot_grammar *g, const token_kind *kind, kind_steps *out) {
    for (int state = 0; state < KIND_STATES; state++) {
        bool known[256][KIND_STATES] = {{false}};
        for (unsigned byte = 0; byte < 256; byte++) {
            int to = token_kind_step(kind, state, byte);
            uint8_t k = g->pool.byte_class[byte];
            if (to < 0 || known[k][to])
                continue;
            known[k][to] = true;
            out->class_of[state][out->n[state]] = k;
            out->to[state][out->n[state]++] = (uint8_t)to;
        }
    }
}

// Adds a pair; false if there are too many.
static bool add_pair(kind_walk *w, uint32_t set, uint32_t state) {
    uint32_t slot = hash_mix((uint64_t)set << 4 | state) & (2 * KIND_PAIRS - 1);
    for (; w->slots[slot] != 0; slot = (slot + 1) & (2 * KIND_PAIRS - 1))
        if (w->set[w->slots[slot] - 1] == set && w->state[w->slots[slot] - 1] == state)
            return true;
    if (w->n == KIND_PAIRS)
        return false;
    w->set[w->n] = set;
    w->state[w->n] = (uint8_t)state;
    w->slot[w->n] = (uint16_t)slot;
    w->slots[slot] = (uint16_t)++w->n;
    return true;
}

// How many sets a search through a kind may make: where there are more, walking costs less.
#define KIND_SETS 100

// How many bytes any text of a kind may have that follows: RX_INF, or as many as were looked at.
static uint32_t reach_of(ingot_grammar *g, const kind_steps *steps, uint32_t set, uint32_t most) {
    kind_walk *w = g->walk;
    const size_t many = g->chart.n_sets + KIND_SETS;
    bool room = add_pair(w, set, 0);
    uint32_t depth = 0;
    for (uint32_t i = 0, end = 1; i < w->n && depth < most && room; depth += room) {
        for (; i < end && room; i++) {
            uint32_t state = w->state[i];
            for (uint32_t k = 0; k < steps->n[state] && room; k++) {
                uint32_t to = chart_step(&g->chart, w->set[i], steps->class_of[state][k]);
                room = to != SET_DEAD && g->chart.n_sets < many && add_pair(w, to, steps->to[state][k]);
            }
        }
        end = w->n;
        if (room && i == end)
            depth = most;
    }
    while (w->n > 0)
        w->slots[w->slot[--w->n]] = 0;
    return depth;
}

// ------------------------------------------------------------------------------------------------- walking

static uint32_t row_of(chart *c, uint32_t set) {
    if (c->sets[set].row == SET_UNKNOWN)
        chart_make(c, set, 0);
    return c->sets[set].row;
}

// Allows the tokens of a trie that may follow. A node without a token allows the one behind the last, for
// which `bits` has room. Whether a byte may come can't be guessed, so little here depends on it but numbers.
static void walk(ingot_grammar *g, const trie_nodes *nodes, uint32_t set, uint32_t *bits) {
    chart *c = &g->chart;
    const uint8_t *classes = g->pool.byte_class;
    open_siblings *open = g->open;
    size_t n = 0;
    open[n++] = (open_siblings){0, set};
    while (n > 0) {
        const open_siblings of = open[--n];
        const uint32_t row = row_of(c, of.set);
        const uint64_t *node = nodes->items + of.first;
        if (row == SET_UNKNOWN) // after a failure
            return;
        for (;; node++) {
            const uint32_t k = classes[TRIE_BYTE(*node)];
            uint32_t to = c->next[row + k];
            if (to == SET_UNKNOWN)
                to = chart_make(c, of.set, k);
            if (to != SET_DEAD) {
                const uint32_t token = TRIE_TOKEN(*node), child = TRIE_CHILD(*node);
                bits[token / 32] |= 1u << (token % 32);
                open[n] = (open_siblings){child, to};
                n += child != 0;
                if (*node & TRIE_TWIN)
                    for (int32_t i = g->trie->same[token]; i >= 0; i = g->trie->same[i])
                        bits[i / 32] |= 1u << (i % 32);
            }
            if (*node & TRIE_LAST)
                break;
        }
    }
}

static void walk_tall(ingot_grammar *g, uint32_t set, uint32_t *bits) {
    for (size_t i = 0; i < g->trie->n_tall; i++) {
        ingot_str text = token_trie_text(g->trie, g->trie->tall[i]);
        uint32_t to = set;
        for (size_t k = 0; k < text.size && to != SET_DEAD; k++)
            to = chart_step(&g->chart, to, g->pool.byte_class[(uint8_t)text.data[k]]);
        if (to != SET_DEAD)
            bits[g->trie->tall[i] / 32] |= 1u << (g->trie->tall[i] % 32);
    }
}

// Allows tokens [from, to) but those of `but`.
static void allow_range(uint32_t *bits, const uint32_t *but, uint32_t from, uint32_t to) {
    while (from < to) {
        const uint32_t word = from / 32, end = to - word * 32 < 32 ? to : word * 32 + 32;
        const uint32_t run = UINT32_MAX >> (32 - (end - from)) << from % 32;
        bits[word] |= but ? run & ~but[word] : run;
        from = end;
    }
}

// Adds what token terminals allow; what is not in a set are the gaps between its ranges.
static void add_tokens(ingot_grammar *g, uint32_t set, uint32_t *bits) {
    const chart_set *s = &g->chart.sets[set];
    const ingot_token_trie *t = g->trie;
    for (uint32_t i = 0; i < s->n_tokens; i++) {
        const chart_item *item = chart_items(&g->chart, set) + s->n_scanned + s->n_waiting + i;
        const token_set *tokens = &g->net.token_sets[g->net.edges[item->where].arg];
        const uint32_t *words = g->net.words + tokens->first;
        uint32_t from = 0;
        for (uint32_t k = 0; k < tokens->n; k++) {
            if (tokens->negated)
                allow_range(bits, t->ends, from, words[2 * k]);
            else
                allow_range(bits, NULL, words[2 * k], words[2 * k + 1] + 1);
            from = words[2 * k + 1] + 1;
        }
        if (tokens->negated)
            allow_range(bits, t->ends, from, (uint32_t)t->n_tokens);
    }
}

static void compute(ingot_grammar *g, uint32_t set, uint32_t *bits) {
    const ingot_token_trie *t = g->trie;
    memset(bits, 0, (t->words + 1) * sizeof *bits);
    uint32_t reach = 0;
    for (int i = 0; i < TOKEN_GROUPS; i++) {
        const token_group *group = &t->groups[i];
        if (group->kind && i % TOKEN_LENGTHS == 0)
            reach = reach_of(g, &g->steps[i / TOKEN_LENGTHS], set, group[TOKEN_LENGTHS - 1].longest);
        if (group->nodes.n == 0)
            continue;
        if (!group->kind || reach < group->longest)
            walk(g, &group->nodes, set, bits);
        else
            for (size_t k = 0; k < t->words; k++)
                bits[k] |= group->bits[k];
    }
    walk_tall(g, set, bits);
    if (g->chart.sets[set].accepting)
        for (size_t i = 0; i < t->words; i++)
            bits[i] |= t->ends[i];
    if (g->chart.sets[set].n_tokens > 0)
        add_tokens(g, set, bits);
    bits[t->n_tokens / 32] &= ~(1u << (t->n_tokens % 32));
}

// ------------------------------------------------------------------------------------------------- keeping

// A place for another mask: a new one while there is room, else that of one that wasn't used for long.
static kept_mask *place(ingot_grammar *g) {
    mask_cache *m = &g->masks;
    if (m->n == m->n_most) {
        for (; m->masks[m->hand].used; m->hand = (m->hand + 1) % m->n)
            m->masks[m->hand].used = false;
        kept_mask *out = &m->masks[m->hand];
        m->hand = (m->hand + 1) % m->n;
        m->of_set[out->set] = 0;
        return out;
    }
    if (m->n == m->n_made) {
        if (!mem_reserve(g->mem, &m->masks, &m->capacity, m->n + 1, sizeof *m->masks))
            return NULL;
        m->masks[m->n].bits = mem_alloc(g->mem, g->trie->words + 1, sizeof *m->masks->bits);
        if (!m->masks[m->n].bits)
            return NULL;
        m->n_made++;
    }
    return &m->masks[m->n++];
}

// Makes of_set reach as far as the sets.
static bool cover_sets(ingot_grammar *g) {
    mask_cache *m = &g->masks;
    size_t n = g->chart.n_sets;
    if (!mem_reserve(g->mem, &m->of_set, &m->of_set_capacity, n, sizeof *m->of_set))
        return false;
    for (; m->n_of_set < n; m->n_of_set++)
        m->of_set[m->n_of_set] = 0;
    return true;
}

// In a way that compilers turn into vectors for any processor.
static uint32_t count_bits(uint32_t bits) {
    bits -= bits >> 1 & 0x55555555u;
    bits = (bits & 0x33333333u) + (bits >> 2 & 0x33333333u);
    return ((bits + (bits >> 4)) & 0x0F0F0F0Fu) * 0x01010101u >> 24;
}

// Puts the mask of a set, which has none yet, in a place; NULL when memory is exhausted.
static kept_mask *make(ingot_grammar *g, uint32_t set) {
    kept_mask *kept = place(g);
    if (!kept)
        return NULL;
    kept->set = set;
    kept->n_allowed = 0;
    g->masks.of_set[set] = (uint32_t)(kept - g->masks.masks) + 1;
    compute(g, set, kept->bits);
    for (size_t i = 0; i < g->trie->words; i++)
        kept->n_allowed += (int32_t)count_bits(kept->bits[i]);
    return kept;
}

bool grammar_knows_mask(const ingot_grammar *g, uint32_t set) {
    return set < g->masks.n_of_set && g->masks.of_set[set] != 0;
}

const uint32_t *grammar_mask(ingot_grammar *g, uint32_t set, int32_t *n_allowed) {
    mask_cache *m = &g->masks;
    kept_mask *kept = NULL;
    if (cover_sets(g))
        kept = grammar_knows_mask(g, set) ? &m->masks[m->of_set[set] - 1] : make(g, set);
    if (!kept) {
        g->chart.status = INGOT_ERR_MEMORY;
        return NULL;
    }
    kept->used = true;
    *n_allowed = kept->n_allowed;
    return g->chart.status == INGOT_OK ? kept->bits : NULL;
}

ingot_status grammar_masks_init(ingot_grammar *g, ingot_error *err) {
    size_t bytes = g->trie->words * sizeof(uint32_t);
    uint64_t most = g->max_bytes / 4 / (bytes > 0 ? bytes : 1);
    g->masks.n_most = most < 4 ? 4 : most > (1u << 20) ? 1u << 20 : (size_t)most;
    g->steps = mem_alloc(g->mem, TOKEN_KINDS, sizeof *g->steps);
    g->walk = mem_alloc(g->mem, 1, sizeof *g->walk);
    g->open = mem_alloc(g->mem, g->trie->max_open + 1, sizeof *g->open);
    if (!g->steps || !g->walk || !g->open)
        return fail_memory(err, TOKEN_KINDS * sizeof *g->steps, "a grammar's masks");
    for (int i = 0; i < TOKEN_KINDS; i++)
        find_steps(g, g->trie->groups[i * TOKEN_LENGTHS].kind, &g->steps[i]);
    return INGOT_OK;
}

void grammar_masks_free(ingot_grammar *g) {
    for (size_t i = 0; i < g->masks.n_made; i++)
        mem_free(g->mem, g->masks.masks[i].bits);
    mem_free(g->mem, g->masks.masks);
    mem_free(g->mem, g->masks.of_set);
    mem_free(g->mem, g->steps);
    mem_free(g->mem, g->walk);
    mem_free(g->mem, g->open);
    g->masks = (mask_cache){.n_most = g->masks.n_most};
}
