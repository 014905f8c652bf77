// Reads everything that an opened GGUF file promises to hold, so that a sanitizer can object.
#ifndef INGOT_TESTS_GGUF_VISIT_H
#define INGOT_TESTS_GGUF_VISIT_H

#include "ingot.h"

static inline uint64_t visit_bytes(const void *data, uint64_t size) {
    const uint8_t *bytes = data;
    uint64_t sum = size;
    for (uint64_t i = 0; i < size; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

// Recursion is bounded by the reader's cap on depth.
static inline uint64_t visit_value(const ingot_gguf_value *value) {
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t sum = value->count;
    if (value->item_type == INGOT_GGUF_STRING) {
        const ingot_str *strings = value->data;
        for (uint64_t i = 0; i < value->count; i++)
            sum += visit_bytes(strings[i].data, strings[i].size);
    } else if (value->item_type == INGOT_GGUF_ARRAY) {
        const ingot_gguf_value *items = value->data;
        for (uint64_t i = 0; i < value->count; i++)
            sum += visit_value(&items[i]);
    } else {
        sum += visit_bytes(value->data, value->count * sizes[value->item_type]);
    }
    return sum;
}

// A number that depends on every byte of every key, value, tensor name and tensor.
static inline uint64_t visit_gguf(const ingot_gguf *g) {
    uint64_t sum = ingot_gguf_alignment(g) + ingot_gguf_version(g);
    for (uint64_t i = 0; i < ingot_gguf_kv_count(g); i++) {
        const ingot_gguf_kv *kv = ingot_gguf_kv_at(g, i);
        sum = sum * 31 + visit_bytes(kv->key.data, kv->key.size) + visit_value(&kv->value);
    }
    for (uint64_t i = 0; i < ingot_gguf_tensor_count(g); i++) {
        const ingot_gguf_tensor *t = ingot_gguf_tensor_at(g, i);
        sum = sum * 31 + visit_bytes(t->name.data, t->name.size) + visit_bytes(t->data, t->bytes);
        for (int d = 0; d < 4; d++)
            sum = sum * 31 + t->shape[d];
    }
    return sum;
}

#endif
