#include "gguf/reader.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "gguf/cursor.h"
#include "gguf/format.h"
#include "gguf/value.h"

// What people take for a GGUF file, by its first four bytes.
static const struct {
    char magic[4];
    const char *what;
} strangers[] = {
    {{'g', 'g', 'm', 'l'}, "a model of the time before GGUF; convert the original model again"},
    {{'g', 'g', 'j', 't'}, "a model of the time before GGUF; convert the original model again"},
    {{'g', 'g', 'l', 'a'}, "an adapter of the time before GGUF; convert the original adapter again"},
    {{'P', 'K', '\3', '\4'}, "a zip archive (a PyTorch model?); convert the model to GGUF"},
    {{'v', 'e', 'r', 's'}, "a Git LFS pointer; fetch the file itself with `git lfs pull`"},
    {{'<', '!', 'D', 'O'}, "a web page; download the file itself"},
    {{'<', '!', 'd', 'o'}, "a web page; download the file itself"},
};

static ingot_status parse_magic(cursor *c, ingot_error *err) {
    const void *bytes;
    if (c->size == 0)
        return fail(err, INGOT_ERR_FORMAT, "the file is empty");
    TRY(cursor_bytes(c, 4, "the magic number", &bytes, err));
    if (memcmp(bytes, "GGUF", 4) == 0)
        return INGOT_OK;
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        if (memcmp(bytes, strangers[i].magic, 4) == 0)
            return fail(err, INGOT_ERR_FORMAT, "not a GGUF file but %s", strangers[i].what);
    const uint8_t *b = bytes;
    return fail(err, INGOT_ERR_FORMAT, "not a GGUF file: it begins with the bytes %02x %02x %02x %02x", b[0],
                b[1], b[2], b[3]);
}

static ingot_status parse_version(cursor *c, uint32_t *version, ingot_error *err) {
    TRY(cursor_u32(c, "the version", version, err));
    if (*version >= GGUF_VERSION_MIN && *version <= GGUF_VERSION)
        return INGOT_OK;
    if (*version != 0 && (*version & 0xffff) == 0)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "a big-endian GGUF file (version bytes %08" PRIx32 "); convert it to little-endian",
                    *version);
    return fail(err, INGOT_ERR_UNSUPPORTED, "GGUF version %" PRIu32 ", expected %d to %d%s", *version,
                GGUF_VERSION_MIN, GGUF_VERSION, *version < 2 ? "; convert the original model again" : "");
}

// Reads how many keys or tensors there are and checks that so many could be in the file.
static ingot_status parse_count(cursor *c, const char *what, uint64_t max, uint32_t *out, ingot_error *err) {
    uint64_t at = c->at, count;
    TRY(cursor_u64(c, what, &count, err));
    if (count > max)
        return fail(err, INGOT_ERR_LIMIT, "byte %" PRIu64 ": %s is %" PRIu64 ", expected at most %" PRIu64,
                    at, what, count, max);
    *out = (uint32_t)count;
    return INGOT_OK;
}

static ingot_status check_room(const cursor *c, const char *what, uint32_t count, uint64_t least,
                               ingot_error *err) {
    if (count <= cursor_left(c) / least)
        return INGOT_OK;
    return fail(err, INGOT_ERR_FORMAT,
                "byte %" PRIu64 ": %" PRIu32 " %s take at least %" PRIu64
                " bytes each, but the file ends after %" PRIu64 " more",
                c->at, count, what, least, cursor_left(c));
}

// Reads a key's or tensor's name.
static ingot_status parse_name(cursor *c, size_t max, ingot_str *out, ingot_error *err) {
    uint64_t at = c->at;
    const char *why;
    TRY(cursor_str(c, "its name", out, err));
    if (!gguf_name_valid(*out, max, &why))
        return fail(err, INGOT_ERR_FORMAT,
                    "byte %" PRIu64 ": its name of %zu bytes %s, expected 1 to %zu bytes of UTF-8", at,
                    out->size, why, max);
    return INGOT_OK;
}

static ingot_status parse_keys(ingot_gguf *g, cursor *c, uint32_t count, ingot_error *err) {
    TRY(check_room(c, "keys", count, GGUF_KEY_MIN_BYTES, err));
    g->kvs = mem_alloc(g->mem, count, sizeof *g->kvs);
    if (!g->kvs)
        return fail_memory(err, (uint64_t)count * sizeof *g->kvs, "metadata");
    for (uint32_t i = 0; i < count; i++) {
        ingot_gguf_kv *kv = &g->kvs[i];
        ingot_status status = parse_name(c, GGUF_MAX_KEY_BYTES, &kv->key, err);
        if (status != INGOT_OK)
            return fail_prefix(err, status, "key %" PRIu32, i);
        status = value_read(c, &g->store, g->mem, &kv->value, err);
        if (status != INGOT_OK)
            return fail_prefix(err, status, "key '%.*s'", gguf_name_shown(kv->key), kv->key.data);
    }
    return index_build(&g->keys, g->mem, g->kvs, sizeof *g->kvs, count, "key", err);
}

