// The output's metadata: the input's, without what describes its files, and with what describes this one.
#include <string.h>

#include "gguf/format.h"
#include "gguf/gguf.h"
#include "quantize/plan.h"

// Keys that are set anew, in the order in which they are written.
enum { VERSION, FILE_TYPE, IMATRIX_FILE, IMATRIX_DATASET, IMATRIX_ENTRIES, IMATRIX_CHUNKS, BLOCK_COUNT, OWN };

typedef struct own_key {
    char key[128]; // "" if it isn't set
    bool is_text;
    uint32_t number;
    ingot_str text;
} own_key;

static own_key number_key(const char *key, uint32_t number) {
    own_key k = {.number = number};
    memcpy(k.key, key, strlen(key) + 1);
    return k;
}

static own_key text_key(const char *key, const char *text) {
    own_key k = {.is_text = true, .text = {text, strlen(text)}};
    memcpy(k.key, key, strlen(key) + 1);
    return k;
}

static uint32_t layers_left(const plan *p) {
    uint32_t n = p->model.n_layer;
    const options *o = p->options;
    for (size_t i = 0; i < o->n_pruned; i++)
        n -= i == 0 || o->pruned[i] != o->pruned[i - 1];
    return n;
}

static void own_keys(const plan *p, own_key *keys) {
    keys[VERSION] = number_key(RECIPE_KEY_VERSION, RECIPE_QUANTIZATION_VERSION);
    keys[FILE_TYPE] = number_key(RECIPE_KEY_FILE_TYPE, (uint32_t)p->file_type);
    if (p->imatrix.n > 0) {
        keys[IMATRIX_FILE] = text_key("quantize.imatrix.file", p->options->imatrix);
        keys[IMATRIX_ENTRIES] = number_key("quantize.imatrix.entries_count", (uint32_t)p->imatrix.n);
        if (p->imatrix.dataset[0])
            keys[IMATRIX_DATASET] = text_key("quantize.imatrix.dataset", p->imatrix.dataset);
        if (p->imatrix.chunks > 0)
            keys[IMATRIX_CHUNKS] = number_key("quantize.imatrix.chunks_count", p->imatrix.chunks);
    }
    size_t n = strlen(p->model.arch);
    if (p->options->n_pruned > 0 && n + sizeof ".block_count" <= sizeof keys->key) {
        keys[BLOCK_COUNT] = number_key("", layers_left(p));
        memcpy(keys[BLOCK_COUNT].key, p->model.arch, n);
        memcpy(keys[BLOCK_COUNT].key + n, ".block_count", sizeof ".block_count");
    }
}

// Whether an override for `key` follows after the first `i`.
static bool overridden(const options *o, size_t i, const char *key) {
    for (; i < o->n_overrides; i++)
        if (strcmp(o->overrides[i].key, key) == 0)
            return true;
    return false;
}

static bool dropped(const plan *p, const own_key *own, const char *key) {
    static const char *const splits[] = {GGUF_KEY_SPLIT_NO, GGUF_KEY_SPLIT_COUNT, GGUF_KEY_SPLIT_TOTAL};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        if (strcmp(key, splits[i]) == 0)
            return true;
    for (size_t i = 0; i < OWN; i++)
        if (strcmp(key, own[i].key) == 0)
            return true;
    return overridden(p->options, 0, key);
}

// A list with a number for each layer loses those of the layers that are left out.
static ingot_status write_pruned(const plan *p, ingot_gguf_writer *writer, const char *key,
                                 const ingot_gguf_value *value, ingot_error *err) {
    uint64_t size = gguf_type_bytes(value->item_type);
    uint8_t *items = mem_alloc(NULL, (size_t)value->count, (size_t)size);
    if (!items)
        return fail_memory(err, value->count * size, "a metadata value");
    ingot_gguf_value left = {value->type, value->item_type, 0, items};
    for (uint64_t i = 0; i < value->count; i++) {
        bool gone = false;
        for (size_t j = 0; j < p->options->n_pruned; j++)
            gone = gone || (uint64_t)p->options->pruned[j] == i;
        if (!gone)
            memcpy(items + left.count++ * size, (const uint8_t *)value->data + i * size, (size_t)size);
    }
    ingot_status status = ingot_gguf_writer_kv(writer, key, &left, err);
    mem_free(NULL, items);
    return status;
}

static bool per_layer(const plan *p, const char *key, const ingot_gguf_value *value) {
    size_t n = strlen(p->model.arch);
    bool of_model = n > 0 && strncmp(key, p->model.arch, n) == 0 && key[n] == '.';
    bool numbers = value->type == INGOT_GGUF_ARRAY && value->item_type != INGOT_GGUF_STRING &&
                   value->item_type != INGOT_GGUF_ARRAY;
    return of_model && numbers && p->options->n_pruned > 0 && value->count == p->model.n_layer;
}

static ingot_status copy_keys(const plan *p, const own_key *own, ingot_gguf_writer *writer,
                              ingot_error *err) {
    const ingot_gguf_kv *kv;
    for (uint64_t i = 0; (kv = ingot_gguf_kv_at(p->input, i)); i++) {
        char key[GGUF_MAX_KEY_BYTES + 1];
        memcpy(key, kv->key.data, kv->key.size);
        key[kv->key.size] = '\0';
        if (dropped(p, own, key))
            continue;
        TRY((per_layer(p, key, &kv->value) ? write_pruned(p, writer, key, &kv->value, err)
                                           : ingot_gguf_writer_kv(writer, key, &kv->value, err)));
    }
    return INGOT_OK;
}

static ingot_status write_own(const plan *p, const own_key *k, ingot_gguf_writer *writer, ingot_error *err) {
    ingot_gguf_type type = k->is_text ? INGOT_GGUF_STRING : INGOT_GGUF_U32;
    ingot_gguf_value value = {type, type, 1, k->is_text ? (const void *)&k->text : &k->number};
    if (k->key[0] == '\0' || overridden(p->options, 0, k->key))
        return INGOT_OK;
    return ingot_gguf_writer_kv(writer, k->key, &value, err);
}

ingot_status metadata_write(const plan *p, ingot_gguf_writer *writer, ingot_error *err) {
    own_key own[OWN] = {0};
    own_keys(p, own);
    TRY(copy_keys(p, own, writer, err));
    const options *o = p->options;
    // The user's own stand where llama-quantize puts them: after the file type.
    for (int i = 0; i <= FILE_TYPE; i++)
        TRY(write_own(p, &own[i], writer, err));
    for (size_t i = 0; i < o->n_overrides; i++)
        if (!overridden(o, i + 1, o->overrides[i].key))
            TRY(ingot_gguf_writer_kv(writer, o->overrides[i].key, &o->overrides[i].value, err));
    for (int i = FILE_TYPE + 1; i < OWN; i++)
        TRY(write_own(p, &own[i], writer, err));
    return INGOT_OK;
}
