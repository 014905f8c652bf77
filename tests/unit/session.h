// A runtime, a model and an engine, and requests run to their end.
#ifndef INGOT_TESTS_SESSION_H
#define INGOT_TESTS_SESSION_H

#include "check.h"

#include "failing_mem.h"
#include "temp.h"
#include "tiny_model.h"

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

#endif
