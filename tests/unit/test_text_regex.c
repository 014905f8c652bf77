// The expressions that split texts, the Unicode tables, and the tables of strings.
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "failing_mem.h"
#include "text/heap.h"
#include "text/pre.h"
#include "text/regex.h"
#include "text/strmap.h"
#include "text/trie.h"
#include "text/unicode.h"

#define MEGABYTE 1048576

// Splits at the matches of `pattern` and joins the pieces with '/'. "(error)" if it doesn't compile.
static const char *split(const char *pattern, const char *text) {
    static char out[512];
    regex *r;
    ingot_error err;
    if (regex_new(pattern, NULL, &r, &err) != INGOT_OK)
        return "(error)";
    size_t size = strlen(text);
    uint8_t cuts[256] = {1};
    uint8_t classes[256];
    uint16_t states[257];
    regex_split(r, text, size, cuts, &(regex_scratch){classes, states});
    regex_free(r, NULL);
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (i > 0 && cuts[i])
            out[n++] = '/';
        out[n++] = text[i];
    }
    out[n] = '\0';
    return out;
}

#define SPLIT(pattern, text, want) CHECK(strcmp(split(pattern, text), want) == 0)

static void test_syntax(void) {
    SPLIT("b", "abcb", "a/b/c/b");
    SPLIT("a|ab", "abab", "a/b/a/b"); // the first alternative that matches, not the longest
    SPLIT("ab|a", "aba", "ab/a");
    SPLIT("(?:ab)+", "ababxab", "abab/x/ab");
    SPLIT("x?y", "xyyxz", "xy/y/xz");
    SPLIT("a{2}", "aaaaa", "aa/aa/a");
    SPLIT("a{2,3}", "aaaaaaa", "aaa/aaa/a");
    SPLIT("a{2,}", "aaaabaab", "aaaa/b/aa/b");
    SPLIT("(ab|c){1,2}z", "abcz", "abcz");
    SPLIT("[a-c]+", "xabcy", "x/abc/y");
    SPLIT("[^a-c]+", "xabcy", "x/abc/y");
    SPLIT("[\\]x-]+", "a]-xb", "a/]-x/b");
    SPLIT("[a-z&&[^b-d]]+", "abcde", "a/bcd/e");
    SPLIT("[\\p{L}&&[^x]]", "ax", "a/x");
    SPLIT("(?i:don't)", "DoN'T", "DoN'T");
    SPLIT("(?i:[sd])t", "StDTsT", "St/DTsT"); // the group alone folds
    SPLIT(".", "a\nb", "a/\n/b");
    SPLIT("a$", "aa", "a/a");
    SPLIT("\\.\\|", "a.|", "a/.|");
    SPLIT("", "ab", "a/b");
}

static void test_unicode_classes(void) {
    SPLIT("\\p{L}+", "né1", "né/1");
    SPLIT("\\p{Lu}", "aÉb", "a/É/b");
    SPLIT("\\p{N}", "１½a", "１/½/a");
    SPLIT("\\P{L}+", "a12b", "a/12/b");
    SPLIT("\\p{Han}+", "a中文b", "a/中文/b");
    SPLIT("\\s+", "a\xC2\xA0\xE3\x80\x80z", "a/\xC2\xA0\xE3\x80\x80/z");
    SPLIT("\\S+", "ab c", "ab/ /c");
    SPLIT("\\d", "a1", "a/1");
    SPLIT("\\D", "a1", "a/1");
    SPLIT("[一-龥]+", "x中y", "x/中/y");
    SPLIT("\\p{S}", "a\xFFz", "a/\xFF/z"); // not UTF-8: U+FFFD, a symbol
}

static void test_look_ahead(void) {
    SPLIT("\\s+(?!\\S)", "a   b", "a/  / b");
    SPLIT("\\s+(?!\\S)|\\s", "a  b ", "a/ / /b/ ");
    SPLIT("a(?=b)", "abac", "a/bac");
    SPLIT("(?=(\\d{3})+(?!\\d))", "1234567", "1/234/567"); // matches of no width split, too
    SPLIT("x(?!a(?=b))", "xabxac", "xab/x/ac");
    SPLIT("\\d{1,3}(?=(?:\\d{3})*(?!\\d))", "12345a1", "12/345/a/1");
}

static void test_possessive(void) {
    SPLIT("a++b", "aab", "aab");
    SPLIT("a++ab", "aaab", "aaab"); // nothing is given back
    SPLIT("a+ab", "xaaab", "x/aaab");
    SPLIT("a*+b", "bab", "b/ab");
    SPLIT("[ab]?+a", "baa", "ba/a"); // the second a is taken and not given back
}

