// libFuzzer target: a byte whose lowest bit asks for a search, a regular expression, a zero byte, and a text.
// Whatever they are: an error with its message, or a grammar that accepts what the expression's plain
// definition says, whose masks allow just the tokens that are taken, and whose texts can be completed.
#include "grammar_visit.h"
#include "plain_regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct expression {
    const char *pattern;
    size_t size;
    bool search;
} expression;

// False after an error, or if the definition doesn't know the expression.
static bool compare(ingot_matcher *m, const expression *e, const char *text, int size) {
    bool known, accepted;
    ingot_error err;
    bool expected = plain_regex_matches(e->pattern, e->size, e->search, text, size, &known);
    ingot_matcher_reset(m);
    if (!known || ingot_matcher_accept_bytes(m, text, (size_t)size, &accepted, &err) != INGOT_OK)
        return false;
    require((accepted && ingot_matcher_is_accepting(m)) == expected);
    return true;
}

// Compares for all texts of a and B that have at most 3 letters, and for beginnings of the given text.
static void compare_texts(ingot_grammar *g, const expression *e, const char *given, size_t size) {
    ingot_matcher *m;
    ingot_error err;
    bool good = true;
    char text[8] = {0};
    require(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    for (int n = 0; n <= 3 && good; n++)
        for (int number = 0; number < 1 << n && good; number++) {
            for (int i = 0; i < n; i++)
                text[i] = number >> i & 1 ? 'B' : 'a';
            good = compare(m, e, text, n);
        }
    for (int n = 0; n < 7 && (size_t)n < size && (uint8_t)given[n] < 0x80 && good; n++) {
        text[n] = given[n];
        good = compare(m, e, text, n + 1);
    }
    ingot_matcher_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const uint8_t *pattern = data + 1, *zero = size > 1 ? memchr(pattern, 0, size - 1) : NULL;
    const uint8_t *end = zero ? zero : data + size, *text = zero ? zero + 1 : end;
    size_t rest = (size_t)(data + size - text);
    expression e = {.size = (size_t)(end - pattern), .search = data[0] & 1};
    char *exact = malloc(e.size > 0 ? e.size : 1); // so that reading past the end is seen
    require(exact != NULL);
    e.pattern = memcpy(exact, pattern, e.size);
    ir *b;
    ingot_grammar *g;
    ingot_error err;
    require(ir_new(NULL, vocabulary(), &b, &err) == INGOT_OK);
    int32_t root = ingot_grammar_builder_regex(b, e.pattern, e.size, e.search);
    ingot_status status = ingot_grammar_compile(b, root, 1 << 22, &g, &err);
    ingot_grammar_builder_free(b);
    require(status == INGOT_OK || err.message[0] != '\0');
    if (status == INGOT_OK) {
        compare_texts(g, &e, (const char *)text, rest);
        visit_grammar(g, (const char *)text, rest);
        ingot_grammar_free(g);
    }
    free(exact);
    return 0;
}
