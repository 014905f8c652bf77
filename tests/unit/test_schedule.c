// Many requests at once: who is served when, what they share, and how one thread waits for all of them.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session.h"

static temp_path dense;

// One thread reads the events of many requests.
static void test_ready(void) {
    enum { N = 20 };
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 1024});
    uint64_t ids[N], ready[4];
    int32_t n_tokens[N] = {0}, n_open = N;
    for (int i = 0; i < N; i++) {
        ingot_request r = simple(3 + i);
        CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
    }
    while (n_open > 0) {
        size_t n = 0;
        CHECK(ingot_engine_ready(s.engine, -1, ready, 4, &n, NULL) == INGOT_OK);
        CHECK(n >= 1 && n <= 4);
        for (size_t k = 0; k < n; k++) {
            const size_t i = (size_t)(ready[k] - ids[0]);
            ingot_event event = {0};
            do {
                CHECK(ingot_engine_wait(s.engine, ready[k], 0, &event, NULL) == INGOT_OK);
                n_tokens[i] += event.kind == INGOT_EVENT_TOKEN;
            } while (event.kind != INGOT_EVENT_NONE && event.kind != INGOT_EVENT_DONE);
            if (event.kind == INGOT_EVENT_DONE) {
                n_open--;
                ingot_engine_drop(s.engine, ready[k]);
            }
        }
    }
    for (int i = 0; i < N; i++)
        CHECK(n_tokens[i] == 3 + i);
    size_t n = 1;
    CHECK(ingot_engine_ready(s.engine, 0, ready, 4, &n, NULL) == INGOT_OK && n == 0);
    session_close(&s);
}

typedef struct waiter {
    ingot_engine *engine;
    atomic_bool returned;
} waiter;

static void *wait_for_ready(void *arg) {
    waiter *w = arg;
    uint64_t id;
    size_t n = 1;
    CHECK(ingot_engine_ready(w->engine, -1, &id, 1, &n, NULL) == INGOT_OK && n == 0);
    atomic_store(&w->returned, true);
    return NULL;
}

static void test_wake(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 1024});
    waiter w = {.engine = s.engine};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_ready, &w) == 0);
    while (!atomic_load(&w.returned)) { // it may not wait yet
        ingot_engine_wake(s.engine);
        usleep(300);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    session_close(&s);
}

// ------------------------------------------------------------------------------------------------- whose
// turn

// A request of its own tokens.
static uint64_t submit(const session *s, ingot_request r) {
    uint64_t id = 0;
    ingot_error err = {0};
    const ingot_status status = ingot_engine_submit(s->engine, &r, &id, &err);
    if (status != INGOT_OK)
        fprintf(stderr, "%s\n", err.message);
    CHECK(status == INGOT_OK);
    return id;
}

static void wait_for_token(const session *s, uint64_t id) {
    ingot_event event = {0};
    while (event.kind != INGOT_EVENT_TOKEN && event.kind != INGOT_EVENT_DONE)
        CHECK(ingot_engine_wait(s->engine, id, -1, &event, NULL) == INGOT_OK);
}

static bool is_done(const session *s, uint64_t id) {
    ingot_event event = {.kind = INGOT_EVENT_TOKEN};
    while (event.kind != INGOT_EVENT_NONE && event.kind != INGOT_EVENT_DONE)
        CHECK(ingot_engine_wait(s->engine, id, 0, &event, NULL) == INGOT_OK);
    return event.kind == INGOT_EVENT_DONE;
}

// Requests that stop before their token, so that nothing depends on time: of each, when its turn came.
typedef struct turns {
    session s;
    float *logits; // of whoever has his turn
    uint64_t ids[16];
    int32_t n;
} turns;

static turns turns_begin(ingot_engine_params params) {
    turns t = {.s = session_open(&dense, 1, params), .logits = calloc(TINY_VOCAB, sizeof(float))};
    CHECK(t.logits != NULL);
    return t;
}

// The first one has its turn when the call returns.
static void turns_add(turns *t, ingot_request r) {
    ingot_event event = {0};
    r.max_tokens = 1;
    r.edited_logits = t->logits;
    t->ids[t->n++] = submit(&t->s, r);
    while (t->n == 1 && event.kind != INGOT_EVENT_LOGITS)
        CHECK(ingot_engine_wait(t->s.engine, t->ids[0], -1, &event, NULL) == INGOT_OK);
}

