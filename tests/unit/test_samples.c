// Several answers to one prompt, which share its pages; answers that are taken back; logits that callers
// change.
#include "check.h"

#include <math.h>
#include <pthread.h>

#include "session.h"

static temp_dir dir;
static temp_path dense;

enum { LONG = 100 };
static int32_t long_prompt[LONG];

static ingot_request sample_of(uint32_t sample, int32_t max_tokens) {
    ingot_request r = simple(max_tokens);
    r.tokens = long_prompt;
    r.n_tokens = LONG;
    r.sampling.seed = 5;
    r.sampling.sample = sample;
    return r;
}

// Submitted at once, the prompt is computed once; each says what it says alone.
static void test_samples(void) {
    enum { N = 6 };
    static answer alone[N];
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1), .n_ctx = 512, .n_seqs = N});
    for (uint32_t i = 0; i < N; i++) {
        session own = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 512});
        alone[i] = run(own.engine, sample_of(i, 40));
        session_close(&own);
    }
    CHECK(!same(&alone[0], &alone[1]));
    for (int round = 0; round < 3; round++) {
        uint64_t ids[N];
        for (uint32_t i = 0; i < N; i++) {
            const ingot_request r = sample_of(i, 40);
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
        }
        for (int i = 0; i < N; i++) {
            const answer a = collect(s.engine, ids[i]);
            CHECK(same(&a, &alone[i]));
            CHECK(i == 0 ? round == 0 || a.last.n_cached > 0 : a.last.n_cached == LONG - 1);
        }
    }
    session_close(&s);
}

// With hardly more pages than one of them needs: they wait, and nothing is lost or used twice.
static void test_few_pages(void) {
    enum { N = 5 };
    static answer alone[N];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 192, .n_seqs = 3});
    for (uint32_t i = 0; i < N; i++)
        alone[i] = run(s.engine, sample_of(i, 60));
    for (int round = 0; round < 4; round++) {
        uint64_t ids[N];
        for (uint32_t i = 0; i < N; i++) {
            ingot_request r = sample_of(i, 60);
            r.n_tokens = (size_t)(LONG - round);
            if (round > 0)
                r.max_tokens = 10;
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
        }
        for (int i = 0; i < N; i++) {
            const answer a = collect(s.engine, ids[i]);
            CHECK(a.last.kind == INGOT_EVENT_DONE && (round > 0 || same(&a, &alone[i])));
        }
    }
    session_close(&s);
}

// What is banned never comes, beside others that share the pages; the same alone.
static void test_banned(void) {
    static const ingot_str banned[] = {{"a", 1}, {"e", 1}, {" t", 2}};
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 512});
    for (uint32_t seed = 0; seed < 8; seed++) {
        ingot_request r = sample_of(seed, 40), plain = r;
        uint64_t with, without;
        r.banned = banned;
        r.n_banned = 3;
        const answer alone = run(s.engine, r), free = run(s.engine, plain);
        CHECK(ingot_engine_submit(s.engine, &plain, &without, NULL) == INGOT_OK);
        CHECK(ingot_engine_submit(s.engine, &r, &with, NULL) == INGOT_OK);
        const answer a = collect(s.engine, with), b = collect(s.engine, without);
        CHECK(same(&a, &alone) && same(&b, &free) && a.n == 40);
        for (size_t i = 0; i < a.size; i++)
            CHECK(a.text[i] != 'a' && a.text[i] != 'e' &&
                  (i == 0 || a.text[i] != 't' || a.text[i - 1] != ' '));
    }
    session_close(&s);
}

static ingot_request edited(float *logits, uint32_t sample) {
    ingot_request r = sample_of(sample, 12);
    r.edited_logits = logits;
    return r;
}

