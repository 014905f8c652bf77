// Stop texts, sampling, and KV pages.
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
    CHECK(stop_set_init(&s, texts, 3, NULL, &err) == INGOT_OK);
    CHECK(feed_all(&s, "aaaaab", &which) == 6 && which == 1);
    stop_set_free(&s);
    CHECK(stop_set_init(&s, texts, 3, NULL, &err) == INGOT_OK);
    CHECK(feed_all(&s, "\n\n\nUse", &which) == 0);
    CHECK(stop_set_held(&s) == 5);
    CHECK(feed_all(&s, "d aa", &which) == 0 && stop_set_held(&s) == 2);
    CHECK(feed_all(&s, "xaab", &which) == 4 && which == 2);
    stop_set_free(&s);

    ingot_str empty = {"", 0};
    CHECK(stop_set_init(&s, &empty, 1, NULL, &err) == INGOT_ERR_INVALID);
    CHECK(stop_set_init(&s, texts, 0, NULL, &err) == INGOT_OK);
    CHECK(stop_set_feed(&s, 'a') == -1 && stop_set_held(&s) == 0);
    stop_set_free(&s);
}

static void test_stop_memory(void) {
    const ingot_str texts[] = {{"one", 3}, {"two", 3}};
    for (long n = 0;; n++) {
        failing_mem m;
        stop_set s;
        failing_mem_init(&m, n);
        ingot_status status = stop_set_init(&s, texts, 2, &m.allocator, NULL);
        if (status == INGOT_OK)
            stop_set_free(&s);
        if (!failing_mem_end(&m, status))
            break;
    }
}

// Sets one parameter of the defaults by name.
static sample_params with(const char *name, double value, double temperature) {
    double values[64];
    size_t n = 0;
    for (; ingot_sampler_param_at((int32_t)n); n++) {
        const ingot_sampler_param *row = ingot_sampler_param_at((int32_t)n);
        values[n] = strcmp(row->name, name) == 0            ? value
                    : strcmp(row->name, "temperature") == 0 ? temperature
                    : strcmp(row->name, "top_k") == 0       ? 0
                    : strcmp(row->name, "top_p") == 0       ? 1
                    : strcmp(row->name, "min_p") == 0       ? 0
                                                            : row->default_value;
    }
    sample_params p;
    CHECK(sample_params_read(values, n, &p, NULL) == INGOT_OK);
    return p;
}

enum { N_VOCAB = 6, DRAWS = 20000 };
static const float LOGITS[N_VOCAB] = {1.0f, 3.0f, 2.0f, -1.0f, 3.0f, 0.0f};

// How often each token is drawn.
static void histogram(const sample_params *p, const float *logits, const int32_t *recent, int32_t n_recent,
                      double *share) {
    sampler s;
    CHECK(sampler_init(&s, N_VOCAB, NULL, NULL) == INGOT_OK);
    for (int i = 0; i < N_VOCAB; i++)
        share[i] = 0.0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        int32_t token = -1;
        const sample_input in = {.logits = logits, .recent = recent, .n_recent = n_recent};
        CHECK(sampler_choose(&s, p, 42, i, &in, &token, NULL) == INGOT_OK);
        if (token >= 0 && token < N_VOCAB)
            share[token] += 1.0 / DRAWS;
    }
    sampler_free(&s);
}

// Checks the drawn shares against a softmax of `logits` / temperature over the tokens in `kept`.
static void check_shares(const sample_params *p, const float *logits, const int32_t *recent, int32_t n_recent,
                         const float *expected_logits, double temperature, unsigned kept) {
    double share[N_VOCAB], total = 0.0;
    histogram(p, logits, recent, n_recent, share);
    for (int i = 0; i < N_VOCAB; i++)
        total += kept >> i & 1 ? exp((double)expected_logits[i] / temperature) : 0.0;
    for (int i = 0; i < N_VOCAB; i++) {
        double expected = kept >> i & 1 ? exp((double)expected_logits[i] / temperature) / total : 0.0;
        CHECK(fabs(share[i] - expected) < 0.015);
        CHECK(expected > 0.0 || share[i] == 0.0);
    }
}