// The first one, which holds the only slot until all others are there, ends and is left out.
static void turns_start(turns *t) {
    CHECK(ingot_engine_resume(t->s.engine, t->ids[0], NULL) == INGOT_OK);
    collect(t->s.engine, t->ids[0]);
    memmove(t->ids, t->ids + 1, (size_t)--t->n * sizeof *t->ids);
}

// Lets them go on one by one; the order in which they come, as their numbers in that of submission.
static void turns_end(turns *t, int32_t *order) {
    ingot_engine *e = t->s.engine;
    for (int32_t i = 0; i < t->n; i++) {
        uint64_t id = 0;
        ingot_event event = {0};
        size_t n = 0;
        while (event.kind != INGOT_EVENT_LOGITS) {
            CHECK(ingot_engine_ready(e, -1, &id, 1, &n, NULL) == INGOT_OK && n == 1);
            do
                CHECK(ingot_engine_wait(e, id, 0, &event, NULL) == INGOT_OK);
            while (event.kind == INGOT_EVENT_PREFILL);
        }
        CHECK(ingot_engine_resume(e, id, NULL) == INGOT_OK);
        collect(e, id);
        for (int32_t k = 0; k < t->n; k++)
            if (t->ids[k] == id)
                order[i] = k;
    }
    session_close(&t->s);
    free(t->logits);
}

static void test_priority(void) {
    turns t = turns_begin((ingot_engine_params){PAGES(1), .n_seqs = 1, .n_ctx = 256});
    static const int32_t priorities[] = {0, 0, -1, 2, 0, 2};
    ingot_request r = simple(1);
    for (int i = 0; i < 6; i++) {
        r.priority = priorities[i];
        turns_add(&t, r);
    }
    turns_start(&t);
    int32_t order[5];
    turns_end(&t, order);
    static const int32_t expected[] = {2, 4, 0, 3, 1};
    CHECK(memcmp(order, expected, sizeof order) == 0);
}

// A request of higher priority makes one that runs wait again.
static void test_preempt(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_seqs = 1, .n_ctx = 1 << 16});
    ingot_request r = simple(60000);
    const uint64_t low = submit(&s, r);
    wait_for_token(&s, low);
    r.max_tokens = 20;
    r.priority = 1;
    const answer a = collect(s.engine, submit(&s, r));
    CHECK(a.n == 20 && a.last.n_cached > 0);
    CHECK(!is_done(&s, low));
    ingot_engine_stats stats;
    ingot_engine_get_stats(s.engine, &stats);
    CHECK(stats.n_preempted == 1);
    ingot_engine_drop(s.engine, low);
    session_close(&s);
}

// Of two clients, the one that has had less goes first, however many requests the other one has sent.
static void test_clients(void) {
    turns t = turns_begin((ingot_engine_params){PAGES(1), .n_seqs = 1, .n_ctx = 256});
    ingot_request r = simple(1);
    for (int i = 0; i < 5; i++) {
        r.client = i < 3 ? 1 : 2;
        turns_add(&t, r);
    }
    turns_start(&t);
    int32_t order[4];
    turns_end(&t, order);
    CHECK(order[0] == 2 || order[1] == 2); // where they have had the same, the older one goes first
    CHECK(order[3] == 1 || order[3] == 3);
    CHECK(order[0] != 0 || order[1] != 1);
}

// Too many are refused at once; who waits too long is told so; nobody who runs is touched.
static void test_busy(void) {
    session s = session_open(
        &dense, 1, (ingot_engine_params){PAGES(1), .n_seqs = 1, .n_ctx = 1 << 16, .max_waiting = 2});
    ingot_request r = simple(60000);
    const uint64_t running = submit(&s, r);
    wait_for_token(&s, running);
    r.max_wait_seconds = 0.01;
    const uint64_t late = submit(&s, r);
    r.max_wait_seconds = 0;
    const uint64_t waiting = submit(&s, r);
    uint64_t id;
    ingot_error err = {0};
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_BUSY);
    CHECK_CONTAINS(err.message, "2 requests wait already");
    const answer a = collect(s.engine, late);
    CHECK(a.last.kind == INGOT_EVENT_ERROR && a.last.error.status == INGOT_ERR_BUSY);
    CHECK_CONTAINS(a.last.error.message, "0.01 s");
    CHECK(!is_done(&s, running));
    ingot_engine_stats stats;
    ingot_engine_get_stats(s.engine, &stats);
    CHECK(stats.n_refused == 1 && stats.n_failed == 1 && stats.n_running == 1 && stats.n_waiting == 1);
    ingot_engine_drop(s.engine, waiting);
    ingot_engine_drop(s.engine, running);
    r.max_wait_seconds = -1;
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_INVALID);
    session_close(&s);
}

