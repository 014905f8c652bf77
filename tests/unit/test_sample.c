// Sampling: what each parameter does to the shares in which tokens are drawn. tests/golden compares every
// sampler with an independent reference.
#include "check.h"

#include <float.h>
#include <math.h>

#include "backend/backend.h"
#include "failing_mem.h"
#include "run/rng.h"
#include "run/sample.h"

enum { N_VOCAB = 6, DRAWS = 20000, MOST = 8 };
static const float LOGITS[N_VOCAB] = {1.0f, 3.0f, 2.0f, -1.0f, 3.0f, 0.0f};

// Parameters by name, and tokens that came before; others do nothing.
typedef struct setting {
    const char *names[MOST];
    double values[MOST];
    int32_t recent[MOST];
    int32_t n_recent;
} setting;

static sample_settings settings_of(const setting *s) {
    static const struct {
        const char *name;
        double value;
    } neutral[] = {{"temperature", 1}, {"top_k", 0}, {"top_p", 1}, {"min_p", 0}};
    double values[64];
    size_t n = 0;
    for (; ingot_sampler_param_at((int32_t)n); n++) {
        const ingot_sampler_param *row = ingot_sampler_param_at((int32_t)n);
        values[n] = row->default_value;
        for (size_t i = 0; i < sizeof neutral / sizeof *neutral; i++)
            values[n] = strcmp(row->name, neutral[i].name) == 0 ? neutral[i].value : values[n];
        for (int i = 0; i < MOST && s->names[i]; i++)
            values[n] = strcmp(row->name, s->names[i]) == 0 ? s->values[i] : values[n];
    }
    const ingot_sampling from = {.values = values, .n_values = n, .seed = 42};
    sample_settings set;
    CHECK(sample_settings_init(&set, &from, NULL, NULL, NULL) == INGOT_OK);
    return set;
}

static const struct kernels *kernels_here(void) {
    const struct kernels *k = NULL;
    CHECK(backend_isa_choose(NULL, &k, NULL) == INGOT_OK);
    return k;
}

// Chooses a token once; -1: it failed with `expected`.
static int32_t choose(const setting *s, const float *logits, const uint32_t *allowed, ingot_status expected,
                      ingot_error *err) {
    float row[N_VOCAB];
    int32_t token = -1;
    sample_work work;
    sample_settings set = settings_of(s);
    sample_state state = sample_state_begin(&set.params);
    memcpy(row, logits, sizeof row);
    const sample_input in = {.logits = row, .n_vocab = N_VOCAB, .allowed = {allowed}, .words = 1};
    CHECK(sample_init(&work, kernels_here(), N_VOCAB, NULL, NULL) == INGOT_OK);
    CHECK(sample_choose(&work, &set, &state, &in, &token, err) == expected);
    sample_free(&work);
    sample_settings_free(&set);
    return expected == INGOT_OK ? token : -1;
}

// Checks the drawn shares against a softmax of `expected` / temperature over the tokens in `kept`.
static void check_shares(const setting *s, const float *logits, const float *expected, double temperature,
                         unsigned kept) {
    double share[N_VOCAB] = {0}, total = 0.0;
    sample_work work;
    sample_settings set = settings_of(s);
    sample_state state = sample_state_begin(&set.params);
    CHECK(sample_init(&work, kernels_here(), N_VOCAB, NULL, NULL) == INGOT_OK);
    for (uint64_t i = 0; i < DRAWS; i++) {
        float row[N_VOCAB];
        int32_t token = 0;
        memcpy(row, logits, sizeof row);
        const sample_input in = {
            .logits = row, .n_vocab = N_VOCAB, .recent = s->recent, .n_recent = s->n_recent, .index = i};
        CHECK(sample_choose(&work, &set, &state, &in, &token, NULL) == INGOT_OK);
        share[token] += 1.0 / DRAWS;
    }
    for (int i = 0; i < N_VOCAB; i++)
        total += kept >> i & 1 ? exp((double)expected[i] / temperature) : 0.0;
    for (int i = 0; i < N_VOCAB; i++) {
        const double wanted = kept >> i & 1 ? exp((double)expected[i] / temperature) / total : 0.0;
        CHECK(fabs(share[i] - wanted) < 0.015);
        CHECK(wanted > 0.0 || share[i] == 0.0);
    }
    sample_free(&work);
    sample_settings_free(&set);
}

