// Adapters: the same as merged weights, the same bits in any company, prefixes that aren't shared, lifetimes,
// and files that lie.
#include "session.h"

#include <pthread.h>
#include <unistd.h>

#include "model/adapter.h"
#include "tiny_adapter.h"

static temp_dir dir;
static temp_path dense;

static temp_path write_adapter(const char *name, tiny_adapter o) {
    const temp_path path = temp_join(&dir, name);
    CHECK(tiny_adapter_write(path.text, &o) == INGOT_OK);
    return path;
}

static ingot_adapter *load(const session *s, const char *name, tiny_adapter o) {
    const temp_path path = write_adapter(name, o);
    ingot_adapter *adapter = NULL;
    ingot_error err = {0};
    const ingot_status status = ingot_adapter_load(s->model, path.text, NULL, NULL, &adapter, &err);
    CHECK(status == INGOT_OK);
    if (status != INGOT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return adapter;
}

// ------------------------------------------------------------------------------------------------- merged

static const tiny_adapter two[2] = {{.seed = 1, .alpha = 6.0f, .ends = false},
                                    {.seed = 2, .rank = 7, .alpha = 3.0f, .only = "attn"}};
static const float two_scales[2] = {0.75f, -0.5f};
static uint64_t width_of(const char *name) {
    return strstr(name, "ffn_down") ? TINY_FF : TINY_EMBD;
}

static double change_by_two(const char *name, uint64_t row, uint64_t column) {
    double sum = 0.0;
    for (int i = 0; i < 2; i++)
        if (strstr(name, "blk") && !strstr(name, "norm") && (!two[i].only || strstr(name, two[i].only)))
            sum += (double)two_scales[i] * tiny_adapter_change(&two[i], name, row, column, width_of(name));
    return sum;
}

static double nmse(const float *x, const float *expected, size_t n) {
    double error = 0.0, power = 0.0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)x[i] - (double)expected[i]) * ((double)x[i] - (double)expected[i]);
        power += (double)expected[i] * (double)expected[i];
    }
    return error / power;
}

static float logits[N_PROMPT * TINY_VOCAB], expected[N_PROMPT * TINY_VOCAB];

static void prompt_logits(const session *s, const ingot_adapter_scale *adapters, size_t n, float *out) {
    ingot_request r = simple(0);
    r.rows.logits = out;
    r.adapters = adapters;
    r.n_adapters = n;
    const answer a = run(s->engine, r);
    CHECK(a.last.kind == INGOT_EVENT_DONE);
}

static void test_merged(void) {
    const temp_path merged = temp_join(&dir, "merged.gguf");
    CHECK(tiny_model_write(merged.text, &(tiny_options){.change = change_by_two}) == INGOT_OK);
    session s = session_open(&merged, 2, (ingot_engine_params){PAGES(0)});
    prompt_logits(&s, NULL, 0, expected);
    session_close(&s);
    s = session_open(&dense, 2, (ingot_engine_params){PAGES(0)});
    const ingot_adapter_scale adapters[2] = {{load(&s, "one.gguf", two[0]), two_scales[0]},
                                             {load(&s, "two.gguf", two[1]), two_scales[1]}};
    prompt_logits(&s, adapters, 2, logits);
    CHECK(nmse(logits, expected, N_PROMPT * TINY_VOCAB) < 1e-10);
    static float other[N_PROMPT * TINY_VOCAB];
    prompt_logits(&s, NULL, 0, other);
    CHECK(nmse(other, expected, N_PROMPT * TINY_VOCAB) > 1e-3); // they do change something
    prompt_logits(&s, (ingot_adapter_scale[]){adapters[1], adapters[0]}, 2, other);
    CHECK(memcmp(logits, other, sizeof other) == 0);
    for (int i = 0; i < 2; i++)
        ingot_adapter_free(adapters[i].adapter);
    session_close(&s);
}

// The fused matrix of queries, keys and values is computed in three parts, each with its rows of B.
static const tiny_adapter of_fused = {.seed = 5, .alpha = 4.0f, .only = "qkv", .architecture = "phi3"};

static double change_fused(const char *name, uint64_t row, uint64_t column) {
    return strstr(name, "qkv") ? tiny_adapter_change(&of_fused, name, row, column, TINY_EMBD) : 0.0;
}