// ------------------------------------------------------------------------------------------------- what is
// shared

// Requests that begin alike compute their beginning once, though they come at the same time.
static void test_shared_prompt(void) {
    enum { N = 20, ALIKE = 500, OWN = 10 };
    static int32_t tokens[N][ALIKE + OWN];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 1024, .n_batch = 64});
    uint64_t ids[N];
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < ALIKE + OWN; k++)
            tokens[i][k] = 30 + (k < ALIKE ? k % 71 : (i + k) % 50);
        ingot_request r = simple(4);
        r.tokens = tokens[i];
        r.n_tokens = ALIKE + OWN;
        ids[i] = submit(&s, r);
    }
    for (int i = 0; i < N; i++)
        CHECK(collect(s.engine, ids[i]).n == 4);
    ingot_engine_stats stats;
    ingot_engine_get_stats(s.engine, &stats);
    CHECK(stats.n_prompt_tokens == N * (ALIKE + OWN));
    const uint64_t computed = stats.n_prompt_tokens - stats.n_cached_tokens;
    CHECK(computed >= ALIKE + N * OWN && computed <= ALIKE * 12 / 10 + N * OWN);
    session_close(&s);
}

// ------------------------------------------------------------------------------------------------- a full
// context

// The values of samplers' parameters by which the likeliest token is chosen.
static size_t greedy_values(double *values) {
    size_t n = 0;
    for (const ingot_sampler_param *p; (p = ingot_sampler_param_at((int32_t)n)); n++)
        values[n] = strcmp(p->name, "temperature") == 0 ? 0.0 : p->default_value;
    return n;
}

// Goes on as a request would that has the tokens which are left for its prompt.
static void test_shift(void) {
    enum { CTX = 64, KEEP = 6, MORE = 150 };
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = CTX});
    double values[64];
    ingot_request r = simple(MORE);
    r.sampling.n_values = greedy_values(values);
    r.sampling.values = values;
    const answer cut = run(s.engine, r);
    CHECK(cut.last.finish == INGOT_FINISH_CONTEXT && cut.last.n_shifted == 0);
    r.shift = true;
    r.n_keep = KEEP;
    const answer a = run(s.engine, r);
    CHECK(a.last.finish == INGOT_FINISH_LENGTH && a.n > TINY_CTX);
    CHECK(a.last.n_generated == MORE && a.last.n_shifted >= MORE + N_PROMPT - CTX);
    CHECK(memcmp(a.tokens, cut.tokens, (size_t)cut.n * sizeof *a.tokens) == 0);
    // The context was full with the token before the last one of `cut`, which came to stand behind what is
    // left.
    int32_t left[CTX];
    const int32_t drop = (CTX - KEEP) / 2;
    for (int32_t k = 0; k <= CTX - drop; k++) {
        const int32_t at = k < KEEP ? k : k + drop;
        left[k] = at < N_PROMPT ? prompt[at] : a.tokens[at - N_PROMPT];
    }
    r.max_tokens = 10;
    r.shift = false;
    r.tokens = left;
    r.n_tokens = (size_t)(CTX - drop + 1);
    const answer b = run(s.engine, r);
    CHECK(memcmp(b.tokens, a.tokens + cut.n, 10 * sizeof *a.tokens) == 0);

    uint64_t id;
    r.shift = true;
    r.n_keep = CTX / 2 + 1;
    CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_ERR_INVALID);
    session_close(&s);
}

int main(void) {
    temp_dir dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    test_ready();
    test_wake();
    test_priority();
    test_preempt();
    test_clients();
    test_busy();
    test_shared_prompt();
    test_shift();
    temp_dir_remove(&dir);
    return check_report();
}
