#include "grammar/token_trie.h"

#include <string.h>

// Sets of ASCII characters: those below 64, then the others.
#define BIT(c)     ((uint64_t)1 << ((c)&63))
#define SMALL      0, 0x07FFFFFE00000000
#define LETTERS    0, 0x07FFFFFE07FFFFFE
#define DIGITS     0x03FF000000000000, 0
#define WORD       0x03FF000000000000, 0x07FFFFFE87FFFFFE
#define SPACE      BIT(' '), 0
#define LINES_LOW  (~(uint64_t)0 << 32 | BIT('\t') | BIT('\n') | BIT('\r'))
#define PLAIN_LOW  (~(uint64_t)0 << 32 & ~BIT('"'))
#define TEXT_HIGH  (~(uint64_t)0 >> 1)
#define PLAIN_HIGH (TEXT_HIGH & ~BIT('\\'))

// A token is of the first kind that it is a text of, so narrow kinds come first. "Plain" is what stands in
// JSON's strings as it is; what begins markup is kept apart from the rest.
static const token_kind kinds[TOKEN_KINDS] = {
    {{SMALL}, {SMALL}, false},
    {{SPACE}, {SMALL}, false},
    {{LETTERS}, {LETTERS}, false},
    {{SPACE}, {LETTERS}, false},
    {{DIGITS}, {DIGITS}, false},
    {{WORD}, {WORD}, false},
    {{SPACE}, {WORD}, false},
    {{PLAIN_LOW & ~BIT('<'), PLAIN_HIGH}, {PLAIN_LOW & ~BIT('<'), PLAIN_HIGH}, false},
    {{PLAIN_LOW, PLAIN_HIGH}, {PLAIN_LOW, PLAIN_HIGH}, false},
    {{LINES_LOW & ~BIT('<'), TEXT_HIGH}, {LINES_LOW & ~BIT('<'), TEXT_HIGH}, false},
    {{PLAIN_LOW & ~BIT('<'), PLAIN_HIGH}, {PLAIN_LOW & ~BIT('<'), PLAIN_HIGH}, true},
    {{LINES_LOW & ~BIT('<'), TEXT_HIGH}, {LINES_LOW & ~BIT('<'), TEXT_HIGH}, true},
    {{LINES_LOW, TEXT_HIGH}, {LINES_LOW, TEXT_HIGH}, true},
};

static const uint32_t lengths[TOKEN_LENGTHS] = {6, 16, 64};

int token_kind_step(const token_kind *kind, int state, unsigned byte) {
    // 2 to 4: so many bytes follow, less one. 5 to 8: after E0, ED, F0, F4, the next byte is one of fewer.
    static const struct {
        uint8_t low, high, next;
    } inside[KIND_STATES] = {{0, 0, 0},       {0, 0, 0},       {0x80, 0xBF, 1},
                             {0x80, 0xBF, 2}, {0x80, 0xBF, 3}, {0xA0, 0xBF, 2},
                             {0x80, 0x9F, 2}, {0x90, 0xBF, 3}, {0x80, 0x8F, 3}};
    if (state > 1)
        return byte >= inside[state].low && byte <= inside[state].high ? inside[state].next : -1;
    if (byte < 0x80)
        return (state == 0 ? kind->first : kind->next)[byte >> 6] >> (byte & 63) & 1 ? 1 : -1;
    if (!kind->wide || byte < 0xC2 || byte > 0xF4)
        return -1;
    if (byte < 0xE0)
        return 2;
    if (byte < 0xF0)
        return byte == 0xE0 ? 5 : byte == 0xED ? 6 : 3;
    return byte == 0xF0 ? 7 : byte == 0xF4 ? 8 : 4;
}

// The group that a token belongs to.
static int group_of(ingot_str text) {
    for (int k = 0; k < TOKEN_KINDS; k++) {
        int state = 0;
        for (size_t i = 0; i < text.size && state >= 0; i++)
            state = token_kind_step(&kinds[k], state, (uint8_t)text.data[i]);
        for (int i = 0; i < TOKEN_LENGTHS && state >= 0; i++)
            if (text.size <= lengths[i])
                return k * TOKEN_LENGTHS + i;
    }
    return TOKEN_GROUPS - 1;
}

int32_t token_trie_size(const ingot_token_trie *t) {
    return t->n_tokens;
}

ingot_str token_trie_text(const ingot_token_trie *t, int32_t token) {
    return (ingot_str){t->bytes + t->text[token], t->text[token + 1] - t->text[token]};
}

int32_t token_trie_find(const ingot_token_trie *t, const char *text, size_t size) {
    int32_t found = -1;
    for (int32_t i = 0; i < t->n_tokens; i++) {
        ingot_str s = token_trie_text(t, i);
        if (s.size != size || memcmp(s.data, text, size) != 0)
            continue;
        if (t->roles[i] != INGOT_ROLE_TEXT)
            return i;
        found = found < 0 ? i : found;
    }
    return found;
}

