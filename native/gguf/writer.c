// The writer. Metadata and directory are collected in memory (their sizes come first in the file, and in a
// split the number of files is part of every name); the tensors' data goes straight to the files.
#include "gguf/writer.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "gguf/value.h"

static void writer_free(ingot_gguf_writer *w) {
    const ingot_allocator *mem = w->mem;
    for (uint32_t i = 0; i < w->n_open; i++)
        file_out_abort(w->files[i]);
    mem_free(mem, w->files);
    index_free(&w->tensor_names, mem);
    index_free(&w->keys, mem);
    mem_free(mem, w->tensors);
    buffer_free(&w->metadata, mem);
    store_free(&w->names, mem);
    mem_free(mem, w->path);
    mem_free(mem, w);
}

ingot_status gguf_writer_new(const ingot_allocator *mem, const char *path,
                             const ingot_gguf_writer_params *params, ingot_gguf_writer **out,
                             ingot_error *err) {
    uint64_t alignment = params ? params->alignment : 0;
    if (alignment != 0 && !gguf_alignment_valid(alignment))
        return fail(err, INGOT_ERR_INVALID, "alignment is %" PRIu64 ", expected a power of two from %d to %d",
                    alignment, GGUF_MIN_ALIGNMENT, GGUF_MAX_ALIGNMENT);
    size_t size = strlen(path) + 1;
    ingot_gguf_writer *w = mem_alloc(mem, 1, sizeof *w);
    if (!w)
        return fail_memory(err, sizeof *w, "a GGUF writer");
    w->mem = mem;
    w->alignment = alignment;
    w->max_split_bytes = params ? params->max_split_bytes : 0;
    w->is_split = w->max_split_bytes > 0;
    w->path = mem_alloc(mem, size, 1);
    if (!w->path) {
        writer_free(w);
        return fail_memory(err, size, "a file's name");
    }
    memcpy(w->path, path, size);
    *out = w;
    return INGOT_OK;
}

// How declaring a key or tensor begins: data must not have begun and the name must be valid and new. Stores a
// copy of the name.
static ingot_status name_new(ingot_gguf_writer *w, const char *kind, const name_index *index,
                             const char *name, size_t max_size, uint32_t max_count, ingot_str *out,
                             ingot_error *err) {
    const char *why;
    ingot_str str = {.data = name, .size = strlen(name)};
    if (w->files)
        return fail(err, INGOT_ERR_STATE, "%s '%.*s' comes after the data has begun", kind,
                    gguf_name_shown(str), name);
    if (!gguf_name_valid(str, max_size, &why))
        return fail(err, INGOT_ERR_INVALID, "%s: a name of %zu bytes %s, expected 1 to %zu bytes of UTF-8",
                    kind, str.size, why, max_size);
    if (index_find(index, str) != INDEX_NONE)
        return fail(err, INGOT_ERR_INVALID, "%s '%.*s' was added before", kind, gguf_name_shown(str), name);
    if (index->count >= max_count)
        return fail(err, INGOT_ERR_LIMIT, "%s '%.*s' is one more than the %" PRIu32 " that fit in a file",
                    kind, gguf_name_shown(str), name, max_count);
    char *copy = store_alloc(&w->names, w->mem, str.size, 1);
    if (!copy)
        return fail_memory(err, str.size, "a name");
    memcpy(copy, name, str.size);
    *out = (ingot_str){.data = copy, .size = str.size};
    return INGOT_OK;
}

// A general.alignment that is added must agree with the alignment that the writer was made for.
static ingot_status alignment_set(ingot_gguf_writer *w, const ingot_gguf_value *value, ingot_error *err) {
    uint64_t alignment = 0;
    if (gguf_alignment_get(value, &alignment, err) != INGOT_OK)
        return fail_prefix(err, INGOT_ERR_INVALID, "%s", w->path);
    if (w->alignment != 0 && w->alignment != alignment)
        return fail(err, INGOT_ERR_INVALID,
                    GGUF_KEY_ALIGNMENT " is %" PRIu64 ", but the writer was made for %" PRIu64, alignment,
                    w->alignment);
    w->alignment = alignment;
    return INGOT_OK;
}

static bool describes_split(const char *key) {
    return strcmp(key, GGUF_KEY_SPLIT_NO) == 0 || strcmp(key, GGUF_KEY_SPLIT_COUNT) == 0 ||
           strcmp(key, GGUF_KEY_SPLIT_TOTAL) == 0;
}

ingot_status ingot_gguf_writer_kv(ingot_gguf_writer *w, const char *key, const ingot_gguf_value *value,
                                  ingot_error *err) {
    ingot_str name = {0};
    if (describes_split(key))
        return fail(err, INGOT_ERR_INVALID, "key '%s' is the writer's own: leave it out when copying", key);
    TRY(name_new(w, "key", &w->keys, key, GGUF_MAX_KEY_BYTES, GGUF_MAX_KEYS - WRITER_OWN_KEYS, &name, err));
    size_t size_before = w->metadata.size;
    uint64_t alignment_before = w->alignment;
    ingot_status status = buffer_str(&w->metadata, w->mem, name, err);
    if (status == INGOT_OK)
        status = value_write(&w->metadata, w->mem, value, err);
    if (status == INGOT_OK && strcmp(key, GGUF_KEY_ALIGNMENT) == 0)
        status = alignment_set(w, value, err);
    if (status == INGOT_OK)
        status = index_append(&w->keys, w->mem, name, err);
    if (status != INGOT_OK) {
        w->metadata.size = size_before;
        w->alignment = alignment_before;
        return fail_prefix(err, status, "key '%.*s'", gguf_name_shown(name), key);
    }
    return INGOT_OK;
}

