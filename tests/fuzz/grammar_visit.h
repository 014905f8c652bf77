// What fuzzers ask of any grammar: its masks allow just the tokens that are taken, and its texts can be
// completed.
#ifndef INGOT_TESTS_GRAMMAR_VISIT_H
#define INGOT_TESTS_GRAMMAR_VISIT_H

#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"

static inline void require(bool condition) {
    if (!condition)
        abort();
}

static const char *const words[] = {"a",    "b",   "ab",  "aa", "(",  ")", "[",    "]",    ",",
                                    "\"",   "1",   "10",  " ",  "\n", "é", "\xC3", "\xA9", "\xE6\x97",
                                    "日本", "{\"", "\":", "ba", "",   "-", "x",    "<c>",  "<e>"};
enum { N_WORDS = sizeof words / sizeof *words };

static inline const ingot_token_trie *vocabulary(void) {
    static ingot_token_trie *trie;
    ingot_str texts[N_WORDS];
    uint8_t roles[N_WORDS] = {0};
    if (trie)
        return trie;
    for (size_t i = 0; i < N_WORDS; i++)
        texts[i] = (ingot_str){words[i], strlen(words[i])};
    roles[N_WORDS - 2] = INGOT_ROLE_CONTROL;
    roles[N_WORDS - 1] = INGOT_ROLE_END;
    require(token_trie_new(NULL, texts, roles, N_WORDS, &trie, NULL) == INGOT_OK);
    return trie;
}

// Every token is taken if and only if the mask allows it. False after an error.
static inline bool check_mask(ingot_matcher *m) {
    uint32_t bits;
    ingot_error err;
    if (ingot_matcher_mask(m, &bits, 1, NULL, &err) != INGOT_OK)
        return false;
    for (int32_t token = 0; token < N_WORDS; token++) {
        bool accepted;
        if (ingot_matcher_accept_token(m, token, &accepted, &err) != INGOT_OK)
            return false;
        require(accepted == (bits >> token & 1));
        if (accepted)
            require(ingot_matcher_rollback(m, 1, &err) == INGOT_OK);
    }
    return true;
}

static inline void check_end(ingot_matcher *m) {
    static char text[1 << 20];
    size_t n;
    ingot_error err;
    ingot_status status = ingot_matcher_shortest(m, text, sizeof text, &n, &err);
    require(status != INGOT_ERR_INTERNAL);
    if (status != INGOT_OK)
        return;
    bool accepted;
    if (ingot_matcher_accept_bytes(m, text, n, &accepted, &err) == INGOT_OK)
        require(accepted && ingot_matcher_is_accepting(m));
}

// Follows a text as far as the grammar goes, and looks at masks on the way.
static inline void visit_grammar(ingot_grammar *g, const char *text, size_t size) {
    ingot_matcher *m;
    ingot_error err;
    require(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    bool good = true;
    for (size_t i = 0; i < size && i < 64 && good; i++) {
        bool accepted;
        good = (i % 8 != 0 || check_mask(m)) &&
               ingot_matcher_accept_bytes(m, text + i, 1, &accepted, &err) == INGOT_OK;
        if (good && !accepted)
            break;
    }
    if (good)
        check_end(m);
    ingot_matcher_free(m);
}

#endif