static void test_bad_patterns(void) {
    static const char *const bad[] = {
        "(",
        ")",
        "a)",
        "[a",
        "[b-a]",
        "*",
        "a**",
        "a{2",
        "a{3,2}",
        "a{9999}",
        "\\",
        "\\q",
        "\\1",
        "\\p{Foo}",
        "\\pL",
        "(?<a)",
        "(?i)",
        "(a*)*",
        "(a|)+",
        "[\\S]",
        "a+?",
        "(ab)++",
        "a{2}+",
        "\\p{L",
        "a{,3}",
        "(?=a)*",
        "(((a{0}){1024}){1024}){1024}",
        "((){1024}){1024}",
        "((((((((((((((a))))))))))))))",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        regex *r = (regex *)&r;
        ingot_error err = {0};
        ingot_status status = regex_new(bad[i], NULL, &r, &err);
        if (status == INGOT_OK)
            fprintf(stderr, "accepted: %s\n", bad[i]);
        CHECK(status == INGOT_ERR_FORMAT && r == NULL);
        CHECK_CONTAINS(err.message, "regular expression, byte");
    }
    regex *r;
    ingot_error err = {0};
    CHECK(regex_new("(?:a{1000}){1000}", NULL, &r, &err) == INGOT_ERR_FORMAT);
    // A set of followers that has to be counted for 20 characters: 2^20 states.
    CHECK(regex_new("a(?=[ab]{20}b)c|(?=.{19}a.{3}b)d", NULL, &r, &err) == INGOT_ERR_LIMIT);
}

// Texts and expressions that make a backtracking matcher, or one that scans ahead for every match, quadratic.
static void test_linear_time(void) {
    static const char *const patterns[] = {
        "\\s+(?!\\S)|\\s+", "\\s*[\\r\\n]+|\\s", "(?=(\\d{3})+(?!\\d))",
        "(?:a+b|a)",        "\\p{L}+|a",         "a{1,3}(?=(aaa)*$)",
    };
    static const char fills[] = {' ', '1', 'a'};
    char *text = malloc(MEGABYTE);
    uint8_t *cuts = malloc(MEGABYTE);
    uint8_t *classes = malloc(MEGABYTE);
    uint16_t *states = malloc((MEGABYTE + 1) * sizeof *states);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        regex *r;
        CHECK(regex_new(patterns[i], NULL, &r, NULL) == INGOT_OK);
        for (size_t j = 0; j < sizeof fills; j++) {
            memset(text, fills[j], MEGABYTE);
            memset(cuts, 0, MEGABYTE);
            cuts[0] = 1;
            clock_t start = clock();
            regex_split(r, text, MEGABYTE, cuts, &(regex_scratch){classes, states});
            CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 5);
        }
        regex_free(r, NULL);
    }
    free(text);
    free(cuts);
    free(classes);
    free(states);
}

static void test_every_row(void) {
    char names[2048];
    pre_list(names, sizeof names);
    int found = 0;
    for (const char *name = strtok(names, " "); name; name = strtok(NULL, " "), found++) {
        const pre_row *row = pre_find((ingot_str){name, strlen(name)});
        CHECK(row != NULL);
        for (int i = 0; row->expressions[i]; i++) {
            regex *r;
            ingot_error err = {0};
            if (regex_new(row->expressions[i], NULL, &r, &err) != INGOT_OK)
                fprintf(stderr, "%s: %s\n", name, err.message);
            CHECK(r != NULL);
            regex_free(r, NULL);
        }
    }
    CHECK(found > 80);
    CHECK(pre_find((ingot_str){"llama3", 6}) == pre_find((ingot_str){"llama-bpe", 9}));
    CHECK(pre_find((ingot_str){"llama", 5}) == NULL);
    CHECK(pre_find((ingot_str){"", 0}) == NULL);
    CHECK(pre_find((ingot_str){"llama3 llama-v3", 15}) == NULL);
    char list[40];
    pre_list(list, sizeof list);
    CHECK(strlen(list) < sizeof list);
    CHECK_CONTAINS(list, "default llama3 ");
}

static void test_regex_memory(void) {
    for (long n = 0;; n++) {
        failing_mem m;
        failing_mem_init(&m, n);
        regex *r;
        ingot_error err = {0};
        ingot_status status = regex_new("'s|\\p{L}+|a{1,3}(?=b)", &m.allocator, &r, &err);
        regex_free(r, &m.allocator);
        if (!failing_mem_end(&m, status))
            break;
    }
}

