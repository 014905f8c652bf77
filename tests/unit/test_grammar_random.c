// Grammars against their plain definition, and masks against stepping, for many random ones.
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "grammar/grammar.h"
#include "grammar_random.h"

#define MAX_SIZE 6

// All texts over a and b by number: size, then letters.
static int text_of(uint32_t number, char *text) {
    int size = 0;
    while (number >= (2u << size) - 1)
        size++;
    number -= (1u << size) - 1;
    for (int i = 0; i < size; i++)
        text[i] = number >> i & 1 ? 'b' : 'a';
    return size;
}

static bool takes(ingot_matcher *m, const char *text, int size) {
    bool accepted;
    ingot_error err;
    ingot_status status = ingot_matcher_accept_bytes(m, text, (size_t)size, &accepted, &err);
    CHECK(status == INGOT_OK);
    return accepted;
}

// Grammars of so many ways at a time that a limit ends them.
static uint32_t n_limited;

static bool limited(ingot_status status) {
    n_limited += status == INGOT_ERR_LIMIT;
    return status == INGOT_ERR_LIMIT;
}

// Every short text: taken if and only if the definition says so, and completed where it can be.
static void check_texts(const random_grammar *r, ingot_grammar *g) {
    bool matches[(2u << MAX_SIZE) - 1];
    int shortest = MAX_SIZE + 1;
    for (uint32_t i = 0; i < sizeof matches; i++) {
        char text[8];
        int size = text_of(i, text);
        matches[i] = random_grammar_matches(r, text, size);
        if (matches[i] && size < shortest)
            shortest = size;
    }
    ingot_matcher *m;
    ingot_error err;
    CHECK(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    for (uint32_t i = 0; i < sizeof matches; i++) {
        char text[8], more[4096] = {0};
        int size = text_of(i, text);
        size_t n = 0;
        bool taken = takes(m, text, size), accepting = taken && ingot_matcher_is_accepting(m);
        CHECK(accepting == matches[i]);
        if (accepting != matches[i])
            fprintf(stderr, "%.*s: %d\n", size, text, accepting);
        if (taken) {
            ingot_status status = ingot_matcher_shortest(m, more, sizeof more, &n, &err);
            if (limited(status))
                break;
            CHECK(status == INGOT_OK);
            if (status != INGOT_OK) {
                fprintf(stderr, "%.*s: %s\n", size, text, err.message);
                break;
            }
            CHECK((n == 0) == accepting);
            // Of other letters than a and b, which a complement has, a text may be shorter.
            bool other = n < sizeof more && strspn(more, "ab") < n;
            CHECK(size > 0 || shortest > MAX_SIZE || (int)n == shortest || ((int)n < shortest && other));
            CHECK(takes(m, more, (int)n) && ingot_matcher_is_accepting(m));
            if (size + (int)n <= MAX_SIZE) {
                memcpy(text + size, more, n);
                CHECK(random_grammar_matches(r, text, size + (int)n));
            }
        }
        ingot_matcher_reset(m);
    }
    ingot_matcher_free(m);
}

// The mask of every place on some ways through: what it allows is taken, and nothing else.
static void check_masks(ingot_grammar *g, uint32_t seed) {
    ingot_matcher *m;
    ingot_error err;
    CHECK(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    for (int step = 0; step < 12; step++) {
        uint32_t bits[2];
        int32_t n_allowed, counted = 0, chosen = -1;
        ingot_status status = ingot_matcher_mask(m, bits, g->trie->words, &n_allowed, &err);
        if (limited(status))
            break;
        CHECK(status == INGOT_OK);
        for (int32_t token = 0; token < g->trie->n_tokens; token++) {
            bool allowed = bits[token / 32] >> (token % 32) & 1, accepted;
            CHECK(ingot_matcher_accept_token(m, token, &accepted, &err) == INGOT_OK);
            CHECK(accepted == allowed);
            if (accepted)
                CHECK(ingot_matcher_rollback(m, 1, &err) == INGOT_OK);
            counted += allowed;
            if (allowed && g->trie->roles[token] == INGOT_ROLE_TEXT &&
                random_next(&seed, (uint32_t)counted) == 0)
                chosen = token;
        }
        CHECK(counted == n_allowed);
        if (chosen < 0)
            break;
        bool accepted;
        CHECK(ingot_matcher_accept_token(m, chosen, &accepted, &err) == INGOT_OK && accepted);
    }
    ingot_matcher_free(m);
}

static ingot_token_trie *make_trie(void) {
    static const char *const texts[] = {"a",  "b",   "ab", "ba",  "aa", "bb",   "aab",  "abb", "bab", "aaaa",
                                        "bb", "abc", "c",  "<s>", "",   "aaab", "baba", "ab",  "</s>"};
    enum { N = sizeof texts / sizeof *texts };
    ingot_str strings[N];
    uint8_t roles[N] = {0};
    for (size_t i = 0; i < N; i++)
        strings[i] = (ingot_str){texts[i], strlen(texts[i])};
    roles[13] = INGOT_ROLE_CONTROL;
    roles[N - 1] = INGOT_ROLE_END;
    ingot_token_trie *trie;
    CHECK(token_trie_new(NULL, strings, roles, N, &trie, NULL) == INGOT_OK);
    return trie;
}

int main(void) {
    const uint32_t rounds = getenv("INGOT_LONG") ? 60000 : 3000;
    ingot_token_trie *trie = make_trie();
    uint32_t made = 0, empty = 0;
    for (uint32_t seed = 1; seed <= rounds; seed++) {
        random_grammar r;
        ir *b;
        ingot_grammar *g;
        ingot_error err;
        CHECK(ir_new(NULL, trie, &b, &err) == INGOT_OK);
        int32_t root = random_grammar_make(&r, seed, b);
        // A budget so small that states are thrown away again and again.
        ingot_status status = ingot_grammar_compile(b, root, seed % 2 ? 0 : 400000, &g, &err);
        ingot_grammar_builder_free(b);
        if (status == INGOT_ERR_INVALID) {
            CHECK_CONTAINS(err.message, "no text matches");
            for (uint32_t i = 0; i < 63; i++) {
                char text[8];
                int size = text_of(i, text);
                CHECK(!random_grammar_matches(&r, text, size));
            }
            empty++;
            continue;
        }
        CHECK(status == INGOT_OK);
        if (status != INGOT_OK) {
            fprintf(stderr, "seed %u: %s\n", seed, err.message);
            break;
        }
        int before = check_failures;
        check_texts(&r, g);
        check_masks(g, seed);
        if (check_failures != before) {
            fprintf(stderr, "seed %u\n", seed);
            random_grammar_print(&r);
            break;
        }
        ingot_grammar_free(g);
        made++;
    }
    ingot_token_trie_free(trie);
    CHECK(made > rounds / 2 && empty > 0 && n_limited <= rounds / 1000);
    return check_report();
}