static void test_sampling(void) {
    sample_params p = with("", 0, 0.0);
    float nothing[N_VOCAB];
    sampler s;
    int32_t token;
    ingot_error err;
    CHECK(sampler_init(&s, N_VOCAB, NULL, NULL) == INGOT_OK);
    const uint32_t some = 1 << 0 | 1 << 2, bad = 1 << 3;
    sample_input in = {.logits = LOGITS};
    CHECK(sampler_choose(&s, &p, 1, 0, &in, &token, NULL) == INGOT_OK && token == 1); // ties: the lower one
    in = (sample_input){.logits = LOGITS, .allowed = &some, .words = 1};
    CHECK(sampler_choose(&s, &p, 1, 0, &in, &token, NULL) == INGOT_OK && token == 2);
    const float banned[N_VOCAB] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    in = (sample_input){.logits = banned};
    CHECK(sampler_choose(&s, &p, 1, 0, &in, &token, &err) == INGOT_ERR_INVALID);
    const float ban[N_VOCAB] = {0.0f, 0.0f, 0.0f, -INFINITY, 0.0f, 0.0f};
    in = (sample_input){.logits = ban, .allowed = &bad, .words = 1};
    CHECK(sampler_choose(&s, &p, 1, 0, &in, &token, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "grammar");
    const float nan[N_VOCAB] = {NAN, -5.0f, NAN, -9.0f, NAN, NAN};
    in = (sample_input){.logits = nan};
    CHECK(sampler_choose(&s, &p, 1, 0, &in, &token, NULL) == INGOT_OK && token == 1);
    for (int i = 0; i < N_VOCAB; i++)
        nothing[i] = NAN;
    in.logits = nothing;
    CHECK(sampler_choose(&s, &p, 1, 0, &in, &token, &err) == INGOT_ERR_FORMAT);
    CHECK_CONTAINS(err.message, "damaged");
    sampler_free(&s);

    p = with("", 0, 1.0);
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 1.0, 0x3f);
    p = with("", 0, 2.0);
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 2.0, 0x3f);
    p = with("top_k", 3, 1.0);
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 1.0, 1u << 1 | 1u << 2 | 1u << 4);
    p = with("top_k", 1, 5.0);
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 5.0, 1u << 1);
    p = with("top_p", 0.7, 1.0); // e^3, e^3 of 50.7: 0.79 together, 0.396 alone
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 1.0, 1u << 1 | 1u << 4);
    p = with("min_p", 0.1, 1.0); // e^-1 = 0.37, e^-2 = 0.135, e^-3 = 0.05
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 1.0, 1u << 0 | 1u << 1 | 1u << 2 | 1u << 4);
}

static void test_penalties(void) {
    const int32_t recent[] = {3, 3, 1, 3, 2, 1};
    float expected[N_VOCAB];
    sample_params p = with("repeat_penalty", 2.0, 1.0);
    memcpy(expected, LOGITS, sizeof expected);
    expected[1] = 1.5f, expected[2] = 1.0f, expected[3] = -2.0f;
    check_shares(&p, LOGITS, recent, 6, expected, 1.0, 0x3f);
    p = with("frequency_penalty", 0.5, 1.0);
    memcpy(expected, LOGITS, sizeof expected);
    expected[1] -= 1.0f, expected[2] -= 0.5f, expected[3] -= 1.5f;
    check_shares(&p, LOGITS, recent, 6, expected, 1.0, 0x3f);
    p = with("presence_penalty", 1.5, 1.0);
    p.repeat_last_n = 2; // tokens 2 and 1 alone
    memcpy(expected, LOGITS, sizeof expected);
    expected[1] -= 1.5f, expected[2] -= 1.5f;
    check_shares(&p, LOGITS, recent, 6, expected, 1.0, 0x3f);
}

