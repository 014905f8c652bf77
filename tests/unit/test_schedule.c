// Many requests at once: who is served when, what they share, and how one thread waits for all of them.
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "session.h"

static temp_path dense;

// One thread reads the events of many requests.
static void test_ready(void) {
    enum { N = 20 };
    session s = session_open(&dense, 1, (ingot_engine_params){.kv_type = 1, .n_ctx = 1024});
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
    session s = session_open(&dense, 1, (ingot_engine_params){.kv_type = 1, .n_ctx = 1024});
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

int main(void) {
    temp_dir dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    test_ready();
    test_wake();
    temp_dir_remove(&dir);
    return check_report();
}
