// The public look at an opened file.
#include "gguf/reader.h"

#include <string.h>

#include "base/hash.h"
#include "gguf/format.h"

const char *gguf_name(const ingot_gguf *g) {
    return g->name;
}

const char *gguf_file_name(const ingot_gguf *g, int32_t split) {
    return split > 0 && (uint32_t)split <= g->n_siblings ? g->siblings[split - 1]->name : g->name;
}

uint32_t ingot_gguf_version(const ingot_gguf *g) {
    return g->version;
}

uint64_t ingot_gguf_alignment(const ingot_gguf *g) {
    return g->alignment;
}

uint64_t ingot_gguf_kv_count(const ingot_gguf *g) {
    return g->keys.count;
}

uint64_t ingot_gguf_tensor_count(const ingot_gguf *g) {
    return g->n_tensors;
}

int32_t ingot_gguf_split_count(const ingot_gguf *g) {
    return (int32_t)g->n_siblings + 1;
}

const ingot_gguf_kv *ingot_gguf_kv_at(const ingot_gguf *g, uint64_t i) {
    return i < g->keys.count ? &g->kvs[i] : NULL;
}

const ingot_gguf_tensor *ingot_gguf_tensor_at(const ingot_gguf *g, uint64_t i) {
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const ingot_gguf_value *ingot_gguf_find(const ingot_gguf *g, const char *key) {
    uint32_t i = index_find(&g->keys, (ingot_str){.data = key, .size = strlen(key)});
    return i != INDEX_NONE ? &g->kvs[i].value : NULL;
}

const ingot_gguf_tensor *ingot_gguf_find_tensor(const ingot_gguf *g, const char *name) {
    uint32_t i = index_find(&g->names, (ingot_str){.data = name, .size = strlen(name)});
    return i != INDEX_NONE ? &g->tensors[i] : NULL;
}

static ingot_status check_one(const ingot_gguf *g, ingot_error *err) {
    if (!g->map.data || file_map_intact(&g->map))
        return INGOT_OK;
    return fail(err, INGOT_ERR_IO, "%s: the file was cut off or changed while it was open; open it again",
                g->name);
}

ingot_status ingot_gguf_check(const ingot_gguf *g, ingot_error *err) {
    TRY(check_one(g, err));
    for (uint32_t i = 0; i < g->n_siblings; i++)
        TRY(check_one(g->siblings[i], err));
    return INGOT_OK;
}

static uint64_t hash_str(uint64_t hash, ingot_str text) {
    return hash_bytes(hash, text.data, text.size);
}

static uint64_t hash_value(uint64_t hash, const ingot_gguf_value *value) {
    const uint64_t words[3] = {value->type, value->item_type, value->count};
    hash = hash_bytes(hash, words, sizeof words);
    if (value->item_type == INGOT_GGUF_STRING) {
        const ingot_str *items = value->data;
        for (uint64_t i = 0; i < value->count; i++)
            hash = hash_str(hash, items[i]);
        return hash;
    }
    if (value->item_type == INGOT_GGUF_ARRAY) { // nested as deeply as the parser allows
        const ingot_gguf_value *items = value->data;
        for (uint64_t i = 0; i < value->count; i++)
            hash = hash_value(hash, &items[i]);
        return hash;
    }
    return hash_bytes(hash, value->data, value->count * gguf_type_bytes(value->item_type));
}

uint64_t gguf_hash(const ingot_gguf *g) {
    enum { SAMPLE = 256 };
    uint64_t hash = g->n_tensors;
    for (uint64_t i = 0; i < g->keys.count; i++)
        hash = hash_value(hash_str(hash, g->kvs[i].key), &g->kvs[i].value);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        const ingot_gguf_tensor *t = &g->tensors[i];
        hash = hash_bytes(hash_str(hash, t->name), t->shape, sizeof t->shape) ^ (uint64_t)(uint32_t)t->type;
        const uint64_t n = t->data ? t->bytes < SAMPLE ? t->bytes : SAMPLE : 0;
        for (uint64_t part = 0; part < 4 && n > 0; part++)
            hash = hash_bytes(hash, (const uint8_t *)t->data + (t->bytes - n) / 4 * part, n);
    }
    return hash;
}