static void test_fused(void) {
    const temp_path plain = temp_join(&dir, "fused.gguf"), merged = temp_join(&dir, "fused-merged.gguf");
    const temp_path file = temp_join(&dir, "of-fused.gguf");
    const tiny_options o = {.architecture = "phi3", .fused = true};
    tiny_options changed = o;
    changed.change = change_fused;
    CHECK(tiny_model_write(plain.text, &o) == INGOT_OK);
    CHECK(tiny_model_write(merged.text, &changed) == INGOT_OK);
    tiny_adapter_writer t = {.o = &of_fused};
    CHECK(gguf_writer_new(NULL, file.text, NULL, &t.w, NULL) == INGOT_OK);
    tiny_adapter_text(&t, "general.type", "adapter");
    tiny_adapter_text(&t, "adapter.type", "lora");
    tiny_adapter_text(&t, "general.architecture", "phi3");
    const ingot_gguf_value alpha = {INGOT_GGUF_F32, INGOT_GGUF_F32, 1, &of_fused.alpha};
    CHECK(ingot_gguf_writer_kv(t.w, "adapter.lora.alpha", &alpha, NULL) == INGOT_OK);
    for (int pass = 0; pass < 2; pass++) {
        t.declaring = pass == 0;
        for (int i = 0; i < TINY_LAYERS; i++)
            tiny_adapter_pair(&t, i ? "blk.1.attn_qkv.weight" : "blk.0.attn_qkv.weight", TINY_EMBD,
                              (TINY_HEADS + 2 * TINY_KV_HEADS) * TINY_DIM, false);
    }
    CHECK(t.status == INGOT_OK && ingot_gguf_writer_finish(t.w, NULL) == INGOT_OK);

    session s = session_open(&merged, 1, (ingot_engine_params){PAGES(0)});
    prompt_logits(&s, NULL, 0, expected);
    session_close(&s);
    s = session_open(&plain, 1, (ingot_engine_params){PAGES(0)});
    ingot_adapter_scale use = {NULL, 1.0f};
    CHECK(ingot_adapter_load(s.model, file.text, NULL, NULL, &use.adapter, NULL) == INGOT_OK);
    prompt_logits(&s, &use, 1, logits);
    CHECK(nmse(logits, expected, N_PROMPT * TINY_VOCAB) < 1e-10);
    ingot_adapter_free(use.adapter);
    session_close(&s);
}

// A tied model's embedding and head may be changed apart from each other. What the head's adapter adds is
// computed here, from the hidden states.
static void test_ends(void) {
    const tiny_adapter head = {.seed = 9, .alpha = 4.0f, .ends = true, .bare = true, .only = "output"};
    const tiny_adapter embedding = {
        .seed = 9, .alpha = NAN, .ends = true, .bare = true, .only = "token_embd"};
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(0)});
    const ingot_adapter_scale changed = {load(&s, "head.gguf", head), 0.5f};
    float hidden[N_PROMPT * TINY_EMBD];
    ingot_request r = simple(0);
    r.embedding = hidden;
    r.pooling = INGOT_POOLING_NONE;
    CHECK(run(s.engine, r).last.kind == INGOT_EVENT_DONE);
    prompt_logits(&s, NULL, 0, expected);
    for (size_t t = 0; t < N_PROMPT; t++)
        for (size_t row = 0; row < TINY_VOCAB; row++)
            for (size_t c = 0; c < TINY_EMBD; c++)
                expected[t * TINY_VOCAB + row] +=
                    0.5f * hidden[t * TINY_EMBD + c] *
                    (float)tiny_adapter_change(&head, "output.weight", row, c, TINY_EMBD);
    prompt_logits(&s, &changed, 1, logits);
    CHECK(nmse(logits, expected, N_PROMPT * TINY_VOCAB) < 1e-10);

    // Two scales whose sum is one change an embedding as one does.
    const ingot_adapter_scale parts[2] = {{load(&s, "embedding.gguf", embedding), 0.25f},
                                          {load(&s, "embedding.gguf", embedding), 0.75f}};
    const ingot_adapter_scale whole = {parts[0].adapter, 1.0f};
    prompt_logits(&s, parts, 2, logits);
    prompt_logits(&s, &whole, 1, expected);
    CHECK(nmse(logits, expected, N_PROMPT * TINY_VOCAB) < 1e-9);
    prompt_logits(&s, NULL, 0, logits);
    CHECK(nmse(logits, expected, N_PROMPT * TINY_VOCAB) > 1e-3);
    ingot_adapter_free(changed.adapter);
    ingot_adapter_free(parts[0].adapter);
    ingot_adapter_free(parts[1].adapter);
    session_close(&s);
}

