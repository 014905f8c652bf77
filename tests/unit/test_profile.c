// The profile of a model: every operation is passed on and noted, and nothing that is computed changes.
#include "check.h"

#include "backend/backend.h"
#include "session.h"

static temp_dir dir;
static const ingot_model_params profiled = {.profile = true};

enum { N_TOKENS = 3, N_USED = 2 };

static void generate(ingot_model *model, int32_t *out) {
    ingot_engine *e = NULL;
    const ingot_request r = simple(N_TOKENS);
    uint64_t id;
    ingot_event event = {0};
    CHECK(ingot_engine_new(model, NULL, &e, NULL) == INGOT_OK);
    CHECK(e && ingot_engine_submit(e, &r, &id, NULL) == INGOT_OK);
    while (event.kind != INGOT_EVENT_DONE && event.kind != INGOT_EVENT_ERROR) {
        CHECK(ingot_engine_wait(e, id, -1, &event, NULL) == INGOT_OK);
        if (event.kind == INGOT_EVENT_TOKEN)
            *out++ = event.token;
    }
    CHECK(event.kind == INGOT_EVENT_DONE && event.n_generated == N_TOKENS);
    ingot_engine_drop(e, id);
    ingot_engine_free(e);
}

static ingot_stage find(const ingot_model *model, const char *name) {
    ingot_stage stage = {0};
    for (int32_t i = 0; ingot_model_stage(model, i, &stage, NULL) == INGOT_OK; i++)
        if (strcmp(stage.name, name) == 0)
            return stage;
    CHECK_CONTAINS("", name);
    return (ingot_stage){0};
}

static void test_dense(int32_t threads) {
    temp_path path = temp_join(&dir, "dense.gguf");
    CHECK(tiny_model_write(path.text, NULL) == INGOT_OK);
    ingot_runtime *runtime = NULL;
    ingot_model *plain = NULL, *m = NULL;
    ingot_stage stage;
    ingot_error err;
    int32_t tokens[2][N_TOKENS] = {{0}};
    CHECK(ingot_runtime_new(&(ingot_runtime_params){.threads = threads}, &runtime, NULL) == INGOT_OK);
    CHECK(ingot_model_open(runtime, path.text, NULL, NULL, NULL, &plain, NULL) == INGOT_OK);
    CHECK(ingot_model_open(runtime, path.text, &profiled, NULL, NULL, &m, NULL) == INGOT_OK);
    CHECK(ingot_model_stage(plain, 0, &stage, &err) == INGOT_ERR_STATE);
    CHECK_CONTAINS(err.message, "opened without `profile`");
    CHECK(ingot_model_stage(m, 0, &stage, &err) == INGOT_ERR_NOT_FOUND);
    CHECK_CONTAINS(err.message, "there is no stage 0; stages: 0");
    generate(plain, tokens[0]);
    generate(m, tokens[1]);
    CHECK(memcmp(tokens[0], tokens[1], sizeof tokens[0]) == 0);

    // The prompt is one pass, and the last token isn't computed.
    const uint64_t passes = N_TOKENS, n_computed = N_PROMPT + N_TOKENS - 1;
    const ingot_stage qkv = find(m, "multiply attn_q:F32 attn_k:F32 attn_v:F32");
    const uint64_t size = TINY_EMBD * (TINY_HEADS + 2 * TINY_KV_HEADS) * TINY_DIM;
    CHECK(qkv.calls == passes * TINY_LAYERS && qkv.seconds > 0);
    CHECK(qkv.products == n_computed * TINY_LAYERS * size);
    CHECK(qkv.weight_bytes == passes * TINY_LAYERS * size * 4);
    CHECK((qkv.barriers == 0) == (threads == 1));
    CHECK(qkv.barriers <= 2 * qkv.calls);
    CHECK(find(m, "embed").calls == passes && find(m, "read").calls == passes);
    CHECK(find(m, "attend").calls == passes * TINY_LAYERS);
    CHECK(find(m, "norm").calls == passes * (2 * TINY_LAYERS + 1));
    CHECK(ingot_model_stage(m, -1, &stage, NULL) == INGOT_ERR_NOT_FOUND);
    ingot_model_close(m);
    ingot_model_close(plain);
    ingot_runtime_free(runtime);
}

static void test_experts(void) {
    temp_path path = temp_join(&dir, "experts.gguf");
    CHECK(tiny_model_write(path.text, &(tiny_options){.experts = true}) == INGOT_OK);
    ingot_runtime *r = NULL;
    ingot_model *m = NULL;
    int32_t tokens[N_TOKENS];
    CHECK(ingot_runtime_new(&(ingot_runtime_params){.threads = 1}, &r, NULL) == INGOT_OK);
    CHECK(ingot_model_open(r, path.text, &profiled, NULL, NULL, &m, NULL) == INGOT_OK);
    generate(m, tokens);
    const ingot_stage down = find(m, "multiply_experts ffn_down_exps:F32");
    const uint64_t of_token = N_USED * TINY_LAYERS * TINY_EMBD * TINY_FF;
    CHECK(down.products == (N_PROMPT + N_TOKENS - 1) * of_token);
    // Only of a single token it is known how many experts are read.
    CHECK(down.weight_bytes == 4 * (N_TOKENS - 1) * of_token);
    ingot_model_close(m);
    ingot_runtime_free(r);
}

static void test_memory(void) {
    temp_path path = temp_join(&dir, "model.gguf");
    CHECK(tiny_model_write(path.text, NULL) == INGOT_OK);
    session_out_of_memory(&path, &profiled);
}

// An operation that is new in backend.h must be passed on too.
static void test_nothing_is_missing(void) {
    pool *threads;
    backend *b = NULL;
    const struct kernels *chosen;
    CHECK(pool_new(1, NULL, NULL, &threads, NULL) == INGOT_OK);
    CHECK(backend_isa_choose(NULL, &chosen, NULL) == INGOT_OK);
    const backend_params params = {BACKEND_VERSION, threads, chosen, NULL, NULL};
    CHECK(backend_open_profile(&params, 0, &b, NULL) == INGOT_OK);
    for (size_t at = offsetof(backend_ops, name); b && at < sizeof *b->ops; at += sizeof(void *)) {
        uintptr_t pointer;
        memcpy(&pointer, (const char *)b->ops + at, sizeof pointer);
        CHECK(pointer != 0);
    }
    if (b)
        b->ops->close(b);
    pool_free(threads);
}

int main(void) {
    dir = temp_dir_make();
    test_dense(1);
    test_dense(2);
    test_experts();
    test_memory();
    test_nothing_is_missing();
    temp_dir_remove(&dir);
    return check_report();
}
