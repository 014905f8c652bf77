// Thousands of requests of all kinds at once, in too little memory: each gets the tokens that it gets alone,
// and no page is lost.
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"
#include "tiny_adapter.h"

enum { N_READERS = 4, N_FAMILIES = 3, N_ADAPTERS = 2, N_CTX = 256, MOST_PROMPT = 150, MOST_ANSWER = 50 };

static temp_dir dir;
static temp_path dense, adapter_paths[N_ADAPTERS];

// A session, and what its model was given.
typedef struct adapted {
    session s;
    ingot_adapter *adapters[N_ADAPTERS];
} adapted;

static adapted adapted_open(int32_t threads, ingot_engine_params params) {
    adapted a = {.s = session_open(&dense, threads, params)};
    for (int i = 0; i < N_ADAPTERS; i++)
        CHECK(ingot_adapter_load(a.s.model, adapter_paths[i].text, NULL, NULL, &a.adapters[i], NULL) ==
              INGOT_OK);
    return a;
}

static void adapted_close(adapted *a) {
    for (int i = 0; i < N_ADAPTERS; i++)
        ingot_adapter_free(a->adapters[i]);
    session_close(&a->s);
}

// A request at random, and what it is answered alone.
typedef struct expected {
    int32_t prompt[MOST_PROMPT], n_prompt, max_tokens, n_banned;
    int32_t adapter; // -1: none
    bool shifts;     // an answer longer than the context
    uint64_t seed;
    answer alone;
} expected;

typedef struct crowd {
    adapted model;
    expected *all;
    int32_t n, next;
    pthread_mutex_t lock;
    int64_t n_cached, n_whole;
} crowd;

static uint32_t random_below(uint64_t *state, uint32_t n) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static const ingot_str banned[] = {{"a", 1}, {"bc", 2}};

// `use` is where its adapter is told, if it has one.
static ingot_request request_of(const expected *x, const adapted *model, ingot_adapter_scale *use) {
    ingot_request r = simple(x->max_tokens);
    if (x->adapter >= 0) {
        *use = (ingot_adapter_scale){model->adapters[x->adapter], 1.0f};
        r.adapters = use;
        r.n_adapters = 1;
    }
    r.shift = x->shifts;
    r.n_keep = x->shifts ? (int32_t)(x->seed % 5) : 0;
    r.tokens = x->prompt;
    r.n_tokens = (size_t)x->n_prompt;
    r.sampling.seed = x->seed;
    r.banned = banned;
    r.n_banned = (size_t)x->n_banned;
    r.priority = (int32_t)(x->seed % 3);
    r.client = x->seed % 4;
    return r;
}

static void make_expected(expected *x, uint64_t *state) {
    const uint32_t family = random_below(state, N_FAMILIES);
    x->n_prompt = 1 + (int32_t)random_below(state, MOST_PROMPT);
    const uint32_t alike = random_below(state, (uint32_t)x->n_prompt + 1);
    for (uint32_t i = 0; i < (uint32_t)x->n_prompt; i++)
        x->prompt[i] = (int32_t)(i < alike ? 30 + (i * (family + 3)) % 40 : 30 + random_below(state, 60));
    x->shifts = random_below(state, 16) == 0;
    x->max_tokens = (int32_t)random_below(state, MOST_ANSWER) + (x->shifts ? N_CTX : 0);
    x->adapter = (int32_t)random_below(state, 2 * N_ADAPTERS) - N_ADAPTERS;
    x->adapter = x->adapter < 0 ? -1 : x->adapter;
    x->n_banned = !x->shifts && random_below(state, 4) == 0 ? 2 : 0;
    x->seed = random_below(state, 1000);
}

