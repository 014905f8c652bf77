// Grammars that try to be too much, memory that runs out, and a cache that several threads share.
#include <stdlib.h>

#include "check.h"
#include "failing_mem.h"
#include "grammar/grammar.h"

static ingot_status compile_in(const ingot_allocator *mem, const char *text, uint64_t bytes,
                               ingot_grammar **out, ingot_error *err) {
    ir *b;
    TRY(ir_new(mem, NULL, &b, err));
    int32_t root = ingot_grammar_builder_gbnf(b, text, strlen(text), "root");
    ingot_status status = ingot_grammar_compile(b, root, bytes, out, err);
    ingot_grammar_builder_free(b);
    return status;
}

static ingot_grammar *compile(const char *text, uint64_t bytes) {
    ingot_grammar *g = NULL;
    ingot_error err = {0};
    ingot_status status = compile_in(NULL, text, bytes, &g, &err);
    CHECK(status == INGOT_OK);
    if (status != INGOT_OK)
        fprintf(stderr, "%s\n", err.message);
    return g;
}

// Whether a text is one of the grammar's, taken in pieces of `step` bytes.
static bool accepts(ingot_grammar *g, const char *text, size_t size, size_t step) {
    ingot_matcher *m;
    ingot_error err;
    CHECK(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    bool accepted = true;
    for (size_t at = 0; at < size && accepted; at += step) {
        ingot_status status =
            ingot_matcher_accept_bytes(m, text + at, size - at < step ? size - at : step, &accepted, &err);
        CHECK(status == INGOT_OK);
        if (status != INGOT_OK)
            fprintf(stderr, "%s\n", err.message);
    }
    accepted = accepted && ingot_matcher_is_accepting(m);
    ingot_matcher_free(m);
    return accepted;
}

static char *repeat(const char *what, size_t n) {
    size_t size = strlen(what);
    char *out = malloc(size * n + 1);
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * size, what, size);
    out[size * n] = '\0';
    return out;
}

static char *join(const char *a, const char *b, const char *c) {
    char *out = malloc(strlen(a) + strlen(b) + strlen(c) + 1);
    strcpy(out, a);
    strcat(out, b);
    return strcat(out, c);
}

static const char json[] = "root ::= value\n"
                           "value ::= object | array | string | [0-9]+\n"
                           "object ::= \"{\" (string \":\" value (\",\" string \":\" value)*)? \"}\"\n"
                           "array ::= \"[\" (value (\",\" value)*)? \"]\"\n"
                           "string ::= \"\\\"\" [^\"\\x00-\\x1F]* \"\\\"\"\n";

// A repeated thing's place is the same set each time; so is the end of right recursion.
static void test_sets_come_back(void) {
    ingot_grammar *g = compile(json, 0);
    char *items = repeat("[1,2],", 20000), *text = join("[", items, "0]");
    CHECK(accepts(g, text, strlen(text), 1000));
    CHECK(g->chart.n_sets < 40);
    ingot_grammar_free(g);
    free(text);
    g = compile("root ::= item \",\" root | item\nitem ::= \"a\" other\nother ::= \"b\" | \"(\" root \")\"\n",
                0);
    text = join(items = (free(items), repeat("ab,", 20000)), "ab", "");
    CHECK(accepts(g, text, strlen(text), 1000));
    CHECK(g->chart.n_sets < 20);
    free(items);
    free(text);
    ingot_grammar_free(g);
}

