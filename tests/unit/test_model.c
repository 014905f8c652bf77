// Opening models: what is missing, misshapen, unknown or too much is an error that names it.
#include "check.h"

#include <math.h>

#include "session.h"

static ingot_runtime *runtime;
static temp_dir dir;

static ingot_status open_with(const tiny_options *options, const ingot_model_params *params, ingot_model **m,
                              ingot_error *err) {
    temp_path path = temp_join(&dir, "model.gguf");
    CHECK(tiny_model_write(path.text, options) == INGOT_OK);
    return ingot_model_open(runtime, path.text, params, NULL, NULL, m, err);
}

static void expect_error(tiny_options options, ingot_status status, const char *part, const char *other) {
    ingot_model *m = NULL;
    ingot_error err = {0};
    CHECK(open_with(&options, NULL, &m, &err) == status);
    CHECK_CONTAINS(err.message, part);
    CHECK_CONTAINS(err.message, other);
    ingot_model_close(m);
}

static void test_good(void) {
    ingot_model *m = NULL;
    ingot_model_info info;
    CHECK(open_with(NULL, NULL, &m, NULL) == INGOT_OK);
    if (!m)
        return;
    ingot_model_get_info(m, &info);
    CHECK(strcmp(info.architecture, "llama") == 0 && info.n_vocab == TINY_VOCAB &&
          info.n_layer == TINY_LAYERS);
    CHECK(info.kv_bytes_per_token_f16 == 2ull * TINY_LAYERS * TINY_KV_HEADS * 2 * TINY_DIM);
    CHECK(info.n_ctx_train == TINY_CTX && info.weight_bytes == info.n_params * 4);
    ingot_model_close(m);

    m = NULL;
    CHECK(open_with(&(tiny_options){.experts = true}, NULL, &m, NULL) == INGOT_OK);
    ingot_model_close(m);

    // An architecture that can't be run can still tokenise.
    m = NULL;
    CHECK(open_with(&(tiny_options){.architecture = "mystery"}, &(ingot_model_params){.vocab_only = true}, &m,
                    NULL) == INGOT_OK);
    ingot_engine *e;
    ingot_error err;
    CHECK(m && ingot_engine_new(m, NULL, &e, &err) == INGOT_ERR_STATE);
    CHECK_CONTAINS(err.message, "vocab_only");
    ingot_model_close(m);
}

static void test_errors(void) {
    expect_error((tiny_options){.architecture = "mystery"}, INGOT_ERR_UNSUPPORTED, "'mystery'",
                 "llama, qwen2");
    expect_error((tiny_options){.skip = "blk.1.attn_v.weight"}, INGOT_ERR_FORMAT, "blk.1.attn_v.weight",
                 "missing");
    expect_error((tiny_options){.skip = "token_embd.weight"}, INGOT_ERR_FORMAT, "token_embd.weight",
                 "missing");
    expect_error((tiny_options){.skip = "llama.block_count"}, INGOT_ERR_FORMAT, "llama.block_count",
                 "model.gguf");
    expect_error((tiny_options){.skip = "general.architecture"}, INGOT_ERR_FORMAT, "general.architecture",
                 "");
    expect_error((tiny_options){.skip = "llama.feed_forward_length"}, INGOT_ERR_FORMAT,
                 "llama.feed_forward_length", "missing");
    expect_error((tiny_options){.misshapen = "blk.0.ffn_up.weight"}, INGOT_ERR_FORMAT, "blk.0.ffn_up.weight",
                 "[32, 49, 1, 1], expected [32, 48, 1, 1]");
    expect_error((tiny_options){.n_layers = 513}, INGOT_ERR_FORMAT, "llama.block_count", "513");
    expect_error((tiny_options){.n_layers = 3}, INGOT_ERR_FORMAT, "blk.2.attn_norm.weight", "missing");
    expect_error((tiny_options){.n_layers = 1}, INGOT_ERR_UNSUPPORTED, "blk.1.", "--ignore-extra-tensors");
    expect_error((tiny_options){.extra = "blk.0.mystery.weight"}, INGOT_ERR_UNSUPPORTED,
                 "blk.0.mystery.weight", "--ignore-extra-tensors");
    expect_error((tiny_options){.architecture = "qwen2", .experts = true}, INGOT_ERR_UNSUPPORTED,
                 "qwen2.expert_count", "no experts");
}

