// Writes adapters for tiny models, with random weights that are a function of a seed, and with faults; says
// what they add.
#ifndef INGOT_TESTS_TINY_ADAPTER_H
#define INGOT_TESTS_TINY_ADAPTER_H

#include <math.h>

#include "quant/quant.h"
#include "tiny_model.h"

enum { TINY_CHANGES_MAX = 24, TINY_RANK_MAX = 32 };

typedef struct tiny_adapter {
    uint32_t seed;
    uint32_t rank;  // 0: 4
    float alpha;    // NAN: the key is left out
    int32_t a_type; // tensor types
    int32_t b_type;
    const char *only;         // tensors whose name holds this; NULL: all linear maps
    bool ends;                // the embedding too, and the head
    bool bare;                // no layers
    const char *type;         // NULL: "adapter"
    const char *kind;         // NULL: "lora"
    const char *architecture; // NULL: llama
    const char *skip;         // a key or tensor that is left out
    const char *misshapen;    // a tensor that gets one row too many
    const char *extra;        // a pair for this tensor, or, if it ends in .weight.what, this tensor alone
    const char *key;          // one more key
} tiny_adapter;

typedef struct tiny_map {
    const char *name;
    uint64_t width, rows;
} tiny_map;

// The i-th linear map of a layer; NULL past the last.
static inline tiny_map tiny_map_at(int i) {
    static const tiny_map all[] = {
        {"attn_q", TINY_EMBD, TINY_HEADS * TINY_DIM},
        {"attn_k", TINY_EMBD, TINY_KV_HEADS * TINY_DIM},
        {"attn_v", TINY_EMBD, TINY_KV_HEADS * TINY_DIM},
        {"attn_output", TINY_HEADS * TINY_DIM, TINY_EMBD},
        {"ffn_gate", TINY_EMBD, TINY_FF},
        {"ffn_up", TINY_EMBD, TINY_FF},
        {"ffn_down", TINY_FF, TINY_EMBD},
    };
    return i < (int)(sizeof all / sizeof *all) ? all[i] : (tiny_map){0};
}

// Number `i` of tensor `name`.
static inline float tiny_adapter_number(const tiny_adapter *o, const char *name, uint64_t i) {
    uint64_t x = o->seed * 0x9e3779b97f4a7c15u + i;
    for (const char *c = name; *c; c++)
        x = (x ^ (uint64_t)(unsigned char)*c) * 0x100000001b3u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    return ((float)(x >> 40) / 8388608.0f - 1.0f) * 0.4f;
}

static inline uint32_t tiny_rank(const tiny_adapter *o) {
    return o->rank > 0 ? o->rank : 4;
}

// What the adapter adds to a weight; `name` is the tensor's.
static inline double tiny_adapter_change(const tiny_adapter *o, const char *name, uint64_t row,
                                         uint64_t column, uint64_t width) {
    char a[96], b[96];
    double sum = 0.0;
    const uint64_t rank = tiny_rank(o);
    snprintf(a, sizeof a, "%s.lora_a", name);
    snprintf(b, sizeof b, "%s.lora_b", name);
    for (uint64_t r = 0; r < rank; r++)
        sum += (double)tiny_adapter_number(o, a, r * width + column) *
               (double)tiny_adapter_number(o, b, row * rank + r);
    return isnan(o->alpha) || o->alpha == 0.0f ? sum : sum * (double)o->alpha / (double)rank;
}

typedef struct tiny_adapter_writer {
    ingot_gguf_writer *w;
    const tiny_adapter *o;
    bool declaring;
    ingot_status status;
} tiny_adapter_writer;

