#include "text/vocab.h"

#include <string.h>

#include "text/vocab_impl.h"

// ------------------------------------------------------------------------------------------ life

ingot_status vocab_new(const ingot_gguf *gguf, const char *pre, const ingot_allocator *mem, vocab **out,
                       ingot_error *err) {
    *out = NULL;
    vocab *v = mem_alloc(mem, 1, sizeof *v);
    if (!v)
        return fail_memory(err, sizeof *v, "a vocabulary");
    v->mem = mem;
    ingot_status status = vocab_load(v, gguf, pre, err);
    if (status == INGOT_OK)
        *out = v;
    else
        vocab_free(v);
    return status;
}

void vocab_free(vocab *v) {
    if (!v)
        return;
    strmap_free(&v->map);
    trie_free(&v->tokens);
    trie_free(&v->prefixes);
    special_free(v);
    for (int i = 0; i < PRE_MAX_EXPRESSIONS; i++)
        regex_free(v->expressions[i], v->mem);
    mem_free(v->mem, v->scores);
    mem_free(v->mem, v->kinds);
    mem_free(v->mem, v->flags);
    mem_free(v->mem, v->merges);
    mem_free(v->mem, v->merge_slots);
    mem_free(v->mem, v);
}

// ------------------------------------------------------------------------------------------ tokens

int32_t vocab_size(const vocab *v) {
    return v->n_tokens;
}

ingot_status vocab_token(const vocab *v, int32_t token, ingot_token_info *out, ingot_error *err) {
    if (token < 0 || token >= v->n_tokens)
        return fail(err, INGOT_ERR_INVALID, "there is no token %d; the vocabulary has %d", token,
                    v->n_tokens);
    *out = (ingot_token_info){v->texts[token], v->scores[token], (ingot_token_kind)v->kinds[token],
                              vocab_ends_generation(v, token)};
    return INGOT_OK;
}

void vocab_specials(const vocab *v, ingot_special_tokens *out) {
    *out = v->special;
}

bool vocab_ends_generation(const vocab *v, int32_t token) {
    return token >= 0 && token < v->n_tokens && (v->flags[token] & VOCAB_ENDS_GENERATION);
}

// ------------------------------------------------------------------------------------------ tokenising

ingot_status session_reserve(session *s, size_t size) {
    if (size >= UINT32_MAX)
        return fail(s->err, INGOT_ERR_LIMIT,
                    "a text takes %zu bytes once it is normalised; 4294967294 is the most", size);
    if (!mem_reserve(s->v->mem, &s->text, &s->text_capacity, size, 1))
        return fail_memory(s->err, size, "a normalised text");
    return INGOT_OK;
}

ingot_status session_escape(session *s, const char *text, size_t size, bool prefix, size_t *escaped) {
    const size_t mark = sizeof VOCAB_SPACE - 1;
    size_t spaces = prefix;
    for (size_t i = 0; i < size; i++)
        spaces += text[i] == ' ';
    TRY(session_reserve(s, size + spaces * mark));
    size_t n = 0;
    if (prefix) {
        memcpy(s->text, VOCAB_SPACE, mark);
        n = mark;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ') {
            memcpy(s->text + n, VOCAB_SPACE, mark);
            n += mark;
        } else {
            s->text[n++] = text[i];
        }
    }
    *escaped = n;
    return INGOT_OK;
}

void session_add_bytes(session *s, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        int32_t token = s->v->byte_ids[(unsigned char)bytes[i]];
        if (token < 0 || token >= s->v->n_tokens)
            token = s->v->special.unk;
        if (token >= 0)
            session_add(s, token);
    }
}

static ingot_status tokenize_fragment(session *s, const char *text, size_t size, bool prefix) {
    switch (s->v->model) {
    case VOCAB_BPE:
        return bpe_tokenize(s, text, size);
    case VOCAB_WORDPIECE:
        return wordpiece_tokenize(s, text, size);
    case VOCAB_UNIGRAM:
        return unigram_tokenize(s, text, size);
    default:
        return spm_tokenize(s, text, size, prefix);
    }
}

static ingot_status tokenize(session *s, const char *text, size_t size, bool add_special,
                             bool parse_special) {
    const vocab *v = s->v;
    const ingot_special_tokens *special = &v->special;
    const bool framed = v->model == VOCAB_WORDPIECE; // always between CLS and SEP
    if (add_special && (special->add_bos || framed) && special->bos >= 0)
        session_add(s, special->bos);
    segment *segments = NULL;
    size_t n = 0;
    ingot_status status = INGOT_OK;
    if (size > 0)
        status = special_split(v, text, size, parse_special, &segments, &n, s->err);
    bool after_special = true;
    for (size_t i = 0; i < n && status == INGOT_OK; i++) {
        if (segments[i].token >= 0)
            session_add(s, segments[i].token);
        else
            status = tokenize_fragment(s, text + segments[i].start, segments[i].size, after_special);
        after_special = segments[i].token >= 0;
    }
    mem_free(v->mem, segments);
    if (add_special && !framed && special->add_eos && special->eos >= 0)
        session_add(s, special->eos);
    if (add_special && framed && special->sep >= 0)
        session_add(s, special->sep);
    return status;
}

ingot_status vocab_tokenize(const vocab *v, const char *text, size_t size, bool add_special,
                            bool parse_special, int32_t *tokens, size_t capacity, size_t *n,
                            ingot_error *err) {
    if (size > INT32_MAX)
        return fail(err, INGOT_ERR_LIMIT, "the text has %zu bytes; 2147483647 is the most", size);
    session s = {.v = v, .err = err, .tokens = tokens, .capacity = capacity};
    ingot_status status = tokenize(&s, text, size, add_special, parse_special);
    mem_free(v->mem, s.text);
    mem_free(v->mem, s.cuts);
    mem_free(v->mem, s.classes);
    mem_free(v->mem, s.states);
    mem_free(v->mem, s.paths);
    merger_free(&s.merger, v->mem);
    TRY(status);
    *n = s.n;
    if (s.n > capacity)
        return fail(err, INGOT_ERR_LIMIT, "the text has %zu tokens; there is room for %zu", s.n, capacity);
    return INGOT_OK;
}
