// Keys and values of each type beside each other, on every instruction set: what is computed is near to what
// F32 pages give, and its bits don't depend on company; keys that are stored rotated.
#include "session.h"

#include <math.h>

enum { TYPES = 5, N_LOGITS = N_PROMPT * TINY_VOCAB };

static const int32_t types[TYPES] = {0, 1, 30, 8, 2}; // F32, F16, BF16, Q8_0, Q4_0
static const uint64_t head_bytes[TYPES] = {4 * 32, 2 * 32, 2 * 32, 34, 18};
// Of the squares of logits: what rounding keys and values to a type changes at most in a model of random
// weights.
static const double limits[TYPES] = {1e-12, 1e-6, 1e-4, 1e-3, 0.2};

static temp_path wide;

static session open_on(const char *isa, int32_t threads, const ingot_engine_params *params) {
    session s = {0};
    CHECK(ingot_runtime_new(&(ingot_runtime_params){.threads = threads, .isa = isa}, &s.runtime, NULL) ==
          INGOT_OK);
    CHECK(ingot_model_open(s.runtime, wide.text, NULL, NULL, NULL, &s.model, NULL) == INGOT_OK);
    CHECK(ingot_engine_new(s.model, params, &s.engine, NULL) == INGOT_OK);
    return s;
}

// The logits of the prompt, and the answer that follows.
static answer ask(ingot_engine *e, float *logits) {
    ingot_request r = simple(20);
    r.rows.logits = logits;
    return run(e, r);
}

static double squares(const float *x, const float *y) {
    double sum = 0.0;
    for (int i = 0; i < N_LOGITS; i++)
        sum += pow((double)x[i] - (y ? (double)y[i] : 0.0), 2.0);
    return sum;
}

// In parts, beside another request, over pages that hold its beginning already, and with three threads.
static void check_company(const char *isa, ingot_engine_params params, const float *expected,
                          const answer *alone) {
    static float logits[N_LOGITS], others[N_LOGITS];
    params.n_batch = 5;
    session s = open_on(isa, 3, &params);
    ingot_request r = simple(20), other = simple(25);
    const int32_t its[] = {1, 75, 104, 9, 9, 9, 9};
    uint64_t ids[2];
    other.tokens = its;
    other.n_tokens = sizeof its / sizeof *its;
    other.rows.logits = others;
    r.rows.logits = logits;
    CHECK(ingot_engine_submit(s.engine, &other, &ids[0], NULL) == INGOT_OK);
    CHECK(ingot_engine_submit(s.engine, &r, &ids[1], NULL) == INGOT_OK);
    collect(s.engine, ids[0]);
    answer a = collect(s.engine, ids[1]);
    CHECK(same(alone, &a) && memcmp(logits, expected, sizeof logits) == 0);
    r.rows.first = 6;
    a = run(s.engine, r);
    CHECK(same(alone, &a) && a.last.n_cached == 6);
    CHECK(memcmp(logits, expected + 6 * TINY_VOCAB, (N_PROMPT - 6) * TINY_VOCAB * sizeof *logits) == 0);
    session_close(&s);
}

static void check_pair(const char *isa, int k, int v, bool rotate, const float *exact) {
    static float logits[N_LOGITS];
    const ingot_engine_params params = {
        .k_type = types[k], .v_type = types[v], .k_rotate = rotate, .n_ctx = 256, .n_batch = 64};
    session s = open_on(isa, 1, &params);
    ingot_engine_info info;
    ingot_engine_get_info(s.engine, &info);
    CHECK(info.k_type == types[k] && info.v_type == types[v]);
    CHECK(info.k_rotate == (rotate && types[k] != 0 && types[k] != 1 && types[k] != 30));
    CHECK(info.kv_token_bytes == TINY_LAYERS * TINY_KV_HEADS * (head_bytes[k] + head_bytes[v]));
    CHECK(info.kv_bytes == (uint64_t)info.n_seqs * 256 * info.kv_token_bytes);
    const answer alone = ask(s.engine, logits);
    CHECK(alone.last.kind == INGOT_EVENT_DONE && alone.n == 20);
    CHECK(squares(logits, exact) <= (limits[k] + limits[v]) * squares(exact, NULL));
    session_close(&s);
    check_company(isa, params, logits, &alone);
}

static void test_pairs(const char *isa) {
    static float exact[N_LOGITS];
    session s = open_on(isa, 1, &(ingot_engine_params){PAGES(0)});
    ask(s.engine, exact);
    session_close(&s);
    for (int pair = 0; pair < TYPES * TYPES; pair++)
        for (int rotate = 0; rotate < 2; rotate++)
            check_pair(isa, pair / TYPES, pair % TYPES, rotate, exact);
}

// Types that round each number by itself are stored as they are; rotated blocks are other blocks.
static void test_rotation_is_of_blocks(void) {
    static float plain[N_LOGITS], rotated[N_LOGITS];
    for (int i = 0; i < TYPES; i++) {
        ingot_engine_params params = {PAGES(types[i])};
        session s = open_on(NULL, 1, &params);
        ask(s.engine, plain);
        session_close(&s);
        params.k_rotate = true;
        s = open_on(NULL, 1, &params);
        ask(s.engine, rotated);
        session_close(&s);
        CHECK((memcmp(plain, rotated, sizeof plain) == 0) == (i < 3));
    }
}

int main(void) {
    temp_dir dir = temp_dir_make();
    wide = temp_join(&dir, "wide.gguf");
    CHECK(tiny_model_write(wide.text, &(tiny_options){.wide = true}) == INGOT_OK);
    for (int32_t i = 0; ingot_isa_name(i); i++)
        if (ingot_isa_usable(i))
            test_pairs(ingot_isa_name(i));
    test_rotation_is_of_blocks();
    temp_dir_remove(&dir);
    return check_report();
}