// ------------------------------------------------------------------------------------------------- company

enum { N_REQUESTS = 9, N_ADAPTERS = 4 };

static void load_all(const session *s, const char *only, ingot_adapter **adapters) {
    tiny_adapter all[N_ADAPTERS] = {
        {.seed = 1, .alpha = 4.0f, .ends = true, .a_type = QUANT_F16, .b_type = QUANT_F16},
        {.seed = 2, .rank = 17, .alpha = 20.0f, .a_type = QUANT_BF16, .b_type = QUANT_BF16},
        {.seed = 3, .rank = 32, .alpha = 16.0f, .a_type = QUANT_Q8_0, .b_type = QUANT_Q8_0, .only = "attn_"},
        {.seed = 4, .rank = 1, .alpha = 0.0f},
    };
    for (int i = 0; i < N_ADAPTERS; i++) {
        all[i].only = only ? only : all[i].only;
        adapters[i] = load(s, "mixed.gguf", all[i]);
    }
}

// Requests with no adapter, one, and several, by different scales, say in one another's company what each
// says alone, on any number of threads and however their prompts are cut.
static void test_company(const temp_path *path, const char *only) {
    static answer alone[N_REQUESTS];
    static float alone_logits[N_REQUESTS][N_PROMPT * TINY_VOCAB], together[N_REQUESTS][N_PROMPT * TINY_VOCAB];
    for (int variant = 0; variant < 4; variant++) {
        const ingot_engine_params params[] = {{PAGES(1), .n_seqs = 1, .n_ctx = 2048},
                                              {PAGES(1), .n_seqs = N_REQUESTS, .n_ctx = 2048},
                                              {PAGES(1), .n_seqs = N_REQUESTS, .n_ctx = 2048, .n_batch = 9},
                                              {PAGES(1), .n_seqs = 3, .n_ctx = 2048, .n_batch = 40}};
        session s = session_open(path, 1 + variant % 3, params[variant]);
        ingot_adapter *a[N_ADAPTERS];
        load_all(&s, only, a);
        const ingot_adapter_scale lists[N_REQUESTS][3] = {
            {{0}},
            {{a[0], 1.0f}},
            {{a[0], 1.0f}},
            {{a[0], 0.5f}},
            {{a[1], 1.0f}, {a[0], -1.0f}},
            {{a[2], 2.0f}},
            {{a[3], 1.0f}, {a[2], 1.0f}, {a[1], 0.25f}},
            {{a[3], 0.125f}},
            {{a[0], 0.0f}},
        };
        uint64_t ids[N_REQUESTS];
        for (int i = 0; i < N_REQUESTS; i++) {
            ingot_request r = simple(12 + i);
            r.adapters = lists[i];
            while (r.n_adapters < 3 && lists[i][r.n_adapters].adapter)
                r.n_adapters++;
            r.rows.logits = variant == 0 ? alone_logits[i] : together[i];
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
            if (variant == 0)
                alone[i] = collect(s.engine, ids[i]);
        }
        for (int i = 0; variant > 0 && i < N_REQUESTS; i++) {
            const answer got = collect(s.engine, ids[i]);
            CHECK(same(&alone[i], &got));
            CHECK(memcmp(alone_logits[i], together[i], sizeof together[i]) == 0);
        }
        for (int i = 0; i < N_ADAPTERS; i++)
            ingot_adapter_free(a[i]);
        session_close(&s);
    }
    CHECK(memcmp(alone_logits[0], alone_logits[8], sizeof *alone_logits) == 0);
    CHECK(memcmp(alone_logits[1], alone_logits[2], sizeof *alone_logits) == 0);
    for (int i = 0; i < N_REQUESTS - 1; i++) // all the others differ
        for (int k = 0; k < i; k++)
            CHECK((i == 2 && k == 1) || memcmp(alone_logits[i], alone_logits[k], sizeof *alone_logits) != 0);
}