// What is deep is walked and not recursed into.
static void test_depth(void) {
    enum { DEPTH = 60000 };
    char *open = repeat("[", DEPTH), *close = repeat("]", DEPTH), *text = join(open, "", close);
    ingot_grammar *g = compile(json, 0);
    CHECK(accepts(g, text, 2 * DEPTH, 4096));
    CHECK(!accepts(g, text, 2 * DEPTH - 1, 4096));
    ingot_matcher *m;
    ingot_error err;
    bool accepted;
    size_t n;
    CHECK(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    CHECK(ingot_matcher_accept_bytes(m, open, DEPTH, &accepted, &err) == INGOT_OK && accepted);
    CHECK(ingot_matcher_shortest(m, text, 2 * DEPTH, &n, &err) == INGOT_OK && n == DEPTH && text[0] == ']');
    ingot_matcher_free(m);
    ingot_grammar_free(g);
    free(text);
    free(open);
    free(close);
    static const char *const groups[][3] = {
        {"(", "\"a\"", ")"}, {"(", "\"a\" root?", ")?"}, {"(", "\"a\"", "|\"b\")*"}};
    for (size_t i = 0; i < 3; i++) {
        open = repeat(groups[i][0], DEPTH);
        close = repeat(groups[i][2], DEPTH);
        char *inside = join(open, groups[i][1], close);
        text = join("root ::= ", inside, "");
        g = compile(text, 0);
        CHECK(accepts(g, "a", 1, 1));
        ingot_grammar_free(g);
        free(inside);
        free(text);
        free(open);
        free(close);
    }
}

// Counters are counters: a count takes the place of one.
static void test_counts(void) {
    ingot_grammar *g =
        compile("root ::= \"a\"{1000,1000000} item{2,1000000000}\nitem ::= \"(\" root? \")\"\n", 0);
    char *letters = repeat("a", 1000), *items = repeat("()", 3000), *text = join(letters, items, "");
    CHECK(accepts(g, text, strlen(text), 64));
    CHECK(!accepts(g, text + 1, strlen(text) - 1, 64));
    CHECK(!accepts(g, text, 1002, 64));
    CHECK(g->pool.n_nodes < 20000);
    ingot_grammar_free(g);
    free(letters);
    free(items);
    free(text);
    g = compile("root ::= (((((([^x]*){0,99}){0,99}){0,99}){0,99}){0,99}){0,99}\n", 0);
    CHECK(accepts(g, "aaaaaaaa", 8, 1));
    CHECK(!accepts(g, "aaaxaaaa", 8, 1));
    ingot_grammar_free(g);
    g = compile("root ::= (((((x?){0,99}){0,99}){0,99}){0,99}){0,99}\nx ::= \"a\" | \"(\" x \")\"\n", 0);
    CHECK(accepts(g, "aa(a)((a))aa", 12, 1));
    ingot_grammar_free(g);
}

// Exponentially many states: an answer, or an error that says so, and nothing is broken afterwards.
static void test_states_without_end(void) {
    ingot_grammar *g = compile("root ::= [ab]* \"a\" [ab]{24} | [ab]* \"b\" [ab]{23} \"c\"\n", 1 << 20);
    ingot_matcher *m;
    ingot_error err;
    bool accepted = true;
    uint32_t seed = 1;
    ingot_status status = INGOT_OK;
    CHECK(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    for (int i = 0; i < 20000 && status == INGOT_OK; i++) {
        seed = seed * 1664525u + 1013904223u;
        status = ingot_matcher_accept_bytes(m, seed >> 30 & 1 ? "a" : "b", 1, &accepted, &err);
        CHECK(accepted || status != INGOT_OK);
    }
    CHECK(status == INGOT_ERR_LIMIT);
    CHECK_CONTAINS(err.message, "1048576 bytes");
    ingot_matcher_reset(m);
    CHECK(ingot_matcher_accept_bytes(m, "a", 1, &accepted, &err) == INGOT_OK && accepted);
    ingot_matcher_free(m);
    ingot_grammar_free(g);
}

// Which members were taken is forgotten with the states that knew.
static void test_sets_live_on(void) {
    enum { N = 100 };
    ir *b;
    ingot_grammar *g;
    ingot_grammar_member members[N];
    char text[N * 4];
    uint32_t seed = 1;
    CHECK(ir_new(NULL, NULL, &b, NULL) == INGOT_OK);
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "m%02d", i);
        members[i] = (ingot_grammar_member){.node = ingot_grammar_builder_literal(b, text, 3)};
    }
    const int32_t comma = ingot_grammar_builder_literal(b, ",", 1);
    const int32_t root = ingot_grammar_builder_set(b, members, N, comma, false, 0, -1);
    CHECK(ingot_grammar_compile(b, root, 1 << 20, &g, NULL) == INGOT_OK);
    ingot_grammar_builder_free(b);
    for (int round = 0; round < 300; round++) {
        size_t size = 0;
        int order[N];
        for (int i = 0; i < N; i++)
            order[i] = i;
        for (int i = 0; i < 20; i++) {
            seed = seed * 1664525u + 1013904223u;
            const int other = i + (int)(seed >> 16) % (N - i), chosen = order[other];
            order[other] = order[i];
            size += (size_t)snprintf(text + size, sizeof text - size, i > 0 ? ",m%02d" : "m%02d", chosen);
        }
        CHECK(accepts(g, text, size, size));
        memcpy(text + size, text + size - 4, 4); // the last one again
        CHECK(!accepts(g, text, size + 4, size + 4));
    }
    ingot_grammar_free(g);
}

