// What a model says of a prompt itself: embeddings of many texts at once, log-probabilities, the most
// probable tokens; the same bits in any company.
#include "check.h"

#include <math.h>
#include <pthread.h>

#include "failing_mem.h"
#include "session.h"

static temp_dir dir;
static temp_path dense;

enum { N_TEXTS = 40, MAX_TEXT = 60 };

static int32_t texts[N_TEXTS][MAX_TEXT];
static int32_t lengths[N_TEXTS];

static void make_texts(void) {
    uint32_t state = 7;
    for (int i = 0; i < N_TEXTS; i++) {
        lengths[i] = 1 + (i * 23) % MAX_TEXT;
        for (int k = 0; k < lengths[i]; k++) {
            state = state * 1664525u + 1013904223u;
            texts[i][k] = (int32_t)(state >> 8) % TINY_VOCAB;
        }
    }
}

static ingot_request embedding_of(int text, ingot_pooling pooling, float *out) {
    ingot_request r = ingot_request_default();
    r.tokens = texts[text];
    r.n_tokens = (size_t)lengths[text];
    r.max_tokens = 0;
    r.embedding = out;
    r.pooling = pooling;
    return r;
}

// All texts at once and each alone, in pieces and whole.
static void test_company(void) {
    static float expected[N_TEXTS][TINY_EMBD], found[N_TEXTS][TINY_EMBD];
    for (int pooling = INGOT_POOLING_MEAN; pooling <= INGOT_POOLING_LAST; pooling++) {
        session s = session_open(&dense, 1, (ingot_engine_params){PAGES(0)});
        for (int i = 0; i < N_TEXTS; i++)
            CHECK(run(s.engine, embedding_of(i, (ingot_pooling)pooling, expected[i])).last.kind ==
                  INGOT_EVENT_DONE);
        session_close(&s);
        for (int variant = 0; variant < 3; variant++) {
            const ingot_engine_params params = {PAGES(0), .n_batch = variant == 0 ? 64 : 7 * variant};
            s = session_open(&dense, 1 + variant, params);
            uint64_t ids[N_TEXTS];
            for (int i = 0; i < N_TEXTS; i++) {
                ingot_request r = embedding_of(i, (ingot_pooling)pooling, found[i]);
                CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
            }
            for (int i = 0; i < N_TEXTS; i++)
                CHECK(collect(s.engine, ids[i]).last.n_prompt == lengths[i]);
            CHECK(memcmp(expected, found, sizeof found) == 0);
            session_close(&s);
        }
    }
}

// The mean is that of the tokens' vectors, the first and the last are theirs.
static void test_poolings(void) {
    static float all[MAX_TEXT][TINY_EMBD], one[TINY_EMBD];
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(0)});
    const int text = 9, n = lengths[text];
    CHECK(run(s.engine, embedding_of(text, INGOT_POOLING_NONE, all[0])).last.kind == INGOT_EVENT_DONE);
    CHECK(run(s.engine, embedding_of(text, INGOT_POOLING_LAST, one)).last.kind == INGOT_EVENT_DONE);
    CHECK(memcmp(one, all[n - 1], sizeof one) == 0);
    CHECK(run(s.engine, embedding_of(text, INGOT_POOLING_CLS, one)).last.kind == INGOT_EVENT_DONE);
    CHECK(memcmp(one, all[0], sizeof one) == 0);
    CHECK(run(s.engine, embedding_of(text, INGOT_POOLING_MEAN, one)).last.kind == INGOT_EVENT_DONE);
    for (int k = 0; k < TINY_EMBD; k++) {
        double sum = 0.0;
        for (int i = 0; i < n; i++)
            sum += (double)all[i][k];
        CHECK(fabs((double)one[k] - sum / n) < 1e-6);
    }
    session_close(&s);
}

// An answer is the same after a batch of texts, and their pages are given back; those of the two answers
// stay.
static void test_answers_between(void) {
    static float out[N_TEXTS][TINY_EMBD], logits[2][N_PROMPT * TINY_VOCAB];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(0)});
    for (int round = 0; round < 2; round++) {
        uint64_t ids[N_TEXTS];
        ingot_request r = {.tokens = prompt, .n_tokens = N_PROMPT, .rows = {.logits = logits[round]}};
        CHECK(run(s.engine, r).last.kind == INGOT_EVENT_DONE);
        for (int i = 0; i < N_TEXTS; i++) {
            r = embedding_of(i, INGOT_POOLING_MEAN, out[i]);
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
        }
        for (int i = 0; i < N_TEXTS; i++)
            CHECK(collect(s.engine, ids[i]).last.kind == INGOT_EVENT_DONE);
    }
    CHECK(memcmp(logits[0], logits[1], sizeof logits[0]) == 0);
    ingot_engine_info info;
    ingot_engine_get_info(s.engine, &info);
    CHECK(info.kv_bytes_used <= 2 * 32u * TINY_LAYERS * TINY_KV_HEADS * 2 * TINY_DIM * sizeof(float));
    session_close(&s);
}

static void expect_refusal(ingot_engine *e, ingot_request r, ingot_status status, const char *part) {
    uint64_t id;
    ingot_error err = {0};
    CHECK(ingot_engine_submit(e, &r, &id, &err) == status);
    CHECK_CONTAINS(err.message, part);
}