// Texts that are embedded together have their own adapters.
static void test_embeddings(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1)});
    ingot_adapter *a[N_ADAPTERS];
    load_all(&s, NULL, a);
    float alone[N_ADAPTERS + 1][TINY_EMBD], together[N_ADAPTERS + 1][TINY_EMBD];
    uint64_t ids[N_ADAPTERS + 1];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i <= N_ADAPTERS; i++) {
            const ingot_adapter_scale use = {i < N_ADAPTERS ? a[i] : NULL, 1.0f};
            ingot_request r = simple(0);
            r.pooling = INGOT_POOLING_MEAN;
            r.embedding = round == 0 ? alone[i] : together[i];
            r.adapters = &use;
            r.n_adapters = i < N_ADAPTERS;
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
            if (round == 0)
                CHECK(collect(s.engine, ids[i]).last.kind == INGOT_EVENT_DONE);
        }
        for (int i = 0; round == 1 && i <= N_ADAPTERS; i++)
            CHECK(collect(s.engine, ids[i]).last.kind == INGOT_EVENT_DONE);
    }
    CHECK(memcmp(alone, together, sizeof alone) == 0);
    for (int i = 0; i < N_ADAPTERS; i++) {
        CHECK(memcmp(alone[i], alone[N_ADAPTERS], sizeof *alone) != 0);
        ingot_adapter_free(a[i]);
    }
    session_close(&s);
}

// What was computed with other adapters, or by other scales, isn't taken over.
static void test_prefix(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    ingot_adapter *first = load(&s, "first.gguf", two[0]), *second = load(&s, "first.gguf", two[0]);
    const ingot_adapter_scale lists[] = {{first, 1.0f}, {first, 0.5f}, {second, 1.0f}, {NULL, 0.0f}};
    answer answers[4];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 4; i++) {
            ingot_request r = simple(4);
            r.adapters = &lists[i];
            r.n_adapters = lists[i].adapter != NULL;
            const answer a = run(s.engine, r);
            CHECK(a.last.n_cached == (round == 0 ? 0 : N_PROMPT - 1));
            CHECK(round == 0 || same(&answers[i], &a));
            answers[i] = a;
        }
    CHECK(same(&answers[0], &answers[2]) && !same(&answers[0], &answers[3]));
    // One that comes after another was freed is another one, wherever it lies in memory.
    ingot_adapter_free(first);
    ingot_adapter *third = load(&s, "first.gguf", two[1]);
    ingot_request r = simple(4);
    r.adapters = &(ingot_adapter_scale){third, 1.0f};
    r.n_adapters = 1;
    CHECK(run(s.engine, r).last.n_cached == 0);
    ingot_adapter_info info;
    ingot_adapter_get_info(third, &info);
    CHECK(info.serial == 3 && info.rank == 7);
    ingot_adapter_free(second);
    ingot_adapter_free(third);
    session_close(&s);
}

static void test_keys(void) {
    ingot_adapter a[3] = {{.info.serial = 1}, {.info.serial = 2}, {.info.serial = 3}};
    uint64_t keys[64];
    int n = 0;
    keys[n++] = adapter_list_key((adapter_list){NULL, 0});
    CHECK(keys[0] == 0);
    for (int i = 0; i < 3; i++)
        for (int scale = 1; scale < 4; scale++)
            keys[n++] = adapter_list_key((adapter_list){&(adapter_use){&a[i], (float)scale}, 1});
    for (int scale = 1; scale < 4; scale++)
        for (int other = 1; other < 4; other++)
            for (int i = 0; i < 3; i++)
                keys[n++] = adapter_list_key((adapter_list){
                    (adapter_use[]){{&a[i / 2], (float)scale}, {&a[1 + (i + 1) / 2], (float)other}}, 2});
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            CHECK(keys[i] != keys[k]);
}

// ---------------------------------------------------------------------------------------------- lifetimes

static void test_unloading(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1), .n_ctx = 1024});
    const temp_path path = write_adapter("gone.gguf", two[0]);
    answer first = {0};
    for (int round = 0; round < 6; round++) {
        enum { N = 5 };
        uint64_t ids[N];
        ingot_adapter *adapter = NULL;
        CHECK(ingot_adapter_load(s.model, path.text, NULL, NULL, &adapter, NULL) == INGOT_OK);
        for (int i = 0; i < N; i++) {
            ingot_request r = simple(60);
            r.adapters = &(ingot_adapter_scale){adapter, 1.0f};
            r.n_adapters = 1;
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
        }
        ingot_adapter_free(adapter);
        if (round % 2 == 1)
            ingot_engine_drop(s.engine, ids[0]);
        for (int i = round % 2; i < N; i++) {
            const answer a = collect(s.engine, ids[i]);
            CHECK(a.last.kind == INGOT_EVENT_DONE);
            if (first.n == 0)
                first = a;
            CHECK(same(&first, &a));
        }
    }
    session_close(&s);
}