int32_t token_trie_longest(const ingot_token_trie *t, const char *text, size_t size) {
    int32_t best = -1;
    size_t most = 0;
    for (int g = 0; g < TOKEN_GROUPS; g++) {
        const trie_nodes *nodes = &t->groups[g].nodes;
        size_t depth = 0;
        for (size_t i = 0; i < nodes->n && depth < size;) {
            const uint64_t node = nodes->items[i];
            if (TRIE_BYTE(node) != (uint8_t)text[depth]) {
                if (node & TRIE_LAST)
                    break;
                i++;
                continue;
            }
            depth++;
            if (TRIE_TOKEN(node) < (uint32_t)t->n_tokens && depth > most) {
                best = (int32_t)TRIE_TOKEN(node);
                most = depth;
            }
            i = TRIE_CHILD(node);
            if (i == 0)
                break;
        }
    }
    for (size_t i = 0; i < t->n_tall; i++) {
        const ingot_str s = token_trie_text(t, t->tall[i]);
        if (s.size > most && s.size <= size && memcmp(s.data, text, s.size) == 0) {
            best = t->tall[i];
            most = s.size;
        }
    }
    return best;
}

// ------------------------------------------------------------------------------------------------- sorting

static int compare(ingot_str a, ingot_str b) {
    size_t n = a.size < b.size ? a.size : b.size;
    int c = n > 0 ? memcmp(a.data, b.data, n) : 0;
    return c != 0 ? c : (a.size > b.size) - (a.size < b.size);
}

// A token with its first eight bytes as a number, which decide most comparisons.
typedef struct sort_item {
    uint64_t head;
    int32_t token;
    int32_t group;
} sort_item;

static int before(const ingot_token_trie *t, const sort_item *x, const sort_item *y) {
    if (x->group != y->group)
        return x->group < y->group;
    if (x->head != y->head)
        return x->head < y->head;
    int c = compare(token_trie_text(t, x->token), token_trie_text(t, y->token));
    return c < 0 || (c == 0 && x->token < y->token);
}

// Sorts `n` items by merging; `room` has place for as many.
static void merge_sort(const ingot_token_trie *t, sort_item *items, sort_item *room, size_t n) {
    sort_item *from = items, *to = room;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t start = 0; start < n; start += 2 * width) {
            size_t a = start, b = start + width, a_end = b < n ? b : n, b_end = b + width < n ? b + width : n;
            for (size_t i = start; i < b_end; i++)
                to[i] = a < a_end && (b >= b_end || !before(t, &from[b], &from[a])) ? from[a++] : from[b++];
        }
        sort_item *other = from;
        from = to;
        to = other;
    }
    if (from != items)
        memcpy(items, from, n * sizeof *items);
}

// ------------------------------------------------------------------------------------------------- nodes

// Sorted tokens that begin with the same `depth` bytes, which their node has, and are longer.
typedef struct branch {
    size_t first, end;
    uint32_t depth, node;
} branch;

typedef struct branches {
    branch *items;
    size_t n, capacity;
} branches;

static bool push(const ingot_token_trie *t, branches *b, branch x) {
    if (!mem_reserve(t->mem, &b->items, &b->capacity, b->n + 1, sizeof *b->items))
        return false;
    b->items[b->n++] = x;
    return true;
}

// Adds the node of the tokens [first, end), which have the byte at `depth` in common; those that are longer
// become a branch.
static bool add_node(ingot_token_trie *t, trie_nodes *nodes, const sort_item *items, size_t first, size_t end,
                     uint32_t depth, branches *open) {
    if (nodes->n >= TRIE_MAX_NODES ||
        !mem_reserve(t->mem, &nodes->items, &nodes->capacity, nodes->n + 1, sizeof *nodes->items))
        return false;
    const uint8_t byte = (uint8_t)token_trie_text(t, items[first].token).data[depth];
    uint64_t token = (uint64_t)t->n_tokens, twin = 0;
    size_t i = first;
    for (; i < end && token_trie_text(t, items[i].token).size == depth + 1; i++) {
        if (i == first) {
            token = (uint64_t)items[i].token;
        } else {
            t->same[items[i - 1].token] = items[i].token;
            twin = TRIE_TWIN;
        }
    }
    nodes->items[nodes->n++] = token << 40 | twin | byte;
    return i == end || push(t, open, (branch){i, end, depth + 1, (uint32_t)nodes->n - 1});
}

// Makes the trie of sorted tokens.
static bool add_nodes(ingot_token_trie *t, trie_nodes *nodes, const sort_item *items, size_t n) {
    branches open = {0};
    bool room = n == 0 || push(t, &open, (branch){0, n, 0, 0});
    while (open.n > 0 && room) {
        const branch of = open.items[--open.n];
        if (of.depth > 0)
            nodes->items[of.node] |= (uint64_t)nodes->n << 10;
        for (size_t i = of.first, next; i < of.end && room; i = next) {
            const char byte = token_trie_text(t, items[i].token).data[of.depth];
            for (next = i + 1; next < of.end; next++)
                if (token_trie_text(t, items[next].token).data[of.depth] != byte)
                    break;
            room = add_node(t, nodes, items, i, next, of.depth, &open);
        }
        if (nodes->n > 0)
            nodes->items[nodes->n - 1] |= TRIE_LAST;
        t->max_open = open.n > t->max_open ? open.n : t->max_open;
    }
    mem_free(t->mem, open.items);
    return room;
}

