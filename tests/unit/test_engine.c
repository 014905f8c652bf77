// The engine: submit, events, cancel, drop, from several threads; and results that depend on nothing but the
// request.
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "session.h"

static temp_dir dir;
static temp_path dense, experts, shared, wide;

static const int32_t kv_types[] = {0, 1, 30, 8, 2}; // F32, F16, BF16, Q8_0, Q4_0

static void test_generate(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1)});
    answer a = run(s.engine, simple(20));
    CHECK(a.n == 20 && a.last.kind == INGOT_EVENT_DONE && a.last.finish == INGOT_FINISH_LENGTH);
    CHECK(a.last.n_prompt == N_PROMPT && a.last.n_generated == 20);
    answer b = run(s.engine, simple(20));
    CHECK(same(&a, &b) && b.last.n_cached == N_PROMPT - 1);
    ingot_request r = simple(20);
    r.sampling.seed = 1;
    b = run(s.engine, r);
    CHECK(!same(&a, &b));

    uint64_t id;
    CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
    collect(s.engine, id);
    ingot_event event;
    CHECK(ingot_engine_wait(s.engine, id, 0, &event, NULL) == INGOT_ERR_NOT_FOUND);
    ingot_engine_drop(s.engine, id);
    ingot_engine_cancel(s.engine, id);
    session_close(&s);
}

// The answer's tokens and every logit of the prompt are the same bits for any threads, batch size and prefix.
static void test_company(const temp_path *path, int32_t kv_type) {
    static float expected[N_PROMPT * TINY_VOCAB], logits[N_PROMPT * TINY_VOCAB];
    answer first = {0};
    for (int variant = 0; variant < 6; variant++) {
        ingot_engine_params params = {PAGES(kv_type), .n_batch = variant == 0 ? 64 : variant};
        session s = session_open(path, 1 + variant % 3, params);
        if (variant == 4) // something before it in the pages
            run(s.engine, (ingot_request){.tokens = prompt, .n_tokens = 5, .max_tokens = 9});
        ingot_request r = simple(30);
        r.rows.logits = logits;
        answer a = run(s.engine, r);
        CHECK(a.last.kind == INGOT_EVENT_DONE);
        if (variant == 0) {
            first = a;
            memcpy(expected, logits, sizeof expected);
        }
        CHECK(same(&first, &a));
        CHECK(memcmp(expected, logits, sizeof expected) == 0);
        // Over what the pages hold already: the last rows, and the answer alone.
        enum { FROM = 7 };
        memset(logits, 0, sizeof logits);
        r.rows.first = FROM;
        a = run(s.engine, r);
        CHECK(same(&first, &a) && a.last.n_cached == FROM);
        size_t rest = sizeof expected - FROM * TINY_VOCAB * sizeof *expected;
        CHECK(memcmp(expected + FROM * TINY_VOCAB, logits, rest) == 0);
        a = run(s.engine, simple(30));
        CHECK(same(&first, &a) && a.last.n_cached == N_PROMPT - 1);
        session_close(&s);
    }
}