typedef struct loading {
    const session *s;
    const char *path;
    atomic_bool *stop;
    int n;
} loading;

static void *load_again_and_again(void *arg) {
    loading *l = arg;
    while (!atomic_load(l->stop)) {
        ingot_adapter *adapter = NULL;
        CHECK(ingot_adapter_load(l->s->model, l->path, NULL, NULL, &adapter, NULL) == INGOT_OK);
        ingot_adapter_free(adapter);
        l->n++;
    }
    return NULL;
}

// Adapters come and go while an engine computes, also on devices that note what is multiplied.
static void test_live(const ingot_model_params *params) {
    session s = {0};
    CHECK(ingot_runtime_new(&(ingot_runtime_params){.threads = 2}, &s.runtime, NULL) == INGOT_OK);
    CHECK(ingot_model_open(s.runtime, dense.text, params, NULL, NULL, &s.model, NULL) == INGOT_OK);
    CHECK(ingot_engine_new(s.model, NULL, &s.engine, NULL) == INGOT_OK);
    const temp_path path = write_adapter("live.gguf", two[1]);
    ingot_adapter *adapter = load(&s, "stays.gguf", two[0]);
    atomic_bool stop = false;
    loading l = {&s, path.text, &stop, 0};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, load_again_and_again, &l) == 0);
    answer first = {0};
    for (int i = 0; i < 8; i++) {
        ingot_request r = simple(30);
        r.adapters = &(ingot_adapter_scale){adapter, 1.0f};
        r.n_adapters = 1;
        const answer a = run(s.engine, r);
        CHECK(a.last.kind == INGOT_EVENT_DONE && (i == 0 || same(&first, &a)));
        first = i == 0 ? a : first;
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    CHECK(l.n > 0);
    ingot_adapter_free(adapter);
    session_close(&s);
}

// -------------------------------------------------------------------------------------------------- errors

static void expect_file_error(const session *s, tiny_adapter o, ingot_status status, const char *part,
                              const char *other) {
    const temp_path path = write_adapter("bad.gguf", o);
    ingot_adapter *adapter = NULL;
    ingot_error err = {0};
    CHECK(ingot_adapter_load(s->model, path.text, NULL, NULL, &adapter, &err) == status);
    CHECK(!adapter);
    CHECK_CONTAINS(err.message, part);
    CHECK_CONTAINS(err.message, other);
    CHECK_CONTAINS(err.message, "bad.gguf");
    ingot_adapter_free(adapter);
}

