// Tags: events come as early as all ways of reading the text agree, and never change.
#include "check.h"
#include "failing_mem.h"
#include "grammar/grammar.h"

enum { CONTENT = 1, CALL = 2, NAME = 3, ITEM = 4 };

static int32_t text(ir *b, const char *literal) {
    return ingot_grammar_builder_literal(b, literal, strlen(literal));
}

static int32_t sequence3(ir *b, int32_t x, int32_t y, int32_t z) {
    return ingot_grammar_builder_sequence(b, (const int32_t[]){x, y, z}, 3);
}

// Content without "<tool>" in it, and calls between <tool> and </tool>: a name, then items in brackets.
static int32_t build_calls(ir *b) {
    int32_t any = ingot_grammar_builder_regex(b, "(.|\\n)*", 7, false);
    int32_t marker = sequence3(b, any, text(b, "<tool>"), any);
    int32_t plain = ingot_grammar_builder_complement(b, marker);
    int32_t some = ingot_grammar_builder_both(
        b, (const int32_t[]){plain, ingot_grammar_builder_regex(b, "(.|\\n)+", 7, false)}, 2);
    int32_t content = ingot_grammar_builder_tag(b, CONTENT, some);
    int32_t name = ingot_grammar_builder_tag(b, NAME, ingot_grammar_builder_regex(b, "[a-z]+", 6, false));
    int32_t items = ingot_grammar_builder_rule(b, "items", 5);
    int32_t item = ingot_grammar_builder_tag(
        b, ITEM,
        ingot_grammar_builder_choice(
            b, (const int32_t[]){ingot_grammar_builder_regex(b, "[0-9]+", 6, false), items}, 2));
    int32_t rest = ingot_grammar_builder_repeat(
        b, ingot_grammar_builder_sequence(b, (const int32_t[]){text(b, ","), item}, 2), 0, -1);
    ingot_grammar_builder_define(
        b, items,
        sequence3(b, text(b, "["), ingot_grammar_builder_sequence(b, (const int32_t[]){item, rest}, 2),
                  text(b, "]")));
    int32_t inside = ingot_grammar_builder_sequence(b, (const int32_t[]){name, items}, 2);
    int32_t call =
        ingot_grammar_builder_tag(b, CALL, sequence3(b, text(b, "<tool>"), inside, text(b, "</tool>")));
    int32_t part = ingot_grammar_builder_sequence(
        b, (const int32_t[]){call, ingot_grammar_builder_repeat(b, content, 0, 1)}, 2);
    return ingot_grammar_builder_sequence(b,
                                          (const int32_t[]){ingot_grammar_builder_repeat(b, content, 0, 1),
                                                            ingot_grammar_builder_repeat(b, part, 0, -1)},
                                          2);
}

static ingot_status compile(const ingot_allocator *mem, uint64_t bytes, ingot_grammar **out,
                            ingot_error *err) {
    ir *b;
    TRY(ir_new(mem, NULL, &b, err));
    ingot_status status = ingot_grammar_compile(b, build_calls(b), bytes, out, err);
    ingot_grammar_builder_free(b);
    return status;
}

// The events as text: "+1@0 -1@5", then "|" and how much is settled.
static const char *told(ingot_matcher *m, bool complete) {
    static char out[1024];
    ingot_tag_event events[64];
    size_t n = 0, at = 0;
    uint64_t settled = 0;
    ingot_error err;
    ingot_status status = ingot_matcher_events(m, complete, 0, events, 64, &n, &settled, &err);
    CHECK(status == INGOT_OK);
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(out + at, sizeof out - at, "%c%d@%d ", events[i].enter ? '+' : '-',
                               events[i].tag, (int)events[i].position);
    snprintf(out + at, sizeof out - at, "|%d", (int)settled);
    return out;
}

static void go(ingot_matcher *m, const char *more) {
    bool accepted;
    ingot_error err;
    CHECK(ingot_matcher_accept_bytes(m, more, strlen(more), &accepted, &err) == INGOT_OK && accepted);
}

#define TOLD(m, complete, want)                                                                              \
    do {                                                                                                     \
        const char *got_ = told(m, complete);                                                                \
        CHECK(strcmp(got_, want) == 0);                                                                      \
        if (strcmp(got_, want) != 0)                                                                         \
            fprintf(stderr, "%s instead of %s\n", got_, want);                                               \
    } while (0)