static inline void tiny_adapter_tensor(tiny_adapter_writer *t, const char *name, int32_t type, uint64_t width,
                                       uint64_t rows) {
    static float numbers[TINY_VOCAB * TINY_FF];
    static uint8_t bytes[sizeof numbers];
    const quant_type *how = quant_type_get(type);
    const uint64_t shape[2] = {width, rows + (tiny_is(t->o->misshapen, name) ? 1 : 0)};
    if (t->status != INGOT_OK || tiny_is(t->o->skip, name))
        return;
    if (t->declaring) {
        t->status = ingot_gguf_writer_tensor(t->w, name, type, 2, shape, NULL);
        return;
    }
    for (uint64_t i = 0; i < width * shape[1]; i++)
        numbers[i] = tiny_adapter_number(t->o, name, i);
    how->encode(numbers, bytes, width * shape[1]);
    t->status = ingot_gguf_writer_data(t->w, bytes, quant_bytes(how, width * shape[1]), NULL);
}

static inline void tiny_adapter_pair(tiny_adapter_writer *t, const char *base, uint64_t width, uint64_t rows,
                                     bool embedding) {
    char name[96];
    const uint64_t rank = tiny_rank(t->o);
    if (t->o->only && !strstr(base, t->o->only))
        return;
    snprintf(name, sizeof name, "%s.lora_a", base);
    tiny_adapter_tensor(t, name, t->o->a_type, embedding ? rank : width, embedding ? width : rank);
    snprintf(name, sizeof name, "%s.lora_b", base);
    tiny_adapter_tensor(t, name, t->o->b_type, rank, rows);
}

static inline void tiny_adapter_tensors(tiny_adapter_writer *t) {
    char name[64];
    for (int layer = 0; layer < TINY_LAYERS && !t->o->bare; layer++)
        for (int i = 0; tiny_map_at(i).name; i++) {
            const tiny_map map = tiny_map_at(i);
            snprintf(name, sizeof name, "blk.%d.%s.weight", layer, map.name);
            tiny_adapter_pair(t, name, map.width, map.rows, false);
        }
    if (t->o->ends) {
        tiny_adapter_pair(t, "token_embd.weight", TINY_VOCAB, TINY_EMBD, true);
        tiny_adapter_pair(t, "output.weight", TINY_EMBD, TINY_VOCAB, false);
    }
    if (t->o->extra && strstr(t->o->extra, ".weight."))
        tiny_adapter_tensor(t, t->o->extra, 0, TINY_EMBD, 4);
    else if (t->o->extra)
        tiny_adapter_pair(t, t->o->extra, TINY_EMBD, TINY_EMBD, false);
}

static inline void tiny_adapter_text(tiny_adapter_writer *t, const char *key, const char *text) {
    const ingot_str s = {text, strlen(text)};
    const ingot_gguf_value value = {INGOT_GGUF_STRING, INGOT_GGUF_STRING, 1, &s};
    if (t->status == INGOT_OK && !tiny_is(t->o->skip, key))
        t->status = ingot_gguf_writer_kv(t->w, key, &value, NULL);
}

// Writes the adapter to `path`.
static inline ingot_status tiny_adapter_write(const char *path, const tiny_adapter *o) {
    tiny_adapter_writer t = {.o = o};
    t.status = gguf_writer_new(NULL, path, NULL, &t.w, NULL);
    if (t.status != INGOT_OK)
        return t.status;
    tiny_adapter_text(&t, "general.type", o->type ? o->type : "adapter");
    tiny_adapter_text(&t, "adapter.type", o->kind ? o->kind : "lora");
    tiny_adapter_text(&t, "general.architecture", o->architecture ? o->architecture : "llama");
    if (o->key)
        tiny_adapter_text(&t, o->key, "x");
    const ingot_gguf_value alpha = {INGOT_GGUF_F32, INGOT_GGUF_F32, 1, &o->alpha};
    if (t.status == INGOT_OK && !isnan(o->alpha))
        t.status = ingot_gguf_writer_kv(t.w, "adapter.lora.alpha", &alpha, NULL);
    for (int pass = 0; pass < 2; pass++) {
        t.declaring = pass == 0;
        tiny_adapter_tensors(&t);
    }
    if (t.status == INGOT_OK)
        return ingot_gguf_writer_finish(t.w, NULL);
    ingot_gguf_writer_abort(t.w);
    return t.status;
}

#endif