// So many ways to read a text that one step would take minutes: an error before that.
static void test_ambiguous(void) {
    ingot_grammar *g = compile("root ::= s\ns ::= s s | \"a\"\n", 0);
    char *text = repeat("a", 4000);
    ingot_matcher *m;
    ingot_error err;
    bool accepted;
    const double start = clock_seconds();
    CHECK(ingot_matcher_new(g, &m, NULL) == INGOT_OK);
    CHECK(ingot_matcher_accept_bytes(m, text, 4000, &accepted, &err) == INGOT_ERR_LIMIT);
    CHECK(clock_seconds() - start < 20.0); // it was many minutes
    CHECK(ingot_matcher_accept_bytes(m, text, 50, &accepted, &err) == INGOT_OK && accepted);
    ingot_matcher_free(m);
    ingot_grammar_free(g);
    free(text);
}

static void test_refused(void) {
    static const struct {
        const char *text;
        ingot_status status;
        const char *message;
    } cases[] = {
        {"root ::= root", INGOT_ERR_INVALID, "no text matches"},
        {"root ::= a\na ::= b\nb ::= a \"x\" | a", INGOT_ERR_INVALID, "no text matches"},
        {"root ::= [^\\x00-\\U0010FFFF]", INGOT_ERR_INVALID, "no text matches"},
        {"root ::= \"a", INGOT_ERR_FORMAT, "line 1, column 10 of the grammar: a string without an end"},
        {"root ::= \"\\q\"", INGOT_ERR_FORMAT, "unknown escape"},
        {"root ::= [z-a]", INGOT_ERR_FORMAT, "ends before it begins"},
        {"root ::= [a", INGOT_ERR_FORMAT, "expected ']'"},
        {"root ::= \"a\"{2", INGOT_ERR_FORMAT, "expected '}'"},
        {"root ::= \"a\"{3,2}", INGOT_ERR_FORMAT, "below its beginning"},
        {"root ::= \"a\"{99999999999}", INGOT_ERR_FORMAT, "1000000000"},
        {"root ::= * \"a\"", INGOT_ERR_FORMAT, "expected a rule's name"},
        {"root ::= \"a\")", INGOT_ERR_FORMAT, "without a '('"},
        {"root ::= <[x]>", INGOT_ERR_FORMAT, "a token that isn't a number"},
        {"root ::= <|name|>", INGOT_ERR_FORMAT, "needs a vocabulary"},
        {"root ::= \"a\"\nroot ::= \"b\"", INGOT_ERR_FORMAT,
         "line 2, column 1 of the grammar: a rule that was"},
        {"root ::= /a(/", INGOT_ERR_FORMAT, "line 1 of the grammar: at byte 1 of the regular expression"},
        {"", INGOT_ERR_FORMAT, "no rule 'root'"},
        {"\"a\"", INGOT_ERR_FORMAT, "expected a rule: NAME ::= BODY"},
        {"root ::= \"\\uD800\"", INGOT_ERR_FORMAT, "surrogate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ingot_grammar *g;
        ingot_error err = {0};
        CHECK(compile_in(NULL, cases[i].text, 0, &g, &err) == cases[i].status);
        CHECK_CONTAINS(err.message, cases[i].message);
    }
}

static const char *const vocabulary[] = {"a",  "aa", "[",    "]",    ",", "\"", "\",",
                                         "[[", "é",  "\xC3", "\xA9", "1", "<e>"};
enum { N_VOCABULARY = sizeof vocabulary / sizeof *vocabulary };

static ingot_status make_trie(const ingot_allocator *mem, ingot_token_trie **out, ingot_error *err) {
    ingot_str texts[N_VOCABULARY];
    uint8_t roles[N_VOCABULARY] = {0};
    for (size_t i = 0; i < N_VOCABULARY; i++)
        texts[i] = (ingot_str){vocabulary[i], strlen(vocabulary[i])};
    roles[N_VOCABULARY - 1] = INGOT_ROLE_END;
    return token_trie_new(mem, texts, roles, N_VOCABULARY, out, err);
}

// All that a matcher can do, once.
static ingot_status use(ingot_grammar *g, ingot_error *err) {
    ingot_matcher *m, *other = NULL;
    bool accepted;
    uint32_t bits;
    char text[64];
    size_t n;
    TRY(ingot_matcher_new(g, &m, err));
    ingot_status status = ingot_matcher_accept_bytes(m, "[1,\"aé", 7, &accepted, err);
    if (status == INGOT_OK)
        status = ingot_matcher_mask(m, &bits, 1, NULL, err);
    if (status == INGOT_OK)
        status = ingot_matcher_accept_token(m, 6, &accepted, err);
    if (status == INGOT_OK)
        status = ingot_matcher_fork(m, &other, err);
    if (status == INGOT_OK)
        status = ingot_matcher_shortest(other, text, sizeof text, &n, err);
    ingot_matcher_free(other);
    ingot_matcher_free(m);
    return status;
}

static const char unreached[] = "root ::= a | root \"x\"\nb ::= c a\na ::= [a-z]  c ::= b\n";

static void test_warnings(void) {
    static const char *const expected[] = {
        "line 2, column 1 of the grammar: the rule 'b' isn't reached from the root",
        "line 3, column 14 of the grammar: the rule 'c' isn't reached from the root"};
    ir *b;
    ingot_error err;
    CHECK(ir_new(NULL, NULL, &b, &err) == INGOT_OK);
    CHECK(ingot_grammar_builder_gbnf(b, json, strlen(json), "root") >= 0);
    CHECK(ingot_grammar_builder_warning(b, 0) == NULL);
    CHECK(ingot_grammar_builder_gbnf(b, unreached, strlen(unreached), "root") >= 0);
    for (size_t i = 0; i < 2; i++) {
        const char *warning = ingot_grammar_builder_warning(b, i);
        CHECK(warning != NULL && strcmp(warning, expected[i]) == 0);
    }
    CHECK(ingot_grammar_builder_warning(b, 2) == NULL);
    ingot_grammar_builder_free(b);
}

static ingot_status everything(const ingot_allocator *mem) {
    ir *b;
    ingot_error err;
    ingot_token_trie *trie;
    ingot_grammar *g;
    TRY(make_trie(mem, &trie, &err));
    ingot_status status = ir_new(mem, trie, &b, &err);
    if (status == INGOT_OK) {
        int32_t more = ingot_grammar_builder_gbnf(b, json, strlen(json), "root");
        int32_t word = ingot_grammar_builder_regex(b, "^[a-z]+$", 8, true);
        int32_t comma = ingot_grammar_builder_literal(b, ",", 1);
        ingot_grammar_member members[] = {{more, true, false}, {word, false, true}};
        (void)ingot_grammar_builder_gbnf(b, unreached, strlen(unreached), "root");
        int32_t any = ingot_grammar_builder_set(b, members, 2, comma, false, 0, -1);
        int32_t not_word = ingot_grammar_builder_complement(b, word);
        int32_t root = ingot_grammar_builder_choice(b, (const int32_t[]){any, not_word, more}, 3);
        status = ingot_grammar_compile(b, root, 0, &g, &err);
        ingot_grammar_builder_free(b);
        if (status == INGOT_OK) {
            status = use(g, &err);
            ingot_grammar_free(g);
        }
    }
    ingot_token_trie_free(trie);
    return status;
}

static void test_memory(void) {
    for (long n = 0;; n += 1 + n / 50) {
        failing_mem m;
        failing_mem_init(&m, n);
        if (!failing_mem_end(&m, everything(&m.allocator)))
            break;
    }
}

// ------------------------------------------------------------------------------------------------- threads

static void follow_along(void *arg) {
    ingot_grammar *g = arg;
    ingot_matcher *m;
    ingot_error err;
    CHECK(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    for (int32_t step = 0; step < 60; step++) {
        static const int32_t ways[] = {2, 5, 0, 6, 11, 4, 7, 3, 4};
        uint32_t bits;
        bool accepted;
        int32_t n;
        CHECK(ingot_matcher_mask(m, &bits, 1, &n, &err) == INGOT_OK && n > 0);
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            int32_t token = ways[((size_t)step + i) % (sizeof ways / sizeof *ways)];
            CHECK(ingot_matcher_accept_token(m, token, &accepted, &err) == INGOT_OK);
            CHECK(accepted == (bits >> token & 1));
            if (accepted)
                break;
        }
    }
    ingot_matcher_free(m);
}

// Matchers of one grammar on several threads, with room for so little that states come and go.
static void test_threads(void) {
    ingot_token_trie *trie;
    ir *b;
    ingot_grammar *g;
    ingot_error err;
    thread threads[4];
    CHECK(make_trie(NULL, &trie, &err) == INGOT_OK);
    CHECK(ir_new(NULL, trie, &b, &err) == INGOT_OK);
    int32_t root = ingot_grammar_builder_gbnf(b, json, strlen(json), "root");
    CHECK(ingot_grammar_compile(b, root, 60000, &g, &err) == INGOT_OK);
    ingot_grammar_builder_free(b);
    for (size_t i = 0; i < 4; i++)
        CHECK(thread_start(&threads[i], follow_along, g, "grammar", &err) == INGOT_OK);
    for (size_t i = 0; i < 4; i++)
        thread_join(threads[i]);
    ingot_grammar_free(g);
    ingot_token_trie_free(trie);
}

int main(void) {
    test_sets_come_back();
    test_depth();
    test_counts();
    test_states_without_end();
    test_sets_live_on();
    test_ambiguous();
    test_refused();
    test_warnings();
    test_memory();
    test_threads();
    return check_report();
}
