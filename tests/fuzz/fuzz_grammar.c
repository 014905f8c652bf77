// libFuzzer target: a grammar in GBNF, a zero byte, and a text. Whatever they are: an error with its message,
// or a grammar whose masks allow just the tokens that are taken, and whose texts can be completed.
#include <stdlib.h>
#include <string.h>

#include "grammar/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

static const char *const words[] = {"a",    "b",   "ab",  "aa", "(",  ")", "[",    "]",    ",",
                                    "\"",   "1",   "10",  " ",  "\n", "é", "\xC3", "\xA9", "\xE6\x97",
                                    "日本", "{\"", "\":", "ba", "",   "-", "x",    "<c>",  "<e>"};
enum { N_WORDS = sizeof words / sizeof *words };

static const ingot_token_trie *vocabulary(void) {
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
static bool check_mask(ingot_matcher *m) {
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

static void check_end(ingot_matcher *m) {
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

static void run(ingot_grammar *g, const char *text, size_t size) {
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
    size_t split = zero ? (size_t)(zero - data) : size;
    ir *b;
    ingot_grammar *g;
    ingot_error err;
    require(ir_new(NULL, vocabulary(), &b, &err) == INGOT_OK);
    char *text = malloc(split + 1); // of exactly the size, so that reading past the end is seen
    memcpy(text, data, split);
    char *exact = realloc(text, split > 0 ? split : 1);
    int32_t root = ingot_grammar_builder_gbnf(b, exact, split, "root");
    ingot_status status = ingot_grammar_compile(b, root, 1 << 22, &g, &err);
    ingot_grammar_builder_free(b);
    free(exact);
    require(status == INGOT_OK || err.message[0] != '\0');
    if (status == INGOT_OK) {
        run(g, (const char *)data + split + (zero != NULL), size - split - (zero != NULL));
        ingot_grammar_free(g);
    }
    return 0;
}