// Eight requests that begin, prefill, generate and end in one another's company say what each says alone, and
// their prompts have the same logits; with pages for all of them, and with few.
static void test_together(const temp_path *path, int32_t kv_type) {
    enum { N = 8 };
    static int32_t tokens[N][40];
    static float alone_logits[N][40 * TINY_VOCAB], logits[N][40 * TINY_VOCAB];
    static answer alone[N];
    ingot_request requests[N];
    for (int i = 0; i < N; i++) {
        requests[i] = simple(i == 3 ? 0 : 5 + 3 * i);
        requests[i].n_tokens = (size_t)(3 + i * 5);
        requests[i].tokens = tokens[i];
        requests[i].sampling.seed = (uint64_t)i;
        for (size_t t = 0; t < requests[i].n_tokens; t++)
            tokens[i][t] = (int32_t)(t * 37 + (size_t)i % 3 * 11) % TINY_VOCAB;
    }
    for (int variant = 0; variant < 5; variant++) {
        const ingot_engine_params params[] = {
            {PAGES(kv_type), .n_seqs = 1},
            {PAGES(kv_type), .n_ctx = 4096},
            {PAGES(kv_type), .n_ctx = 4096, .n_batch = 9},
            {PAGES(kv_type), .n_ctx = 96},
            {PAGES(kv_type), .n_ctx = 4096, .n_seqs = 3, .n_batch = 64},
        };
        session s = session_open(path, 1 + variant % 2, params[variant]);
        uint64_t ids[N];
        for (int i = 0; i < N; i++) {
            requests[i].rows.logits = variant == 0 ? alone_logits[i] : logits[i];
            CHECK(ingot_engine_submit(s.engine, &requests[i], &ids[i], NULL) == INGOT_OK);
        }
        for (int i = 0; i < N; i++) {
            answer a = collect(s.engine, ids[i]);
            CHECK(a.last.kind == INGOT_EVENT_DONE && a.last.finish == INGOT_FINISH_LENGTH);
            if (variant == 0)
                alone[i] = a;
            CHECK(same(&alone[i], &a));
            CHECK(variant == 0 || memcmp(alone_logits[i], logits[i],
                                         requests[i].n_tokens * TINY_VOCAB * sizeof **logits) == 0);
        }
        ingot_engine_info info;
        ingot_engine_get_info(s.engine, &info);
        CHECK(info.kv_bytes_used <= info.kv_bytes);
        session_close(&s);
    }
}

static void test_kv_bytes(void) {
    const uint64_t token_bytes[] = {4 * 64, 2 * 64, 2 * 64, 68, 36}; // of keys and values, in a layer
    for (size_t i = 0; i < sizeof kv_types / sizeof *kv_types; i++) {
        session s =
            session_open(&wide, 1, (ingot_engine_params){PAGES(kv_types[i]), .n_ctx = 64, .n_seqs = 1});
        ingot_engine_info info;
        ingot_engine_get_info(s.engine, &info);
        CHECK(info.k_type == kv_types[i] && info.v_type == kv_types[i] && !info.k_rotate &&
              info.kv_token_bytes == TINY_LAYERS * token_bytes[i] &&
              info.kv_bytes == 64 * info.kv_token_bytes);
        ingot_engine *e = NULL;
        ingot_engine_params params = {PAGES(kv_types[i]), .kv_bytes = info.kv_bytes};
        CHECK(ingot_engine_new(s.model, &params, &e, NULL) == INGOT_OK);
        ingot_engine_get_info(e, &info);
        CHECK(info.n_ctx == 64 && info.n_ctx_reduced);
        ingot_engine_free(e);
        session_close(&s);
    }
}

