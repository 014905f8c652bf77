// Finding special tokens in a text. The rule: the longest token takes its occurrences first, from left to
// right, then the next in length what is left, and so on. An automaton finds for every position the tokens
// that end there; a heap puts the candidates into that order.
#include <string.h>

#include "text/vocab_impl.h"

static bool is_special(const vocab *v, int32_t token, unsigned kinds) {
    size_t size = v->texts[token].size;
    return size > 0 && size <= VOCAB_MAX_TRIE_TOKEN && (kinds >> v->kinds[token] & 1);
}

static ingot_status load_set(const vocab *v, special_set *set, unsigned kinds, ingot_error *err) {
    heap order = {0};
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if (!is_special(v, i, kinds))
            continue;
        uint64_t shorter_last = UINT32_MAX - (uint32_t)v->texts[i].size;
        if (!heap_push(&order, v->mem, shorter_last << 32 | (uint32_t)i)) {
            mem_free(v->mem, order.items);
            return fail_memory(err, (order.n + 1) * sizeof(uint64_t), "the special tokens");
        }
    }
    set->order = mem_alloc(v->mem, order.n, sizeof *set->order);
    set->nodes = mem_alloc(v->mem, order.n, sizeof *set->nodes);
    ingot_status status = INGOT_OK;
    if (!set->order || !set->nodes)
        status = fail_memory(err, order.n * 8, "the special tokens");
    if (status == INGOT_OK)
        status = trie_init(&set->automaton, v->mem, 0, err);
    while (order.n > 0 && status == INGOT_OK) {
        int32_t token = (int32_t)(uint32_t)heap_pop(&order);
        int32_t place = (int32_t)set->n++;
        set->order[place] = token;
        status = trie_add(&set->automaton, &v->texts[token], &place, 1, err);
    }
    mem_free(v->mem, order.items);
    TRY(status);
    TRY(trie_link(&set->automaton, err));
    for (uint32_t node = 0; node < set->automaton.n_nodes; node++)
        if (set->automaton.values[node] != TRIE_NONE)
            set->nodes[set->automaton.values[node]] = node;
    return INGOT_OK;
}

// Two automata: in one, a text that may hold no control tokens would pass all those that end at a position.
ingot_status special_load(vocab *v, ingot_error *err) {
    const unsigned user = 1u << INGOT_TOKEN_USER_DEFINED;
    TRY(load_set(v, &v->user_specials, user, err));
    return load_set(v, &v->all_specials, user | 1u << INGOT_TOKEN_CONTROL | 1u << INGOT_TOKEN_UNKNOWN, err);
}

void special_free(vocab *v) {
    special_set *sets[] = {&v->user_specials, &v->all_specials};
    for (int i = 0; i < 2; i++) {
        trie_free(&sets[i]->automaton);
        mem_free(v->mem, sets[i]->order);
        mem_free(v->mem, sets[i]->nodes);
    }
}

typedef struct splitter {
    const vocab *v;
    const char *text;
    size_t size;
    const special_set *set;
    heap candidates; // place in special_order << 32 | where the token would end
    heap found;      // where it starts << 32 | place in special_order
    uint8_t *taken;  // [size]
} splitter;

// Of the tokens that end at `end`, `node` being the automaton's longest, queues the first that may be there.
static bool queue_candidate(splitter *s, uint32_t node, size_t end) {
    const trie *t = &s->set->automaton;
    for (; node != TRIE_ROOT; node = t->longest[t->shorter[node]]) {
        int32_t place = t->values[node];
        int32_t token = s->set->order[place];
        size_t start = end - s->v->texts[token].size;
        if (!(s->taken && s->taken[start]))
            return heap_push(&s->candidates, s->v->mem, (uint64_t)(uint32_t)place << 32 | (uint32_t)end);
    }
    return true;
}

static bool scan(splitter *s) {
    const trie *t = &s->set->automaton;
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < s->size; i++) {
        node = trie_step(t, node, (unsigned char)s->text[i]);
        if (node != TRIE_ROOT && t->longest[node] != TRIE_ROOT &&
            !queue_candidate(s, t->longest[node], i + 1))
            return false;
    }
    return true;
}

static bool is_ascii_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Takes [start, end) for `token`, and the white space around it that belongs to it.
static void take(splitter *s, int32_t token, size_t start, size_t end) {
    if (s->v->flags[token] & VOCAB_STRIP_LEFT)
        while (start > 0 && !s->taken[start - 1] && is_ascii_space(s->text[start - 1]))
            start--;
    if (s->v->flags[token] & VOCAB_STRIP_RIGHT)
        while (end < s->size && !s->taken[end] && is_ascii_space(s->text[end]))
            end++;
    memset(s->taken + start, 1, end - start);
}

// What was taken before is at least as long as a candidate, so an overlap shows at one of its ends.
static bool choose(splitter *s) {
    while (s->candidates.n > 0) {
        uint64_t top = heap_pop(&s->candidates);
        uint32_t place = (uint32_t)(top >> 32);
        size_t end = (uint32_t)top;
        int32_t token = s->set->order[place];
        size_t start = end - s->v->texts[token].size;
        bool ok = true;
        if (s->taken[end - 1])
            continue;
        if (s->taken[start]) {
            ok = queue_candidate(s, s->set->nodes[place], end);
        } else {
            take(s, token, start, end);
            ok = heap_push(&s->found, s->v->mem, (uint64_t)start << 32 | place);
        }
        if (!ok)
            return false;
    }
    return true;
}

// Adds the part of the text between two special tokens, without the white space that they took.
static void add_text(const splitter *s, size_t start, size_t end, segment *segments, size_t *n) {
    while (s->taken && start < end && s->taken[start])
        start++;
    while (s->taken && end > start && s->taken[end - 1])
        end--;
    if (start < end)
        segments[(*n)++] = (segment){(uint32_t)start, (uint32_t)(end - start), -1};
}

static ingot_status split(splitter *s, segment **segments, size_t *n, ingot_error *err) {
    const ingot_allocator *mem = s->v->mem;
    if (s->set->n > 0 && !scan(s))
        return fail_memory(err, s->candidates.n * 8, "the special tokens of a text");
    if (s->candidates.n > 0) {
        s->taken = mem_alloc(mem, s->size, 1);
        if (!s->taken || !choose(s))
            return fail_memory(err, s->size, "the special tokens of a text");
    }
    *segments = mem_alloc(mem, s->found.n * 2 + 1, sizeof **segments);
    if (!*segments)
        return fail_memory(err, (s->found.n * 2 + 1) * sizeof **segments, "the parts of a text");
    size_t at = 0;
    while (s->found.n > 0) {
        uint64_t top = heap_pop(&s->found);
        size_t start = (size_t)(top >> 32);
        int32_t token = s->set->order[(uint32_t)top];
        add_text(s, at, start, *segments, n);
        (*segments)[(*n)++] = (segment){(uint32_t)start, (uint32_t)s->v->texts[token].size, token};
        at = start + s->v->texts[token].size;
    }
    add_text(s, at, s->size, *segments, n);
    return INGOT_OK;
}

ingot_status special_split(const vocab *v, const char *text, size_t size, bool control, segment **segments,
                           size_t *n, ingot_error *err) {
    splitter s = {.v = v, .text = text, .size = size, .set = control ? &v->all_specials : &v->user_specials};
    *segments = NULL;
    *n = 0;
    ingot_status status = split(&s, segments, n, err);
    mem_free(v->mem, s.candidates.items);
    mem_free(v->mem, s.found.items);
    mem_free(v->mem, s.taken);
    return status;
}
