// A growing run of bytes.
#ifndef INGOT_GGUF_BUFFER_H
#define INGOT_GGUF_BUFFER_H

#include "base/mem.h"

typedef struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
} buffer;

// Appends. A buffer starts as {0}; a failed append leaves it as it was.
ingot_status buffer_bytes(buffer *b, const ingot_allocator *mem, const void *bytes, uint64_t n,
                          ingot_error *err);
ingot_status buffer_zeros(buffer *b, const ingot_allocator *mem, uint64_t n, ingot_error *err);
ingot_status buffer_u32(buffer *b, const ingot_allocator *mem, uint32_t value, ingot_error *err);
ingot_status buffer_u64(buffer *b, const ingot_allocator *mem, uint64_t value, ingot_error *err);

// A u64 length and the bytes, as strings stand in a GGUF file.
ingot_status buffer_str(buffer *b, const ingot_allocator *mem, ingot_str str, ingot_error *err);
void buffer_free(buffer *b, const ingot_allocator *mem);

#endif