void gguf_writer_next_file(ingot_gguf_writer *w) {
    w->is_split = true;
    w->n_begun++;
}

ingot_status ingot_gguf_writer_tensor(ingot_gguf_writer *w, const char *name, int32_t type, int32_t n_dims,
                                      const uint64_t *shape, ingot_error *err) {
    ingot_gguf_tensor t = {.type = type, .n_dims = n_dims, .shape = {1, 1, 1, 1}};
    if (n_dims < 1 || n_dims > GGUF_MAX_DIMS)
        return fail(err, INGOT_ERR_INVALID, "tensor '%s' has %" PRId32 " dimensions, expected 1 to %d", name,
                    n_dims, GGUF_MAX_DIMS);
    if (gguf_tensor_bytes(type, (uint32_t)n_dims, shape, &t.bytes, err) != INGOT_OK)
        return fail_prefix(err, INGOT_ERR_INVALID, "tensor '%s'", name);
    memcpy(t.shape, shape, (size_t)n_dims * sizeof *shape);
    TRY(name_new(w, "tensor", &w->tensor_names, name, GGUF_MAX_NAME_BYTES, GGUF_MAX_TENSORS, &t.name, err));
    uint32_t count = w->tensor_names.count;
    if (!mem_reserve(w->mem, &w->tensors, &w->tensor_capacity, (size_t)count + 1, sizeof t))
        return fail_memory(err, ((uint64_t)count + 1) * sizeof t, "the tensor directory");
    t.split = w->n_begun > 0 ? (int32_t)w->n_begun - 1 : 0; // at least: writer_plan decides
    w->tensors[count] = t;
    return index_append(&w->tensor_names, w->mem, t.name, err);
}

// The tensor's data is complete: pads it and goes on to the next.
static ingot_status tensor_end(ingot_gguf_writer *w, ingot_error *err) {
    static const uint8_t zeros[4096];
    const ingot_gguf_tensor *t = &w->tensors[w->current++];
    w->done = 0;
    uint64_t padded;
    if (!checked_align(t->bytes, w->alignment, &padded))
        return fail(err, INGOT_ERR_LIMIT, "the padding of '%s' overflows", w->path);
    for (uint64_t left = padded - t->bytes; left > 0;) {
        uint64_t n = left < sizeof zeros ? left : sizeof zeros;
        TRY(file_out_write(w->files[t->split], zeros, n, err));
        left -= n;
    }
    return INGOT_OK;
}

ingot_status ingot_gguf_writer_data(ingot_gguf_writer *w, const void *data, uint64_t bytes,
                                    ingot_error *err) {
    if (w->broken)
        return fail(err, INGOT_ERR_STATE, "%s: an earlier write failed", w->path);
    if (bytes == 0)
        return INGOT_OK;
    uint32_t count = w->tensor_names.count;
    if (w->current == count)
        return fail(err, INGOT_ERR_INVALID,
                    "%s: %" PRIu64 " bytes of data, but all %" PRIu32 " tensors are complete", w->path, bytes,
                    count);
    const ingot_gguf_tensor *t = &w->tensors[w->current];
    if (bytes > t->bytes - w->done)
        return fail(err, INGOT_ERR_INVALID,
                    "tensor '%.*s': %" PRIu64 " bytes of data, but only %" PRIu64 " of its %" PRIu64
                    " are left",
                    gguf_name_shown(t->name), t->name.data, bytes, t->bytes - w->done, t->bytes);
    ingot_status status = w->files ? INGOT_OK : writer_plan(w, err);
    if (status == INGOT_OK)
        status = writer_open_until(w, (uint32_t)t->split, err);
    if (status == INGOT_OK)
        status = file_out_write(w->files[t->split], data, bytes, err);
    w->done += bytes;
    if (status == INGOT_OK && w->done == t->bytes)
        status = tensor_end(w, err);
    w->broken = status != INGOT_OK;
    return status;
}

static ingot_status check_complete(ingot_gguf_writer *w, ingot_error *err) {
    if (w->broken)
        return fail(err, INGOT_ERR_STATE, "%s: an earlier write failed", w->path);
    uint32_t count = w->tensor_names.count;
    if (w->current == count)
        return INGOT_OK;
    const ingot_gguf_tensor *t = &w->tensors[w->current];
    return fail(err, INGOT_ERR_INVALID,
                "%s: tensor '%.*s' has %" PRIu64 " of %" PRIu64 " bytes, and %" PRIu32
                " tensors after it have none",
                w->path, gguf_name_shown(t->name), t->name.data, w->done, t->bytes, count - w->current - 1);
}

// The first file of a split is the last to get its name: whoever sees it finds the others, too.
static ingot_status commit(ingot_gguf_writer *w, ingot_error *err) {
    TRY(check_complete(w, err));
    if (!w->files)
        TRY(writer_plan(w, err));
    TRY(writer_open_until(w, w->n_files - 1, err));
    while (w->n_open > 0)
        TRY(file_out_commit(w->files[--w->n_open], err));
    return INGOT_OK;
}

ingot_status ingot_gguf_writer_finish(ingot_gguf_writer *w, ingot_error *err) {
    ingot_status status = commit(w, err);
    writer_free(w);
    return status;
}

void ingot_gguf_writer_abort(ingot_gguf_writer *w) {
    if (w)
        writer_free(w);
}