// ------------------------------------------------------------------------------------------------- making

void ingot_token_trie_free(ingot_token_trie *t) {
    if (!t)
        return;
    mem_free(t->mem, t->bytes);
    mem_free(t->mem, t->text);
    mem_free(t->mem, t->roles);
    mem_free(t->mem, t->same);
    mem_free(t->mem, t->ends);
    mem_free(t->mem, t->tall);
    for (int i = 0; i < TOKEN_GROUPS; i++) {
        mem_free(t->mem, t->groups[i].bits);
        mem_free(t->mem, t->groups[i].nodes.items);
    }
    mem_free(t->mem, t);
}

static bool copy_texts(ingot_token_trie *t, const ingot_str *texts, const uint8_t *roles) {
    const size_t n = (size_t)t->n_tokens;
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += texts[i].size;
    t->words = (n + 31) / 32;
    t->text = mem_alloc(t->mem, n + 1, sizeof *t->text);
    t->roles = mem_alloc(t->mem, n, 1);
    t->same = mem_alloc(t->mem, n, sizeof *t->same);
    t->ends = mem_alloc(t->mem, t->words, sizeof *t->ends);
    t->tall = mem_alloc(t->mem, n, sizeof *t->tall);
    t->bytes = total < UINT32_MAX ? mem_alloc(t->mem, total, 1) : NULL;
    if (!t->text || !t->roles || !t->same || !t->ends || !t->tall || !t->bytes)
        return false;
    memset(t->same, 0xff, n * sizeof *t->same);
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (texts[i].size > 0)
            memcpy(t->bytes + at, texts[i].data, texts[i].size);
        at += (uint32_t)texts[i].size;
        t->text[i + 1] = at;
        t->roles[i] = roles ? roles[i] : INGOT_ROLE_TEXT;
        if (t->roles[i] == INGOT_ROLE_END)
            t->ends[i / 32] |= 1u << (i % 32);
    }
    return true;
}

static bool build(ingot_token_trie *t) {
    sort_item *items = mem_alloc(t->mem, (size_t)t->n_tokens, 2 * sizeof *items);
    if (!items)
        return false;
    size_t n = 0;
    for (int32_t i = 0; i < t->n_tokens; i++) {
        ingot_str s = token_trie_text(t, i);
        if (t->roles[i] != INGOT_ROLE_TEXT || s.size == 0)
            continue;
        if (s.size > TRIE_MAX_DEPTH) {
            t->tall[t->n_tall++] = i;
            continue;
        }
        uint64_t head = 0;
        for (size_t k = 0; k < 8; k++)
            head = head << 8 | (k < s.size ? (uint8_t)s.data[k] : 0);
        items[n++] = (sort_item){head, i, group_of(s)};
    }
    merge_sort(t, items, items + n, n);
    bool room = true;
    size_t first = 0;
    for (int i = 0; i < TOKEN_GROUPS && room; i++) {
        token_group *group = &t->groups[i];
        group->kind = i < TOKEN_GROUPS - 1 ? &kinds[i / TOKEN_LENGTHS] : NULL;
        group->longest = group->kind ? lengths[i % TOKEN_LENGTHS] : 0;
        group->bits = mem_alloc(t->mem, t->words, sizeof *group->bits);
        size_t end = first;
        for (; end < n && items[end].group == i && group->bits; end++)
            group->bits[items[end].token / 32] |= 1u << (items[end].token % 32);
        room = group->bits && add_nodes(t, &group->nodes, items + first, end - first);
        first = end;
    }
    mem_free(t->mem, items);
    t->spells = true;
    for (int byte = 0; byte < 256 && room && t->spells; byte++)
        t->spells = token_trie_longest(t, (const char[]){(char)byte}, 1) >= 0;
    return room;
}

ingot_status token_trie_new(const ingot_allocator *mem, const ingot_str *texts, const uint8_t *roles,
                            int32_t n, ingot_token_trie **out, ingot_error *err) {
    if (n < 0 || n >= (int32_t)TRIE_MAX_TOKENS)
        return fail(err, INGOT_ERR_LIMIT, "a vocabulary of %d tokens: expected fewer than %u", n,
                    TRIE_MAX_TOKENS);
    ingot_token_trie *t = mem_alloc(mem, 1, sizeof *t);
    if (!t)
        return fail_memory(err, sizeof *t, "a vocabulary's trie");
    t->mem = mem;
    t->n_tokens = n;
    if (!copy_texts(t, texts, roles) || !build(t)) {
        ingot_token_trie_free(t);
        return fail_memory(err, (uint64_t)n * 64, "a vocabulary's trie");
    }
    *out = t;
    return INGOT_OK;
}