static void test_markers(ingot_grammar *g) {
    ingot_matcher *m, *other;
    ingot_error err;
    CHECK(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    TOLD(m, false, "|0");
    go(m, "Hi");
    TOLD(m, false, "+1@0 |2");
    go(m, " <to");
    TOLD(m, false, "+1@0 |3"); // perhaps the marker, from 3 on
    CHECK(ingot_matcher_fork(m, &other, &err) == INGOT_OK);
    go(other, "p>");
    TOLD(other, false, "+1@0 |8"); // it wasn't
    TOLD(other, true, "+1@0 -1@8 |8");
    ingot_matcher_free(other);
    go(m, "ol>");
    TOLD(m, false, "+1@0 -1@3 +2@3 +3@9 |9");
    go(m, "add[1");
    TOLD(m, false, "+1@0 -1@3 +2@3 +3@9 -3@12 +4@13 |14");
    go(m, "2,[3]");
    TOLD(m, false, "+1@0 -1@3 +2@3 +3@9 -3@12 +4@13 -4@15 +4@16 +4@17 -4@18 -4@19 |19");
    ingot_matcher_rollback(m, 1, &err);
    go(m, "]");
    TOLD(m, false, "+1@0 -1@3 +2@3 +3@9 -3@12 +4@13 -4@14 |15");
    go(m, "</tool>");
    TOLD(m, true, "+1@0 -1@3 +2@3 +3@9 -3@12 +4@13 -4@14 -2@22 |22");
    ingot_tag_event events[2];
    size_t n;
    CHECK(ingot_matcher_events(m, true, 6, events, 2, &n, NULL, &err) == INGOT_OK && n == 2);
    CHECK(events[0].tag == ITEM && !events[0].enter && events[1].tag == CALL && events[1].position == 22);
    CHECK(ingot_matcher_events(m, true, 5, events, 2, &n, NULL, &err) == INGOT_ERR_LIMIT && n == 3);
    ingot_matcher_reset(m);
    go(m, "<tool>a[");
    CHECK(ingot_matcher_events(m, true, 0, NULL, 0, &n, NULL, &err) == INGOT_ERR_STATE);
    TOLD(m, false, "+2@0 +3@6 -3@7 +4@8 |8");
    ingot_matcher_free(m);
}

// What was told stays true, byte by byte, whatever is thrown away meanwhile.
static void test_nothing_is_taken_back(ingot_grammar *g) {
    static const char all[] =
        "a < b <tool>f[1,[22,[3]],4]</tool> and <tool <<tool>g[5]</tool><tool>h[[6],7]</tool>.";
    ingot_matcher *m;
    ingot_error err;
    ingot_tag_event before[64], now[64];
    size_t n_before = 0, n;
    uint64_t settled_before = 0, settled;
    CHECK(ingot_matcher_new(g, &m, &err) == INGOT_OK);
    for (size_t i = 0; i + 1 < sizeof all; i++) {
        bool accepted;
        CHECK(ingot_matcher_accept_bytes(m, all + i, 1, &accepted, &err) == INGOT_OK && accepted);
        CHECK(ingot_matcher_events(m, false, 0, now, 64, &n, &settled, &err) == INGOT_OK);
        CHECK(n >= n_before && settled >= settled_before && settled <= i + 1);
        for (size_t k = 0; k < n; k++) {
            if (k < n_before)
                CHECK(now[k].tag == before[k].tag && now[k].enter == before[k].enter &&
                      now[k].position == before[k].position);
            else
                CHECK(now[k].position >= settled_before);
            before[k] = now[k];
        }
        n_before = n;
        settled_before = settled;
    }
    CHECK(ingot_matcher_events(m, true, 0, now, 64, &n, &settled, &err) == INGOT_OK && n == 38);
    ingot_matcher_free(m);
}

static void test_memory(void) {
    for (long fail_at = 0;; fail_at += 1 + fail_at / 30) {
        failing_mem mem;
        failing_mem_init(&mem, fail_at);
        ingot_grammar *g;
        ingot_error err;
        ingot_status status = compile(&mem.allocator, 0, &g, &err);
        if (status == INGOT_OK) {
            ingot_matcher *m = NULL, *other = NULL;
            ingot_tag_event events[8];
            size_t n;
            bool accepted;
            status = ingot_matcher_new(g, &m, &err);
            if (status == INGOT_OK)
                status = ingot_matcher_accept_bytes(m, "a<tool>b[1]", 11, &accepted, &err);
            if (status == INGOT_OK)
                status = ingot_matcher_fork(m, &other, &err);
            if (status == INGOT_OK)
                status = ingot_matcher_events(other, false, 0, events, 8, &n, NULL, &err);
            ingot_matcher_free(other);
            ingot_matcher_free(m);
            ingot_grammar_free(g);
        }
        if (!failing_mem_end(&mem, status))
            break;
    }
}

int main(void) {
    for (uint64_t bytes = 0; bytes < 2; bytes++) {
        ingot_grammar *g = NULL;
        ingot_error err = {0};
        CHECK(compile(NULL, bytes * 200000, &g, &err) == INGOT_OK);
        if (!g) {
            fprintf(stderr, "%s\n", err.message);
            break;
        }
        test_markers(g);
        test_nothing_is_taken_back(g);
        ingot_grammar_free(g);
    }
    test_memory();
    return check_report();
}