static void test_files(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    const ingot_status format = INGOT_ERR_FORMAT, unsupported = INGOT_ERR_UNSUPPORTED;
    expect_file_error(&s, (tiny_adapter){.type = "model"}, format, "'general.type' is 'model'", "'adapter'");
    expect_file_error(&s, (tiny_adapter){.skip = "general.type"}, format, "general.type", "missing");
    expect_file_error(&s, (tiny_adapter){.kind = "control"}, format, "'control'", "'lora'");
    expect_file_error(&s, (tiny_adapter){.architecture = "qwen2"}, format, "'qwen2'", "'llama'");
    expect_file_error(&s, (tiny_adapter){.alpha = INFINITY}, format, "adapter.lora.alpha", "finite");
    expect_file_error(&s, (tiny_adapter){.key = "adapter.alora.invocation_tokens"}, unsupported, "alora",
                      "certain tokens");
    expect_file_error(&s, (tiny_adapter){.only = "nothing"}, format, "no tensors", "");
    expect_file_error(&s, (tiny_adapter){.skip = "blk.1.ffn_up.weight.lora_b"}, format,
                      "'blk.1.ffn_up.weight.lora_a' has no 'blk.1.ffn_up.weight.lora_b'", "");
    expect_file_error(&s, (tiny_adapter){.skip = "blk.0.attn_q.weight.lora_a"}, format,
                      "'blk.0.attn_q.weight.lora_b' has no", "");
    expect_file_error(&s, (tiny_adapter){.misshapen = "blk.0.attn_q.weight.lora_b"}, format,
                      "[32, 4, 1, 1] and [4, 33, 1, 1]", "another model");
    expect_file_error(&s, (tiny_adapter){.misshapen = "blk.1.ffn_down.weight.lora_a"}, format,
                      "[48, 5, 1, 1] and [4, 32, 1, 1]", "width 48");
    expect_file_error(&s, (tiny_adapter){.ends = true, .misshapen = "token_embd.weight.lora_a"}, format,
                      "[4, 260, 1, 1]", "token_embd");
    expect_file_error(&s, (tiny_adapter){.extra = "blk.7.attn_q.weight"}, format, "'blk.7.attn_q.weight'",
                      "doesn't have");
    expect_file_error(&s, (tiny_adapter){.extra = "blk.0.attn_q.weight.what"}, unsupported,
                      "'blk.0.attn_q.weight.what'", "nothing is known");
    expect_file_error(&s, (tiny_adapter){.extra = "blk.0.attn_norm.weight"}, format, "attn_norm",
                      "[rank, 1]");
    expect_file_error(&s, (tiny_adapter){.rank = 50}, INGOT_ERR_LIMIT, "attn_q.weight.lora_a", "50");
    session_close(&s);

    const temp_path experts = temp_join(&dir, "experts.gguf");
    CHECK(tiny_model_write(experts.text, &(tiny_options){.experts = true}) == INGOT_OK);
    s = session_open(&experts, 1, (ingot_engine_params){PAGES(1)});
    expect_file_error(&s, (tiny_adapter){.only = "exps", .extra = "blk.0.ffn_up_exps.weight"}, unsupported,
                      "blk.0.ffn_up_exps.weight", "experts");
    expect_file_error(&s, (tiny_adapter){.only = "ffn_up"}, format, "blk.0.ffn_up.weight", "doesn't have");
    ingot_adapter_free(load(&s, "attention.gguf", (tiny_adapter){.only = "attn"}));
    session_close(&s);
}

// A vector that is one matrix row long would have the shapes of a map with one row: norms are still refused.
static void test_norm(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    const temp_path path = temp_join(&dir, "bad.gguf");
    const tiny_adapter o = {.seed = 1};
    tiny_adapter_writer t = {.o = &o};
    CHECK(gguf_writer_new(NULL, path.text, NULL, &t.w, NULL) == INGOT_OK);
    tiny_adapter_text(&t, "general.type", "adapter");
    tiny_adapter_text(&t, "adapter.type", "lora");
    tiny_adapter_text(&t, "general.architecture", "llama");
    for (int pass = 0; pass < 2; pass++) {
        t.declaring = pass == 0;
        tiny_adapter_pair(&t, "output_norm.weight", TINY_EMBD, 1, false);
    }
    CHECK(t.status == INGOT_OK && ingot_gguf_writer_finish(t.w, NULL) == INGOT_OK);
    ingot_adapter *adapter = NULL;
    ingot_error err = {0};
    CHECK(ingot_adapter_load(s.model, path.text, NULL, NULL, &adapter, &err) == INGOT_ERR_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "no linear map");
    session_close(&s);
}

static bool refuse_progress(void *user, double done) {
    (void)user;
    (void)done;
    return false;
}