// Stages together, where another order would keep other tokens.
static void test_order(void) {
    const int32_t recent[] = {1, 1, 1};
    float expected[N_VOCAB];
    // min_p looks at the probabilities before the temperature flattens them.
    sample_params p = with("min_p", 0.1, 4.0);
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 4.0, 1u << 0 | 1u << 1 | 1u << 2 | 1u << 4);
    // Penalties come before top_k: token 1 falls out of the best two.
    p = with("frequency_penalty", 1.0, 1.0);
    p.top_k = 2;
    memcpy(expected, LOGITS, sizeof expected);
    expected[1] = 0.0f;
    check_shares(&p, LOGITS, recent, 3, expected, 1.0, 1u << 2 | 1u << 4);
    // top_k before top_p: of the best three, e^3, e^3, e^2, two reach 0.8; of all six they don't.
    p = with("top_p", 0.8, 1.0);
    p.top_k = 3;
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 1.0, 1u << 1 | 1u << 4);
    p.top_k = 0;
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 1.0, 1u << 1 | 1u << 2 | 1u << 4);
}

static void test_extremes(void) {
    const float infinite[N_VOCAB] = {1.0f, INFINITY, 2.0f, -INFINITY, 0.0f, 0.0f};
    const int32_t recent[] = {2, 4};
    sample_params p = with("", 0, 1e-40);
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 1e-2, 1u << 1 | 1u << 4);
    p = with("top_p", 0.0, 1.0);
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 1.0, 1u << 1);
    p = with("min_p", 1.0, 1.0);
    check_shares(&p, LOGITS, NULL, 0, LOGITS, 1.0, 1u << 1 | 1u << 4);
    p = with("", 0, 1.0);
    check_shares(&p, infinite, NULL, 0, LOGITS, 1.0, 1u << 1);
    float expected[N_VOCAB];
    p = with("presence_penalty", 1.0, 1.0);
    p.repeat_last_n = 0;
    check_shares(&p, LOGITS, recent, 2, LOGITS, 1.0, 0x3f);
    p.repeat_last_n = -1;
    memcpy(expected, LOGITS, sizeof expected);
    expected[2] -= 1.0f, expected[4] -= 1.0f;
    check_shares(&p, LOGITS, recent, 2, expected, 1.0, 0x3f);
    // The greedy choice doesn't need the list of candidates, but agrees with it.
    const float largest[N_VOCAB] = {NAN, FLT_MAX, INFINITY, -INFINITY, 0.0f, NAN};
    p = with("", 0, 0.0);
    check_shares(&p, largest, NULL, 0, LOGITS, 1.0, 1u << 1);
    p = with("presence_penalty", 1.0, 0.0);
    check_shares(&p, largest, NULL, 0, LOGITS, 1.0, 1u << 1);
}

static void test_sampling_params(void) {
    sample_params p;
    ingot_error err;
    CHECK(sample_params_read(NULL, 0, &p, NULL) == INGOT_OK);
    CHECK(p.temperature == 0.8 && p.top_k == 40 && p.top_p == 0.95 && p.min_p == 0.05 &&
          p.repeat_last_n == 64);
    double values[1] = {NAN};
    CHECK(sample_params_read(values, 1, &p, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "temperature");
    double fraction[2] = {1.0, 2.5};
    CHECK(sample_params_read(fraction, 2, &p, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "top_k is 2.5, expected an integer");
    double many[64] = {0};
    CHECK(sample_params_read(many, 64, &p, &err) == INGOT_ERR_INVALID);
    CHECK(ingot_sampler_param_at(-1) == NULL && ingot_sampler_param_at(1000) == NULL);
}

static void test_rng(void) {
    double sum = 0.0;
    for (uint64_t i = 0; i < 1000000; i++) {
        double u = rng_uniform(7, i);
        CHECK(u >= 0.0 && u < 1.0);
        sum += u;
    }
    CHECK(fabs(sum / 1000000 - 0.5) < 0.002);
    CHECK(rng_uniform(1, 5) == rng_uniform(1, 5));
    CHECK(rng_uniform(1, 5) != rng_uniform(2, 5) && rng_uniform(1, 5) != rng_uniform(1, 6));
    // The reference implementation's known answer for counter 0 and key 0 begins 6627e8d5 e169c58d.
    CHECK(rng_uniform(0, 0) == (double)(UINT64_C(0x6627e8d5e169c58d) >> 11) * 0x1p-53);
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
    test_sampling();
    test_penalties();
    test_order();
    test_extremes();
    test_sampling_params();
    test_rng();
    test_pages();
    return check_report();
}
