// A runtime, a model and an engine, and requests run to their end.
#ifndef INGOT_TESTS_SESSION_H
#define INGOT_TESTS_SESSION_H

#include "check.h"

#include "failing_mem.h"
#include "temp.h"
#include "tiny_model.h"

// Of ingot_engine_params: keys and values of one type.
#define PAGES(type) .k_type = (type), .v_type = (type)

typedef struct session {
    ingot_runtime *runtime;
    ingot_model *model;
    ingot_engine *engine;
} session;

static inline session session_open(const temp_path *path, int32_t threads, ingot_engine_params params) {
    session s = {0};
    ingot_error err = {0};
    CHECK(ingot_runtime_new(&(ingot_runtime_params){.threads = threads}, &s.runtime, &err) == INGOT_OK);
    CHECK(ingot_model_open(s.runtime, path->text, NULL, NULL, NULL, &s.model, &err) == INGOT_OK);
    CHECK(ingot_engine_new(s.model, &params, &s.engine, &err) == INGOT_OK);
    if (!s.engine) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return s;
}

static inline void session_close(session *s) {
    ingot_engine_free(s->engine);
    ingot_model_close(s->model);
    ingot_runtime_free(s->runtime);
}

static const int32_t prompt[] = {1, 75, 104, 111, 111, 114, 35, 122, 114, 117, 111, 103};
enum { N_PROMPT = (int)(sizeof prompt / sizeof *prompt) };

// The prompt, and so many tokens after it whatever they are.
static inline ingot_request simple(int32_t max_tokens) {
    ingot_request r = ingot_request_default();
    r.tokens = prompt;
    r.n_tokens = N_PROMPT;
    r.max_tokens = max_tokens;
    r.ignore_eos = true;
    return r;
}

typedef struct answer {
    int32_t tokens[TINY_CTX + 1];
    int32_t n;
    char text[4096];
    size_t size;
    ingot_event last;
    ingot_status wait_status;
} answer;

// Reads a request's events to the end and drops it.
static inline answer collect(ingot_engine *e, uint64_t id) {
    answer a = {0};
    do {
        a.wait_status = ingot_engine_wait(e, id, -1, &a.last, NULL);
        if (a.wait_status != INGOT_OK)
            break;
        if (a.last.kind == INGOT_EVENT_TOKEN && a.n <= TINY_CTX)
            a.tokens[a.n++] = a.last.token;
        if (a.last.text.size > 0 && a.size + a.last.text.size <= sizeof a.text) {
            memcpy(a.text + a.size, a.last.text.data, a.last.text.size);
            a.size += a.last.text.size;
        }
    } while (a.last.kind != INGOT_EVENT_DONE && a.last.kind != INGOT_EVENT_ERROR);
    ingot_engine_drop(e, id);
    return a;
}

static inline answer run(ingot_engine *e, ingot_request r) {
    uint64_t id;
    ingot_error err = {0};
    ingot_status status = ingot_engine_submit(e, &r, &id, &err);
    CHECK(status == INGOT_OK);
    if (status != INGOT_OK) {
        fprintf(stderr, "%s\n", err.message);
        return (answer){0};
    }
    return collect(e, id);
}

static inline bool same(const answer *a, const answer *b) {
    return a->n == b->n && memcmp(a->tokens, b->tokens, (size_t)a->n * sizeof *a->tokens) == 0 &&
           a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

// Opens a session again and again, each time with another allocation failing.
static inline void session_out_of_memory(const temp_path *path, const ingot_model_params *params) {
    for (long n = 0;; n++) {
        failing_mem mem;
        failing_mem_init(&mem, n);
        session s = {0};
        const ingot_runtime_params runtime = {.threads = 1, .allocator = &mem.allocator};
        ingot_status status = ingot_runtime_new(&runtime, &s.runtime, NULL);
        if (status == INGOT_OK)
            status = ingot_model_open(s.runtime, path->text, params, NULL, NULL, &s.model, NULL);
        if (status == INGOT_OK)
            status = ingot_engine_new(s.model, NULL, &s.engine, NULL);
        session_close(&s);
        if (!failing_mem_end(&mem, status))
            break;
    }
}

// Runs a request again and again, each time with another allocation from its submission on failing. `ask`
// makes it; `done`, unless NULL, frees what it took.
static inline void request_out_of_memory(const temp_path *path, ingot_request (*ask)(const session *s),
                                         void (*done)(void)) {
    for (long n = 0; n < 4000; n++) {
        failing_mem mem;
        failing_mem_init(&mem, -1);
        session s = {0};
        const ingot_runtime_params params = {.threads = 1, .allocator = &mem.allocator};
        CHECK(ingot_runtime_new(&params, &s.runtime, NULL) == INGOT_OK);
        CHECK(ingot_model_open(s.runtime, path->text, NULL, NULL, NULL, &s.model, NULL) == INGOT_OK);
        CHECK(ingot_engine_new(s.model, NULL, &s.engine, NULL) == INGOT_OK);
        const ingot_request r = ask(&s);
        mem.fail_at = atomic_load(&mem.calls) + n;
        uint64_t id;
        ingot_status status = ingot_engine_submit(s.engine, &r, &id, NULL);
        if (status == INGOT_OK) {
            const answer a = collect(s.engine, id);
            status = a.wait_status != INGOT_OK ? a.wait_status : a.last.error.status;
        }
        if (done)
            done();
        session_close(&s);
        if (!failing_mem_end(&mem, status))
            return;
    }
    CHECK(false && "the allocations come to an end");
}

#endif