static void test_limits(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 16});
    ingot_error err;
    uint64_t id;
    answer a = run(s.engine, simple(-1));
    CHECK(a.last.finish == INGOT_FINISH_CONTEXT && a.n == 16 - N_PROMPT + 1);
    int32_t many[17] = {0};
    ingot_request r = {.tokens = many, .n_tokens = 17};
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_LIMIT);
    CHECK_CONTAINS(err.message, "17 tokens and the context 16");
    r.n_tokens = 0;
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_INVALID);
    r.n_tokens = 2;
    many[1] = TINY_VOCAB;
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "token 1 of the prompt is 259");
    many[1] = -1;
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_INVALID);
    many[1] = 0;
    r.n_allowed = 3;
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "`allowed` is NULL");
    ingot_engine *e = NULL;
    ingot_engine_params params = {PAGES(1), .n_ctx = 4096, .kv_bytes = 1 << 16};
    CHECK(ingot_engine_new(s.model, &params, &e, &err) == INGOT_ERR_LIMIT);
    CHECK_CONTAINS(err.message, "512 tokens would fit");
    params.k_type = 12;
    CHECK(ingot_engine_new(s.model, &params, &e, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "k_type is 12 (Q4_K), expected 1 (F16)");
    params.k_type = -1;
    CHECK(ingot_engine_new(s.model, &params, &e, &err) == INGOT_ERR_INVALID);
    params.k_type = 8;
    CHECK(ingot_engine_new(s.model, &params, &e, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "8 (Q8_0), whose blocks hold 32 numbers");
    CHECK_CONTAINS(err.message, "a head's keys have 16; use F16");
    params.k_type = 1;
    params.v_type = 2;
    CHECK(ingot_engine_new(s.model, &params, &e, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "v_type is 2 (Q4_0), whose blocks hold 32 numbers");
    CHECK_CONTAINS(err.message, "a head's values have 16; use F16");
    params = (ingot_engine_params){PAGES(1), .kv_bytes = 96 * 128};
    CHECK(ingot_engine_new(s.model, &params, &e, NULL) == INGOT_OK);
    ingot_engine_info info;
    ingot_engine_get_info(e, &info);
    CHECK(info.n_ctx == 96 && info.n_ctx_reduced && info.kv_bytes == 96 * 128);
    ingot_engine_free(e);
    session_close(&s);
}

static void test_bias_and_stop(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    const ingot_logit_bias ban[] = {{3 + 'x', 1000.0f}, {3 + 'y', 1000.0f}, {3 + 'z', 1000.0f}};
    const ingot_str stops[] = {{"zz", 2}, {"xyx", 3}, {"yyyy", 4}};
    ingot_request r = simple(100);
    r.bias = ban;
    r.n_bias = 3;
    answer a = run(s.engine, r);
    CHECK(a.size == 100 && strspn(a.text, "xyz") == 100);
    r.stop = stops;
    r.n_stop = 3;
    answer b = run(s.engine, r);
    CHECK(b.last.finish == INGOT_FINISH_STOP && b.last.stop_index >= 0);
    // The answer is that without stops, cut before the first of them.
    size_t cut = 100;
    for (int i = 0; i < 3; i++) {
        char *at = strstr(a.text, stops[i].data);
        if (at && (size_t)(at - a.text) + stops[i].size <= cut)
            cut = (size_t)(at - a.text) + stops[i].size;
    }
    CHECK(b.last.stop_index >= 0 && b.size + stops[b.last.stop_index].size == cut);
    CHECK(memcmp(a.text, b.text, b.size) == 0);
    // A greedy choice follows the bias; end of generation ends.
    double greedy[1] = {0.0};
    const ingot_logit_bias end = {2, 1e6f};
    r = simple(100);
    r.ignore_eos = false;
    r.bias = &end;
    r.n_bias = 1;
    r.sampling.values = greedy;
    r.sampling.n_values = 1;
    a = run(s.engine, r);
    CHECK(a.n == 1 && a.tokens[0] == 2 && a.last.finish == INGOT_FINISH_EOS && a.size == 0);
    r.ignore_eos = true;
    r.max_tokens = 5;
    a = run(s.engine, r);
    CHECK(a.n == 5 && a.tokens[0] != 2);
    session_close(&s);
}

static void *submit_many(void *arg) {
    session *s = arg;
    for (int i = 0; i < 20; i++) {
        ingot_request r = simple(5 + i % 7);
        uint64_t id;
        CHECK(ingot_engine_submit(s->engine, &r, &id, NULL) == INGOT_OK);
        if (i % 5 == 1) {
            ingot_engine_drop(s->engine, id);
            continue;
        }
        if (i % 5 == 2)
            ingot_engine_cancel(s->engine, id);
        answer a = collect(s->engine, id);
        CHECK(i % 5 == 2 || a.n == 5 + i % 7);
    }
    return NULL;
}

static void test_threads(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1)});
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, submit_many, &s);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    // Left running and unread when the engine goes.
    ingot_request r = simple(100);
    uint64_t id;
    for (int i = 0; i < 3; i++)
        CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
    session_close(&s);
}

