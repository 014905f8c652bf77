// Patterns that search names.
#include "base/pattern.h"
#include "check.h"

static bool found(const char *text, const char *name) {
    pattern *p;
    ingot_error err = {0};
    ingot_status status = pattern_new(text, NULL, &p, &err);
    CHECK(status == INGOT_OK);
    if (status != INGOT_OK) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    bool result = pattern_found(p, name);
    pattern_free(p);
    return result;
}

static void test_found(void) {
    static const struct {
        const char *pattern, *name;
        bool found;
    } cases[] = {
        {"attn_v", "blk.0.attn_v.weight", true},
        {"ATTN_V", "blk.0.attn_v.weight", true},
        {"^attn_v", "blk.0.attn_v.weight", false},
        {"^blk\\.0\\..*weight$", "blk.0.attn_v.weight", true},
        {"blk\\.(0|1|2)\\.", "blk.12.attn_v.weight", false},
        {"blk\\.(?:1[0-2])\\.", "blk.12.attn_v.weight", true},
        {"blk\\.\\d{2}\\.", "blk.12.attn_v.weight", true},
        {"blk\\.\\d{2}\\.", "blk.1.attn_v.weight", false},
        {"blk.+?weight", "blk.1.attn_v.weight", true},
        {"[\\d]\\.[^\\d.]+\\.w", "blk.1.attn_v.weight", true},
        {"\\w+_\\w\\.\\D", "blk.1.attn_v.weight", true},
        {"[.\\]^-]", "a]b", true},
        {"[.\\]^-]", "a^b", true},
        {"[.\\]^-]", "a-b", true},
        {"[.\\]^-]", "a[b", false},
        {"[\\^]", "a^b", true},
        {"[\\^]", "ab", false},
        {"[\\-^]x", "a^x", true},
        {"[^\\^]", "^", false},
        {"a{2,}", "aa", true},
        {"\\s|\\S{9}", "12345678", false},
        {"x*?y??", "", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool result = found(cases[i].pattern, cases[i].name);
        CHECK(result == cases[i].found);
        if (result != cases[i].found)
            fprintf(stderr, "pattern %s, name %s\n", cases[i].pattern, cases[i].name);
    }
}

static void test_refused(void) {
    static const struct {
        const char *pattern, *why;
    } cases[] = {
        {"", "empty"},           {"a(", "no regular expression"},
        {"[a", "isn't closed"},  {"[b-a]", "backwards"},
        {"[[:digit:]]", "\\d"},  {"(?=a)", "(?:...)"},
        {"(a)\\1", "backslash"}, {"a\\", "backslash"},
        {"[]", "empty"},         {"[a-\\d]", "backwards"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pattern *p;
        ingot_error err = {0};
        CHECK(pattern_new(cases[i].pattern, NULL, &p, &err) == INGOT_ERR_INVALID);
        CHECK(p == NULL);
        CHECK_CONTAINS(err.message, cases[i].why);
    }
}

int main(void) {
    test_found();
    test_refused();
    return check_report();
}