static void test_greedy(void) {
    const setting greedy = {{"temperature"}, {0}, {0}, 0};
    const uint32_t some = 1 << 0 | 1 << 2, bad = 1 << 3;
    const float banned[N_VOCAB] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    const float ban[N_VOCAB] = {0.0f, 0.0f, 0.0f, -INFINITY, 0.0f, 0.0f};
    const float nan[N_VOCAB] = {NAN, -5.0f, NAN, -9.0f, NAN, NAN};
    const float nothing[N_VOCAB] = {NAN, NAN, NAN, NAN, NAN, NAN};
    ingot_error err;
    CHECK(choose(&greedy, LOGITS, NULL, INGOT_OK, NULL) == 1); // ties: the lower one
    CHECK(choose(&greedy, LOGITS, &some, INGOT_OK, NULL) == 2);
    CHECK(choose(&greedy, nan, NULL, INGOT_OK, NULL) == 1);
    choose(&greedy, banned, NULL, INGOT_ERR_INVALID, &err);
    choose(&greedy, ban, &bad, INGOT_ERR_INVALID, &err);
    CHECK_CONTAINS(err.message, "grammar");
    choose(&greedy, nothing, NULL, INGOT_ERR_FORMAT, &err);
    CHECK_CONTAINS(err.message, "damaged");
    // The quick choice agrees with the list of candidates.
    const float largest[N_VOCAB] = {NAN, FLT_MAX, INFINITY, -INFINITY, 0.0f, NAN};
    check_shares(&greedy, largest, LOGITS, 1.0, 1u << 1);
    check_shares(&(setting){{"temperature", "presence_penalty"}, {0, 1}, {0}, 0}, largest, LOGITS, 1.0,
                 1u << 1);
}

static void test_truncation(void) {
    check_shares(&(setting){{NULL}, {0}, {0}, 0}, LOGITS, LOGITS, 1.0, 0x3f);
    check_shares(&(setting){{"temperature"}, {2.5}, {0}, 0}, LOGITS, LOGITS, 2.5, 0x3f);
    check_shares(&(setting){{"top_k"}, {3}, {0}, 0}, LOGITS, LOGITS, 1.0, 1u << 1 | 1u << 2 | 1u << 4);
    check_shares(&(setting){{"top_k"}, {1}, {0}, 0}, LOGITS, LOGITS, 1.0, 1u << 1);
    check_shares(&(setting){{"top_p"}, {0.5}, {0}, 0}, LOGITS, LOGITS, 1.0, 1u << 1 | 1u << 4);
    // e^-1 = 0.37, e^-2 = 0.135, e^-3 = 0.05
    check_shares(&(setting){{"min_p"}, {0.1}, {0}, 0}, LOGITS, LOGITS, 1.0,
                 1u << 0 | 1u << 1 | 1u << 2 | 1u << 4);
    check_shares(&(setting){{"min_p", "min_keep"}, {0.9, 3}, {0}, 0}, LOGITS, LOGITS, 1.0,
                 1u << 1 | 1u << 2 | 1u << 4);
    check_shares(&(setting){{"xtc_probability"}, {1.0}, {0}, 0}, LOGITS, LOGITS, 1.0,
                 1u << 0 | 1u << 2 | 1u << 3 | 1u << 5);
}

static void test_penalties(void) {
    float expected[N_VOCAB];
    memcpy(expected, LOGITS, sizeof expected);
    expected[1] = 1.5f, expected[2] = 1.0f, expected[3] = -2.0f;
    check_shares(&(setting){{"repeat_penalty"}, {2}, {3, 3, 1, 3, 2, 1}, 6}, LOGITS, expected, 1.0, 0x3f);
    memcpy(expected, LOGITS, sizeof expected);
    expected[1] -= 1.0f, expected[2] -= 0.5f, expected[3] -= 1.5f;
    check_shares(&(setting){{"frequency_penalty"}, {0.5}, {3, 3, 1, 3, 2, 1}, 6}, LOGITS, expected, 1.0,
                 0x3f);
    memcpy(expected, LOGITS, sizeof expected);
    expected[1] -= 1.5f, expected[2] -= 1.5f; // tokens 2 and 1 alone
    check_shares(&(setting){{"presence_penalty", "repeat_last_n"}, {1.5, 2}, {3, 3, 1, 3, 2, 1}, 6}, LOGITS,
                 expected, 1.0, 0x3f);
    check_shares(&(setting){{"presence_penalty", "repeat_last_n"}, {1, 0}, {2, 4}, 2}, LOGITS, LOGITS, 1.0,
                 0x3f);
    memcpy(expected, LOGITS, sizeof expected);
    expected[2] -= 1.0f, expected[4] -= 1.0f;
    check_shares(&(setting){{"presence_penalty", "repeat_last_n"}, {1, -1}, {2, 4}, 2}, LOGITS, expected, 1.0,
                 0x3f);
    // 1 2 3 again, and what came after them was 4: its penalty is 0.5 * 2^(3 - 2).
    memcpy(expected, LOGITS, sizeof expected);
    expected[4] -= 1.0f;
    check_shares(&(setting){{"dry_multiplier", "dry_base"}, {0.5, 2}, {1, 2, 3, 4, 1, 2, 3}, 7}, LOGITS,
                 expected, 1.0, 0x3f);
}