// Two conversations that begin alike take turns: each finds its own, and the second one the beginning of the
// first.
static void test_turns(void) {
    enum { ALIKE = 20, TURN = 60 };
    static int32_t tokens[2][4 * TURN];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 4096});
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < 4 * TURN; i++)
            tokens[c][i] = i < ALIKE ? i : 30 + c + i % 5;
    for (int turn = 1; turn <= 4; turn++) {
        for (int c = 0; c < 2; c++) {
            ingot_request r = simple(0);
            r.tokens = tokens[c];
            r.n_tokens = (size_t)(turn * TURN);
            CHECK(run(s.engine, r).last.n_cached == (turn == 1 && c == 1 ? ALIKE : (turn - 1) * TURN));
        }
    }
    session_close(&s);
}

// One whose prompt fills each batch is cancelled: the one behind it isn't.
static void test_cancel_in_prompt(void) {
    static int32_t tokens[2000];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 4096, .n_batch = 8});
    for (int round = 0; round < 20; round++) {
        ingot_request r = simple(1);
        uint64_t first, second;
        ingot_event event;
        tokens[0] = round;
        r.tokens = tokens;
        r.n_tokens = 2000;
        CHECK(ingot_engine_submit(s.engine, &r, &first, NULL) == INGOT_OK);
        r.n_tokens = 9;
        CHECK(ingot_engine_submit(s.engine, &r, &second, NULL) == INGOT_OK);
        CHECK(ingot_engine_wait(s.engine, first, -1, &event, NULL) == INGOT_OK);
        ingot_engine_cancel(s.engine, first);
        CHECK(collect(s.engine, second).last.kind == INGOT_EVENT_DONE);
        CHECK(collect(s.engine, first).last.kind == INGOT_EVENT_ERROR);
    }
    session_close(&s);
}

// However many texts wait to be embedded, an answer goes on.
static void test_beside_embeddings(void) {
    enum { TEXTS = 400 };
    static float vectors[TEXTS][TINY_EMBD];
    static uint64_t ids[TEXTS];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 4096, .n_batch = 16});
    ingot_request r = simple(4);
    uint64_t answer_id;
    ingot_event event;
    CHECK(ingot_engine_submit(s.engine, &r, &answer_id, NULL) == INGOT_OK);
    CHECK(ingot_engine_wait(s.engine, answer_id, -1, &event, NULL) == INGOT_OK);
    for (int i = 0; i < TEXTS; i++) {
        ingot_request text = {
            .tokens = prompt, .n_tokens = N_PROMPT, .embedding = vectors[i], .pooling = INGOT_POOLING_MEAN};
        CHECK(ingot_engine_submit(s.engine, &text, &ids[i], NULL) == INGOT_OK);
    }
    answer a = collect(s.engine, answer_id);
    CHECK(a.last.kind == INGOT_EVENT_DONE && a.last.n_generated == 4);
    for (int i = 0; i < TEXTS; i++)
        CHECK(collect(s.engine, ids[i]).last.kind == INGOT_EVENT_DONE);
    session_close(&s);
}

