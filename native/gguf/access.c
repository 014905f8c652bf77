// The public look at an opened file.
#include "gguf/reader.h"

#include <string.h>

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