static void *read_many(void *arg) {
    crowd *c = arg;
    uint64_t state = (uint64_t)(uintptr_t)&state;
    for (;;) {
        pthread_mutex_lock(&c->lock);
        const int32_t i = c->next++;
        pthread_mutex_unlock(&c->lock);
        if (i >= c->n)
            return NULL;
        const expected *x = &c->all[i];
        ingot_engine *engine = c->model.s.engine;
        ingot_adapter_scale use;
        ingot_request r = request_of(x, &c->model, &use);
        uint64_t id, gone;
        CHECK(ingot_engine_submit(engine, &r, &id, NULL) == INGOT_OK);
        if (random_below(&state, 3) == 0) { // another one that its reader loses interest in, soon or later
            ingot_event event;
            CHECK(ingot_engine_submit(engine, &r, &gone, NULL) == INGOT_OK);
            for (uint32_t k = random_below(&state, 6); k > 0; k--)
                ingot_engine_wait(engine, gone, 1, &event, NULL);
            if (random_below(&state, 2))
                ingot_engine_cancel(engine, gone);
            ingot_engine_drop(engine, gone);
        }
        const answer a = collect(engine, id);
        CHECK(a.last.kind == INGOT_EVENT_DONE && same(&a, &x->alone));
        pthread_mutex_lock(&c->lock);
        c->n_cached += a.last.n_cached;
        c->n_whole += x->n_prompt;
        pthread_mutex_unlock(&c->lock);
    }
}

// Requests of all kinds, in too little memory, get the tokens that they get alone; and no page is lost.
static void test_random(int32_t n, uint64_t seed) {
    const ingot_engine_params roomy = {PAGES(1), .n_ctx = N_CTX};
    adapted alone = adapted_open(1, roomy);
    ingot_engine_info info;
    ingot_engine_get_info(alone.s.engine, &info);
    const uint64_t page = info.kv_bytes / (uint64_t)(info.n_seqs * N_CTX / info.page_tokens);
    ingot_engine_params tight = {PAGES(1), .n_ctx = N_CTX, .n_seqs = 3 + (int32_t)(seed % 5), .n_batch = 48};
    const temp_path cache = temp_join(&dir, "cache");
    tight.kv_bytes = page * (8 + seed % 9);
    tight.cache_dir = seed % 2 ? cache.text : NULL; // what the one before it has left is there
    tight.cache_dir_bytes = page * 50;
    crowd c = {.model = adapted_open(2, tight), .n = n, .lock = PTHREAD_MUTEX_INITIALIZER};
    c.all = calloc((size_t)n, sizeof *c.all);
    CHECK(c.all != NULL);
    for (int32_t i = 0; i < n; i++) {
        make_expected(&c.all[i], &seed);
        ingot_adapter_scale use;
        c.all[i].alone = run(alone.s.engine, request_of(&c.all[i], &alone, &use));
    }
    pthread_t threads[N_READERS];
    for (int i = 0; i < N_READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, read_many, &c) == 0);
    for (int i = 0; i < N_READERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    ingot_engine_stats stats;
    do // the last ones that were dropped may still run
        ingot_engine_get_stats(c.model.s.engine, &stats);
    while (stats.n_running > 0 || stats.n_waiting > 0);
    ingot_engine_get_info(c.model.s.engine, &info);
    CHECK(stats.n_pages_running == 0 && info.kv_bytes_used == (uint64_t)stats.n_pages_cached * page);
    CHECK(stats.n_finished >= (uint64_t)n && stats.n_failed == 0);
    CHECK(c.n_cached > c.n_whole / 20);
    printf("%d requests: %llu steps, %llu preempted, %llu shifts, %llu pages evicted, %llu restored, %lld of "
           "%lld prompt tokens known\n",
           n, (unsigned long long)stats.n_steps, (unsigned long long)stats.n_preempted,
           (unsigned long long)stats.n_shifts, (unsigned long long)stats.n_evicted_pages,
           (unsigned long long)stats.n_restored_pages, (long long)c.n_cached, (long long)c.n_whole);
    free(c.all);
    adapted_close(&c.model);
    adapted_close(&alone);
}

int main(int argc, char **argv) {
    // More, and from another seed: test_schedule_random REQUESTS SEED
    const int32_t n = argc > 1 ? atoi(argv[1]) : 150;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    for (uint32_t i = 0; i < N_ADAPTERS; i++) {
        const tiny_adapter adapter = {.seed = i + 1, .alpha = 6.0f};
        adapter_paths[i] = temp_join(&dir, i ? "one.gguf" : "zero.gguf");
        CHECK(tiny_adapter_write(adapter_paths[i].text, &adapter) == INGOT_OK);
    }
    for (uint64_t i = 0; i < 4; i++)
        test_random(n, seed + i);
    temp_dir_remove(&dir);
    return check_report();
}
