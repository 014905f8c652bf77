#include "gguf/buffer.h"

#include <string.h>

#include "base/checked.h"

// Makes room for `n` more bytes.
static ingot_status reserve(buffer *b, const ingot_allocator *mem, uint64_t n, ingot_error *err) {
    uint64_t total;
    size_t size;
    if (checked_add(b->size, n, &total) && checked_size(total, &size) &&
        mem_reserve(mem, &b->data, &b->capacity, size, 1))
        return INGOT_OK;
    return fail_memory(err, n, "metadata");
}

ingot_status buffer_bytes(buffer *b, const ingot_allocator *mem, const void *bytes, uint64_t n,
                          ingot_error *err) {
    TRY(reserve(b, mem, n, err));
    if (n > 0)
        memcpy(b->data + b->size, bytes, (size_t)n);
    b->size += (size_t)n;
    return INGOT_OK;
}

ingot_status buffer_zeros(buffer *b, const ingot_allocator *mem, uint64_t n, ingot_error *err) {
    TRY(reserve(b, mem, n, err));
    if (n > 0)
        memset(b->data + b->size, 0, (size_t)n);
    b->size += (size_t)n;
    return INGOT_OK;
}

ingot_status buffer_u32(buffer *b, const ingot_allocator *mem, uint32_t value, ingot_error *err) {
    return buffer_bytes(b, mem, &value, sizeof value, err);
}

ingot_status buffer_u64(buffer *b, const ingot_allocator *mem, uint64_t value, ingot_error *err) {
    return buffer_bytes(b, mem, &value, sizeof value, err);
}

ingot_status buffer_str(buffer *b, const ingot_allocator *mem, ingot_str str, ingot_error *err) {
    TRY(buffer_u64(b, mem, str.size, err));
    return buffer_bytes(b, mem, str.data, str.size, err);
}

void buffer_free(buffer *b, const ingot_allocator *mem) {
    mem_free(mem, b->data);
    *b = (buffer){0};
}