static void test_cancel(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    ingot_request r = simple(100);
    uint64_t id;
    CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
    ingot_engine_cancel(s.engine, id);
    answer a = collect(s.engine, id);
    if (a.last.kind == INGOT_EVENT_ERROR) // else it was faster
        CHECK(a.last.finish == INGOT_FINISH_CANCELLED && a.last.error.status == INGOT_ERR_CANCELLED);
    else
        CHECK(a.n == 100);
    a = run(s.engine, simple(5));
    CHECK(a.n == 5);

    // One that waits behind another ends at once; one in the middle of its answer soon.
    uint64_t running, ahead[50], queued;
    ingot_event event;
    r = simple(100);
    CHECK(ingot_engine_submit(s.engine, &r, &running, NULL) == INGOT_OK);
    for (int i = 0; i < 50; i++)
        CHECK(ingot_engine_submit(s.engine, &r, &ahead[i], NULL) == INGOT_OK);
    CHECK(ingot_engine_submit(s.engine, &r, &queued, NULL) == INGOT_OK);
    ingot_engine_cancel(s.engine, queued);
    CHECK(ingot_engine_wait(s.engine, queued, 0, &event, NULL) == INGOT_OK &&
          event.kind == INGOT_EVENT_ERROR);
    CHECK(event.finish == INGOT_FINISH_CANCELLED);
    ingot_engine_drop(s.engine, queued);
    for (int i = 0; i < 50; i++)
        ingot_engine_drop(s.engine, ahead[i]);
    do
        CHECK(ingot_engine_wait(s.engine, running, -1, &event, NULL) == INGOT_OK);
    while (event.kind != INGOT_EVENT_TOKEN);
    ingot_engine_cancel(s.engine, running);
    a = collect(s.engine, running);
    CHECK(a.last.kind == INGOT_EVENT_ERROR || a.last.n_generated == 100);

    // One of several that run together: the others go on.
    uint64_t company[4];
    r = simple(60);
    for (int i = 0; i < 4; i++)
        CHECK(ingot_engine_submit(s.engine, &r, &company[i], NULL) == INGOT_OK);
    do
        CHECK(ingot_engine_wait(s.engine, company[1], -1, &event, NULL) == INGOT_OK);
    while (event.kind != INGOT_EVENT_TOKEN);
    ingot_engine_cancel(s.engine, company[1]);
    for (int i = 0; i < 4; i++) {
        a = collect(s.engine, company[i]);
        CHECK(a.last.kind == INGOT_EVENT_DONE ? a.last.n_generated == 60 : i == 1);
    }

    // Dropping waits for what the request borrowed.
    float *logits = malloc(N_PROMPT * TINY_VOCAB * sizeof *logits);
    r = simple(100);
    r.rows.logits = logits;
    CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
    ingot_engine_drop(s.engine, id);
    free(logits);
    session_close(&s);
}

// The next event that isn't of a token or the prompt; tokens go into `a`, which may be NULL.
static ingot_event next_offer(ingot_engine *e, uint64_t id, answer *a) {
    ingot_event event;
    for (;;) {
        if (ingot_engine_wait(e, id, -1, &event, NULL) != INGOT_OK)
            return (ingot_event){0};
        if (event.kind == INGOT_EVENT_TOKEN && a && a->n <= TINY_CTX)
            a->tokens[a->n++] = event.token;
        if (event.kind != INGOT_EVENT_TOKEN && event.kind != INGOT_EVENT_PREFILL)
            return event;
    }
}

// Who was given logits may cancel, drop or forget the request: nothing waits for him, and nothing is written
// to what he lent once it is dropped.
static void test_offers(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1)});
    for (int round = 0; round < 30; round++) {
        float *logits = malloc(TINY_VOCAB * sizeof *logits);
        const int32_t n = round % 5;
        ingot_request r = simple(20);
        uint64_t id;
        answer a = {0};
        r.edited_logits = logits;
        CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
        for (int32_t i = 0; i < n; i++) {
            const ingot_event offer = next_offer(s.engine, id, &a);
            CHECK(offer.kind == INGOT_EVENT_LOGITS && offer.n_tokens == N_PROMPT + i && a.n == i);
            CHECK(memcmp(offer.tokens, prompt, sizeof prompt) == 0);
            logits[7 + i] += 1e6f;
            CHECK(ingot_engine_resume(s.engine, id, NULL) == INGOT_OK);
        }
        for (int32_t i = 0; i < a.n; i++)
            CHECK(a.tokens[i] == 7 + i);
        if (round % 2 == 0) { // else the offer isn't read, or not there yet
            CHECK(next_offer(s.engine, id, NULL).kind == INGOT_EVENT_LOGITS);
            CHECK(run(s.engine, simple(5)).n == 5); // another one goes on
        }
        if (round % 3 == 0) {
            ingot_engine_cancel(s.engine, id);
            ingot_event last = next_offer(s.engine, id, NULL);
            if (last.kind == INGOT_EVENT_LOGITS && round % 2 == 1) // it was there already
                last = next_offer(s.engine, id, NULL);
            CHECK(last.kind == INGOT_EVENT_ERROR && last.finish == INGOT_FINISH_CANCELLED);
            CHECK(ingot_engine_resume(s.engine, id, NULL) == INGOT_ERR_STATE);
        }
        ingot_engine_drop(s.engine, id);
        CHECK(ingot_engine_resume(s.engine, id, NULL) == INGOT_ERR_STATE);
        free(logits);
    }
    session_close(&s);
}