// Waits for logits and answers with one token's alone.
static answer edit_all(session *s, uint64_t id, float *logits, int32_t token) {
    answer a = {0};
    for (;;) {
        CHECK(ingot_engine_wait(s->engine, id, -1, &a.last, NULL) == INGOT_OK);
        if (a.last.kind == INGOT_EVENT_TOKEN)
            a.tokens[a.n++] = a.last.token;
        if (a.last.kind == INGOT_EVENT_DONE || a.last.kind == INGOT_EVENT_ERROR)
            break;
        if (a.last.kind != INGOT_EVENT_LOGITS)
            continue;
        CHECK(a.last.n_tokens == LONG + a.n && a.last.tokens[0] == long_prompt[0]);
        for (int32_t i = 0; i < TINY_VOCAB; i++)
            logits[i] = i == token ? 0.0f : -INFINITY;
        CHECK(ingot_engine_resume(s->engine, id, NULL) == INGOT_OK);
    }
    ingot_engine_drop(s->engine, id);
    return a;
}

static void test_edited(void) {
    static float logits[TINY_VOCAB], other[TINY_VOCAB];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 512});
    ingot_request r = edited(logits, 0), plain = sample_of(1, 30);
    uint64_t id, waits;
    ingot_event event;
    ingot_error err;
    CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
    answer a = edit_all(&s, id, logits, 77);
    CHECK(a.n == 12 && a.tokens[0] == 77 && a.tokens[11] == 77);
    CHECK(ingot_engine_resume(s.engine, id, &err) == INGOT_ERR_STATE);

    // One that nobody answers doesn't hold up others, and can be cancelled, dropped, or left to the engine's
    // end.
    r = edited(other, 2);
    CHECK(ingot_engine_submit(s.engine, &r, &waits, NULL) == INGOT_OK);
    do
        CHECK(ingot_engine_wait(s.engine, waits, -1, &event, NULL) == INGOT_OK);
    while (event.kind != INGOT_EVENT_LOGITS);
    CHECK(run(s.engine, plain).n == 30);
    ingot_engine_cancel(s.engine, waits);
    CHECK(collect(s.engine, waits).last.kind == INGOT_EVENT_ERROR);
    for (int i = 0; i < 2; i++) {
        CHECK(ingot_engine_submit(s.engine, &r, &waits, NULL) == INGOT_OK);
        do
            CHECK(ingot_engine_wait(s.engine, waits, -1, &event, NULL) == INGOT_OK);
        while (event.kind != INGOT_EVENT_LOGITS);
        if (i == 0)
            ingot_engine_drop(s.engine, waits);
    }
    session_close(&s);
}

static void *edit_one(void *arg) {
    static _Thread_local float logits[TINY_VOCAB];
    session *s = arg;
    for (uint32_t i = 0; i < 6; i++) {
        const ingot_request r = edited(logits, i);
        uint64_t id;
        CHECK(ingot_engine_submit(s->engine, &r, &id, NULL) == INGOT_OK);
        const answer a = edit_all(s, id, logits, 60 + (int32_t)i);
        CHECK(a.n == 12 && a.tokens[5] == 60 + (int32_t)i);
    }
    return NULL;
}

static void test_editors(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1), .n_ctx = 1024});
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, edit_one, &s);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    session_close(&s);
}

static ingot_request with_everything(const session *s) {
    static const ingot_str banned = {"e", 1}, stop = {"xyz", 3}, regex = {"q[0-9]+", 7};
    static const int32_t stops[] = {9};
    (void)s;
    ingot_request r = sample_of(1, 12);
    r.banned = &banned;
    r.stop = &stop;
    r.stop_regex = &regex;
    r.stop_tokens = stops;
    r.n_banned = r.n_stop = r.n_stop_regex = r.n_stop_tokens = 1;
    r.n_logprobs = 3;
    return r;
}

int main(void) {
    dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    for (int i = 0; i < LONG; i++)
        long_prompt[i] = i == 0 ? 1 : 70 + i * 7 % 50;
    test_samples();
    test_few_pages();
    test_banned();
    test_edited();
    test_editors();
    request_out_of_memory(&dense, with_everything, NULL);
    temp_dir_remove(&dir);
    return check_report();
}
