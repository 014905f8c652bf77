// Stop texts, and KV pages.
#include "check.h"

#include <float.h>
#include <math.h>

#include "failing_mem.h"
#include "run/pages.h"
#include "run/rng.h"
#include "run/sample.h"
#include "run/stop.h"

// Feeds `text` and returns how many bytes were taken when a stop text was complete (0: none); *which says
// which.
static size_t feed_all(stop_set *s, const char *text, int *which) {
    for (size_t i = 0; text[i]; i++) {
        *which = stop_set_feed(s, text[i]);
        if (*which >= 0)
            return i + 1;
    }
    return 0;
}

static void test_stop(void) {
    const ingot_str texts[] = {{"\n\nUser", 6}, {"aab", 3}, {"xaab", 4}};
    ingot_error err;
    stop_set s;
    int which;
    CHECK(stop_set_init(&s, texts, 3, "stop", NULL, &err) == INGOT_OK);
    CHECK(feed_all(&s, "aaaaab", &which) == 6 && which == 1);
    stop_set_free(&s);
    CHECK(stop_set_init(&s, texts, 3, "stop", NULL, &err) == INGOT_OK);
    CHECK(feed_all(&s, "\n\n\nUse", &which) == 0);
    CHECK(stop_set_held(&s) == 5);
    CHECK(feed_all(&s, "d aa", &which) == 0 && stop_set_held(&s) == 2);
    CHECK(feed_all(&s, "xaab", &which) == 4 && which == 2);
    stop_set_free(&s);

    ingot_str empty = {"", 0};
    CHECK(stop_set_init(&s, &empty, 1, "stop", NULL, &err) == INGOT_ERR_INVALID);
    CHECK(stop_set_init(&s, texts, 0, "stop", NULL, &err) == INGOT_OK);
    CHECK(stop_set_feed(&s, 'a') == -1 && stop_set_held(&s) == 0);
    stop_set_free(&s);
}

static void test_stop_memory(void) {
    const ingot_str texts[] = {{"one", 3}, {"two", 3}};
    for (long n = 0;; n++) {
        failing_mem m;
        stop_set s;
        failing_mem_init(&m, n);
        ingot_status status = stop_set_init(&s, texts, 2, "stop", &m.allocator, NULL);
        if (status == INGOT_OK)
            stop_set_free(&s);
        if (!failing_mem_end(&m, status))
            break;
    }
}

static void test_pages(void) {
    page_pool pool;
    sequence a, b;
    ingot_error err;
    CHECK(page_pool_init(&pool, 4, NULL) == INGOT_OK);
    CHECK(sequence_init(&a, 4 * PAGE_TOKENS, NULL) == INGOT_OK);
    CHECK(sequence_init(&b, 4 * PAGE_TOKENS, NULL) == INGOT_OK);
    CHECK(sequence_reserve(&a, &pool, PAGE_TOKENS + 1, NULL) == INGOT_OK && a.n_pages == 2 &&
          a.pages[0] == 0);
    CHECK(sequence_reserve(&a, &pool, PAGE_TOKENS, NULL) == INGOT_OK && a.n_pages == 2);
    CHECK(sequence_reserve(&b, &pool, 3 * PAGE_TOKENS, &err) == INGOT_ERR_LIMIT && b.n_pages == 0);
    CHECK_CONTAINS(err.message, "2 of 4 are free");
    CHECK(sequence_reserve(&b, &pool, 2 * PAGE_TOKENS, NULL) == INGOT_OK && pool.n_free == 0);
    a.n_tokens = PAGE_TOKENS + 1;
    sequence_truncate(&a, &pool, 5);
    CHECK(a.n_tokens == 5 && a.n_pages == 1 && pool.n_free == 1);
    sequence_free(&a, &pool);
    sequence_free(&b, &pool);
    CHECK(pool.n_free == 4);
    page_pool_free(&pool);
}

int main(void) {
    test_stop();
    test_stop_memory();
    test_pages();
    return check_report();
}