typedef struct editor {
    ingot_engine *engine;
    int number;
    _Atomic uint64_t id;
    atomic_bool done;
} editor;

// Asks, changes logits, and is interrupted now and then.
static void *edit_many(void *arg) {
    editor *me = arg;
    const ingot_str banned[] = {{"a", 1}, {"bc", 2}, {"\x01\x02", 2}};
    for (int i = 0; i < 25; i++) {
        float logits[TINY_VOCAB];
        ingot_request r = simple(6 + i % 5);
        uint64_t id;
        ingot_event event;
        answer a = {0};
        r.edited_logits = (i + me->number) % 3 ? logits : NULL;
        r.banned = banned;
        r.n_banned = (size_t)(i % 4);
        r.sampling.seed = (uint64_t)i;
        r.n_logprobs = i % 3 - 1;
        CHECK(ingot_engine_submit(me->engine, &r, &id, NULL) == INGOT_OK);
        atomic_store(&me->id, id);
        while ((event = next_offer(me->engine, id, &a)).kind == INGOT_EVENT_LOGITS) {
            logits[3 + 'b'] += 2.0f;
            const ingot_status status = ingot_engine_resume(me->engine, id, NULL);
            CHECK(status == INGOT_OK || status == INGOT_ERR_STATE);
        }
        CHECK(event.kind == INGOT_EVENT_DONE ? a.n == 6 + i % 5 && event.n_generated == a.n
                                             : event.finish == INGOT_FINISH_CANCELLED);
        ingot_engine_drop(me->engine, id);
    }
    atomic_store(&me->done, true);
    return NULL;
}

static void test_offers_to_many(void) {
    enum { N = 5 };
    static editor editors[N];
    pthread_t threads[N];
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1), .n_ctx = 256, .n_seqs = 3});
    for (int i = 0; i < N; i++) {
        editors[i].engine = s.engine;
        editors[i].number = i;
        pthread_create(&threads[i], NULL, edit_many, &editors[i]);
    }
    for (int turn = 0, left = N; left > 0; turn++) {
        usleep(300);
        ingot_engine_cancel(s.engine, atomic_load(&editors[turn % N].id));
        left = 0;
        for (int i = 0; i < N; i++)
            left += !atomic_load(&editors[i].done);
    }
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    // Given, and unread, when the engine goes.
    static float logits[2][TINY_VOCAB];
    for (int i = 0; i < 2; i++) {
        ingot_request r = simple(9);
        uint64_t id;
        r.edited_logits = logits[i];
        CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
        if (i == 0)
            CHECK(next_offer(s.engine, id, NULL).kind == INGOT_EVENT_LOGITS);
    }
    session_close(&s);
}

typedef struct waiter {
    ingot_engine *engine;
    uint64_t id;
    ingot_status status;
} waiter;

static void *wait_for_drop(void *arg) {
    waiter *w = arg;
    ingot_event event;
    do
        w->status = ingot_engine_wait(w->engine, w->id, -1, &event, NULL);
    while (w->status == INGOT_OK);
    return NULL;
}

