// Unigram ("t5"): of all ways to write the normalised text with tokens, the one with the best sum of scores.
#include <float.h>
#include <string.h>

#include "text/vocab_impl.h"

#define UNKNOWN_PENALTY 10.0f

// A text may grow by this much, and a little more, when it is normalised; by NFKC it grows 13-fold at most.
#define MAX_GROWTH 16

// The best way to a position: where its last token starts, which it is, and the sum of scores.
typedef struct path {
    double score;
    uint32_t from;
    int32_t token;
} path;

ingot_status unigram_load(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    const ingot_gguf_value *map = ingot_gguf_find(gguf, "tokenizer.ggml.precompiled_charsmap");
    if (map) {
        ingot_gguf_type type = map->item_type == INGOT_GGUF_I8 ? INGOT_GGUF_I8 : INGOT_GGUF_U8;
        TRY(gguf_get_array(gguf, "tokenizer.ggml.precompiled_charsmap", true, type, &map, err));
        TRY(charsmap_open(map->data, (size_t)map->count, &v->normalizer, err));
    }
    TRY(trie_init(&v->tokens, v->mem, (size_t)v->n_tokens * 3, err));
    TRY(trie_init(&v->prefixes, v->mem, 0, err));
    float lowest = FLT_MAX;
    const unsigned user = 1u << INGOT_TOKEN_USER_DEFINED;
    TRY(trie_add_tokens(v, &v->tokens, user | 1u << INGOT_TOKEN_NORMAL | 1u << INGOT_TOKEN_UNUSED, err));
    TRY(trie_add_tokens(v, &v->prefixes, user, err));
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (v->kinds[i] == INGOT_TOKEN_NORMAL && v->scores[i] < lowest)
            lowest = v->scores[i];
    v->unknown_score = (double)(lowest - UNKNOWN_PENALTY);
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------ normalising

// What the start of `text` becomes: sets *becomes and returns how many bytes it takes. As much as could be
// the beginning of a user-defined token is left alone.
static size_t normalize_start(const vocab *v, const char *text, size_t size, ingot_str *becomes) {
    size_t n = 0;
    for (uint32_t node = TRIE_ROOT; n < size; n++) {
        node = trie_child(&v->prefixes, node, (unsigned char)text[n]);
        if (node == TRIE_ROOT)
            break;
    }
    if (n == 0) {
        n = charsmap_find(&v->normalizer, text, size, becomes);
        if (n > 0)
            return n;
        int used;
        uint32_t cp = utf8_decode(text, size, &used);
        n = (size_t)used;
        if (cp == 0xFFFD && used == 1) {
            *becomes = (ingot_str){"\xEF\xBF\xBD", 3};
            return 1;
        }
    }
    *becomes = (ingot_str){text, n};
    return n;
}

// Fills s->text with the normalised text: the rules applied, spaces marked, merged and put in front as the
// vocabulary asks.
static ingot_status normalize(session *s, const char *text, size_t size, size_t *normalized) {
    const vocab *v = s->v;
    const size_t mark = sizeof VOCAB_SPACE - 1;
    bool in_word = false;
    bool prefixed = false;
    size_t n = 0;
    for (size_t i = 0; i < size;) {
        ingot_str becomes = {NULL, 0};
        i += normalize_start(v, text + i, size - i, &becomes);
        if (n > size * MAX_GROWTH + 64)
            return fail(s->err, INGOT_ERR_LIMIT,
                        "tokenizer.ggml.precompiled_charsmap makes %zu bytes of text over %d times as long",
                        size, MAX_GROWTH);
        TRY(session_reserve(s, n + becomes.size * mark + mark));
        for (size_t j = 0; j < becomes.size; j++) {
            bool space = becomes.data[j] == ' ';
            bool marked = space ? !v->remove_extra_spaces
                                : !in_word && (v->remove_extra_spaces || (v->add_space_prefix && !prefixed));
            if (marked) {
                memcpy(s->text + n, VOCAB_SPACE, mark);
                n += mark;
            }
            prefixed |= marked && !space;
            in_word = !space;
            if (!space)
                s->text[n++] = becomes.data[j];
        }
    }
    *normalized = n;
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------ best path

static void offer(path *to, double score, size_t from, int32_t token) {
    if (score > to->score)
        *to = (path){score, (uint32_t)from, token};
}

// Extends the best way to `at` by every token there, and by an unknown one if none is the whole character.
static void extend(const vocab *v, const char *text, size_t size, size_t at, size_t character, path *paths) {
    double score = paths[at].score;
    bool whole_character = false;
    uint32_t node = TRIE_ROOT;
    for (size_t i = at; i < size; i++) {
        node = trie_child(&v->tokens, node, (unsigned char)text[i]);
        if (node == TRIE_ROOT)
            break;
        int32_t token = v->tokens.values[node];
        if (token == TRIE_NONE)
            continue;
        whole_character |= i + 1 - at == character;
        bool user = v->kinds[token] == INGOT_TOKEN_USER_DEFINED;
        offer(&paths[i + 1], score + (user ? 0.0 : (double)v->scores[token]), at, token);
    }
    if (!whole_character)
        offer(&paths[at + character], score + v->unknown_score, at, v->special.unk);
}

// Turns the links of the best path around: afterwards `from` leads forward, from position 0 to `end`.
static void turn_around(path *paths, size_t end) {
    uint32_t next = (uint32_t)end;
    for (uint32_t at = (uint32_t)end; at != 0;) {
        uint32_t from = paths[at].from;
        paths[at].from = next;
        next = at;
        at = from;
    }
    paths[0].from = next;
}

ingot_status unigram_tokenize(session *s, const char *text, size_t size) {
    const vocab *v = s->v;
    size_t end = 0;
    TRY(normalize(s, text, size, &end));
    if (end == 0)
        return INGOT_OK;
    if (!mem_reserve(v->mem, &s->paths, &s->paths_capacity, end + 1, sizeof(path)))
        return fail_memory(s->err, (end + 1) * sizeof(path), "the ways to tokenise a text");
    path *paths = s->paths;
    for (size_t i = 0; i <= end; i++)
        paths[i] = (path){i == 0 ? 0 : -DBL_MAX, 0, v->special.unk};
    for (size_t at = 0; at < end;) {
        size_t character = character_size(s->text + at, end - at);
        extend(v, s->text, end, at, character, paths);
        at += character;
    }
    turn_around(paths, end);
    bool after_unknown = false; // a run of unknown characters is one token
    for (size_t at = paths[0].from;; at = paths[at].from) {
        bool unknown = paths[at].token == v->special.unk;
        if (paths[at].token >= 0 && !(unknown && after_unknown))
            session_add(s, paths[at].token);
        after_unknown = unknown;
        if (at == end)
            return INGOT_OK;
    }
}