// Samplers together, where another order would keep other tokens.
static void test_order(void) {
    float expected[N_VOCAB];
    // min_p looks at the probabilities before the temperature flattens them.
    check_shares(&(setting){{"min_p", "temperature"}, {0.1, 4}, {0}, 0}, LOGITS, LOGITS, 4.0,
                 1u << 0 | 1u << 1 | 1u << 2 | 1u << 4);
    // Penalties come before top_k: token 1 falls out of the best two.
    memcpy(expected, LOGITS, sizeof expected);
    expected[1] = 0.0f;
    check_shares(&(setting){{"frequency_penalty", "top_k"}, {1, 2}, {1, 1, 1}, 3}, LOGITS, expected, 1.0,
                 1u << 2 | 1u << 4);
    // top_k before top_p: of the best three, e^3, e^3, e^2, two reach 0.8; of all six they don't.
    check_shares(&(setting){{"top_p", "top_k"}, {0.8, 3}, {0}, 0}, LOGITS, LOGITS, 1.0, 1u << 1 | 1u << 4);
    check_shares(&(setting){{"top_p"}, {0.8}, {0}, 0}, LOGITS, LOGITS, 1.0, 1u << 1 | 1u << 2 | 1u << 4);
}

static void test_extremes(void) {
    const float infinite[N_VOCAB] = {1.0f, INFINITY, 2.0f, -INFINITY, 0.0f, 0.0f};
    check_shares(&(setting){{"temperature"}, {1e-40}, {0}, 0}, LOGITS, LOGITS, 1e-2, 1u << 1 | 1u << 4);
    check_shares(&(setting){{"top_p"}, {0}, {0}, 0}, LOGITS, LOGITS, 1.0, 1u << 1);
    check_shares(&(setting){{"min_p"}, {1}, {0}, 0}, LOGITS, LOGITS, 1.0, 1u << 1 | 1u << 4);
    check_shares(&(setting){{NULL}, {0}, {0}, 0}, infinite, LOGITS, 1.0, 1u << 1);
}

static void test_settings(void) {
    sample_settings s;
    ingot_error err;
    const ingot_sampling usual = {.values = NULL};
    CHECK(sample_settings_init(&s, &usual, NULL, NULL, NULL) == INGOT_OK);
    CHECK(s.params.temperature == 0.8 && s.params.top_k == 40 && s.params.top_p == 0.95 &&
          s.params.min_p == 0.05 && s.params.repeat_last_n == 64 && s.n_breakers == 4);
    sample_settings_free(&s);
    double values[64] = {NAN};
    ingot_sampling from = {.values = values, .n_values = 1};
    CHECK(sample_settings_init(&s, &from, NULL, NULL, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "temperature");
    values[0] = 1.0, values[3] = 2.5, values[2] = 1.0;
    from.n_values = 4;
    CHECK(sample_settings_init(&s, &from, NULL, NULL, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "top_k is 2.5, expected an integer");
    from.n_values = 64;
    CHECK(sample_settings_init(&s, &from, NULL, NULL, &err) == INGOT_ERR_INVALID);
    const int32_t order[] = {3, 99};
    from = (ingot_sampling){.order = order, .n_order = 2};
    CHECK(sample_settings_init(&s, &from, NULL, NULL, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "sampler 1 of the order is number 99");
    const ingot_str empty = {"", 0};
    from = (ingot_sampling){.dry_breakers = &empty, .n_dry_breakers = 1};
    CHECK(sample_settings_init(&s, &from, NULL, NULL, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "breaker 0");
    CHECK(ingot_sampler_param_at(-1) == NULL && ingot_sampler_param_at(1000) == NULL);
    CHECK(ingot_sampler_stage_at(-1) == NULL && ingot_sampler_stage_at(1000) == NULL);
}

static void test_memory(void) {
    for (long n = 0;; n++) {
        failing_mem m;
        sample_settings set;
        sample_work work;
        const ingot_sampling usual = {.values = NULL};
        failing_mem_init(&m, n);
        ingot_status status = sample_settings_init(&set, &usual, NULL, &m.allocator, NULL);
        if (status == INGOT_OK) {
            status = sample_init(&work, kernels_here(), N_VOCAB, &m.allocator, NULL);
            if (status == INGOT_OK)
                sample_free(&work);
            sample_settings_free(&set);
        }
        if (!failing_mem_end(&m, status))
            break;
    }
}

static void test_rng(void) {
    double sum = 0.0;
    for (uint64_t i = 0; i < 1000000; i++) {
        double u = rng_uniform(7, i, 0, RNG_DRAW);
        CHECK(u >= 0.0 && u < 1.0);
        sum += u;
    }
    CHECK(fabs(sum / 1000000 - 0.5) < 0.002);
    CHECK(rng_uniform(1, 5, 2, 0) == rng_uniform(1, 5, 2, 0));
    CHECK(rng_uniform(1, 5, 0, 0) != rng_uniform(2, 5, 0, 0) &&
          rng_uniform(1, 5, 0, 0) != rng_uniform(1, 6, 0, 0));
    CHECK(rng_uniform(1, 5, 0, 0) != rng_uniform(1, 5, 1, 0) &&
          rng_uniform(1, 5, 0, 0) != rng_uniform(1, 5, 0, 1));
    // The reference implementation's known answer for counter 0 and key 0 begins 6627e8d5 e169c58d.
    CHECK(rng_uniform(0, 0, 0, 0) == (double)(UINT64_C(0x6627e8d5e169c58d) >> 11) * 0x1p-53);
}

int main(void) {
    test_greedy();
    test_truncation();
    test_penalties();
    test_order();
    test_extremes();
    test_settings();
    test_memory();
    test_rng();
    return check_report();
}