static void test_requests(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    session other = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    ingot_adapter *adapter = load(&s, "own.gguf", two[0]), *foreign = load(&other, "own.gguf", two[0]);
    const struct {
        ingot_adapter_scale list[2];
        size_t n;
        const char *part;
    } bad[] = {
        {{{foreign, 1.0f}}, 1, "another model"},
        {{{NULL, 1.0f}}, 1, "another model"},
        {{{adapter, NAN}}, 1, "finite"},
        {{{adapter, -INFINITY}}, 1, "finite"},
        {{{adapter, 1.0f}, {adapter, 2.0f}}, 2, "the same"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ingot_request r = simple(2);
        ingot_error err = {0};
        uint64_t id;
        r.adapters = bad[i].list;
        r.n_adapters = bad[i].n;
        CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_INVALID);
        CHECK_CONTAINS(err.message, bad[i].part);
    }
    ingot_adapter *none = NULL;
    const temp_path path = temp_join(&dir, "own.gguf"), missing = temp_join(&dir, "missing.gguf");
    CHECK(ingot_adapter_load(s.model, path.text, refuse_progress, NULL, &none, NULL) == INGOT_ERR_CANCELLED);
    CHECK(ingot_adapter_load(s.model, missing.text, NULL, NULL, &none, NULL) == INGOT_ERR_IO);
    ingot_adapter_free(none);
    ingot_adapter_free(adapter);
    ingot_adapter_free(foreign);
    session_close(&other);
    session_close(&s);

    ingot_runtime *runtime = NULL;
    ingot_model *m = NULL;
    CHECK(ingot_runtime_new(NULL, &runtime, NULL) == INGOT_OK);
    const ingot_model_params params = {.vocab_only = true};
    CHECK(ingot_model_open(runtime, dense.text, &params, NULL, NULL, &m, NULL) == INGOT_OK);
    CHECK(ingot_adapter_load(m, path.text, NULL, NULL, &none, NULL) == INGOT_ERR_STATE);
    ingot_model_close(m);
    ingot_runtime_free(runtime);
}

// A file that is cut off while it is used ends the requests that have it.
static void test_cut_off(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    ingot_adapter *adapter = load(&s, "cut.gguf", (tiny_adapter){.seed = 1, .rank = 32, .ends = true});
    const temp_path path = temp_join(&dir, "cut.gguf");
    CHECK(truncate(path.text, 4096) == 0);
    ingot_request r = simple(4);
    r.adapters = &(ingot_adapter_scale){adapter, 1.0f};
    r.n_adapters = 1;
    const answer a = run(s.engine, r);
    CHECK(a.last.kind == INGOT_EVENT_ERROR && a.last.error.status == INGOT_ERR_IO);
    CHECK(run(s.engine, simple(4)).last.kind == INGOT_EVENT_DONE);
    ingot_adapter_free(adapter);
    session_close(&s);
}

static temp_path for_memory;
static ingot_adapter *adapter_for_memory;
static ingot_adapter_scale use_for_memory;

static ingot_request ask(const session *s) {
    CHECK(ingot_adapter_load(s->model, for_memory.text, NULL, NULL, &adapter_for_memory, NULL) == INGOT_OK);
    use_for_memory = (ingot_adapter_scale){adapter_for_memory, 1.0f};
    ingot_request r = simple(3);
    r.adapters = &use_for_memory;
    r.n_adapters = 1;
    return r;
}

static void done(void) {
    ingot_adapter_free(adapter_for_memory);
}

static void test_memory(void) {
    for_memory = write_adapter("memory.gguf", (tiny_adapter){.seed = 1, .ends = true});
    for (long n = 0;; n++) {
        failing_mem mem;
        failing_mem_init(&mem, -1);
        session s = {0};
        const ingot_runtime_params params = {.threads = 1, .allocator = &mem.allocator};
        CHECK(ingot_runtime_new(&params, &s.runtime, NULL) == INGOT_OK);
        CHECK(ingot_model_open(s.runtime, dense.text, NULL, NULL, NULL, &s.model, NULL) == INGOT_OK);
        mem.fail_at = atomic_load(&mem.calls) + n;
        ingot_adapter *adapter = NULL;
        const ingot_status status = ingot_adapter_load(s.model, for_memory.text, NULL, NULL, &adapter, NULL);
        CHECK((status == INGOT_OK) == (adapter != NULL));
        ingot_adapter_free(adapter);
        session_close(&s);
        if (!failing_mem_end(&mem, status))
            break;
    }
    request_out_of_memory(&dense, ask, done);
}

int main(void) {
    dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    const temp_path experts = temp_join(&dir, "mixture.gguf");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    CHECK(tiny_model_write(experts.text, &(tiny_options){.experts = true}) == INGOT_OK);
    test_merged();
    test_fused();
    test_ends();
    test_company(&dense, NULL);
    test_company(&experts, "attn_");
    test_embeddings();
    test_prefix();
    test_keys();
    test_unloading();
    test_live(NULL);
    test_live(&(ingot_model_params){.profile = true});
    test_live(&(ingot_model_params){.collect = true});
    test_files();
    test_norm();
    test_requests();
    test_cut_off();
    test_memory();
    temp_dir_remove(&dir);
    return check_report();
}
