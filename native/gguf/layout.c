#include "gguf/writer.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "gguf/split.h"
#include "gguf/value.h"

ingot_status writer_plan(ingot_gguf_writer *w, ingot_error *err) {
    if (w->alignment == 0)
        w->alignment = GGUF_DEFAULT_ALIGNMENT;
    uint32_t split = 0, extra = 0; // files, and those of them that the caller didn't begin
    uint64_t used = 0;             // bytes of tensor data in the current file
    for (uint32_t i = 0; i < w->tensor_names.count; i++) {
        ingot_gguf_tensor *t = &w->tensors[i];
        uint64_t padded, end = 0;
        if (!checked_align(t->bytes, w->alignment, &padded) || !checked_add(used, padded, &end))
            return fail(err, INGOT_ERR_LIMIT, "%s: the sizes of the tensors overflow", w->path);
        uint32_t begun = (uint32_t)t->split + extra;
        bool full = begun == split && w->max_split_bytes > 0 && used > 0 && end > w->max_split_bytes;
        extra += full;
        if (full || begun > split) {
            split = begun + full;
            used = 0;
        }
        t->split = (int32_t)split;
        t->offset = used;
        used += padded;
    }
    if (w->n_begun > 0)
        split = w->n_begun - 1 + extra;
    if (split >= GGUF_MAX_SPLITS)
        return fail(err, INGOT_ERR_LIMIT,
                    "%s: pieces of %" PRIu64 " bytes make %" PRIu32
                    " files, more than %d; choose a larger size",
                    w->path, w->max_split_bytes, split + 1, GGUF_MAX_SPLITS);
    w->files = mem_alloc(w->mem, split + 1, sizeof(file_out *));
    if (!w->files)
        return fail_memory(err, (split + 1) * sizeof(file_out *), "a GGUF writer");
    w->n_files = split + 1;
    return INGOT_OK;
}

static ingot_status own_key(buffer *b, const ingot_allocator *mem, const char *key, ingot_gguf_type type,
                            const void *data, ingot_error *err) {
    ingot_gguf_value value = {.type = type, .item_type = type, .count = 1, .data = data};
    TRY(buffer_str(b, mem, (ingot_str){.data = key, .size = strlen(key)}, err));
    return value_write(b, mem, &value, err);
}

// Appends the keys that file `number` has besides the caller's and counts them.
static ingot_status own_keys(const ingot_gguf_writer *w, uint32_t number, buffer *b, uint64_t *count,
                             ingot_error *err) {
    *count = 0;
    ingot_str name = {.data = GGUF_KEY_ALIGNMENT, .size = strlen(GGUF_KEY_ALIGNMENT)};
    bool said = number == 0 && index_find(&w->keys, name) != INDEX_NONE;
    if (w->alignment != GGUF_DEFAULT_ALIGNMENT && !said) {
        uint32_t alignment = (uint32_t)w->alignment;
        TRY(own_key(b, w->mem, GGUF_KEY_ALIGNMENT, INGOT_GGUF_U32, &alignment, err));
        ++*count;
    }
    if (w->is_split) { // of the types that llama.cpp's gguf-split gives them
        uint16_t no = (uint16_t)number, files = (uint16_t)w->n_files;
        int32_t total = (int32_t)w->tensor_names.count;
        TRY(own_key(b, w->mem, GGUF_KEY_SPLIT_NO, INGOT_GGUF_U16, &no, err));
        TRY(own_key(b, w->mem, GGUF_KEY_SPLIT_COUNT, INGOT_GGUF_U16, &files, err));
        TRY(own_key(b, w->mem, GGUF_KEY_SPLIT_TOTAL, INGOT_GGUF_I32, &total, err));
        *count += 3;
    }
    return INGOT_OK;
}

// Appends the directory of file `number` and counts its tensors.
static ingot_status directory(const ingot_gguf_writer *w, uint32_t number, buffer *b, uint64_t *count,
                              ingot_error *err) {
    *count = 0;
    for (uint32_t i = 0; i < w->tensor_names.count; i++) {
        const ingot_gguf_tensor *t = &w->tensors[i];
        if (t->split != (int32_t)number)
            continue;
        TRY(buffer_str(b, w->mem, t->name, err));
        TRY(buffer_u32(b, w->mem, (uint32_t)t->n_dims, err));
        TRY(buffer_bytes(b, w->mem, t->shape, (uint64_t)t->n_dims * sizeof *t->shape, err));
        TRY(buffer_u32(b, w->mem, (uint32_t)t->type, err));
        TRY(buffer_u64(b, w->mem, t->offset, err));
        ++*count;
    }
    return INGOT_OK;
}

// Makes what stands before the tensors' data: `head` up to the caller's metadata, and `tail` after it.
static ingot_status preamble(const ingot_gguf_writer *w, uint32_t number, buffer *head, buffer *tail,
                             ingot_error *err) {
    uint64_t n_keys, n_tensors, caller_bytes = number == 0 ? w->metadata.size : 0;
    TRY(own_keys(w, number, tail, &n_keys, err));
    TRY(directory(w, number, tail, &n_tensors, err));
    n_keys += number == 0 ? w->keys.count : 0;
    TRY(buffer_bytes(head, w->mem, "GGUF", 4, err));
    TRY(buffer_u32(head, w->mem, GGUF_VERSION, err));
    TRY(buffer_u64(head, w->mem, n_tensors, err));
    TRY(buffer_u64(head, w->mem, n_keys, err));
    uint64_t size = head->size + caller_bytes + tail->size;
    uint64_t rest = size % w->alignment;
    if (n_tensors == 0 || rest == 0)
        return INGOT_OK;
    return buffer_zeros(tail, w->mem, w->alignment - rest, err);
}

static ingot_status file_new(ingot_gguf_writer *w, uint32_t number, ingot_error *err) {
    char *name = NULL;
    if (w->is_split)
        TRY(split_name_new(w->mem, w->path, strlen(w->path), number + 1, w->n_files, &name, err));
    ingot_status status = file_out_open(name ? name : w->path, w->mem, &w->files[number], err);
    mem_free(w->mem, name);
    if (status == INGOT_OK)
        w->n_open++;
    return status;
}

ingot_status writer_open_until(ingot_gguf_writer *w, uint32_t last, ingot_error *err) {
    while (w->n_open <= last) {
        uint32_t number = w->n_open;
        buffer head = {0}, tail = {0};
        ingot_status status = preamble(w, number, &head, &tail, err);
        if (status == INGOT_OK)
            status = file_new(w, number, err);
        if (status == INGOT_OK)
            status = file_out_write(w->files[number], head.data, head.size, err);
        if (status == INGOT_OK && number == 0)
            status = file_out_write(w->files[number], w->metadata.data, w->metadata.size, err);
        if (status == INGOT_OK)
            status = file_out_write(w->files[number], tail.data, tail.size, err);
        buffer_free(&head, w->mem);
        buffer_free(&tail, w->mem);
        TRY(status);
    }
    return INGOT_OK;
}
