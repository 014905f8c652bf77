// GGUF files built byte by byte, so that tests can say what no honest writer would.
#ifndef INGOT_TESTS_GGUF_BYTES_H
#define INGOT_TESTS_GGUF_BYTES_H

#include <stdlib.h>
#include <string.h>

#include "gguf/gguf.h"

typedef struct gguf_bytes {
    uint8_t data[1 << 16];
    size_t size;
} gguf_bytes;

static inline void put(gguf_bytes *b, const void *bytes, size_t n) {
    if (n > sizeof b->data - b->size)
        exit(2);
    if (n > 0)
        memcpy(b->data + b->size, bytes, n);
    b->size += n;
}

static inline void put_u32(gguf_bytes *b, uint32_t value) {
    put(b, &value, sizeof value);
}

static inline void put_u64(gguf_bytes *b, uint64_t value) {
    put(b, &value, sizeof value);
}

static inline void put_str(gguf_bytes *b, const char *text) {
    put_u64(b, strlen(text));
    put(b, text, strlen(text));
}

static inline void put_header(gguf_bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys) {
    b->size = 0;
    put(b, "GGUF", 4);
    put_u32(b, version);
    put_u64(b, n_tensors);
    put_u64(b, n_keys);
}

// A scalar key of any type: `size` bytes of value.
static inline void put_kv(gguf_bytes *b, const char *key, uint32_t type, const void *value, size_t size) {
    put_str(b, key);
    put_u32(b, type);
    put(b, value, size);
}

static inline void put_kv_u32(gguf_bytes *b, const char *key, uint32_t value) {
    put_kv(b, key, INGOT_GGUF_U32, &value, sizeof value);
}

static inline void put_kv_str(gguf_bytes *b, const char *key, const char *value) {
    put_str(b, key);
    put_u32(b, INGOT_GGUF_STRING);
    put_str(b, value);
}

// The beginning of an array; its items follow.
static inline void put_kv_array(gguf_bytes *b, const char *key, uint32_t item_type, uint64_t count) {
    put_str(b, key);
    put_u32(b, INGOT_GGUF_ARRAY);
    put_u32(b, item_type);
    put_u64(b, count);
}

static inline void put_tensor(gguf_bytes *b, const char *name, uint32_t n_dims, const uint64_t *shape,
                              uint32_t type, uint64_t offset) {
    put_str(b, name);
    put_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims && i < 8; i++)
        put_u64(b, shape[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

static inline void put_padding(gguf_bytes *b, size_t alignment) {
    static const uint8_t zero;
    while (b->size % alignment != 0)
        put(b, &zero, 1);
}

static inline void put_fill(gguf_bytes *b, uint8_t value, size_t n) {
    for (size_t i = 0; i < n; i++)
        put(b, &value, 1);
}

// A copy of exactly `size` bytes, aligned as gguf_open_memory asks, so that sanitizers see every read past
// its end. Freed with free().
static inline void *image_new(const void *data, size_t size) {
    void *image;
    if (posix_memalign(&image, 64, size > 0 ? size : 1) != 0)
        exit(2);
    if (size > 0)
        memcpy(image, data, size);
    return image;
}

// Opens `b` in memory and closes it again: the status and the message.
static inline ingot_status try_open(const gguf_bytes *b, const ingot_allocator *mem, ingot_error *err) {
    void *image = image_new(b->data, b->size);
    ingot_gguf *g = NULL;
    *err = (ingot_error){0};
    ingot_status status = gguf_open_memory(mem, image, b->size, "test.gguf", &g, err);
    ingot_gguf_close(g);
    free(image);
    return status;
}

#endif
