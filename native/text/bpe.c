// BPE ("gpt2", "gemma4"): expressions cut the text into words, in which pairs merge by rank.
#include <string.h>

#include "text/vocab_impl.h"

static bool bpe_pair(const void *rules, const char *text, const merge_symbol *left, const merge_symbol *right,
                     int32_t *id, uint32_t *rank) {
    (void)text;
    const vocab *v = rules;
    if (left->id < 0 || right->id < 0)
        return false;
    const merge_rule *rule = bpe_find_merge(v, left->id, right->id);
    if (!rule)
        return false;
    *id = rule->merged;
    *rank = (uint32_t)(rule - v->merges);
    return true;
}

// A symbol that isn't a token. With the byte alphabet only printable ASCII has tokens of its own to fall back
// on; other bytes are left out, as the vectors have it.
static void add_without_token(session *s, const char *bytes, size_t size) {
    if (s->v->raw) {
        session_add_bytes(s, bytes, size);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        int32_t id = s->v->byte_ids[(unsigned char)bytes[i]];
        if (bytes[i] > 0x20 && bytes[i] < 0x7F && id >= 0 && id < s->v->n_tokens)
            session_add(s, id);
    }
}

static bool only_newlines(const char *word, size_t size) {
    size_t i = 0;
    while (i < size && word[i] == '\n')
        i++;
    return i == size;
}

static ingot_status add_word(session *s, const char *text, size_t start, size_t size) {
    const vocab *v = s->v;
    const char *word = text + start;
    if ((v->pre->flags & PRE_WHOLE_WORDS) || (v->raw && only_newlines(word, size))) {
        int32_t token = strmap_find(&v->map, word, size);
        if (token >= 0 && token < v->n_tokens) {
            session_add(s, token);
            return INGOT_OK;
        }
    }
    merger *m = &s->merger;
    m->n = 0;
    for (size_t i = 0; i < size;) {
        size_t n = v->raw ? character_size(word + i, size - i) : 1;
        int32_t id = v->raw ? strmap_find(&v->map, word + i, n) : v->byte_ids[(unsigned char)word[i]];
        merge_symbol symbol = {.start = (uint32_t)(start + i), .size = (uint32_t)n, .id = id};
        TRY(merger_append(m, v->mem, symbol, s->err));
        i += n;
    }
    TRY(merger_run(m, v->mem, text, bpe_pair, v, s->err));
    for (int32_t i = 0; i >= 0; i = m->symbols[i].next) {
        const merge_symbol *symbol = &m->symbols[i];
        if (symbol->id >= 0 && symbol->id < v->n_tokens)
            session_add(s, symbol->id);
        else
            add_without_token(s, text + symbol->start, symbol->size);
    }
    return INGOT_OK;
}

static ingot_status reserve_split(session *s, size_t size) {
    if (s->cuts && size <= s->split_capacity)
        return INGOT_OK;
    const ingot_allocator *mem = s->v->mem;
    uint8_t *cuts = mem_resize(mem, s->cuts, size, 1);
    if (cuts)
        s->cuts = cuts;
    uint8_t *classes = mem_resize(mem, s->classes, size, 1);
    if (classes)
        s->classes = classes;
    uint16_t *states = mem_resize(mem, s->states, size + 1, sizeof *states);
    if (states)
        s->states = states;
    if (!cuts || !classes || !states)
        return fail_memory(s->err, size * 4, "splitting a text into words");
    s->split_capacity = size;
    return INGOT_OK;
}

ingot_status bpe_tokenize(session *s, const char *text, size_t size) {
    const vocab *v = s->v;
    if (v->raw) {
        TRY(session_escape(s, text, size, false, &size));
        text = s->text;
    }
    TRY(reserve_split(s, size));
    memset(s->cuts, 0, size);
    s->cuts[0] = 1;
    const regex_scratch scratch = {s->classes, s->states};
    for (int i = 0; v->pre->expressions[i]; i++)
        regex_split(v->expressions[i], text, size, s->cuts, &scratch);
    for (size_t start = 0; start < size;) {
        const uint8_t *cut = memchr(s->cuts + start + 1, 1, size - start - 1);
        size_t end = cut ? (size_t)(cut - s->cuts) : size;
        TRY(add_word(s, text, start, end - start));
        start = end;
    }
    return INGOT_OK;
}