// Several threads wait for one request, which a last one drops.
static void test_waiters(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    for (int round = 0; round < 20; round++) {
        ingot_request r = simple(100);
        uint64_t ahead, id;
        ingot_event event;
        CHECK(ingot_engine_submit(s.engine, &r, &ahead, NULL) == INGOT_OK);
        CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
        CHECK(ingot_engine_wait(s.engine, id, 0, &event, NULL) == INGOT_OK);
        CHECK(event.kind == INGOT_EVENT_NONE || event.kind == INGOT_EVENT_PREFILL);
        pthread_t threads[3];
        waiter waiters[3];
        for (int i = 0; i < 3; i++) {
            waiters[i] = (waiter){s.engine, id, INGOT_OK};
            pthread_create(&threads[i], NULL, wait_for_drop, &waiters[i]);
        }
        ingot_engine_drop(s.engine, round % 2 ? ahead : id);
        ingot_engine_drop(s.engine, round % 2 ? id : ahead);
        for (int i = 0; i < 3; i++) {
            pthread_join(threads[i], NULL);
            CHECK(waiters[i].status == INGOT_ERR_NOT_FOUND);
        }
    }
    session_close(&s);
}

static void test_fork(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1)});
    pid_t child = fork();
    if (child == 0) {
        ingot_request r = simple(5);
        uint64_t id;
        ingot_error err;
        bool refused =
            ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_STATE && strstr(err.message, "fork");
        session_close(&s);
        _exit(refused ? 0 : 1);
    }
    int status = 1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    session_close(&s);
}

// An engine whose allocations fail one after another: the request fails or succeeds, and nothing leaks.
static ingot_request with_stop(const session *s) {
    static const ingot_str never = {"never", 5};
    (void)s;
    ingot_request r = simple(80);
    r.stop = &never;
    r.n_stop = 1;
    return r;
}

static ingot_request with_banned(const session *s) {
    static const ingot_str banned[] = {{"a", 1}, {"bc", 2}, {"d", 1}}, expressions[] = {{"xyz+[0-9]", 9}};
    static const ingot_logit_bias often[] = {{3 + 'a', 9.0f}, {3 + 'b', 9.0f}, {3 + 'c', 9.0f}};
    (void)s;
    ingot_request r = simple(20);
    r.banned = banned;
    r.n_banned = 3;
    r.stop_regex = expressions;
    r.n_stop_regex = 1;
    r.bias = often;
    r.n_bias = 3;
    r.n_logprobs = 3;
    return r;
}

// A weight file that is cut off while it is in use is an error of the request.
static void test_truncated(void) {
    temp_path path = temp_join(&dir, "cut.gguf");
    CHECK(tiny_model_write(path.text, NULL) == INGOT_OK);
    session s = session_open(&path, 2, (ingot_engine_params){PAGES(1)});
    CHECK(truncate(path.text, 16384) == 0);
    answer a = run(s.engine, simple(5));
    CHECK(a.last.kind == INGOT_EVENT_ERROR && a.last.error.status == INGOT_ERR_IO);
    CHECK_CONTAINS(a.last.error.message, "cut.gguf");
    session_close(&s);
}

int main(void) {
    dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    experts = temp_join(&dir, "experts.gguf");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    shared = temp_join(&dir, "shared.gguf");
    CHECK(tiny_model_write(shared.text, &(tiny_options){.experts = true, .shared = true}) == INGOT_OK);
    wide = temp_join(&dir, "wide.gguf");
    CHECK(tiny_model_write(wide.text, &(tiny_options){.wide = true}) == INGOT_OK);
    CHECK(tiny_model_write(experts.text, &(tiny_options){.experts = true}) == INGOT_OK);
    test_generate();
    for (size_t i = 0; i < sizeof kv_types / sizeof *kv_types; i++) {
        test_company(&wide, kv_types[i]);
        test_together(&wide, kv_types[i]);
    }
    test_company(&dense, 0);
    test_company(&experts, 0);
    test_company(&shared, 0);
    test_together(&dense, 1);
    test_together(&experts, 1);
    test_kv_bytes();
    test_limits();
    test_bias_and_stop();
    test_threads();
    test_cancel();
    test_turns();
    test_cancel_in_prompt();
    test_beside_embeddings();
    test_waiters();
    test_offers();
    test_offers_to_many();
    test_fork();
    request_out_of_memory(&dense, with_stop, NULL);
    request_out_of_memory(&dense, with_banned, NULL);
    test_truncated();
    temp_dir_remove(&dir);
    return check_report();
}