// Reads what follows a tensor's name. `end` is where its data must begin, counted from the start of all
// tensor data, and becomes where the next tensor's must: the format lets the data lie anywhere, but every
// known writer puts it in the directory's order without gaps, and holding files to that (as llama.cpp does)
// leaves no room for tensors that overlap.
static ingot_status parse_tensor(cursor *c, uint64_t alignment, ingot_gguf_tensor *t, uint64_t *end,
                                 ingot_error *err) {
    uint32_t n_dims, type;
    uint64_t at = c->at;
    TRY(cursor_u32(c, "its number of dimensions", &n_dims, err));
    if (n_dims > GGUF_MAX_DIMS)
        return fail(err, INGOT_ERR_FORMAT, "byte %" PRIu64 ": %" PRIu32 " dimensions, expected at most %d",
                    at, n_dims, GGUF_MAX_DIMS);
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) {
        t->shape[i] = 1;
        if (i < n_dims)
            TRY(cursor_u64(c, "a dimension", &t->shape[i], err));
    }
    TRY(cursor_u32(c, "its type", &type, err));
    ingot_status status = gguf_tensor_bytes(type, n_dims, t->shape, &t->bytes, err);
    if (status != INGOT_OK)
        return fail_prefix(err, status, "byte %" PRIu64, at);
    t->type = (int32_t)type;
    t->n_dims = n_dims > 0 ? (int32_t)n_dims : 1; // a scalar is a row of one
    at = c->at;
    TRY(cursor_u64(c, "its offset", &t->offset, err));
    if (t->offset != *end)
        return fail(err, INGOT_ERR_FORMAT,
                    "byte %" PRIu64 ": its data has offset %" PRIu64 ", expected %" PRIu64
                    " (after the tensor before it, aligned to %" PRIu64 ")",
                    at, t->offset, *end, alignment);
    if (!checked_add(*end, t->bytes, end) || !checked_align(*end, alignment, end))
        return fail(err, INGOT_ERR_FORMAT, "the sizes of the tensors up to here overflow");
    return INGOT_OK;
}

static ingot_status parse_tensors(ingot_gguf *g, cursor *c, uint32_t count, ingot_error *err) {
    TRY(check_room(c, "tensors", count, GGUF_TENSOR_MIN_BYTES, err));
    g->tensors = mem_alloc(g->mem, count, sizeof *g->tensors);
    if (!g->tensors)
        return fail_memory(err, (uint64_t)count * sizeof *g->tensors, "the tensor directory");
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        ingot_gguf_tensor *t = &g->tensors[i];
        ingot_status status = parse_name(c, GGUF_MAX_NAME_BYTES, &t->name, err);
        if (status != INGOT_OK)
            return fail_prefix(err, status, "tensor %" PRIu32, i);
        status = parse_tensor(c, g->alignment, t, &end, err);
        if (status != INGOT_OK)
            return fail_prefix(err, status, "tensor '%.*s'", gguf_name_shown(t->name), t->name.data);
    }
    g->n_tensors = count;
    return INGOT_OK;
}

// Turns the offsets into offsets from the start of the file and checks that the data is there. The padding
// after the last tensor may be missing.
static ingot_status place_tensors(ingot_gguf *g, const cursor *c, bool with_data, ingot_error *err) {
    uint64_t start;
    bool fits = checked_align(c->at, g->alignment, &start);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        ingot_gguf_tensor *t = &g->tensors[i];
        uint64_t end;
        if (!fits || !checked_add(start, t->offset, &t->offset) || !checked_add(t->offset, t->bytes, &end) ||
            end > c->size)
            return fail(err, INGOT_ERR_FORMAT,
                        "tensor '%.*s': its %" PRIu64 " bytes from byte %" PRIu64
                        " on end behind the file's %" PRIu64 " bytes; was the file cut off?",
                        gguf_name_shown(t->name), t->name.data, t->bytes, t->offset, c->size);
        t->data = with_data ? c->data + t->offset : NULL;
    }
    return INGOT_OK;
}

static ingot_status parse_all(ingot_gguf *g, cursor *c, bool with_data, ingot_error *err) {
    uint32_t n_tensors = 0, n_keys = 0;
    TRY(parse_magic(c, err));
    TRY(parse_version(c, &g->version, err));
    TRY(parse_count(c, "the number of tensors", GGUF_MAX_TENSORS, &n_tensors, err));
    TRY(parse_count(c, "the number of keys", GGUF_MAX_KEYS, &n_keys, err));
    TRY(parse_keys(g, c, n_keys, err));
    g->alignment = GGUF_DEFAULT_ALIGNMENT;
    const ingot_gguf_value *alignment = ingot_gguf_find(g, GGUF_KEY_ALIGNMENT);
    if (alignment)
        TRY(gguf_alignment_get(alignment, &g->alignment, err));
    TRY(parse_tensors(g, c, n_tensors, err));
    return place_tensors(g, c, with_data, err);
}

ingot_status gguf_parse(ingot_gguf *g, const uint8_t *data, uint64_t size, bool with_data, ingot_error *err) {
    cursor c = {.data = data, .size = size};
    ingot_status status = parse_all(g, &c, with_data, err);
    return status == INGOT_OK ? status : fail_prefix(err, status, "%s", g->name);
}
