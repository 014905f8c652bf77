// Writes a llama of a few thousand random weights with a vocabulary of bytes, for tests that need a whole
// model. Faults can be built in.
#ifndef INGOT_TESTS_TINY_MODEL_H
#define INGOT_TESTS_TINY_MODEL_H

#include <stdio.h>
#include <string.h>

#include "gguf/gguf.h"

enum {
    TINY_EMBD = 32,
    TINY_HEADS = 2,
    TINY_KV_HEADS = 1,
    TINY_DIM = 16,
    TINY_FF = 48,
    TINY_LAYERS = 2,
    TINY_EXPERTS = 4,
    TINY_VOCAB = 3 + 256, // <unk>, <s>, </s>, a token per byte
    TINY_CTX = 128,
};

typedef struct tiny_options {
    const char *architecture; // NULL: llama
    const char *skip;         // a key or tensor that is left out
    const char *misshapen;    // a tensor that gets one row too many
    const char *extra;        // a tensor that nobody needs
    uint32_t n_layers;        // 0: TINY_LAYERS; what the metadata say
    const char *only_last;    // optional tensors whose name holds this are in the last layer
    bool experts;
    bool shared;         // with experts: a shared one, gated
    uint32_t n_used;     // 0: 2 of the experts
    uint32_t n_kv_heads; // 0: TINY_KV_HEADS; what the metadata say
    float eps;           // 0: 1e-5
    int renamed;         // a token of a byte with another text
    bool wide;           // heads of 32 instead of TINY_DIM
    bool fused;          // one matrix for queries, keys and values
    // Added to the weight in a column of a tensor's row; NULL: nothing.
    double (*change)(const char *name, uint64_t row, uint64_t column);
} tiny_options;

typedef struct tiny_writer {
    ingot_gguf_writer *w;
    const tiny_options *o;
    uint32_t random;
    bool declaring; // first pass over the tensors declares them, the second writes their data
    ingot_status status;
} tiny_writer;

static inline uint32_t tiny_dim(const tiny_writer *t) {
    return t->o->wide ? 32 : TINY_DIM;
}

static inline bool tiny_is(const char *a, const char *b) {
    return a && strcmp(a, b) == 0;
}

static inline void tiny_value(tiny_writer *t, const char *key, ingot_gguf_type type, ingot_gguf_type item,
                              uint64_t count, const void *data) {
    ingot_gguf_value value = {type, item, count, data};
    if (t->status == INGOT_OK && !tiny_is(t->o->skip, key))
        t->status = ingot_gguf_writer_kv(t->w, key, &value, NULL);
}

static inline void tiny_u32(tiny_writer *t, const char *suffix, uint32_t value) {
    char key[96];
    snprintf(key, sizeof key, "%s.%s", t->o->architecture ? t->o->architecture : "llama", suffix);
    tiny_value(t, key, INGOT_GGUF_U32, INGOT_GGUF_U32, 1, &value);
}

static inline void tiny_text(tiny_writer *t, const char *key, const char *text) {
    ingot_str s = {text, strlen(text)};
    tiny_value(t, key, INGOT_GGUF_STRING, INGOT_GGUF_STRING, 1, &s);
}

static inline void tiny_tensor(tiny_writer *t, const char *name, uint64_t width, uint64_t rows,
                               uint64_t mats) {
    float data[256];
    uint64_t shape[3] = {width, rows + (tiny_is(t->o->misshapen, name) ? 1 : 0), mats};
    uint64_t n = shape[0] * shape[1] * shape[2];
    if (t->status != INGOT_OK || tiny_is(t->o->skip, name))
        return;
    if (t->declaring) {
        t->status = ingot_gguf_writer_tensor(t->w, name, 0, mats > 1 ? 3 : shape[1] > 1 ? 2 : 1, shape, NULL);
        return;
    }
    for (uint64_t done = 0; done < n && t->status == INGOT_OK;) {
        uint64_t some = n - done < 256 ? n - done : 256;
        for (uint64_t i = 0; i < some; i++) {
            t->random = t->random * 1664525u + 1013904223u;
            data[i] = rows == 1 ? 1.0f : ((float)(t->random >> 8) / 8388608.0f - 1.0f) * 0.5f;
            if (t->o->change)
                data[i] += (float)t->o->change(name, (done + i) / width, (done + i) % width);
        }
        t->status = ingot_gguf_writer_data(t->w, data, some * sizeof *data, NULL);
        done += some;
    }
}