static void test_unicode(void) {
    CHECK(unicode_category_of('a') == UNICODE_LL);
    CHECK(unicode_category_of(0x1F600) == UNICODE_SO);
    CHECK(unicode_category_of(0x0378) == UNICODE_CN);
    CHECK(unicode_category_of(0x10FFFF) == UNICODE_CN);
    CHECK(unicode_category_of(0x110000) == UNICODE_CN);
    CHECK(unicode_category_of(0x2FFC) == UNICODE_SO); // assigned in Unicode 15.1
    CHECK(unicode_lower('A') == 'a' && unicode_lower('a') == 'a' && unicode_lower('[') == '[');
    CHECK(unicode_lower(0x0100) == 0x0101 && unicode_lower(0x0101) == 0x0101);
    CHECK(unicode_lower(0x0130) == 'i' && unicode_lower(0x1E921) == 0x1E943);
    CHECK(unicode_base(0x00E9) == 'e' && unicode_base(0xAC01) == 0x1100 && unicode_base('e') == 'e');
    CHECK(unicode_is_space(' ') && unicode_is_space(0x3000) && !unicode_is_space(0x200B) &&
          !unicode_is_space('a'));
    unicode_range run;
    unicode_category category;
    uint32_t next = 0;
    for (size_t i = 0; unicode_category_run(i, &run, &category); i++) {
        CHECK(run.first == next && run.last >= run.first);
        next = run.last + 1;
    }
    CHECK(next == UNICODE_MAX + 1);
}

static void test_strmap(void) {
    strmap map;
    CHECK(strmap_init(&map, NULL, 0, NULL) == INGOT_OK);
    char *names = strmap_copy(&map, 5000 * 8);
    for (int i = 0; i < 5000; i++) {
        snprintf(names + i * 8, 8, "n%d", i / 2); // every name twice
        CHECK(strmap_push(&map, (ingot_str){names + i * 8, strlen(names + i * 8)}, NULL) == INGOT_OK);
    }
    CHECK(strmap_push(&map, (ingot_str){NULL, 0}, NULL) == INGOT_OK);
    CHECK(strmap_find(&map, "n1", 2) == -1);
    CHECK(strmap_index(&map, 0, NULL) == INGOT_OK);
    CHECK(strmap_find(&map, "n1", 2) == 2);
    CHECK(strmap_find(&map, "n2499", 5) == 4998);
    CHECK(strmap_find(&map, "n2500", 5) == -1);
    CHECK(strmap_find(&map, "", 0) == -1);
    const char *text = "n123456789012345678901234567890";
    for (size_t i = 0; i <= 5; i++) // however it is cut in two
        CHECK(strmap_find_joined(&map, (ingot_str){text, i}, (ingot_str){text + i, 5 - i}) == 2468);
    ingot_str many[32];
    int32_t ids[32];
    for (size_t i = 0; i < 31; i++)
        many[i] = (ingot_str){text, i};
    strmap_find_many(&map, many, 31, ids);
    for (size_t i = 0; i < 31; i++)
        CHECK(ids[i] == strmap_find(&map, text, i));
    CHECK(ids[2] == 2 && ids[5] == 2468 && ids[6] == -1);
    strmap_free(&map);
}

static void test_trie(void) {
    trie t;
    CHECK(trie_init(&t, NULL, 0, NULL) == INGOT_OK);
    const ingot_str texts[] = {{"he", 2}, {"she", 3}, {"his", 3}, {"hers", 4}, {"", 0}, {"he", 2}};
    const int32_t values[] = {0, 1, 2, 3, 4, 5};
    CHECK(trie_add(&t, texts, values, 6, NULL) == INGOT_OK);
    CHECK(trie_link(&t, NULL) == INGOT_OK);
    int32_t found[8];
    int n = 0;
    uint32_t node = TRIE_ROOT;
    for (const char *c = "ushers"; *c; c++) {
        node = trie_step(&t, node, (unsigned char)*c);
        for (uint32_t i = t.longest[node]; i != TRIE_ROOT && n < 8; i = t.longest[t.shorter[i]])
            found[n++] = t.values[i];
    }
    CHECK(n == 3 && found[0] == 1 && found[1] == 0 && found[2] == 3);
    trie_free(&t);
}

static void test_heap(void) {
    heap h = {0};
    uint64_t x = 1;
    for (int i = 0; i < 1000; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        CHECK(heap_push(&h, NULL, x >> 50));
    }
    uint64_t last = 0;
    bool sorted = true;
    while (h.n > 0) {
        uint64_t top = heap_pop(&h);
        sorted = sorted && top >= last;
        last = top;
    }
    CHECK(sorted && last > 0);
    free(h.items);
}

int main(void) {
    test_syntax();
    test_unicode_classes();
    test_look_ahead();
    test_possessive();
    test_bad_patterns();
    test_linear_time();
    test_every_row();
    test_regex_memory();
    test_unicode();
    test_strmap();
    test_trie();
    test_heap();
    return check_report();
}