static void test_refusals(void) {
    float out[TINY_EMBD];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 32});
    expect_refusal(s.engine, embedding_of(1, INGOT_POOLING_RANK, out), INGOT_ERR_UNSUPPORTED, "cls.output");
    expect_refusal(s.engine, embedding_of(1, (ingot_pooling)9, out), INGOT_ERR_INVALID, "pooling is 9");
    expect_refusal(s.engine, embedding_of(2, INGOT_POOLING_MEAN, out), INGOT_ERR_LIMIT, "47 tokens");
    ingot_request r = embedding_of(1, INGOT_POOLING_MEAN, out);
    r.max_tokens = 1;
    expect_refusal(s.engine, r, INGOT_ERR_INVALID, "max_tokens is 1");
    r = (ingot_request){.tokens = prompt, .n_tokens = N_PROMPT, .rows = {.first = N_PROMPT, .logits = out}};
    expect_refusal(s.engine, r, INGOT_ERR_INVALID, "rows.first is 12");
    r.rows = (ingot_prompt_rows){.n_top = 3};
    expect_refusal(s.engine, r, INGOT_ERR_INVALID, "top_tokens");
    r.rows.n_top = TINY_VOCAB + 1;
    expect_refusal(s.engine, r, INGOT_ERR_INVALID, "n_top is 260");
    session_close(&s);
}

// Log-probabilities and the top ones against the logits themselves.
static void test_rows(void) {
    static float logits[N_PROMPT][TINY_VOCAB], logprobs[N_PROMPT], top_logprobs[N_PROMPT][TINY_VOCAB];
    static int32_t top[N_PROMPT][TINY_VOCAB];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(0), .n_batch = 5});
    for (int n_top = 1; n_top <= TINY_VOCAB; n_top += 43) {
        ingot_request r = {.tokens = prompt, .n_tokens = N_PROMPT};
        r.rows = (ingot_prompt_rows){0, logits[0], logprobs, n_top, top[0], top_logprobs[0]};
        CHECK(run(s.engine, r).last.kind == INGOT_EVENT_DONE);
        for (int i = 0; i < N_PROMPT; i++) {
            double sum = 0.0;
            for (int t = 0; t < TINY_VOCAB; t++)
                sum += exp((double)logits[i][t]);
            if (i + 1 < N_PROMPT)
                CHECK(fabs((double)logprobs[i] - ((double)logits[i][prompt[i + 1]] - log(sum))) < 1e-5);
            const int32_t *ids = top[0] + i * n_top;
            const float *values = top_logprobs[0] + i * n_top;
            for (int k = 0; k < n_top; k++) {
                CHECK(fabs((double)values[k] - ((double)logits[i][ids[k]] - log(sum))) < 1e-5);
                int above = 0; // tokens that come before the k-th
                for (int32_t t = 0; t < TINY_VOCAB; t++)
                    above +=
                        logits[i][t] > logits[i][ids[k]] || (logits[i][t] == logits[i][ids[k]] && t < ids[k]);
                CHECK(above == k);
            }
        }
    }
    session_close(&s);
}

// An encoder wants pages for many short texts, but takes no more than it may.
static void test_encoder(void) {
    static const temp_path bert = {"tests/golden/arch/bert/model.gguf"};
    const uint64_t page = 32u * 2 * 4 * (8 + 8) * sizeof(float); // layers, heads, keys and values
    static const int32_t text[40] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    float vectors[4][32];
    uint64_t ids[4];
    for (uint64_t n_pages = 2; n_pages <= 100; n_pages += 49) {
        session s = session_open(&bert, 1, (ingot_engine_params){PAGES(0), .kv_bytes = n_pages * page});
        ingot_engine_info info;
        ingot_engine_get_info(s.engine, &info);
        CHECK(info.n_ctx == 48 && info.kv_bytes == (n_pages < 64 ? n_pages : 64) * page);
        for (int i = 0; i < 4; i++) {
            ingot_request r = {.tokens = text, .n_tokens = 40, .embedding = vectors[i]};
            r.pooling = INGOT_POOLING_MEAN;
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
        }
        for (int i = 0; i < 4; i++)
            CHECK(collect(s.engine, ids[i]).last.kind == INGOT_EVENT_DONE &&
                  memcmp(vectors[i], vectors[0], sizeof vectors[0]) == 0);
        session_close(&s);
    }
}

static void *embed_many(void *arg) {
    session *s = arg;
    float out[TINY_EMBD];
    for (int i = 0; i < N_TEXTS; i++) {
        ingot_request r = embedding_of(i, INGOT_POOLING_MEAN, out);
        uint64_t id;
        CHECK(ingot_engine_submit(s->engine, &r, &id, NULL) == INGOT_OK);
        if (i % 4 == 1)
            ingot_engine_cancel(s->engine, id);
        if (i % 4 == 2) {
            ingot_engine_drop(s->engine, id);
            continue;
        }
        ingot_event last = collect(s->engine, id).last;
        CHECK(last.kind == INGOT_EVENT_DONE || (i % 4 == 1 && last.finish == INGOT_FINISH_CANCELLED));
    }
    return NULL;
}

static void test_threads(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1)});
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, embed_many, &s);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    // Left unread when the engine goes.
    static float out[3][TINY_EMBD];
    uint64_t id;
    for (int i = 0; i < 3; i++) {
        ingot_request r = embedding_of(i, INGOT_POOLING_MEAN, out[i]);
        CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
    }
    session_close(&s);
}

// An allocation that fails ends the requests with an error and leaks nothing.
static ingot_request an_embedding(const session *s) {
    static float out[TINY_EMBD];
    (void)s;
    return embedding_of(5, INGOT_POOLING_MEAN, out);
}

int main(void) {
    dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    make_texts();
    test_company();
    test_poolings();
    test_answers_between();
    test_refusals();
    test_rows();
    test_encoder();
    test_threads();
    request_out_of_memory(&dense, an_embedding, NULL);
    temp_dir_remove(&dir);
    return check_report();
}
