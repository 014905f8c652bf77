// Matches of regular expressions in a stream of bytes.
#include "grammar/search.h"

#include "check.h"
#include "failing_mem.h"

// Feeds `text` and returns how many bytes were taken when the first match was complete (0: none).
static size_t feed(search *s, const char *text, size_t *length) {
    *length = 0;
    for (size_t i = 0; text[i]; i++) {
        CHECK(search_feed(s, text[i], length, NULL) == INGOT_OK);
        if (*length > 0)
            return i + 1;
    }
    return 0;
}

static void finds(const char *pattern, const char *text, size_t end, size_t length) {
    search *s;
    ingot_error err;
    size_t matched;
    const ingot_status status = search_new(NULL, pattern, strlen(pattern), &s, &err);
    CHECK(status == INGOT_OK);
    if (status != INGOT_OK)
        return;
    CHECK(feed(s, text, &matched) == end && matched == length);
    search_reset(s);
    CHECK(feed(s, text, &matched) == end && matched == length);
    search_free(s);
}

static void refuses(const char *pattern, const char *why) {
    search *s;
    ingot_error err = {.message = ""};
    CHECK(search_new(NULL, pattern, strlen(pattern), &s, &err) != INGOT_OK);
    CHECK_CONTAINS(err.message, why);
}

static void test_matches(void) {
    finds("b+", "aabbb", 3, 1);                    // the first to be complete
    finds("[0-9]+ *kg", "it weighs 12 kg", 15, 5); // from as early as it can begin
    finds("a.c|bc", "xabc", 4, 3);
    finds("(ab)*c", "ababd ababc", 11, 5);
    finds("^ab", "ab", 2, 2);
    finds("^ab", "xab", 0, 0);
    finds("\\n\\nQ:", "A\n\n\nQ: x", 6, 4);
    finds("\xc3\xa9", "caf\xc3\xa9!", 5, 2);
    finds("abc", "ababab", 0, 0);
}

static void test_held(void) {
    search *s;
    size_t length;
    CHECK(search_new(NULL, "abc|bd", 6, &s, NULL) == INGOT_OK);
    CHECK(search_held(s) == 0);
    CHECK(feed(s, "xab", &length) == 0 && search_held(s) == 2);
    CHECK(feed(s, "x", &length) == 0 && search_held(s) == 0);
    CHECK(feed(s, "b", &length) == 0 && search_held(s) == 1);
    search_free(s);
}

static void test_refusals(void) {
    refuses("a*", "matches the empty text");
    refuses("a$", "leave it out");
    refuses("(a", "without a ')'");
    refuses("(?=a)b", "regular expression");
}

// Every beginning goes on for its own while: one attempt each.
static void test_many_attempts(void) {
    search *s;
    size_t length;
    CHECK(search_new(NULL, "a[ab]{1000}c", 12, &s, NULL) == INGOT_OK);
    for (int i = 0; i < 20000; i++)
        CHECK(search_feed(s, "ab"[i % 2], &length, NULL) == INGOT_OK && length == 0);
    CHECK(search_held(s) <= 1002);
    CHECK(feed(s, "c", &length) == 0 || length == 1002);
    search_free(s);
}

static void test_memory(void) {
    for (long n = 0;; n++) {
        failing_mem m;
        search *s;
        size_t length;
        failing_mem_init(&m, n);
        ingot_status status = search_new(&m.allocator, "a+b|cd", 6, &s, NULL);
        if (status == INGOT_OK) {
            for (const char *c = "xaacd"; *c && status == INGOT_OK; c++)
                status = search_feed(s, *c, &length, NULL);
            search_free(s);
        }
        if (!failing_mem_end(&m, status))
            break;
    }
}

int main(void) {
    test_matches();
    test_held();
    test_refusals();
    test_many_attempts();
    test_memory();
    return check_report();
}