static inline void tiny_metadata(tiny_writer *t) {
    static char names[TINY_VOCAB][8];
    ingot_str tokens[TINY_VOCAB];
    float scores[TINY_VOCAB];
    int32_t types[TINY_VOCAB];
    for (int i = 0; i < TINY_VOCAB; i++) {
        static const char *const special[3] = {"<unk>", "<s>", "</s>"};
        snprintf(names[i], sizeof names[i], i < 3 ? "%s" : "<0x%s%02X>",
                 i < 3                ? special[i]
                 : i == t->o->renamed ? "G"
                                      : "",
                 (unsigned)(i - 3));
        tokens[i] = (ingot_str){names[i], strlen(names[i])};
        scores[i] = 0.0f;
        types[i] = i == 0               ? INGOT_TOKEN_UNKNOWN
                   : i < 3              ? INGOT_TOKEN_CONTROL
                   : i == t->o->renamed ? INGOT_TOKEN_NORMAL
                                        : INGOT_TOKEN_BYTE;
    }
    char key[96];
    float eps = t->o->eps != 0.0f ? t->o->eps : 1e-5f;
    tiny_text(t, "general.architecture", t->o->architecture ? t->o->architecture : "llama");
    tiny_u32(t, "block_count", t->o->n_layers ? t->o->n_layers : TINY_LAYERS);
    tiny_u32(t, "context_length", TINY_CTX);
    tiny_u32(t, "embedding_length", TINY_EMBD);
    tiny_u32(t, "feed_forward_length", TINY_FF);
    tiny_u32(t, "attention.head_count", TINY_HEADS);
    tiny_u32(t, "attention.head_count_kv", t->o->n_kv_heads ? t->o->n_kv_heads : TINY_KV_HEADS);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon",
             t->o->architecture ? t->o->architecture : "llama");
    tiny_value(t, key, INGOT_GGUF_F32, INGOT_GGUF_F32, 1, &eps);
    if (t->o->wide) {
        tiny_u32(t, "attention.key_length", tiny_dim(t));
        tiny_u32(t, "attention.value_length", tiny_dim(t));
    }
    if (t->o->experts) {
        tiny_u32(t, "expert_count", TINY_EXPERTS);
        tiny_u32(t, "expert_used_count", t->o->n_used ? t->o->n_used : 2);
    }
    uint32_t bos = 1, eos = 2;
    tiny_text(t, "tokenizer.ggml.model", "llama");
    tiny_value(t, "tokenizer.ggml.tokens", INGOT_GGUF_ARRAY, INGOT_GGUF_STRING, TINY_VOCAB, tokens);
    tiny_value(t, "tokenizer.ggml.scores", INGOT_GGUF_ARRAY, INGOT_GGUF_F32, TINY_VOCAB, scores);
    tiny_value(t, "tokenizer.ggml.token_type", INGOT_GGUF_ARRAY, INGOT_GGUF_I32, TINY_VOCAB, types);
    tiny_value(t, "tokenizer.ggml.bos_token_id", INGOT_GGUF_U32, INGOT_GGUF_U32, 1, &bos);
    tiny_value(t, "tokenizer.ggml.eos_token_id", INGOT_GGUF_U32, INGOT_GGUF_U32, 1, &eos);
}

static inline void tiny_layer(tiny_writer *t, int i) {
    const uint64_t dim = tiny_dim(t);
    char name[64];
    const struct {
        const char *part;
        uint64_t width, rows, mats;
        bool optional;
    } all[] = {
        {"attn_norm", TINY_EMBD, 1, 1, false},
        {t->o->fused ? "attn_qkv" : NULL, TINY_EMBD, (TINY_HEADS + 2 * TINY_KV_HEADS) * dim, 1, false},
        {t->o->fused ? NULL : "attn_q", TINY_EMBD, TINY_HEADS * dim, 1, false},
        {t->o->fused ? NULL : "attn_k", TINY_EMBD, TINY_KV_HEADS * dim, 1, false},
        {t->o->fused ? NULL : "attn_v", TINY_EMBD, TINY_KV_HEADS * dim, 1, false},
        {"attn_output", TINY_HEADS * dim, TINY_EMBD, 1, false},
        {"ffn_norm", TINY_EMBD, 1, 1, false},
        {t->o->experts ? "ffn_gate_exps" : "ffn_gate", TINY_EMBD, TINY_FF, t->o->experts ? TINY_EXPERTS : 1,
         false},
        {t->o->experts ? "ffn_up_exps" : "ffn_up", TINY_EMBD, TINY_FF, t->o->experts ? TINY_EXPERTS : 1,
         false},
        {t->o->experts ? "ffn_down_exps" : "ffn_down", TINY_FF, TINY_EMBD, t->o->experts ? TINY_EXPERTS : 1,
         false},
        {t->o->experts ? "ffn_gate_inp" : NULL, TINY_EMBD, TINY_EXPERTS, 1, false},
        {"ffn_gate_shexp", TINY_EMBD, TINY_FF, 1, true},
        {"ffn_up_shexp", TINY_EMBD, TINY_FF, 1, true},
        {"ffn_down_shexp", TINY_FF, TINY_EMBD, 1, true},
        {"ffn_gate_inp_shexp", TINY_EMBD, 1, 1, true},
        {"attn_q_norm", dim, 1, 1, true},
        {"attn_k_norm", dim, 1, 1, true},
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        if (!all[k].part)
            continue;
        bool wanted = (t->o->shared && strstr(all[k].part, "shexp")) ||
                      (i == 1 && t->o->only_last && strstr(all[k].part, t->o->only_last));
        if (all[k].optional && !wanted)
            continue;
        snprintf(name, sizeof name, "blk.%d.%s.weight", i, all[k].part);
        tiny_tensor(t, name, all[k].width, all[k].rows, all[k].mats);
    }
}

// Writes the model to `path`.
static inline ingot_status tiny_model_write(const char *path, const tiny_options *options) {
    static const tiny_options plain = {0};
    tiny_writer t = {.o = options ? options : &plain, .random = 1};
    t.status = gguf_writer_new(NULL, path, NULL, &t.w, NULL);
    if (t.status != INGOT_OK)
        return t.status;
    tiny_metadata(&t);
    for (int pass = 0; pass < 2; pass++) {
        t.declaring = pass == 0;
        tiny_tensor(&t, "token_embd.weight", TINY_EMBD, TINY_VOCAB, 1);
        for (int i = 0; i < TINY_LAYERS; i++)
            tiny_layer(&t, i);
        tiny_tensor(&t, "output_norm.weight", TINY_EMBD, 1, 1);
        if (t.o->extra)
            tiny_tensor(&t, t.o->extra, TINY_EMBD, 2, 1);
    }
    if (t.status == INGOT_OK)
        return ingot_gguf_writer_finish(t.w, NULL);
    ingot_gguf_writer_abort(t.w);
    return t.status;
}

#endif