static void test_hostile(void) {
    expect_error((tiny_options){.experts = true, .only_last = "up_shexp"}, INGOT_ERR_FORMAT,
                 "blk.1.ffn_gate_shexp.weight", "missing");
    expect_error((tiny_options){.only_last = "k_norm"}, INGOT_ERR_FORMAT, "blk.1.attn_q_norm.weight",
                 "missing");
    expect_error((tiny_options){.experts = true, .only_last = "inp_shexp"}, INGOT_ERR_UNSUPPORTED,
                 "blk.1.ffn_gate_inp_shexp.weight", "--ignore-extra-tensors");
    expect_error((tiny_options){.experts = true, .n_used = TINY_EXPERTS + 1}, INGOT_ERR_FORMAT,
                 "llama.expert_used_count", "5");
    expect_error((tiny_options){.n_kv_heads = 3}, INGOT_ERR_FORMAT, "llama.attention.head_count_kv", "3");
    expect_error((tiny_options){.eps = NAN}, INGOT_ERR_FORMAT, "llama.attention.layer_norm_rms_epsilon",
                 "nan");
    expect_error((tiny_options){.eps = -1.0f}, INGOT_ERR_FORMAT, "llama.attention.layer_norm_rms_epsilon",
                 "-1");
    expect_error((tiny_options){.misshapen = "output_norm.weight"}, INGOT_ERR_FORMAT, "output_norm.weight",
                 "expected [32, 1, 1, 1]");

    // What only some layers have.
    ingot_model *m = NULL;
    ingot_engine *e = NULL;
    CHECK(open_with(&(tiny_options){.experts = true, .only_last = "shexp"}, NULL, &m, NULL) == INGOT_OK);
    CHECK(m && ingot_engine_new(m, NULL, &e, NULL) == INGOT_OK);
    const int32_t tokens[] = {1, 5, 9};
    ingot_request r = ingot_request_default();
    r.tokens = tokens;
    r.n_tokens = 3;
    r.max_tokens = 4;
    uint64_t id;
    ingot_event event = {0};
    CHECK(e && ingot_engine_submit(e, &r, &id, NULL) == INGOT_OK);
    while (event.kind != INGOT_EVENT_DONE && event.kind != INGOT_EVENT_ERROR)
        CHECK(ingot_engine_wait(e, id, -1, &event, NULL) == INGOT_OK);
    CHECK(event.kind == INGOT_EVENT_DONE && event.n_generated > 0);
    ingot_engine_drop(e, id);
    ingot_engine_free(e);
    ingot_model_close(m);
}

static void test_extras(void) {
    ingot_model *m = NULL;
    tiny_options o = {.extra = "blk.0.mystery.weight"};
    CHECK(open_with(&o, &(ingot_model_params){.ignore_extra_tensors = true}, &m, NULL) == INGOT_OK);
    ingot_model_close(m);
    m = NULL;
    o.extra = "blk.1.attn_rot_embd.weight";
    CHECK(open_with(&o, NULL, &m, NULL) == INGOT_OK);
    ingot_model_close(m);
}

static void test_memory(void) {
    temp_path path = temp_join(&dir, "model.gguf");
    CHECK(tiny_model_write(path.text, &(tiny_options){.experts = true}) == INGOT_OK);
    session_out_of_memory(&path, NULL);
}

int main(void) {
    dir = temp_dir_make();
    CHECK(ingot_runtime_new(&(ingot_runtime_params){.threads = 2}, &runtime, NULL) == INGOT_OK);
    test_good();
    test_errors();
    test_hostile();
    test_extras();
    test_memory();
    ingot_runtime_free(runtime);
    temp_dir_remove(&dir);
    return check_report();
}
