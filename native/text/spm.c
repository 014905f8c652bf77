// SentencePiece's BPE ("llama"): characters merge into tokens, the best score first.
#include <string.h>

#include "text/vocab_impl.h"

// The rank of a score: higher scores come first, and every float has its place.
static uint32_t rank_of_score(float score) {
    float positive_zero = score + 0.0f;
    uint32_t bits;
    memcpy(&bits, &positive_zero, 4);
    uint32_t ascending = bits >> 31 ? ~bits : bits | 0x80000000u;
    return ~ascending;
}

static bool spm_pair(const void *rules, const char *text, const merge_symbol *left, const merge_symbol *right,
                     int32_t *id, uint32_t *rank) {
    const vocab *v = rules;
    size_t size = (size_t)left->size + right->size;
    if (size > v->longest)
        return false;
    int32_t token = strmap_find(&v->map, text + left->start, size);
    if (token < 0)
        return false;
    *id = token;
    *rank = rank_of_score(v->scores[token]);
    return true;
}

ingot_status spm_tokenize(session *s, const char *text, size_t size, bool prefix) {
    const vocab *v = s->v;
    size_t escaped = 0;
    TRY(session_escape(s, text, size, prefix && v->add_space_prefix, &escaped));
    merger *m = &s->merger;
    m->n = 0;
    for (size_t i = 0; i < escaped;) {
        size_t n = character_size(s->text + i, escaped - i);
        int32_t token = strmap_find(&v->map, s->text + i, n);
        merge_symbol symbol = {.start = (uint32_t)i, .size = (uint32_t)n, .id = token};
        TRY(merger_append(m, v->mem, symbol, s->err));
        i += n;
    }
    TRY(merger_run(m, v->mem, s->text, spm_pair, v, s->err));
    for (int32_t i = m->n > 0 ? 0 : -1; i >= 0; i = m->symbols[i].next) {
        const merge_symbol *symbol = &m->symbols[i];
        if (symbol->id >= 0)
            session_add(s, symbol->id);
        else
            session_add_bytes(s, s->text + symbol->start, symbol->size);
    }
    return INGOT_OK;
}
